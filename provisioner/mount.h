// mount.h: makes the node's store visible at /gnu/store, for the calling process and its descendants only. With the tests
// of the kernel's behaviour, the only caller of unshare(2), setns(2) and mount(2).
//
// Needs    CAP_SYS_ADMIN; a single-threaded process (task_init_privileged is one).
// Trust    The store is opened inside the new namespace (a descriptor from outside gives EINVAL in mount), checked with
//          fstat on that descriptor, and mounted through it, so its name cannot be swapped in between. Mounted read-only,
//          nosuid, nodev.
// Effects  Propagation of all mounts becomes slave, recursively: what the node mounts later (autofs) still appears, what
//          we mount never reaches the node. The namespace ends with its last process: nothing to undo.
// Errors   io, denied, missing, with the path and what the errno means for a mount.
#pragma once

#include <sys/types.h>

#include <string>

#include "cache/base/fd.h"

namespace senv {

struct StoreMount {
    std::string store = "/var/lib/senv/store";
    std::string target = "/gnu/store";
    uid_t owner = 0;  // who must own the store: senvd's user
};

/// For a process without privileges: moves it into a user namespace in which it may mount. Its user and group stay who they
/// are; of other groups the kernel keeps the rights but shows no names. denied, with a hint, where the site forbids it.
Result<void> enter_user_namespace();
/// Moves the calling process into a new mount namespace and mounts the store there. Returns the namespace.
Result<Fd> enter_new_namespace(const StoreMount& mount);
/// Moves the calling process into a namespace made by enter_new_namespace() in a sibling.
Result<void> join_namespace(const Fd& mount_namespace);

/// A copy of a lease's descriptor that whatever this process starts inherits, and keeps the environment on the node by it.
/// Errors: of fcntl(2).
Result<Fd> inheritable(const Fd& lease);

}  // namespace senv
