// child.h: runs one command with its output watched and its time limited.
//
// Shape    stdin is closed (/dev/null). stdout is kept apart when it is the result, else it goes the way of stderr. The
//          command gets a process group of its own, so that nothing of it survives: SIGINT, after half a second SIGKILL to
//          the group, when a limit or a signal ends it, and SIGKILL when senv itself is killed.
// Limits   The last 128 KiB of messages are kept, up to 64 MiB of stdout.
// Errors   missing, denied: the command cannot be started. busy: a limit ended it, or a signal (signals.h). An exit status
//          other than 0 is no error here.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "provisioner/environment.h"
#include "provisioner/resolve/signals.h"

namespace senv {

struct Command {
    std::vector<std::string> words;  // words[0] has a slash: nothing is searched for
    Environment environment;
    bool stdout_is_result = false;
};

struct Limits {
    Deadline end;                       // of everything
    std::chrono::milliseconds silence;  // without a byte of output
};

/// Called with each line of messages, and with an empty one at least four times a second.
using Watcher = std::function<void(std::string_view line)>;

struct Finished {
    int status = 0;        // as wait(2) has it
    std::string result;    // stdout, if asked for
    std::string messages;  // the rest
    bool succeeded() const noexcept { return status == 0; }
};

Result<Finished> run(const Command& command, const Limits& limits, const Signals& signals, const Watcher& watch);

}  // namespace senv
