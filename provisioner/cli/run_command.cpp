// run_command.cpp: `senv run`: a command in an environment on this host, without Slurm and without privileges.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "cache/base/text.h"
#include "cache/wire/client.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/node_commands.h"
#include "provisioner/cli/output.h"
#include "provisioner/cli/request_options.h"
#include "provisioner/command.h"
#include "provisioner/environment.h"
#include "provisioner/mount.h"
#include "provisioner/ownership.h"
#include "provisioner/profile.h"

namespace senv {

namespace {

constexpr int status_not_found = 127;  // as shells and guix shell have it
constexpr int status_not_run = 126;
constexpr uid_t unmapped_uid = 65534;  // of Linux: whose owner a user namespace does not know

struct Options : RequestOptions {
    std::string socket = wire::default_socket;
    bool pure = false;
    std::string preserve;
    std::vector<std::string> words;
};

bool exists(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0;
}

/// The node's store appears at /gnu/store, for this process and what it starts.
Result<void> mount_store(const OnNode& node) {
    struct stat store {};
    if (::stat(node.store.c_str(), &store) != 0) return Error::sys(errno, "cannot look at '" + node.store + "'");
    if (store.st_uid != node.owner) {
        return Error(Kind::denied, "cannot mount '" + node.store + "': it does not belong to who answers for senvd");
    }
    const bool is_root = ::geteuid() == 0;
    if (!is_root) SENV_TRY(enter_user_namespace());
    const bool is_ours = is_root || node.owner == ::geteuid();
    SENV_TRY(enter_new_namespace({node.store, "/gnu/store", is_ours ? node.owner : unmapped_uid}));
    return {};
}

/// What entering does to variables. Where Guix's store has the profile that is read, else what senvd brings here is mounted,
/// unless that is what /gnu/store shows already, inside a job.
Result<wire::Plan> make_visible(const Options& options, const StorePath& profile) {
    const std::string store(store_prefix.substr(0, store_prefix.size() - 1));
    const bool is_visible = exists(profile.absolute());
    if (is_visible && !shows_store_of_node(options.socket, store)) return plan_of_profile(store, profile);
    OnNode node = SENV_TRY(bring_here(options.socket, profile, options.quiet));
    if (!is_visible) SENV_TRY(mount_store(node));
    // Left open: the command and all that it starts keep the environment on the node.
    SENV_TRY(inheritable(node.lease)).release();
    return std::move(node.plan);
}

Result<void> enter(const Options& options, const wire::Plan& plan) {
    const std::string commands = exists(default_slurm_commands) ? default_slurm_commands : "";
    const auto manner = SENV_TRY(Manner::make(options.pure, commands, options.preserve).in("cannot use --preserve"));
    Environment environment = environment_from(environ);
    Surroundings around;
    around.add_own(value_of(environment, "HOME"));
    std::error_code ignored;
    around.add_own(std::filesystem::current_path(ignored));
    around.is_users = is_users_own;
    const Entering entering = SENV_TRY(changes_to_enter(plan, environment, manner, around));
    if (!options.quiet && !entering.dropped.empty()) {
        say("dropped " + shown(entering.dropped) + ", which led out of the environment; keep it with --preserve='" +
            pattern_that_keeps(entering.dropped) + "'");
    }
    for (const auto& [name, value] : entering.changes) {
        if (value) {
            ::setenv(name.c_str(), value->c_str(), 1);
        } else {
            ::unsetenv(name.c_str());
        }
    }
    return {};
}

/// Returns only what cannot be run, as an exit status.
int become(const std::vector<std::string>& words, const StorePath& profile) {
    const char* path = std::getenv("PATH");
    const std::string folders = path == nullptr ? "" : path;
    if (!can_be_found(words[0], folders)) {
        say("cannot run '" + printable(words[0]) + "': it is not in this environment");
        const auto close = close_commands(words[0], folders, profile.absolute());
        if (!close.empty()) say("hint: did you mean " + join(close, " or ") + "?");
        return status_not_found;
    }
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    const Error error = Error::sys(errno, "cannot run '" + printable(words[0]) + "'");
    say(error.what());
    return error.kind() == Kind::missing ? status_not_found : status_not_run;
}

Result<int> run_command(const CLI::App& command, const Options& options, const GlobalOptions& global) {
    const Resolved resolved = SENV_TRY(resolve_request(command, options, global, Cache::Want::resolution));
    const StorePath& profile = resolved.known.resolution.profile;
    const auto plan = make_visible(options, profile);
    if (!plan) return Error(plan.error()).in("cannot enter '" + profile.absolute() + "' here");
    SENV_TRY(check_machine(profile.absolute()).in("cannot enter '" + profile.absolute() + "' here"));
    SENV_TRY(enter(options, *plan));
    std::vector<std::string> words = options.words;
    if (words.empty()) {
        const char* shell = std::getenv("SHELL");
        words.emplace_back(shell != nullptr ? shell : "/bin/sh");
    }
    return become(words, profile);
}

}  // namespace

void add_run_command(CLI::App& app, const GlobalOptions& global, Action& action) {
    const auto options = std::make_shared<Options>();
    CLI::App* run = app.add_subcommand("run", "Run a command in an environment on this host, without Slurm");
    add_request_options(*run, *options);
    add_given_options(*run, *options);
    run->add_flag("--pure", options->pure, "Drop the variables that guix shell --pure drops");
    run->add_option("-E,--preserve", options->preserve, "Keep variables whose names match")
        ->type_name("REGEX")
        ->join('|');
    run->add_option("--socket", options->socket, "Where this node's senvd listens, if it has one")
        ->type_name("FILE")
        ->capture_default_str();
    run->add_option("COMMAND", options->words, "What to run, behind --; your shell when there is none");
    run->footer(
        "The environment is what a job gets with the same options. Where it is not in /gnu/store, the senvd of this\n"
        "host brings it, and it is mounted in a namespace of the command's own. Exit status: that of COMMAND; 127\n"
        "when it is not found, 126 when it cannot be executed; 1 and 2 as for all of senv.\n\n"
        "Examples:\n"
        "  senv run -m manifest.scm -C channels.scm -- gmx --version\n"
        "  senv run --lock environment.lock --pure -- python3 script.py\n"
        "  senv run --packages hello -- hello");
    run->callback([&global, &action, options, run] {
        action = [&global, options, run] { return run_command(*run, *options, global); };
    });
}

}  // namespace senv
