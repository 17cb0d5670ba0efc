// threads.h: how much of the machine the threads of this process take.
//
// Shape    Linux keeps niceness and allowed CPUs for each thread; a new thread, and a new process, begins with those of the
//          thread that starts it. So what starts threads or processes is called in nicer(), and itself knows nothing of it.
// Units    CPUs by their numbers in /proc/cpuinfo.
#pragma once

#include <future>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"

namespace senv {

inline constexpr unsigned max_cpu = 8191;  // of Linux
inline constexpr unsigned max_nice = 19;   // of Linux

/// CPUs as taskset(1) and Slurm write them: "0-3,8". In ascending order, each once. Errors: usage.
Result<std::vector<unsigned>> parse_cpus(std::string_view text);
/// The other way: "0-3,8". `cpus` as parse_cpus() gives them.
std::string text_of_cpus(const std::vector<unsigned>& cpus);

/// From here on the calling thread, and what it starts, runs on those of `cpus` that this process may use.
/// Errors: usage when it may use none of them.
Result<void> use_cpus(const std::vector<unsigned>& cpus);
/// Those that the calling thread may use.
Result<std::vector<unsigned>> used_cpus();

/// The calling thread gives way to others by so many levels more, up to max_nice. There is no way back.
void become_nicer(unsigned levels) noexcept;

/// Runs body() in a thread of its own that is so many levels nicer than the calling one; returns what it returns and throws
/// what it throws. Threads and processes that body() starts stay that nice. The thread has ended when this returns: a process
/// that wants a signal when its parent ends (PR_SET_PDEATHSIG means the thread) must be started by a thread that lives on.
template <class F>
auto nicer(unsigned levels, F&& body) {
    return std::async(std::launch::async,
                      [&] {
                          become_nicer(levels);
                          return body();
                      })
        .get();
}

/// For `top -H` and /proc/PID/task/TID/comm: at most 15 characters.
void name_thread(const char* name) noexcept;

}  // namespace senv
