#include "cache/store/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace senv {

namespace {

Result<Fd> our_folder(const Fd& root, const std::string& name, mode_t mode) {
    Fd fd = SENV_TRY(open_at(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    struct stat found = {};
    if (::fstat(fd.get(), &found) != 0) return Error::sys(errno, "cannot look at '" + name + "'");
    if (found.st_uid != ::geteuid()) {
        return Error(Kind::denied, "'" + name + "' belongs to uid " + std::to_string(found.st_uid));
    }
    // Whatever the umask was, and whatever was there.
    if ((found.st_mode & 07777U) != mode && ::fchmod(fd.get(), mode) != 0) {
        return Error::sys(errno, "cannot set the mode of '" + name + "'");
    }
    return fd;
}

Result<Fd> folder(const Fd& root, const std::string& name, mode_t mode) {
    if (::mkdirat(root.get(), name.c_str(), mode) != 0 && errno != EEXIST) {
        return Error::sys(errno, "cannot make '" + name + "'");
    }
    return our_folder(root, name, mode);
}

/// Where an older senvd made its leases; none where there was none.
Result<Fd> older_leases(const Fd& root) {
    auto folder = our_folder(root, "leases", 0700);
    if (!folder && folder.error().kind() == Kind::missing) return Fd();
    return folder;
}

}  // namespace

Result<void> check_path_is_ours(const std::string& path) {
    std::error_code failed;
    auto checked = std::filesystem::canonical(path, failed);
    if (failed) return Error::sys(failed.value(), "cannot look at '" + path + "'");
    for (bool last = true;; last = false) {
        struct stat found = {};
        if (::stat(checked.c_str(), &found) != 0) return Error::sys(errno, "cannot look at '" + checked.string() + "'");
        const bool ours = found.st_uid == ::geteuid() || found.st_uid == 0;
        const bool sticky = !last && (found.st_mode & S_ISVTX) != 0;
        if (!ours || ((found.st_mode & 022U) != 0 && !sticky)) {
            return Error(Kind::denied, "cannot use '" + path + "': others may write to '" + checked.string() + "'")
                .hint("make '" + checked.string() + "' writable for its owner only");
        }
        if (checked == checked.root_path()) return {};
        checked = checked.parent_path();
    }
}

Result<std::string> StateDir::check(const std::string& path) {
    const std::string doing = "cannot use the state folder '" + path + "'";
    SENV_TRY(check_path_is_ours(path));
    std::error_code failed;
    std::string real = std::filesystem::canonical(path, failed).string();
    if (failed) return Error::sys(failed.value(), doing);
    struct stat found = {};
    if (::stat(real.c_str(), &found) != 0) return Error::sys(errno, doing);
    if (found.st_uid != ::geteuid()) {
        return Error(Kind::denied, doing + ": it belongs to uid " + std::to_string(found.st_uid) + ", senvd runs as " +
                                       std::to_string(::geteuid()))
            .hint("give the folder to the user that senvd runs as");
    }
    return real;
}

Result<StateDir> StateDir::open(const std::string& path, const std::string& lease_dir) {
    const std::string doing = "cannot use the state folder '" + path + "'";
    StateDir state;
    state.path = SENV_TRY(check(path));
    state.root = SENV_TRY(open_file(state.path, O_RDONLY | O_DIRECTORY));
    state.lock = SENV_TRY(open_at(state.root, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600).in(doing));
    if (::flock(state.lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return Error(Kind::busy, doing + ": another senvd is using it").hint("stop the other senvd first");
        }
        return Error::sys(errno, doing);
    }
    state.store = SENV_TRY(folder(state.root, "store", 0755).in(doing));
    state.narinfo = SENV_TRY(folder(state.root, "narinfo", 0755).in(doing));
    state.plans = SENV_TRY(folder(state.root, "plans", 0755).in(doing));
    state.staging = SENV_TRY(folder(state.root, "staging", 0700).in(doing));
    state.leases = SENV_TRY(Leases::open(lease_dir, SENV_TRY(older_leases(state.root).in(doing))));
    return state;
}

}  // namespace senv
