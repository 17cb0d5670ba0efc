// node_commands.h: the subcommands that ask senvd on this node: `senv status`, `senv list`, `senv fetch`, `senv gc`,
// `senv pin`, `senv unpin`.
#pragma once

#include "provisioner/cli/commands.h"

namespace senv {

void add_node_commands(CLI::App& app, Action& action);

}  // namespace senv
