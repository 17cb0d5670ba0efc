// confine.h: what a process that reads foreign bytes can still do to the node.
//
// Shape    Two layers of the kernel, each useful alone:
//          Landlock (Linux 5.13, better with each version up to 6.12) lets it open only what is listed, for reading, and
//          connect to no abstract socket and signal no process outside.
//          seccomp lets it use only the system calls that fetching needs. What is not on the list does not exist (ENOSYS, so
//          that the C library takes its older ways). Of what is on it: sockets of the internet and of netlink's routes only
//          (glibc's resolver asks for addresses); a socketpair, which can reach nobody else (curl wakes its threads with
//          it); open for reading only; clone for threads only; signals to itself only; no owner of a descriptor's signals
//          (F_SETOWN would let it signal others). So nothing on the list writes to a file, names one, or changes its mode;
//          exec, ptrace, mount, namespaces, io_uring, bpf, userfaultfd and other processes' memory are not on it.
//          Before both: no_new_privs, not dumpable (others of the same user, and it itself, see nothing in /proc), no core
//          file, bounded memory and descriptors.
// Reads    What TLS and the resolver need: CA certificates, /etc/ssl, resolv.conf, hosts, nsswitch.conf and their like, the
//          system's libraries (NSS loads some late), and the folders given. Files that others replace (resolv.conf) are
//          those of the moment of confining: replaced_files() tells when they have changed.
// Limits   A kernel without one of the layers is no error; Confined says so. Sanitizers need a little more (their reports):
//          builds with them allow it.
// Threads  Call it before there are any: Landlock holds for the calling thread and those it makes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cache/base/result.h"

namespace senv {

struct Confined {
    std::uint32_t landlock = 0;  // the version of the kernel's interface; 0: none
    bool seccomp = false;
    std::string missing;  // what is not kept from it, in words; empty: nothing
};

struct Confinement {
    std::vector<std::string> folders;  // readable, with all below
    std::size_t max_memory = 0;        // bytes of private memory
    bool has_network = true;           // else: no sockets, and of files only what is below the folders
};

/// Confines the calling process, for good. An Error means that a layer is there and failed: do not go on.
Result<Confined> confine(const Confinement& want);

/// Tells apart what a confined process may read and what is replaced while the node runs: files of the resolver, and what is
/// mounted on the folders. It reads the earlier ones until it is started anew.
std::string replaced_files(const std::vector<std::string>& folders);

}  // namespace senv
