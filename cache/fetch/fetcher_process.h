// fetcher_process.h: the processes that fetching needs: the one that talks to servers, and those that find out
// whether a folder answers.
//
// Threads  A Process belongs to one. Any may start one; a process that looks into a folder ends with the thread that
//          started it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>

#include "cache/base/fd.h"
#include "cache/base/result.h"

namespace senv {

/// A child. Killed and waited for at the end of its life.
class Process {
public:
    // One that was killed may hang in the kernel, on a file server for instance.
    static constexpr std::chrono::seconds reap_limit{2};

    explicit Process(pid_t pid) : pid_(pid) {}
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)), status_(other.status_) {}
    Process& operator=(Process&& other) noexcept {
        std::swap(pid_, other.pid_);
        std::swap(status_, other.status_);
        return *this;
    }
    ~Process() { (void)end(reap_limit); }

    /// Kills it. True when it is gone.
    bool end(std::chrono::milliseconds limit);
    bool gone_within(std::chrono::milliseconds limit);
    /// How it ended.
    std::string text() const;

private:
    pid_t pid_;
    int status_ = 0;
};

/// Starts it with the two descriptors, /dev/null as stdin and stdout, and our stderr. Signals that we block, it blocks.
Result<Process> spawn_fetcher(const std::string& program, const Fd& control, const Fd& memory);

/// A process that ends when the folder answers, whatever it answers: one whose mount hangs holds up who opens it.
Result<Process> look_into(const std::string& folder);

}  // namespace senv
