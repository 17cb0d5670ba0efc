// files.h: what the store does with whole trees of files.
//
// Errors   Error::sys with the name. A name that is not there is no error when removing.
#pragma once

#include <string>

#include "cache/base/fd.h"

namespace senv {

/// Removes a file, or a directory with all in it, never following links. Directories without write permission (0555, as in
/// the store) get it first.
Result<void> remove_tree(const Fd& parent, const std::string& name);
/// The same for everything in a directory.
Result<void> remove_contents(const Fd& dir);

/// Without privileges the kernel moves a directory into another one only when it may be written to.
Result<void> make_movable(const Fd& dir, const std::string& name);
/// Renames into another directory of the same file system. Without privileges the kernel refuses that for a directory that
/// its owner may not write, since its ".." changes: so such a directory gets mode 0755 first.
Result<void> move_tree(const Fd& from, const std::string& name, const Fd& to, const std::string& new_name);

}  // namespace senv
