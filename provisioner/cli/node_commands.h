// node_commands.h: the subcommands that ask senvd on this node: `senv status`, `senv list`, `senv fetch`, `senv gc`,
// `senv release`, `senv pin`, `senv unpin`.
#pragma once

#include <sys/types.h>

#include <string>

#include "cache/base/fd.h"
#include "cache/wire/messages.h"
#include "provisioner/cli/commands.h"
#include "provisioner/inspect.h"

namespace senv {

void add_node_commands(CLI::App& app, Action& action);

/// An environment that this node's senvd has brought here.
struct OnNode {
    std::string store;  // the folder that holds the items
    uid_t owner = 0;    // senvd's user
    wire::Plan plan;
    Fd lease;  // keeps the environment on the node as long as it is open
};
Result<OnNode> bring_here(const std::string& socket, const StorePath& profile, bool quiet);

/// Whether `folder` is the store of the senvd that listens at `socket`, as /gnu/store is inside a job.
bool shows_store_of_node(const std::string& socket, const std::string& folder);

/// The profile that a step of this job of the user's holds on this node; empty when none does.
Result<std::string> profile_of_job(const std::string& socket, std::uint32_t job);

/// Where environments can be looked into on this host: Guix's store, and that of the senvd that listens at `socket`.
Stores stores_here(const std::string& socket);

}  // namespace senv
