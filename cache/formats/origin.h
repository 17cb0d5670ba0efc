// origin.h: where items may come from, as the site names it. Pure.
//
// Shape    http://HOST…, https://HOST…   a substitute server: narinfos and nars
//          file:///FOLDER                a folder with what such a server would serve: HASH.narinfo, and nars by their URLs
//          store:///FOLDER               a /gnu/store that is mounted there: bytes only, no narinfos
//          The URL of something in a folder is "SCHEME://FOLDER//PATH": the first empty segment says where FOLDER ends, so
//          that whoever opens it can stay below.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/store_path.h"

namespace senv {

enum class OriginKind : unsigned char { server, folder, store };

/// By the scheme alone, of an origin or a URL below it.
OriginKind kind_of(std::string_view url) noexcept;

/// The origin without needless slashes at its end. Errors: usage. Another scheme; a server without a host, with a user name,
/// a query or a fragment; a folder that is not absolute, is the root, has empty or dot segments, or '?', '#', '%', '\' or
/// control characters.
Result<std::string> parse_origin(std::string_view text);

/// The folder that an origin is; nullopt for a server.
std::optional<std::string> folder_of(std::string_view origin);

/// The URL of an item in the mounted store `origin`.
std::string url_in_store(std::string_view origin, const StorePath& item);

struct InFolder {
    std::string folder;             // absolute
    std::vector<std::string> path;  // names, from the folder on; none is empty, "." or "..", or has a '/' or NUL in it
};
/// Takes the URL of something in a folder apart: without its query, and decoded, as a server would. Errors: denied, corrupt.
Result<InFolder> split_folder_url(std::string_view url);

}  // namespace senv
