// node_commands.h: the subcommands that ask senvd on this node: `senv status`, `senv list`, `senv fetch`, `senv gc`,
// `senv pin`, `senv unpin`.
#pragma once

#include "provisioner/cli/commands.h"
#include "provisioner/inspect.h"

namespace senv {

void add_node_commands(CLI::App& app, Action& action);

/// Where environments can be looked into on this host: Guix's store, and that of the senvd that listens at `socket`.
Stores stores_here(const std::string& socket);

}  // namespace senv
