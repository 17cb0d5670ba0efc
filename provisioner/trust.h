// trust.h: whose files and folders count for a process, so that root does not act on what another user wrote.
//
// Folders  HOME and XDG_* stay as they are after sudo or su: they count only where they belong to the effective user.
// Code     Manifests, channel files, modules and the command guix decide what a process executes. Root uses only what belongs
//          to root, by a path on which nobody else can put something else.
// Errors   denied, naming the file or folder that belongs to somebody else; io, missing.
#pragma once

#include <sys/types.h>

#include <string>

#include "cache/base/result.h"
#include "provisioner/environment.h"

namespace senv {

/// The same without XDG_* that name folders of others; HOME is that of the passwd entry where it is unset or another's. A
/// folder that does not exist belongs to the owner of the nearest one above it.
Environment with_own_folders(Environment environment, uid_t user);

/// Whether each part of `path`, links followed, belongs to root and can be replaced by root only: to be asked before it is
/// opened. A pipe of the calling process ("<(echo …)") is its own. A relative name begins in the current directory. missing:
/// there is no such file.
Result<void> check_is_roots(const std::string& path);

/// check_is_roots(), where `user` is root; others may use what they can read.
Result<void> check_may_be_used_by(uid_t user, const std::string& path);

}  // namespace senv
