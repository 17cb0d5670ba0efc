// export.h: the closure of a profile, out of a Guix store, as a static binary cache.
//
// Shape    FOLDER/nix-cache-info, FOLDER/HASH.narinfo and FOLDER/nar/zstd/HASH-NAME: what `guix publish` would serve, for
//          senvd as file:///FOLDER or behind any web server. One folder may take the closures of many locks.
// Trust    What is signed is what Guix's own database says of each item, never what the author of a lock wrote: a lock that
//          differs from the database is refused, and so is a tree with another hash. A signature vouches for a narinfo that is
//          there already before it is left alone.
// Effects  Each file appears whole or not at all; an item's nar before its narinfo, the profile's narinfo last, so that who
//          finds the profile finds all that it needs. All is on the disk when export_closure() returns. Everybody may read it.
// Errors   missing: an item is not in the store. untrusted: it is not what Guix's database says. busy: another export writes there.
//          io.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cache/verify/signing_key.h"
#include "provisioner/resolve/lock.h"

namespace senv {

struct ExportPlaces {
    std::string store;   // holds the items, as /gnu/store does
    std::string folder;  // is made if it is not there; its parent is there
};

struct Exported {
    std::uint64_t items = 0;       // of the closure
    std::uint64_t bytes = 0;       // of their nars
    std::uint64_t written = 0;     // items that were not there before
    std::uint64_t file_bytes = 0;  // of their nars, compressed
};

/// How far it is: what is in the folder, of what shall be.
struct ExportProgress {
    std::uint64_t items = 0;
    std::uint64_t bytes = 0;  // of their nars; those of items that are being written count
    std::uint64_t all_items = 0;
    std::uint64_t all_bytes = 0;
};

/// Errors: untrusted, with the differences, when the lock's items are not those of `known`, or are not like them.
Result<void> check_lock(const Lock& lock, const std::vector<LockedItem>& known);

/// `closure`: what Guix says of `profile` and all that it needs. After init_signatures(). Uses as many threads as there are
/// cores. `tell` is called on the caller's, four times a second and at the end.
Result<Exported> export_closure(const StorePath& profile, const std::vector<LockedItem>& closure, const SigningKey& key,
                                const ExportPlaces& places, const std::function<void(const ExportProgress&)>& tell);

}  // namespace senv
