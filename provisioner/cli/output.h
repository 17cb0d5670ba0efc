// output.h: what the subcommands print.
//
// Errors   io: stdout takes no more.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache/base/result.h"

namespace senv {

/// Writes it to stdout; then the exit status is 0.
Result<int> print(const std::string& text);

/// A line for the user, on stderr, with "senv: " in front.
void say(const std::string& text);

/// "1 item", "2 items".
std::string count(std::uint64_t number, const std::string& thing);

/// Lines of columns that are as wide as their widest cell, two blanks apart. All rows have as many cells as the first.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace senv
