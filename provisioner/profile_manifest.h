// profile_manifest.h: what the manifest of a profile says. Pure.
//
// Shape    Scheme data, versions 3 and 4: (manifest (version N) (packages (ENTRY…))). An entry is (NAME VERSION OUTPUT
//          PATH FIELD…); its fields may hold search paths and, in propagated-inputs, further entries. Version 4 writes
//          (repeated NAME VERSION PATH) for an entry that came before.
// Limits   The author of a manifest is whoever may build on the site, so reading takes time and memory in proportion to
//          its size: a repeated entry is an index, never a copy. Of what is read, only this much is allowed (Guix's own
//          profiles have a few dozen different search paths, each with one to three files, and names below 100 bytes):
//          1,000 different search paths, 100 files in each, 4,096 bytes in the name of a file, 256 in any other text.
// Errors   corrupt, with line and column, and the limit.
// Source   Guix, guix/profiles.scm, guix/search-paths.scm; vectors/profile.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/store_path.h"

namespace senv {

inline constexpr std::size_t max_search_paths = 1000;
inline constexpr std::size_t max_files_of_search_path = 100;
inline constexpr std::size_t max_file_name_bytes = 4096;
inline constexpr std::size_t max_manifest_text_bytes = 256;

struct Package {
    std::string name;
    std::string version;
    std::string output;
    StorePath item;
    bool operator==(const Package&) const = default;
};

/// A search path specification, as in guix/search-paths.scm.
struct SearchPath {
    std::string variable;
    std::vector<std::string> files;
    std::optional<std::string> separator;
    std::string type;
    std::optional<std::string> pattern;
    auto operator<=>(const SearchPath&) const = default;
};

struct ProfileManifest {
    std::vector<Package> packages;         // that were asked for, each once, in the order of the manifest
    std::vector<SearchPath> search_paths;  // PATH, then those of these packages, in their order and each once
};

Result<ProfileManifest> read_profile_manifest(std::string_view text);

}  // namespace senv
