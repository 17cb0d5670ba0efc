#include "provisioner/cli/request_options.h"

#include <unistd.h>

#include <algorithm>

#include "cache/base/text.h"
#include "provisioner/cli/output.h"
#include "provisioner/environment.h"
#include "provisioner/trust.h"

namespace senv {

namespace {

// A value that is empty is a variable that the user forgot to set: never "not given".
Result<void> check_values(const CLI::App& command, const Request& request) {
    for (const CLI::Option* option : command.get_options()) {
        if (option->get_positional()) continue;
        const auto& values = option->results();
        if (option->get_items_expected_max() == 0 || std::ranges::find(values, "") == values.end()) continue;
        return Error(Kind::usage, "cannot use " + request.option(option->get_lnames()[0]) + " without a value");
    }
    return {};
}

}  // namespace

void add_request_options(CLI::App& command, RequestOptions& options) {
    command.add_option("-m,--manifest", options.request.manifests, "A manifest")
        ->type_name("FILE")
        ->allow_extra_args(false);
    command.add_option("--packages", options.request.packages, "Packages: NAME, NAME@VERSION or NAME:OUTPUT")
        ->type_name("SPEC[,SPEC]")
        ->allow_extra_args(false);
    command
        .add_option("-D,--development", options.request.development,
                    "The development inputs of these packages, as guix shell -D PACKAGE")
        ->type_name("SPEC[,SPEC]")
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
    command
        .add_option("--tune", options.request.tune,
                    "Tune packages for this CPU, as guix shell --tune=CPU; auto: the site's default CPU")
        ->type_name("CPU|auto");
    command.add_option("--amd-gpu", options.request.amd_gpu, "Build for these GPUs, as guix shell --amd-gpu=LIST")
        ->type_name("LIST")
        ->join(',');
    command.add_option("-C,--channels", options.request.channels, "A channel file, as for guix time-machine")
        ->type_name("FILE");
    command
        .add_option("--build", options.request.build,
                    "Build what has no substitute, or fail and say what; default: as the site has it, else here")
        ->type_name("never|here");
    command.add_flag("--refresh,--rebuild-cache", options.request.refresh, "Run Guix, also for what is remembered");
    command.add_flag("-q,--quiet", options.quiet, "No progress; warnings and errors only");
    command.add_flag("-v,--verbose", options.verbose,
                     "Show what Guix prints, why a result is not remembered, and how long it took");
}

void add_given_options(CLI::App& command, RequestOptions& options) {
    command.add_option("--lock", options.request.lock, "The environment of a lock, instead; needs no Guix")
        ->type_name("FILE");
    command
        .add_option("-p,--profile", options.request.profile,
                    "A profile or a link to one, as for guix shell, instead; needs no Guix")
        ->type_name("PATH");
}

Result<Resolved> resolve_request(const CLI::App& command, const RequestOptions& options, const GlobalOptions& global,
                                 Cache::Want want) {
    SENV_TRY(check_values(command, options.request));
    // It names the command that is started.
    const auto trusted = check_may_be_used_by(::geteuid(), global.config);
    if (!trusted && trusted.error().kind() != Kind::missing) {
        return Error(trusted.error()).in("cannot use '" + printable(global.config) + "'");
    }
    const Config config = SENV_TRY(Config::load(global.config));
    ResolveOptions how;
    how.want = want;
    how.progress = options.quiet ? Progress::Mode::silent : progress_mode(options.verbose);
    how.say = [&](const std::string& text) {
        if (options.verbose) say(text);
    };
    how.warn = [](const std::string& text) { say("warning: " + text); };
    return resolve(options.request, config, with_own_folders(environment_from(environ), ::geteuid()), how);
}

}  // namespace senv
