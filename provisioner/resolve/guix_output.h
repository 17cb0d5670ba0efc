// guix_output.h: what Guix's messages say about a failure. Pure.
//
// Shape    Guix prints "guix COMMAND: error: TEXT", "FILE:LINE:COLUMN: error: TEXT" or "FILE:LINE:COLUMN: TEXT" (from Guile's
//          reader); the first such line is the cause, what follows are its consequences. Between them can stand progress
//          bars, colours, "hint:" paragraphs and, at -v3, the logs of builds, in which compilers write lines of the same
//          form: those are not about the user's files.
// Source   Guix 1.5.0, the failures in tests/golden/guix-messages, each as the real program printed it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/base/result.h"

namespace senv {

/// The line without terminal sequences and without a progress bar in front.
std::string without_decoration(std::string_view line);

struct Cause {
    std::string what;  // one line
    std::string hint;  // what Guix advises, or what we know to help; may be empty
};

/// `names`: file names that Guix was given, and what the user calls them; nothing for a file that is none of his.
/// `by_hand`: with which command he can see all that Guix says.
Cause cause_of(std::string_view messages, const std::vector<std::pair<std::string, std::string>>& names,
               const std::string& by_hand = "guix shell");

/// Whether Guix says here that it tunes a package for a CPU.
bool tells_of_tuning(std::string_view line);

/// In place of a file's, in a cause that the reader found in an expression.
constexpr std::string_view expression_name = "expression";

/// "FILE:LINE:COLUMN: …" at the beginning of `what`, for a FILE called `name`: "\n  LINE'S TEXT\n     ^". Else nothing.
std::string excerpt(std::string_view what, std::string_view name, std::string_view text);

}  // namespace senv
