// commands.h: other people's programs, asked within limits. They get the user's environment as Guix does, and no stdin.
//
// Errors   missing: not in PATH. busy: no answer in time. io: it exited with a status other than 0; with its first words.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cache/base/fd.h"
#include "provisioner/environment.h"
#include "provisioner/resolve/signals.h"

namespace senv {

class Commands {
public:
    /// `end`: of everything, whatever the limits.
    Commands(const Environment& user, const Signals& signals, Deadline end);

    /// What it prints to stdout. words[0] is looked for in PATH.
    Result<std::string> output(std::vector<std::string> words, std::chrono::seconds limit) const;
    /// Where it is; empty when it is not in PATH.
    std::string find(const std::string& program) const;

    Deadline within(std::chrono::seconds limit) const;
    const Environment& environment() const noexcept { return environment_; }
    std::string variable(std::string_view name) const;  // empty when it is not set
    const Signals& signals() const noexcept { return signals_; }

private:
    Environment environment_;
    const Signals& signals_;
    Deadline end_;
};

}  // namespace senv
