// profile.h: from a profile in the node's store to the plan of entering it, and to the packages it was made of.
//
// Shape    PROFILE/manifest is read by profile_manifest.h. Search paths are those of `guix shell --search-paths`: PATH
//          ("bin" "sbin"), then those of the top-level entries in the order of the file, each once. Values say
//          /gnu/store/…-profile/…, files are looked up in `store_dir` (store_tree.h).
// Trust    The profile was verified, but its author is whoever may build on the site. So a plan has a budget, far above
//          what Guix's profiles take: the limits of profile_manifest.h and store_tree.h; patterns are POSIX extended
//          (pattern.h); all patterns together meet 100,000 files at most, 64 levels deep, with names of 4,096 bytes at
//          most and, in one walk, of 16 MiB together, and match in 200,000,000 steps (states of a pattern times bytes
//          of a name: a second); a value has at most 64 KiB and a plan 256 KiB (cache/wire/messages.h).
// Errors   corrupt with the place in the manifest, or the file, and the limit; missing.
// Source   Guix, guix/profiles.scm, guix/search-paths.scm, guix/build/utils.scm; vectors/profile.
#pragma once

#include <string>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/store_path.h"
#include "cache/wire/messages.h"
#include "provisioner/profile_manifest.h"

namespace senv {

/// `store_dir`: the folder that holds the items, for example /var/lib/senv/store.
Result<wire::Plan> plan_of_profile(const std::string& store_dir, const StorePath& profile);

/// Those that were asked for, each once and in the order of the manifest; not what they propagate.
Result<std::vector<Package>> packages_of_profile(const std::string& store_dir, const StorePath& profile);

}  // namespace senv
