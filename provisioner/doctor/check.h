// check.h: what `senv doctor` finds: one Check for each part of an installation.
#pragma once

#include <string>
#include <string_view>

namespace senv {

enum class State : unsigned char {
    ok,
    warning,   // jobs run, but something will surprise somebody
    problem,   // jobs, or some of them, will fail
    not_here,  // no part of a host of this kind, or not to be seen from it
};

struct Check {
    std::string name;  // of the part; in --json too
    State state = State::ok;
    std::string what;  // was looked at, and found. May hold text of unknown origin
    std::string hint;  // one thing to do; for warnings and problems
};

/// "ok", "warning", "problem", "not here".
std::string_view name_of(State state) noexcept;

}  // namespace senv
