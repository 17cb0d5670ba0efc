// request_options.h: what `senv resolve`, `senv lock` and `senv run` take alike: what an environment is made from.
#pragma once

#include "provisioner/cli/commands.h"
#include "provisioner/resolve/resolve.h"

namespace senv {

struct RequestOptions {
    Request request;
    bool verbose = false;
    bool quiet = false;
};

void add_request_options(CLI::App& command, RequestOptions& options);
/// An environment that is there already, instead.
void add_given_options(CLI::App& command, RequestOptions& options);

/// Progress and remarks go to stderr. `command` is that which has the options.
Result<Resolved> resolve_request(const CLI::App& command, const RequestOptions& options, const GlobalOptions& global,
                                 Cache::Want want);

}  // namespace senv
