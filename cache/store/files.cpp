#include "cache/store/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace senv {

namespace {

constexpr int open_directory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

}  // namespace

Result<void> remove_tree(const Fd& parent, const std::string& name) {
    const std::string doing = "cannot remove '" + name + "'";
    if (::unlinkat(parent.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return Error::sys(errno, doing);
    struct stat found = {};
    if (::fstatat(parent.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return Error::sys(errno, doing);
    // Only our own directories come here: nobody can put a link in this place between the two calls.
    if ((found.st_mode & 0700U) != 0700U && ::fchmodat(parent.get(), name.c_str(), 0700, 0) != 0) {
        return Error::sys(errno, doing);
    }
    {
        const Fd dir = SENV_TRY(open_at(parent, name, open_directory).in(doing));
        SENV_TRY(remove_contents(dir));
    }
    if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return Error::sys(errno, doing);
    return {};
}

Result<void> remove_contents(const Fd& dir) {
    for (const std::string& name : SENV_TRY(names_in(dir))) SENV_TRY(remove_tree(dir, name));
    return {};
}

Result<void> make_movable(const Fd& dir, const std::string& name) {
    const std::string doing = "cannot move '" + name + "'";
    struct stat found = {};
    if (::fstatat(dir.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return Error::sys(errno, doing);
    if (S_ISDIR(found.st_mode) && (found.st_mode & 0200U) == 0 && ::fchmodat(dir.get(), name.c_str(), 0755, 0) != 0) {
        return Error::sys(errno, doing);
    }
    return {};
}

Result<void> move_tree(const Fd& from, const std::string& name, const Fd& to, const std::string& new_name) {
    const std::string doing = "cannot move '" + name + "'";
    SENV_TRY(make_movable(from, name));
    if (::renameat(from.get(), name.c_str(), to.get(), new_name.c_str()) != 0) return Error::sys(errno, doing);
    return {};
}

}  // namespace senv
