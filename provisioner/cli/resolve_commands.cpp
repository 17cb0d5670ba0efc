// resolve_commands.cpp: `senv resolve` and `senv lock`.
#include <memory>
#include <nlohmann/json.hpp>

#include "cache/base/text.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/output.h"
#include "provisioner/cli/request_options.h"
#include "provisioner/resolution.h"

namespace senv {

namespace {

struct Options : RequestOptions {
    bool json = false;
    std::string source = "senv";
    std::string output;
};

std::string as_json(const Resolved& resolved, Clock::duration time) {
    nlohmann::ordered_json channels = nlohmann::ordered_json::array();
    for (const ChannelCommit& c : resolved.known.resolution.channels) {
        channels.push_back({{"name", c.name}, {"commit", c.commit}});
    }
    nlohmann::ordered_json lock;
    if (!resolved.known.lock_file.empty()) {
        lock = {{"file", resolved.known.lock_file}, {"digest", resolved.known.resolution.lock_digest}};
    }
    const nlohmann::ordered_json json = {
        {"senv-resolve", 1},         {"profile", resolved.known.resolution.profile.absolute()},
        {"lock", std::move(lock)},   {"channels", channels},
        {"cached", resolved.cached}, {"seconds", std::chrono::duration<double>(time).count()}};
    return json.dump(1) + "\n";
}

Result<int> resolve_command(const CLI::App& command, const Options& options, const GlobalOptions& global) {
    const auto begin = Clock::now();
    const Resolved resolved = SENV_TRY(resolve_request(command, options, global, Cache::Want::resolution));
    Resolution resolution = resolved.known.resolution;
    std::string text = resolution.profile.absolute() + "\n";
    if (options.json) text = as_json(resolved, Clock::now() - begin);
    if (options.request.for_slurm) {
        resolution.source = options.source;
        text = resolution.encode();
        // A source or a channel's name that does not fit is found here, not on a node.
        SENV_TRY(Resolution::parse(text));
        text += "\n";
    }
    return print(text);
}

Result<int> lock_command(const CLI::App& command, const Options& options, const GlobalOptions& global) {
    const Resolved resolved = SENV_TRY(resolve_request(command, options, global, Cache::Want::lock));
    const std::string text = SENV_TRY(read_small_file(resolved.known.lock_file, max_lock_bytes));
    if (options.output.empty()) return print(text);
    const auto before = read_small_file(options.output, max_lock_bytes);
    SENV_TRY(replace_file(options.output, text, 0644));
    if (const auto old = before ? Lock::read(*before) : before.error(); old && *before != text) {
        say("'" + printable(options.output) + "' was the lock of " + old->profile.absolute() + ", and is replaced");
    }
    return 0;
}

}  // namespace

void add_resolve_commands(CLI::App& app, const GlobalOptions& global, Action& action) {
    const auto options = std::make_shared<Options>();

    CLI::App* resolve = app.add_subcommand("resolve", "Make an environment with Guix and print its profile");
    add_request_options(*resolve, *options);
    add_given_options(*resolve, *options);
    resolve->add_flag("--rebuild", options->request.rebuild,
                      "With --lock: make it anew with Guix, at the lock's channels, and fail where it differs");
    auto* json = resolve->add_flag("--json", options->json, "Print profile, lock, channels and time as JSON");
    auto* for_slurm =
        resolve->add_flag("--for-slurm", options->request.for_slurm, "Print the line that travels with a job");
    for_slurm->excludes(json);
    resolve->add_option("--source", options->source, "Who asked, for that line")->type_name("TEXT")->needs(for_slurm);
    resolve
        ->add_option("--partition", options->request.destination.partition, "Where the job is to run, for --tune auto")
        ->type_name("NAME[,NAME]")
        ->needs(for_slurm);
    resolve->add_option("--constraint", options->request.destination.constraint, "The same: features of the nodes")
        ->type_name("LIST")
        ->needs(for_slurm);
    resolve->footer(
        "Options mean what they mean to guix shell and guix time-machine. The profile is the one that guix\n"
        "shell would make of: manifests, packages, development inputs, files, expressions, in this order.\n"
        "All of these, folders, transformations and GPUs can be given repeatedly.\n\n"
        "Known environments are answered from the cache, without Guix. What depends on more than the texts\n"
        "given (a manifest that loads a file, a folder with modules, a branch) is resolved each time; -v says\n"
        "why. A lock, whose profile nodes fetch with all that it needs, and a profile start no Guix either;\n"
        "neither is looked up in a store here.\n"
        "--rebuild runs what the lock holds: texts, packages, transformations, at the commits of its channels.\n"
        "Profile and items must come out the same, with the same contents. What a lock cannot hold must be here:\n"
        "folders with modules (name them again with --load-path), and files that its texts name.\n\n"
        "Examples:\n"
        "  senv resolve -m manifest.scm -C channels.scm\n"
        "  senv resolve --packages openmpi,python@3.11 --json\n"
        "  senv resolve -m manifest.scm --tune skylake\n"
        "  senv resolve -m manifest.scm --transform 'with-input=openmpi=mpich'\n"
        "  senv resolve -D hello -e '(@ (gnu packages base) hello)'\n"
        "  senv resolve -L modules -f package.scm\n"
        "  senv resolve --lock environment.lock\n"
        "  senv resolve --lock environment.lock --rebuild\n"
        "  senv resolve --profile ~/.guix-profile");
    resolve->callback([&global, &action, options, resolve] {
        action = [&global, options, resolve] { return resolve_command(*resolve, *options, global); };
    });

    CLI::App* lock = app.add_subcommand("lock", "Make an environment with Guix and print its lock file");
    add_request_options(*lock, *options);
    lock->add_option("-o,--output", options->output, "Write the lock there instead of to stdout")->type_name("FILE");
    lock->footer(
        "A lock holds what is needed to have the same bits again: the texts of manifests, files and channels.\n"
        "Of folders with modules, and of files that any of them names, it holds nothing. Options mean what\n"
        "they mean to `senv resolve`.\n\n"
        "Examples:\n"
        "  senv lock -m manifest.scm -C channels.scm -o environment.lock\n"
        "  senv lock --packages openmpi --tune skylake -C channels.scm >tuned.lock");
    lock->callback([&global, &action, options, lock] {
        action = [&global, options, lock] { return lock_command(*lock, *options, global); };
    });
}

}  // namespace senv
