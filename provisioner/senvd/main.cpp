// main.cpp: senvd, the node's cache of Guix environments, as a program.
//
// Exit     0 stopped by SIGTERM or SIGINT; 1 it could not start, or its socket failed; 2 wrong use or configuration: to start it
//          again is of no use (RestartPreventExitStatus= in packaging/senvd.service).
//          --check: 0 nothing is wrong; 1 senvd would start, and something is wrong; 2 it would not start.
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "cache/base/fd.h"
#include "cache/daemon/log.h"
#include "cache/daemon/preflight.h"
#include "cache/daemon/server.h"
#include "cache/fetch/fetcher.h"
#include "provisioner/senvd/config.h"
#include "provisioner/senvd/plan_child.h"

namespace {

using senv::Level;

senv::Result<senv::ServerConfig> read_config(const std::string& file) {
    auto text = senv::read_small_file(file, senv::max_settings_bytes);
    if (text) return senv::parse_config(*text, file);
    if (text.error().kind() != senv::Kind::missing) return std::move(text).error();
    return senv::Error(senv::Kind::usage, text.error().what()).hint("install it, or name another one with --config");
}

senv::Result<int> run(const std::string& file) {
    const auto config = SENV_TRY(read_config(file));
    SENV_TRY(senv::serve(config,
                         [](const std::string& store_dir, const senv::StorePath& profile, const std::stop_token& stop) {
                             return senv::plan_in_child("/proc/self/exe", store_dir, profile, stop);
                         }));
    return 0;
}

void print(const senv::Error& error) {
    std::fprintf(stderr, "senvd: %s\n", error.what().c_str());
    if (!error.hint().empty()) std::fprintf(stderr, "hint: %s\n", error.hint().c_str());
}

/// For an administrator who is root: senvd's user is who owns the state folder.
senv::Result<void> become_owner_of(const std::string& folder) {
    const std::string doing = "cannot check as the owner of the state folder '" + folder + "'";
    struct stat found = {};
    if (::stat(folder.c_str(), &found) != 0) {
        return senv::Error::sys(errno, doing).hint("make it: systemd-tmpfiles --create");
    }
    if (found.st_uid == 0) {
        return senv::Error(senv::Kind::denied, doing + ": it belongs to root").hint("give it to senvd's user");
    }
    if (::setgroups(0, nullptr) != 0 || ::setgid(found.st_gid) != 0 || ::setuid(found.st_uid) != 0) {
        return senv::Error::sys(errno, doing);
    }
    return {};
}

/// Prints all that is wrong; the exit status.
senv::Result<int> check(const std::string& file) {
    const auto config = SENV_TRY(read_config(file));
    if (::geteuid() == 0) SENV_TRY(become_owner_of(config.state_dir));
    const auto findings = senv::look_before_start(config);
    for (const auto& finding : findings) print(finding.error);
    if (std::ranges::any_of(findings, &senv::Finding::prevents_start)) return 2;
    if (!findings.empty()) return 1;
    std::printf("%s can be used: %zu origins, state in %s\n", file.c_str(), config.origins.size(),
                config.state_dir.c_str());
    return 0;
}

int run_fetcher() {
    return senv::fetcher_main([](const senv::Error& error) { log_error(Level::error, "fetcher", error); });
}

}  // namespace

int main(int argc, char** argv) {
    // senvd's children, started by itself.
    if (senv::is_fetcher(argc, argv)) return run_fetcher();
    if (senv::is_plan_child(argc, argv)) ::_exit(senv::plan_child_main(argv));  // confined: no leak can be looked for
    CLI::App app("Fetches, checks and keeps the Guix environments of this node's Slurm jobs.", "senvd");
    std::string file = senv::default_config;
    app.add_option("--config", file, "The configuration")->capture_default_str();
    bool only_check = false;
    app.add_flag("--check", only_check, "Say what is wrong with configuration, keys and folders, and end");
    app.set_version_flag("--version", std::string("senvd ") + SENV_VERSION);
    app.footer(
        "senvd stays in the foreground and logs to stderr. SIGTERM stops it, SIGHUP reads the keys again.\n"
        "Running jobs are not disturbed by a stop or a restart. With NOTIFY_SOCKET set, senvd tells the service\n"
        "manager there when it answers.\n\n"
        "--check starts nothing and changes nothing. As root, it looks at the folders as the user who owns the\n"
        "state folder.\n\n"
        "Exit status: 0 stopped by a signal, 1 it cannot run, 2 the command line or the configuration makes no sense.\n"
        "Of --check: 0 nothing is wrong, 1 senvd would start, but something is wrong, 2 it would not start.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    const auto status = senv::contained([&] { return only_check ? check(file) : run(file); });
    if (status) return *status;
    print(status.error());
    const senv::Kind kind = status.error().kind();
    return only_check || kind == senv::Kind::usage || kind == senv::Kind::denied ? 2 : 1;
}
