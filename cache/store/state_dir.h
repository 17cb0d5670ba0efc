// state_dir.h: the folder that holds everything senvd keeps.
//
// Shape    store/HASH-NAME       the items; what jobs see as /gnu/store
//          narinfo/HASH-NAME     the signed narinfo of each item in store/, as received
//          plans/HASH-NAME       what entering a profile in store/ means (cache/daemon/planning.h)
//          staging/ID/           what is being unpacked, or being removed; emptied at every start
//          leases/ID             leases of an older senvd (leases.h)
//          db, db-wal            the catalog (catalog.h); made anew from store/ and narinfo/ when it is lost
//          session               which boot of the node senvd last ran in, and whether it ended well
//          pins                  what an administrator wants kept (pins.h)
//          reserve               room to evict with when the disk is full
//          lock                  locked by the senvd that runs
// Trust    Owned by senvd's user; neither the folder nor a parent may be writable for others, unless sticky.
// Errors   denied with the first directory that others may write; busy when another senvd holds the lock; io.
#pragma once

#include <memory>
#include <string>

#include "cache/base/fd.h"
#include "cache/store/leases.h"

namespace senv {

/// Refuses a path of which somebody else than root and our own user could replace a part. Names the first such directory.
Result<void> check_path_is_ours(const std::string& path);

struct StateDir {
    std::string path;  // without links in it
    Fd root;
    Fd store;
    Fd narinfo;
    Fd plans;
    Fd staging;
    std::unique_ptr<Leases> leases;  // in a folder of their own
    Fd lock;

    /// Its path without links. Errors: it is not there, or is not our user's own.
    static Result<std::string> check(const std::string& path);
    /// Opens it and the folder for leases, makes what is missing, and takes the lock.
    static Result<StateDir> open(const std::string& path, const std::string& lease_dir);

    std::string store_path() const { return path + "/store"; }
};

}  // namespace senv
