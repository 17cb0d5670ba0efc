// commands.h: how subcommands hang below `senv`.
//
// Shape    Each add_…() declares subcommands in `app`. The callback of the subcommand that the user chose stores in `action`
//          what is to be done; main() runs it at its edge, prints the Error if there is one, and exits with the status.
// Errors   An Action returns an Error instead of printing it. Exit status: 0 done, 1 it could not be done, 2 the command
//          line or a setting makes no sense (Kind::usage, and whatever CLI11 refuses). `senv diff` has those of diff(1).
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

#include "cache/base/result.h"

namespace senv {

using Action = std::function<Result<int>()>;

/// What stands in front of the subcommand: `senv --config FILE resolve …`.
struct GlobalOptions {
    std::string config = "/etc/senv/senv.toml";
};

void add_resolve_commands(CLI::App& app, const GlobalOptions& global, Action& action);  // resolve, lock
void add_run_command(CLI::App& app, const GlobalOptions& global, Action& action);
void add_export_command(CLI::App& app, const GlobalOptions& global, Action& action);
void add_show_command(CLI::App& app, Action& action);
void add_diff_command(CLI::App& app, const GlobalOptions& global, Action& action);
void add_config_command(CLI::App& app, const GlobalOptions& global, Action& action);
void add_doctor_command(CLI::App& app, const GlobalOptions& global, Action& action);
void add_completion_command(CLI::App& app, Action& action);

}  // namespace senv
