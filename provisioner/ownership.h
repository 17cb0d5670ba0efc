// ownership.h: whether a folder is the user's own.
//
// Effects  Looks at the folder with the rights of the process, and waits as long as its file system does: not for root.
#pragma once

#include <string>

namespace senv {

/// Whether the folder belongs to the effective user or to one of the process's groups. What root or root's group has is the
/// host's, for root too; and so is what a user namespace does not map, as it is anybody's.
bool is_users_own(const std::string& folder);

}  // namespace senv
