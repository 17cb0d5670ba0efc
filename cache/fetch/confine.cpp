#include "cache/fetch/confine.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <optional>

#include "cache/base/fd.h"
#include "cache/base/text.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SENV_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SENV_SANITIZED 1
#endif
#endif

namespace senv {

namespace {

#ifdef SENV_SANITIZED
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

constexpr rlim_t max_descriptors = 1024;
constexpr std::size_t max_mountinfo = 16UL * 1024 * 1024;

// What the resolver and TLS read, on the distributions we know. What is not there is left out.
constexpr std::array<const char*, 9> read_files = {"/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/hosts",
                                                   "/etc/host.conf",   "/etc/gai.conf",      "/etc/services",
                                                   "/etc/protocols",   "/etc/networks",      "/etc/ld.so.cache"};
constexpr std::array<const char*, 14> read_folders = {"/etc/ssl",
                                                      "/etc/pki",
                                                      "/etc/ca-certificates",
                                                      "/etc/crypto-policies",
                                                      "/usr/share/pki",
                                                      "/usr/share/ca-certificates",
                                                      "/usr/local/share/ca-certificates",
                                                      "/usr/share/crypto-policies",
                                                      "/var/lib/ca-certificates",
                                                      "/lib",
                                                      "/lib64",
                                                      "/usr/lib",
                                                      "/usr/lib64",
                                                      "/usr/local/lib"};
// As the site gives them to a service.
constexpr std::array<const char*, 2> read_variables = {"SSL_CERT_FILE", "SSL_CERT_DIR"};

// ------------------------------------------------------------------------------------------------------------- Landlock

// The kernel's interface up to version 7; the header of Debian 12 knows version 2.
namespace landlock {

struct Ruleset {
    std::uint64_t handled_access_fs;
    std::uint64_t handled_access_net;  // version 4
    std::uint64_t scoped;              // version 6
};
struct [[gnu::packed]] PathBeneath {
    std::uint64_t allowed_access;
    std::int32_t parent_fd;
};

constexpr unsigned create_version = 1;
constexpr int rule_path_beneath = 1;

constexpr std::uint64_t read_file = 1U << 2U;
constexpr std::uint64_t read_dir = 1U << 3U;
constexpr std::uint64_t net_bind_tcp = 1U << 0U;
constexpr std::uint64_t scope_abstract_sockets = 1U << 0U;
constexpr std::uint64_t scope_signals = 1U << 1U;

constexpr long create_ruleset = 444;  // system calls, the same on all architectures
constexpr long add_rule = 445;
constexpr long restrict_self = 446;

/// All rights to files that a version knows: execute, write, read, list, remove, make …; refer; truncate; ioctl of devices.
constexpr std::uint64_t all_file_rights(std::uint32_t version) {
    const unsigned count = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    return (std::uint64_t{1} << count) - 1;
}

}  // namespace landlock

Result<void> allow_reading(int ruleset, const std::string& path, int flags = 0) {
    const Fd opened(::open(path.c_str(), O_PATH | O_CLOEXEC | flags));
    struct stat found = {};
    if (!opened || ::fstat(opened.get(), &found) != 0) return {};  // then it need not be read
    const std::uint64_t rights = landlock::read_file | (S_ISDIR(found.st_mode) ? landlock::read_dir : 0);
    const landlock::PathBeneath rule = {rights, opened.get()};
    if (::syscall(landlock::add_rule, ruleset, landlock::rule_path_beneath, &rule, 0) != 0) {
        return Error::sys(errno, "cannot allow reading '" + path + "'");
    }
    return {};
}

Result<void> allow_reading_for_network(int ruleset) {
    for (const char* path : read_files) SENV_TRY(allow_reading(ruleset, path));
    for (const char* path : read_folders) SENV_TRY(allow_reading(ruleset, path));
    for (const char* name : read_variables) {
        const char* paths = ::getenv(name);  // NOLINT(concurrency-mt-unsafe): no threads yet
        if (paths == nullptr) continue;
        for (const auto path : split(paths, ':')) SENV_TRY(allow_reading(ruleset, std::string(path)));
    }
    return {};
}

/// The version in use; 0 when the kernel has none.
Result<std::uint32_t> use_landlock(const Confinement& want) {
    const long found = ::syscall(landlock::create_ruleset, nullptr, 0, landlock::create_version);
    if (found <= 0) return std::uint32_t{0};
    const auto version = static_cast<std::uint32_t>(found);
    const landlock::Ruleset rules = {landlock::all_file_rights(version), version >= 4 ? landlock::net_bind_tcp : 0,
                                     version >= 6 ? landlock::scope_abstract_sockets | landlock::scope_signals : 0};
    const Fd ruleset(static_cast<int>(::syscall(landlock::create_ruleset, &rules, sizeof rules, 0)));
    if (!ruleset) return Error::sys(errno, "cannot make a Landlock ruleset");
    if (want.has_network) SENV_TRY(allow_reading_for_network(ruleset.get()));
    // As directories: so what mounts itself on use is mounted, and the rule is about that.
    for (const auto& path : want.folders) SENV_TRY(allow_reading(ruleset.get(), path, O_DIRECTORY));
    if (sanitized) SENV_TRY(allow_reading(ruleset.get(), "/proc/self"));  // the map of its memory, for reports
    if (::syscall(landlock::restrict_self, ruleset.get(), 0) != 0) {
        return Error::sys(errno, "cannot use a Landlock ruleset");
    }
    return version;
}

// -------------------------------------------------------------------------------------------------------------- seccomp

struct ReleaseFilter {
    void operator()(void* filter) const noexcept { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, ReleaseFilter>;

// Whatever their arguments are, these reach nothing but the process itself, files opened for reading, and its sockets.
constexpr std::array harmless = {
    // memory
    "brk", "mmap", "munmap", "mprotect", "mremap", "madvise",
    // threads and time
    "futex", "futex_wait", "futex_wake", "futex_waitv", "set_robust_list", "rseq", "exit", "exit_group", "gettid",
    "getpid", "sched_yield", "sched_getaffinity", "getcpu", "membarrier", "clock_gettime", "clock_getres",
    "clock_nanosleep", "nanosleep", "gettimeofday", "time", "restart_syscall",
    // signals that come
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    // who and where it is
    "getuid", "geteuid", "getgid", "getegid", "getppid", "uname", "getrandom", "sysinfo", "getrlimit",
    // files and descriptors
    "read", "readv", "pread64", "write", "writev", "close", "lseek", "getdents64", "stat", "fstat", "lstat",
    "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "dup", "dup2", "dup3", "pipe",
    "pipe2", "eventfd2", "fadvise64",
    // waiting
    "poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
    // sockets; bind is for netlink, and without listen and accept it makes no server
    "connect", "bind", "getsockname", "getpeername", "getsockopt", "setsockopt", "sendto", "sendmsg", "sendmmsg",
    "recvfrom", "recvmsg", "recvmmsg", "shutdown"};

class Rules {
public:
    explicit Rules(scmp_filter_ctx filter) : filter_(filter) {}

    /// Allows the call if all conditions hold. Conditions of several rules for one call are alternatives.
    void allow(int call, const std::vector<scmp_arg_cmp>& conditions = {}) {
        if (failed_ == 0) {
            failed_ = ::seccomp_rule_add_array(filter_, SCMP_ACT_ALLOW, call, static_cast<unsigned>(conditions.size()),
                                               conditions.data());
        }
    }
    void attribute(scmp_filter_attr name, std::uint32_t value) {
        if (failed_ == 0) failed_ = ::seccomp_attr_set(filter_, name, value);
    }
    /// As errno has it, or 0.
    int failed() const noexcept { return -failed_; }

private:
    scmp_filter_ctx filter_;
    int failed_ = 0;
};

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) {
    return {argument, SCMP_CMP_EQ, value, 0};
}
scmp_arg_cmp bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

constexpr std::uint64_t low_half = 0xffffffff;  // of what the kernel takes as int

void allow_sockets(Rules& rules) {
    for (const int family : {AF_INET, AF_INET6}) {
        rules.allow(SCMP_SYS(socket), {bits(0, low_half, static_cast<std::uint64_t>(family))});
    }
    constexpr std::uint64_t netlink_route = 0;
    rules.allow(SCMP_SYS(socket), {bits(0, low_half, AF_NETLINK), bits(2, low_half, netlink_route)});
    // A stream, which stays connected to its other half; a datagram socket could be connected anew.
    constexpr std::uint64_t type = low_half & ~std::uint64_t{SOCK_CLOEXEC | SOCK_NONBLOCK};
    rules.allow(SCMP_SYS(socketpair), {bits(0, low_half, AF_UNIX), bits(1, type, SOCK_STREAM)});
}

void allow_some(Rules& rules) {
    const auto self = static_cast<std::uint64_t>(::getpid());

    constexpr std::uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    constexpr std::uint64_t namespaces = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                         CLONE_NEWUTS | CLONE_NEWCGROUP | 0x80U /* CLONE_NEWTIME */;
#ifdef __s390__
    constexpr unsigned clone_flags = 1;
#else
    constexpr unsigned clone_flags = 0;
#endif
    rules.allow(SCMP_SYS(clone),
                {bits(clone_flags, thread | namespaces, thread)});  // clone3 is ENOSYS: glibc then uses this

    // Not a layer that Landlock makes needless: it holds where the kernel has no Landlock.
    constexpr std::uint64_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
    rules.allow(SCMP_SYS(open), {bits(1, writing, O_RDONLY)});
    rules.allow(SCMP_SYS(openat), {bits(2, writing, O_RDONLY)});

    for (const int command : {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL}) {
        rules.allow(SCMP_SYS(fcntl), {bits(1, low_half, static_cast<std::uint64_t>(command))});
    }
    // TCGETS: is it a terminal?
    for (const unsigned long request : {0x5401UL /* TCGETS */, 0x541bUL /* FIONREAD */, 0x5421UL /* FIONBIO */}) {
        rules.allow(SCMP_SYS(ioctl), {bits(1, low_half, request)});
    }
    rules.allow(SCMP_SYS(prctl), {bits(0, low_half, PR_SET_NAME)});
    rules.allow(SCMP_SYS(tgkill), {bits(0, low_half, self)});
    rules.allow(SCMP_SYS(prlimit64), {bits(0, low_half, 0), equals(2, 0)});  // asks for its own
    if (sanitized) {
        rules.allow(SCMP_SYS(prctl), {bits(0, low_half, 0x53564d41 /* PR_SET_VMA */)});
        rules.allow(SCMP_SYS(prctl), {bits(0, low_half, PR_GET_DUMPABLE)});
        rules.allow(SCMP_SYS(sched_getparam));
        rules.allow(SCMP_SYS(sched_getscheduler));
        rules.allow(SCMP_SYS(mincore));
        rules.allow(SCMP_SYS(msync));
    }
}

bool has_seccomp() {
    // EFAULT: it would have read a filter.
    return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) != 0 && errno == EFAULT;
}

Result<bool> use_seccomp(bool has_network) {
    if (!has_seccomp()) return false;
    const Filter filter(::seccomp_init(SCMP_ACT_ERRNO(ENOSYS)));
    if (!filter) return Error(Kind::io, "cannot make a seccomp filter");
    Rules rules(filter.get());
    rules.attribute(SCMP_FLTATR_CTL_TSYNC, 1);     // a sanitizer's thread as well
    rules.attribute(SCMP_FLTATR_CTL_SSB, 1);       // no slower for it: older kernels would forbid speculation
    rules.attribute(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a tree, not a list
    for (const char* name : harmless) {
        const int call = ::seccomp_syscall_resolve_name(name);
        // One that the library or the machine does not know is not used there.
        if (call >= 0) rules.allow(call);
    }
    allow_some(rules);
    if (has_network) allow_sockets(rules);
    if (rules.failed() != 0) return Error::sys(rules.failed(), "cannot make a seccomp filter");
    if (const int failed = ::seccomp_load(filter.get()); failed != 0) {
        return Error::sys(-failed, "cannot use a seccomp filter");
    }
    return true;
}

// --------------------------------------------------------------------------------------------------------------- limits

Result<void> limit(int resource, rlim_t most) {
    struct rlimit now = {};
    if (::getrlimit(static_cast<__rlimit_resource>(resource), &now) != 0)
        return Error::sys(errno, "cannot read a limit");
    const rlim_t value = std::min(most, now.rlim_max);
    const struct rlimit then = {value, value};
    if (::setrlimit(static_cast<__rlimit_resource>(resource), &then) != 0)
        return Error::sys(errno, "cannot set a limit");
    return {};
}

std::string missing_of(std::uint32_t landlock_version, bool seccomp) {
    if (landlock_version == 0 && !seccomp) return "Landlock (Linux 5.13) and seccomp: it can do all that senvd can do";
    if (landlock_version == 0) return "Landlock (Linux 5.13): it can read what senvd can read";
    if (seccomp) return "";
    const std::string rest = "it can change the modes of files and reach Unix sockets";
    return "seccomp: " + rest + (landlock_version < 6 ? ", and signal senvd" : "");
}

}  // namespace

Result<Confined> confine(const Confinement& want) {
    constexpr std::string_view doing = "cannot confine a process";
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return Error::sys(errno, doing);
    }
    SENV_TRY(limit(RLIMIT_CORE, 0).in(doing));
    SENV_TRY(limit(RLIMIT_NOFILE, max_descriptors).in(doing));
    if (!sanitized) SENV_TRY(limit(RLIMIT_DATA, want.max_memory).in(doing));
    Confined confined;
    confined.landlock = SENV_TRY(use_landlock(want).in(doing));
    confined.seccomp = SENV_TRY(use_seccomp(want.has_network).in(doing));
    confined.missing = missing_of(confined.landlock, confined.seccomp);
    return confined;
}

namespace {

/// The number of the mount that a path is on, by the text of /proc/self/mountinfo: nothing here can hang, as asking the file
/// system could. Empty when it cannot be told.
std::string mount_of(std::string_view path, const std::vector<std::string_view>& mounts) {
    std::string_view number;
    std::size_t longest = 0;
    for (const std::string_view line : mounts) {
        const auto words = split(line, ' ');  // number, parent, device, root, where it is mounted, …
        if (words.size() < 5) continue;
        std::string_view point = words[4];
        if (point == "/") point = {};
        const bool is_above = path.starts_with(point) && (path.size() == point.size() || path[point.size()] == '/');
        if (!is_above || (point.size() < longest && !number.empty())) continue;
        longest = point.size();
        number = words[0];  // of mounts over each other the last one counts
    }
    return std::string(number);
}

}  // namespace

std::string replaced_files(const std::vector<std::string>& folders) {
    std::string seen;
    for (const char* path : read_files) {
        struct stat found = {};
        if (::stat(path, &found) == 0) {
            seen += std::to_string(found.st_dev) + ':' + std::to_string(found.st_ino);
        }
        seen += ' ';
    }
    if (folders.empty()) return seen;
    const auto text = read_small_file("/proc/self/mountinfo", max_mountinfo);
    const auto mounts = split(text ? std::string_view(*text) : std::string_view(), '\n');
    for (const auto& folder : folders) seen += mount_of(folder, mounts) + ' ';
    return seen;
}

}  // namespace senv
