// main.cpp: the edge of the command `senv`. The only place that prints errors and decides the exit status.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "provisioner/cli/commands.h"
#include "provisioner/cli/node_commands.h"

namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

int complain(const senv::Error& error) {
    std::fprintf(stderr, "senv: %s\n", error.what().c_str());
    if (!error.hint().empty()) std::fprintf(stderr, "senv: hint: %s\n", error.hint().c_str());
    return error.kind() == senv::Kind::usage ? exit_usage : exit_failed;
}

senv::Result<int> run(int argc, char** argv) {
    CLI::App app("GNU Guix environments for Slurm jobs.");
    app.name("senv");
    app.set_version_flag("--version", "senv " SENV_VERSION);
    app.require_subcommand(1);
    app.footer(
        "Examples:\n"
        "  senv resolve -m manifest.scm -C channels.scm     the profile's store path\n"
        "  senv lock -m manifest.scm -C channels.scm -o environment.lock\n"
        "  senv show environment.lock                       its packages, size, variables and channels\n"
        "  senv export environment.lock /srv/senv-cache     its items, for nodes that reach no server\n"
        "  senv run -m manifest.scm -- COMMAND              a command in it, on this host\n"
        "  senv doctor                                      is senv installed as it should be, seen from here?\n"
        "  srun --env-manifest=manifest.scm COMMAND         the same environment in a job\n\n"
        "Exit status: 0 done, 1 it could not be done, 2 the command line or a setting makes no sense.\n"
        "senv diff: 0 the same, 1 different, 2 trouble.");

    senv::GlobalOptions global;
    senv::Action action;
    app.add_option("--config", global.config, "Settings of the site")->type_name("FILE")->capture_default_str();
    senv::add_resolve_commands(app, global, action);
    senv::add_run_command(app, global, action);
    senv::add_export_command(app, action);
    senv::add_show_command(app, action);
    senv::add_diff_command(app, action);
    senv::add_config_command(app, global, action);
    senv::add_doctor_command(app, global, action);
    senv::add_node_commands(app, action);
    senv::add_completion_command(app, action);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& wanted) {  // --help, --version
        return app.exit(wanted);
    } catch (const CLI::ParseError& mistake) {
        return senv::Error(senv::Kind::usage, mistake.what()).hint("see `senv --help` and `senv COMMAND --help`");
    }
    return action();
}

}  // namespace

int main(int argc, char** argv) {
    const senv::Result<int> status = senv::contained([&] { return run(argc, argv); });
    return status ? status.value() : complain(status.error());
}
