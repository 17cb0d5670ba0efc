// profile.h: from a profile in the node's store to the plan of entering it, and to the packages it was made of.
//
// Shape    PROFILE/manifest is Scheme data (guix-formats: versions 3 and 4). Search paths are those of `guix shell
//          --search-paths`: PATH ("bin" "sbin"), then those of the top-level entries in file order without exact repeats.
//          Values say /gnu/store/…-profile/…, files are looked up in `store_dir`.
// Trust    The profile was verified, but its author is whoever may build on the site: links are followed only inside the
//          store, at most 40; patterns are POSIX extended and bounded; walks have limits on depth and entries; values and
//          the plan keep the limits of cache/wire/messages.h.
// Errors   corrupt with the place in the manifest; missing.
// Source   Guix, guix/profiles.scm, guix/search-paths.scm, guix/build/utils.scm; vectors/profile.
#pragma once

#include <string>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/store_path.h"
#include "cache/wire/messages.h"

namespace senv {

/// `store_dir`: the folder that holds the items, for example /var/lib/senv/store.
Result<wire::Plan> plan_of_profile(const std::string& store_dir, const StorePath& profile);

struct Package {
    std::string name;
    std::string version;
    std::string output;
    StorePath item;
    bool operator==(const Package&) const = default;
};

/// Those that were asked for, each once and in the order of the manifest; not what they propagate.
Result<std::vector<Package>> packages_of_profile(const std::string& store_dir, const StorePath& profile);

}  // namespace senv
