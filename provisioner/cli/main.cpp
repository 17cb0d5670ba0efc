// main.cpp: the edge of the command `senv`. The only place that prints errors and decides the exit status.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>

#include "cache/base/text.h"
#include "provisioner/cli/command_line.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/node_commands.h"
#include "provisioner/cli/output.h"

namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

// Where the caller closed one of them, a file that is opened later would get what is printed.
void occupy_standard_descriptors() {
    int fd = 0;
    do {
        fd = ::open("/dev/null", O_RDONLY);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) ::close(fd);
}

int complain(const senv::Error& error) {
    senv::say(error.what());
    if (!error.hint().empty()) senv::say("hint: " + error.hint());
    return error.kind() == senv::Kind::usage ? exit_usage : exit_failed;
}

senv::Error not_understood(const std::string& cause) {
    std::string text = senv::printable(cause);
    // The parser's own sentences begin as such do, others with an option or the name of a value.
    if (text.size() > 1 && (text[1] == ' ' || std::islower(static_cast<unsigned char>(text[1])) != 0)) {
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    }
    return senv::Error(senv::Kind::usage, "cannot use this command line: " + text)
        .hint("see `senv --help` and `senv COMMAND --help`");
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
    senv::add_export_command(app, global, action);
    senv::add_show_command(app, action);
    senv::add_diff_command(app, global, action);
    senv::add_config_command(app, global, action);
    senv::add_doctor_command(app, global, action);
    senv::add_node_commands(app, action);
    senv::add_completion_command(app, action);
    SENV_TRY(senv::check_command_line(app, {argv + 1, static_cast<std::size_t>(std::max(argc, 1) - 1)}));
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& wanted) {  // --help, --version
        return app.exit(wanted);
    } catch (const CLI::ParseError& mistake) {
        return not_understood(mistake.what());
    }
    return action();
}

}  // namespace

int main(int argc, char** argv) {
    occupy_standard_descriptors();
    const senv::Result<int> status = senv::contained([&] { return run(argc, argv); });
    return status ? status.value() : complain(status.error());
}
