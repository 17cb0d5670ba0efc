#include "cache/fetch/fetcher_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "cache/fetch/fetcher.h"

namespace senv {

namespace {

using std::chrono::milliseconds;

constexpr int first_free_fd = 10;  // above those that the fetcher gets

struct SpawnActions {
    posix_spawn_file_actions_t actions{};
    SpawnActions() { ::posix_spawn_file_actions_init(&actions); }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;
    ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions); }
};

}  // namespace

bool Process::end(milliseconds limit) {
    if (pid_ >= 0) ::kill(pid_, SIGKILL);
    return gone_within(limit);
}

bool Process::gone_within(milliseconds limit) {
    for (const auto deadline = Clock::now() + limit; pid_ >= 0;) {
        const pid_t reaped = ::waitpid(pid_, &status_, WNOHANG);
        if (reaped == pid_ || (reaped < 0 && errno == ECHILD)) pid_ = -1;
        if (pid_ < 0 || Clock::now() >= deadline) break;
        std::this_thread::sleep_for(milliseconds(2));
    }
    return pid_ < 0;
}

std::string Process::text() const {
    if (pid_ >= 0) return "it closed its channel";
    if (WIFSIGNALED(status_)) return "it was killed by signal " + std::to_string(WTERMSIG(status_));
    return "it ended with status " + std::to_string(WEXITSTATUS(status_));
}

Result<Process> spawn_fetcher(const std::string& program, const Fd& control, const Fd& memory) {
    const std::string doing = "cannot start '" + program + "' as senvd's fetcher";
    const Fd moved_control(::fcntl(control.get(), F_DUPFD_CLOEXEC, first_free_fd));
    const Fd moved_memory(::fcntl(memory.get(), F_DUPFD_CLOEXEC, first_free_fd));
    if (!moved_control || !moved_memory) return Error::sys(errno, doing);
    SpawnActions spawning;
    auto* actions = &spawning.actions;
    int failed = ::posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (failed == 0) failed = ::posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (failed == 0) failed = ::posix_spawn_file_actions_adddup2(actions, moved_control.get(), fetcher_control_fd);
    if (failed == 0) failed = ::posix_spawn_file_actions_adddup2(actions, moved_memory.get(), fetcher_memory_fd);
    std::string name = "senvd";
    std::string word = fetcher_word;
    const std::array<char*, 3> words = {name.data(), word.data(), nullptr};
    pid_t pid = -1;
    if (failed == 0) failed = ::posix_spawn(&pid, program.c_str(), actions, nullptr, words.data(), environ);
    if (failed != 0) return Error::sys(failed, doing);
    return Process(pid);
}

Result<Process> look_into(const std::string& folder) {
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return Error::sys(errno, "cannot start a process that looks into '" + folder + "'");
    if (pid > 0) return Process(pid);
    // Of many threads only this one is here: no memory may be allocated. What senvd closes must not stay open here.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::closefrom(0);
    if (::getppid() != parent) ::_exit(0);
    struct stat found = {};
    const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened >= 0) (void)::fstat(opened, &found);
    ::_exit(0);
}

}  // namespace senv
