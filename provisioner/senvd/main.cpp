// main.cpp: senvd, the node's cache of Guix environments, as a program.
//
// Exit     0 stopped by SIGTERM or SIGINT; 1 it could not start, or its socket failed; 2 wrong use.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "cache/base/fd.h"
#include "cache/daemon/log.h"
#include "cache/daemon/server.h"
#include "cache/fetch/fetcher.h"
#include "provisioner/profile.h"
#include "provisioner/senvd/config.h"

namespace {

using senv::Level;

senv::Result<void> run(const std::string& file) {
    const auto text = SENV_TRY(senv::read_small_file(file, senv::max_settings_bytes));
    const auto config = SENV_TRY(senv::parse_config(text, file));
    return senv::serve(config, senv::plan_of_profile);
}

int run_fetcher() {
    return senv::fetcher_main([](const senv::Error& error) { log_error(Level::error, "fetcher", error); });
}

}  // namespace

int main(int argc, char** argv) {
    if (senv::is_fetcher(argc, argv)) return run_fetcher();  // senvd's child, started by itself
    CLI::App app("Fetches, checks and keeps the Guix environments of this node's Slurm jobs.", "senvd");
    std::string file = senv::default_config;
    app.add_option("--config", file, "The configuration")->capture_default_str();
    app.set_version_flag("--version", std::string("senvd ") + SENV_VERSION);
    app.footer(
        "senvd stays in the foreground and logs to stderr. SIGTERM stops it, SIGHUP reads the keys again.\n"
        "Running jobs are not disturbed by a stop or a restart.\n\n"
        "Exit status: 0 stopped by a signal, 1 it cannot run, 2 the command line makes no sense.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    const auto done = senv::contained([&] { return run(file); });
    if (done) return 0;
    std::fprintf(stderr, "senvd: %s\n", done.error().what().c_str());
    if (!done.error().hint().empty()) std::fprintf(stderr, "hint: %s\n", done.error().hint().c_str());
    return 1;
}
