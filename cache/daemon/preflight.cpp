#include "cache/daemon/preflight.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "cache/base/threads.h"
#include "cache/daemon/acl_file.h"
#include "cache/fetch/transport.h"
#include "cache/formats/origin.h"
#include "cache/store/state_dir.h"

namespace senv {

namespace {

constexpr std::size_t max_group_bytes = 16UL * 1024 * 1024;
constexpr int folder_limit_ms = 5000;  // as of the fetcher

Result<void> check_acl(const ServerConfig& config) {
    AclFile acl(config.acl);
    const auto keys = SENV_TRY(acl.current());
    if (keys->size() > 0) return {};
    return Error(Kind::missing, "the list of authorised keys '" + config.acl + "' has no key: nothing can be fetched")
        .hint("put the site's /etc/guix/acl there, owned by root, mode 0644");
}

Result<void> check_writable(const std::string& folder, const std::string& doing) {
    if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
    return Error::sys(errno, doing + ": cannot write to '" + folder + "'");
}

Result<void> check_state(const ServerConfig& config) {
    const std::string folder = SENV_TRY(StateDir::check(config.state_dir));
    return check_writable(folder, "cannot use the state folder '" + config.state_dir + "'");
}

/// Its folder may be missing: the service makes that one.
Result<void> check_socket(const ServerConfig& config) {
    const std::string doing = "cannot listen at '" + config.socket + "'";
    if (config.socket.size() >= sizeof(sockaddr_un::sun_path)) {
        return Error(Kind::usage, doing + ": the name is too long");
    }
    struct stat found = {};
    if (::lstat(config.socket.c_str(), &found) == 0 && !S_ISSOCK(found.st_mode)) {
        return Error(Kind::usage, doing + ": it exists and is no socket");
    }
    const std::string folder = std::filesystem::path(config.socket).parent_path().string();
    if (::access(folder.c_str(), F_OK) != 0) return {};
    return check_writable(folder, doing);
}

Result<void> check_metrics(const ServerConfig& config) {
    if (config.metrics_file.empty()) return {};
    const std::string folder = std::filesystem::path(config.metrics_file).parent_path().string();
    auto checked = check_writable(folder, "cannot write figures to '" + config.metrics_file + "'");
    if (checked) return {};
    return std::move(checked).error().hint("let senvd's user write there, and add ReadWritePaths=" + folder +
                                           " to senvd.service");
}

/// In a process of its own: who opens a folder whose mount hangs is held up.
Result<void> check_folder(const std::string& folder, const std::string& origin) {
    const std::string doing = "cannot use the origin '" + origin + "'";
    const pid_t pid = ::fork();
    if (pid < 0) return Error::sys(errno, doing);
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        ::_exit(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 ? 0 : errno);
    }
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    struct pollfd ended = {process.get(), POLLIN, 0};
    if (process && ::poll(&ended, 1, folder_limit_ms) == 0) {
        ::kill(pid, SIGKILL);
        return Error(Kind::busy, doing + ": the folder did not answer within 5 s");
    }
    int status = 0;
    if (::waitpid(pid, &status, 0) < 0) return Error::sys(errno, doing);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) return Error::sys(WEXITSTATUS(status), doing);
    return {};
}

}  // namespace

Result<void> check_user() {
    if (::geteuid() == 0 || ::getuid() == 0) {
        return Error(Kind::denied, "cannot start senvd: it must not run as root")
            .hint("start it as the user that owns its state folder");
    }
    // Guix's daemon takes this as leave to ignore signatures. Whoever sets it expects that here too, and must hear no.
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no threads yet
    if (::getenv("GUIX_ALLOW_UNAUTHENTICATED_SUBSTITUTES") != nullptr) {
        return Error(Kind::denied,
                     "cannot start senvd: GUIX_ALLOW_UNAUTHENTICATED_SUBSTITUTES is set, and senvd "
                     "fetches nothing that is not signed")
            .hint("take that variable out of senvd's environment");
    }
    return {};
}

Result<void> check_gnu_store(const ServerConfig& config) {
    if (config.cover_gnu_store) return {};
    std::error_code failed;
    const std::filesystem::directory_iterator entries(config.gnu_store, failed);
    if (failed == std::errc::no_such_file_or_directory) return {};
    const std::string doing = "cannot start senvd: '" + config.gnu_store + "'";
    if (failed) return Error(Kind::io, doing + " cannot be read: " + failed.message());
    if (entries == std::filesystem::directory_iterator()) return {};
    return Error(Kind::usage, doing +
                                  " is not empty: this node has a Guix store of its own, which jobs in an "
                                  "environment would not see")
        .hint("set store = \"node\" in senvd.toml to cover it with senvd's store in those jobs");
}

Result<std::optional<AdminGroup>> find_admins(const std::string& name) {
    if (name.empty()) return std::optional<AdminGroup>();
    struct group entry = {};
    struct group* found = nullptr;
    std::vector<char> text(64UL * 1024);
    int failed = 0;
    while ((failed = ::getgrnam_r(name.c_str(), &entry, text.data(), text.size(), &found)) == ERANGE &&
           text.size() < max_group_bytes) {
        text.resize(text.size() * 2);  // a group of many members
    }
    const std::string doing = "cannot start senvd: the group '" + name + "' (admin_group)";
    if (failed != 0) return Error::sys(failed, doing + " cannot be looked up");
    if (found == nullptr) {
        // Not usage: a directory service may know it a little later.
        return Error(Kind::missing, doing + " does not exist on this node")
            .hint("make that group, or name another one");
    }
    return std::optional<AdminGroup>({name, found->gr_gid});
}

std::vector<Finding> look_before_start(const ServerConfig& config) {
    std::vector<Finding> findings;
    const auto look = [&](Result<void> found, bool prevents_start) {
        if (!found) findings.push_back({std::move(found).error(), prevents_start});
    };
    look(check_user(), true);
    look(check_gnu_store(config), true);
    if (!config.cpus.empty()) look(use_cpus(config.cpus), true);
    if (auto admins = find_admins(config.admin_group); !admins) look(std::move(admins).error(), true);
    look(check_state(config), true);
    look(check_socket(config), true);
    look(check_acl(config), false);
    for (const std::string& origin : config.origins) {
        if (const auto folder = folder_of(origin)) look(check_folder(*folder, shown_url(origin)), false);
    }
    look(check_metrics(config), false);
    return findings;
}

}  // namespace senv
