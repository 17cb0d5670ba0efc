// command_line.h: mistakes in a command line that the parser would tell in a manner that misleads, or not at all.
//
// Shape    Looked at before the parser does, up to "--": a word that names no command, or no option of it; "--option=" with
//          nothing behind it, where the parser would take the next word; for `senv run`, an option behind the command.
// Errors   usage, with the word; a hint names the closest.
#pragma once

#include <CLI/CLI.hpp>
#include <span>

#include "cache/base/result.h"

namespace senv {

/// `words`: without the program's name.
Result<void> check_command_line(const CLI::App& app, std::span<const char* const> words);

}  // namespace senv
