#include "provisioner/mount.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cache/base/text.h"

namespace senv {

namespace {

std::string through(const Fd& fd) {
    return "/proc/self/fd/" + std::to_string(fd.get());
}

// O_PATH: what is looked at is what gets mounted, and nothing is opened for reading.
Result<Fd> open_folder(const std::string& path) {
    return open_file(path, O_PATH | O_DIRECTORY);
}

Result<Fd> open_store(const StoreMount& mount) {
    Result<Fd> folder = open_folder(mount.store);
    if (!folder) {
        const bool missing = folder.error().kind() == Kind::missing;
        Error error = std::move(folder).error().in("cannot mount the node's store");
        if (missing)
            return std::move(error).hint("ask the administrator to start senvd on this node, which creates it");
        return error;
    }
    struct stat status = {};
    if (::fstat(folder->get(), &status) != 0) return Error::sys(errno, "cannot look at '" + mount.store + "'");
    if (status.st_uid != mount.owner) {
        return Error(Kind::denied, "cannot mount the node's store '" + mount.store + "': it belongs to uid " +
                                       std::to_string(status.st_uid) + ", not to senvd's uid " +
                                       std::to_string(mount.owner))
            .hint("ask the administrator to make user= and store= in plugstack.conf name senvd's user and folder");
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return Error(Kind::denied, "cannot mount the node's store '" + mount.store + "': others may write to it")
            .hint("ask the administrator to take write permission from group and others");
    }
    return folder;
}

Result<Fd> open_target(const StoreMount& mount) {
    Result<Fd> folder = open_file(mount.target, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (folder) return folder;
    return Error(folder.error().kind(),
                 "cannot mount the node's store on '" + mount.target + "': " +
                     (folder.error().kind() == Kind::missing ? "there is no such folder" : folder.error().what()))
        .hint("ask the administrator to create the empty folder " + mount.target +
              " on this node (installing senv does)");
}

// Clear of the numbers that scripts use, and below 64: above, the kernel has to make room in the table, which in a process
// with threads takes it 15 ms.
constexpr int lease_floor = 60;

// In a user namespace the kernel refuses a remount that drops a flag of the mount below: those flags are repeated.
unsigned long locked_flags(const struct statvfs& status) {
    unsigned long flags = 0;
    if ((status.f_flag & ST_NOATIME) != 0) flags |= MS_NOATIME;
    if ((status.f_flag & ST_NODIRATIME) != 0) flags |= MS_NODIRATIME;
    if ((status.f_flag & ST_RELATIME) != 0) flags |= MS_RELATIME;
    return flags;
}

Result<void> mount_store(const StoreMount& mount) {
    const Fd store = SENV_TRY(open_store(mount));
    const Fd target = SENV_TRY(open_target(mount));
    struct statvfs status = {};
    if (::fstatvfs(store.get(), &status) != 0) return Error::sys(errno, "cannot look at '" + mount.store + "'");
    if ((status.f_flag & ST_NOEXEC) != 0) {
        return Error(Kind::denied, "cannot mount the node's store '" + mount.store +
                                       "': its file system is mounted noexec, no program in it could run")
            .hint("ask the administrator to mount that file system without noexec");
    }
    const std::string doing = "cannot mount '" + mount.store + "' on '" + mount.target + "'";
    if (::mount(through(store).c_str(), through(target).c_str(), nullptr, MS_BIND, nullptr) != 0) {
        return Error::sys(errno, doing);
    }
    // A bind mount takes its flags only from a second call; before it returns, nobody else sees the namespace.
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | locked_flags(status);
    if (::mount(nullptr, mount.target.c_str(), nullptr, MS_REMOUNT | MS_BIND | flags, nullptr) != 0) {
        Error error = Error::sys(errno, doing + " read-only");
        ::umount2(mount.target.c_str(), MNT_DETACH);
        return error;
    }
    return {};
}

}  // namespace

Result<void> enter_user_namespace() {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    if (::unshare(CLONE_NEWUSER) != 0) {
        return Error::sys(errno, "cannot make a user namespace")
            .hint(
                "ask the administrator to allow user namespaces on this host (sysctl user.max_user_namespaces and, "
                "where "
                "there is one, kernel.unprivileged_userns_clone)");
    }
    const auto write_map = [](const char* file, const std::string& text) -> Result<void> {
        const Fd fd = SENV_TRY(open_file(file, O_WRONLY));
        return write_all(fd.get(), text).in(std::string("cannot write '") + file + "'");
    };
    SENV_TRY(write_map("/proc/self/setgroups", "deny"));
    SENV_TRY(write_map("/proc/self/uid_map", std::to_string(uid) + " " + std::to_string(uid) + " 1"));
    return write_map("/proc/self/gid_map", std::to_string(gid) + " " + std::to_string(gid) + " 1");
}

Result<Fd> enter_new_namespace(const StoreMount& mount) {
    if (::unshare(CLONE_NEWNS) != 0) return Error::sys(errno, "cannot make a mount namespace");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
        return Error::sys(errno, "cannot keep the step's mounts from the node");
    }
    SENV_TRY(mount_store(mount));
    return open_file("/proc/self/ns/mnt", O_RDONLY);
}

Result<void> join_namespace(const Fd& mount_namespace) {
    if (::setns(mount_namespace.get(), CLONE_NEWNS) != 0) {
        return Error::sys(errno, "cannot join the mount namespace of the step's first task");
    }
    return {};
}

Result<Fd> inheritable(const Fd& lease) {
    Fd copy(::fcntl(lease.get(), F_DUPFD, lease_floor));
    if (!copy) return Error::sys(errno, "cannot keep the lease of the environment");
    return copy;
}

}  // namespace senv
