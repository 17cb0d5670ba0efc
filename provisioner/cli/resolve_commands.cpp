// resolve_commands.cpp: `senv resolve` and `senv lock`.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cache/base/text.h"
#include "provisioner/cli/commands.h"
#include "provisioner/environment.h"
#include "provisioner/resolution.h"
#include "provisioner/resolve/resolve.h"

namespace senv {

namespace {

struct Options {
    Request request;
    bool verbose = false;
    bool quiet = false;
    bool json = false;
    std::string source = "senv";
    std::string output;
};

void add_request(CLI::App& command, Options& options) {
    command.add_option("-m,--manifest", options.request.manifests, "A manifest")
        ->type_name("FILE")
        ->allow_extra_args(false);
    command.add_option("--packages", options.request.packages, "Packages: NAME, NAME@VERSION or NAME:OUTPUT")
        ->type_name("SPEC[,SPEC]")
        ->delimiter(',')
        ->allow_extra_args(false);
    command
        .add_option("-D,--development", options.request.development,
                    "The development inputs of these packages, as guix shell -D PACKAGE")
        ->type_name("SPEC[,SPEC]")
        ->delimiter(',')
        ->allow_extra_args(false);
    command.add_option("-f,--file", options.request.files, "A file that evaluates to a package or a list of packages")
        ->type_name("FILE")
        ->allow_extra_args(false);
    command.add_option("-e,--expression", options.request.expressions, "The same, as an expression")
        ->type_name("EXPR")
        ->allow_extra_args(false);
    command.add_option("-L,--load-path", options.request.load_path, "A folder with modules of packages")
        ->type_name("DIR")
        ->allow_extra_args(false);
    command
        .add_option("--transform", options.request.transformations,
                    "Transformations, as guix shell has them, without dashes; also for what manifests name")
        ->type_name("'KEY=VALUE ...'")
        ->allow_extra_args(false);
    command.add_option("--tune", options.request.tune, "Tune packages for this CPU, as guix shell --tune=CPU")
        ->type_name("CPU");
    command.add_option("--amd-gpu", options.request.amd_gpu, "Build for these GPUs, as guix shell --amd-gpu=LIST")
        ->type_name("LIST");
    command.add_option("-C,--channels", options.request.channels, "A channel file, as for guix time-machine")
        ->type_name("FILE");
    command.add_flag("--refresh,--rebuild-cache", options.request.refresh, "Run Guix, also for what is remembered");
    command.add_flag("-q,--quiet", options.quiet, "No progress; warnings and errors only");
    command.add_flag("-v,--verbose", options.verbose,
                     "Show what Guix prints, why a result is not remembered, and how long it took");
}

void print_line(const std::string& text) {
    std::fprintf(stderr, "senv: %s\n", text.c_str());
}

Result<void> print_result(const std::string& text) {
    return write_all(STDOUT_FILENO, text).in("cannot write the result");
}

Result<Resolved> run(const Options& options, const GlobalOptions& global, Cache::Want want) {
    const Config config = SENV_TRY(Config::load(global.config));
    ResolveOptions how;
    how.want = want;
    how.progress = options.quiet ? Progress::Mode::silent : progress_mode(options.verbose);
    how.say = [&](const std::string& text) {
        if (options.verbose) print_line(text);
    };
    how.warn = [](const std::string& text) { print_line("warning: " + text); };
    return resolve(options.request, config, environment_from(environ), how);
}

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

// A value that is empty is a variable that the user forgot to set: never "not given".
Result<void> check_values(const CLI::App& command, const Request& request) {
    for (const CLI::Option* option : command.get_options()) {
        const auto& values = option->results();
        if (option->get_items_expected_max() == 0 || std::ranges::find(values, "") == values.end()) continue;
        return Error(Kind::usage, "cannot use " + request.option(option->get_lnames()[0]) + " without a value");
    }
    return {};
}

Result<int> resolve_command(const Options& options, const GlobalOptions& global) {
    const auto begin = Clock::now();
    const Resolved resolved = SENV_TRY(run(options, global, Cache::Want::resolution));
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
    SENV_TRY(print_result(text));
    return 0;
}

Result<int> lock_command(const Options& options, const GlobalOptions& global) {
    const Resolved resolved = SENV_TRY(run(options, global, Cache::Want::lock));
    const std::string text = SENV_TRY(read_small_file(resolved.known.lock_file, max_lock_bytes));
    if (options.output.empty()) {
        SENV_TRY(print_result(text));
    } else {
        SENV_TRY(replace_file(options.output, text, 0644));
    }
    return 0;
}

}  // namespace

void add_resolve_commands(CLI::App& app, const GlobalOptions& global, Action& action) {
    const auto options = std::make_shared<Options>();

    CLI::App* resolve = app.add_subcommand("resolve", "Make an environment with Guix and print its profile");
    add_request(*resolve, *options);
    resolve->add_option("--lock", options->request.lock, "The environment of a lock, instead; needs no Guix")
        ->type_name("FILE");
    resolve
        ->add_option("-p,--profile", options->request.profile,
                     "A profile or a link to one, as for guix shell, instead; needs no Guix")
        ->type_name("PATH");
    auto* json = resolve->add_flag("--json", options->json, "Print profile, lock, channels and time as JSON");
    auto* for_slurm =
        resolve->add_flag("--for-slurm", options->request.for_slurm, "Print the line that travels with a job");
    for_slurm->excludes(json);
    resolve->add_option("--source", options->source, "Who asked, for that line")->type_name("TEXT")->needs(for_slurm);
    resolve->footer(
        "Options mean what they mean to guix shell and guix time-machine. The profile is the one that guix\n"
        "shell would make of: manifests, packages, development inputs, files, expressions, in this order.\n"
        "All of these, folders and transformations can be given repeatedly.\n\n"
        "Known environments are answered from the cache, without Guix. What depends on more than the texts\n"
        "given (a manifest that loads a file, a folder with modules, a branch) is resolved each time; -v says\n"
        "why. A lock, whose profile nodes fetch with all that it needs, and a profile start no Guix either;\n"
        "neither is looked up in a store here.\n\n"
        "Examples:\n"
        "  senv resolve -m manifest.scm -C channels.scm\n"
        "  senv resolve --packages openmpi,python@3.11 --json\n"
        "  senv resolve -m manifest.scm --tune skylake --transform 'with-input=openmpi=mpich'\n"
        "  senv resolve -D hello -e '(@ (gnu packages base) hello)'\n"
        "  senv resolve -L modules -f package.scm\n"
        "  senv resolve --lock environment.lock\n"
        "  senv resolve --profile ~/.guix-profile");
    resolve->callback([&global, &action, options, resolve] {
        action = [&global, options, resolve]() -> Result<int> {
            SENV_TRY(check_values(*resolve, options->request));
            return resolve_command(*options, global);
        };
    });

    CLI::App* lock = app.add_subcommand("lock", "Make an environment with Guix and print its lock file");
    add_request(*lock, *options);
    lock->add_option("-o,--output", options->output, "Write the lock there instead of to stdout")->type_name("FILE");
    lock->footer(
        "A lock holds what is needed to have the same bits again: the texts of manifests, files and channels.\n"
        "Of folders with modules, and of files that any of them names, it holds nothing. Options mean what\n"
        "they mean to `senv resolve`. Examples:\n"
        "  senv lock -m manifest.scm -C channels.scm -o environment.lock\n"
        "  senv lock --packages openmpi --tune skylake -C channels.scm >tuned.lock");
    lock->callback([&global, &action, options, lock] {
        action = [&global, options, lock]() -> Result<int> {
            SENV_TRY(check_values(*lock, options->request));
            return lock_command(*options, global);
        };
    });
}

}  // namespace senv
