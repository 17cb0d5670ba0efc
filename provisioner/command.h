// command.h: whether the program that a task is to execute can be found, and programs of its environment be executed at all,
//          before that is tried.
//
// Shape    As slurmstepd looks for it: in the folders of PATH, then in the current one; whether it can be executed does not
//          matter, but it must be no folder. Names with a slash are not looked for, and always taken as found.
// Limits   Names that are close are looked for in 64 folders of the profile, among 20,000 names in each.
// Effects  Reads folders with the rights of the process: not for root.
// Source   Slurm 22.05, slurmstepd/task.c: _build_path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"

namespace senv {

bool can_be_found(std::string_view command, std::string_view path);

/// Names in those folders of `path` that lie below `profile` that the user may have meant (close_names.h).
std::vector<std::string> close_commands(std::string_view command, std::string_view path, std::string_view profile);

/// Whether this host's kernel executes the programs of the environment; missing, with what they are made for, when it does
/// not (Slurm would say "Exec format error"). Looks at one of them, and asks the kernel where that is for another machine
/// than this code: it may run 32-bit programs, or have an emulator (binfmt_misc).
Result<void> check_machine(const std::string& profile);

}  // namespace senv
