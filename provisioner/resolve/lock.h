// lock.h: the record of a resolution.
//
// Shape    JSON, meant to be committed beside a paper's sources:
//            senv-lock       1, the version of this form
//            system          "x86_64-linux"
//            profile         "/gnu/store/…-profile"
//            manifests       the texts themselves (a digest rebuilds nothing), in order
//            packages        specifications, in order
//            development     specifications of the packages whose development inputs are in the profile
//            files           the texts of files that evaluate to packages
//            expressions     the same, as expressions
//            load-path       how many folders with modules were used: these cannot be recorded, who rebuilds has to have them
//            transformations as words: "with-input=openmpi=mpich", "tune=skylake"; not what they name (a patch, a branch)
//            channel-file    the text, or null
//            channels        name, url, branch, commit, introduction {commit, signer} or null; of the Guix that answered,
//                            as its own profile records them. Empty when it was not made by guix pull or time-machine
//            guix            {"version": "1.5.0"}
//            closure         path, hash "sha256:NIX-BASE32", size (bytes of the nar), references; sorted by path
//          The same resolution gives the same bytes: no times, no places of files.
// Trust    A lock may come from anywhere: read() checks every field.
// Errors   corrupt, naming the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/hash.h"
#include "cache/formats/store_path.h"

namespace senv {

inline constexpr std::size_t max_lock_bytes = std::size_t{64} << 20U;  // a closure of 10,000 items has 10 MB

struct LockedChannel {
    struct Introduction {
        std::string commit;
        std::string signer;  // OpenPGP fingerprint
    };

    std::string name;
    std::string url;
    std::string branch;
    std::string commit;
    std::optional<Introduction> introduction;
};

struct LockedItem {
    StorePath path;
    Sha256 nar_hash;
    std::uint64_t nar_size = 0;
    std::vector<StorePath> references;
};

struct Lock {
    StorePath profile;
    std::string system = {};
    std::vector<std::string> manifests = {};
    std::vector<std::string> packages = {};
    std::vector<std::string> development = {};
    std::vector<std::string> files = {};
    std::vector<std::string> expressions = {};
    std::uint64_t load_path = 0;
    std::vector<std::string> transformations = {};
    std::optional<std::string> channel_file = {};
    std::vector<LockedChannel> channels = {};
    std::string guix_version = {};
    std::vector<LockedItem> closure = {};

    static Result<Lock> read(std::string_view text);
    std::string write() const;
};

/// In what an environment that Guix has differs from the recorded one, a line each: its profile, items that only one of them
/// has (- the lock, + Guix), and items that differ themselves. Pure.
std::vector<std::string> differences(const Lock& recorded, const Lock& made);
/// These lines, or the first of them, for the end of an error's text. Pure.
std::string listed(std::vector<std::string> lines);

/// What closure.scm prints: {"version", "channels", "closure"} as above. Fills these three fields of the lock.
Result<void> read_description(std::string_view json, Lock& lock);

}  // namespace senv
