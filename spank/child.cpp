#include "spank/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "cache/base/fd.h"

namespace senv {

namespace {

// In the child, between fork and exec: system calls only.
[[noreturn]] void become(char* const* words, int out, int failed, pid_t parent) {
    const int null = ::open("/dev/null", O_RDONLY);
    bool ready = null >= 0 && ::dup2(null, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0;
    ready = ready && ::prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && ::getppid() == parent;
    for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (ready) ::execv(words[0], words);
    const int err = errno;
    [[maybe_unused]] const ssize_t told = ::write(failed, &err, sizeof err);
    ::_exit(127);
}

struct Pipe {
    Fd read, write;
};

Result<Pipe> make_pipe() {
    std::array<int, 2> ends = {};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::sys(errno, "cannot make a pipe");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<int> wait_for_end(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return Error::sys(errno, "cannot wait for a child process");
    }
    return status;
}

}  // namespace

Result<Finished> run_to_end(const std::vector<std::string>& words, std::size_t limit) {
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);

    auto out = SENV_TRY(make_pipe());
    auto failed = SENV_TRY(make_pipe());
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) return Error::sys(errno, "cannot run '" + words[0] + "'");
    if (child == 0) become(argv.data(), out.write.get(), failed.write.get(), parent);
    out.write.reset();
    failed.write.reset();

    auto text = read_to_end(out.read.get(), limit, words[0]);
    out.read.reset();  // a child that says more than it may gets SIGPIPE instead of waiting for us
    const int status = SENV_TRY(wait_for_end(child));
    int err = 0;
    if (::read(failed.read.get(), &err, sizeof err) == sizeof err) {
        return Error::sys(err, "cannot run '" + words[0] + "'")
            .hint("ask the administrator to install senv on this host");
    }
    if (!text) return text.error();
    if (WIFSIGNALED(status)) {
        return Error(Kind::busy, "'" + words[0] + "' was ended by signal " + std::to_string(WTERMSIG(status)));
    }
    return Finished{WEXITSTATUS(status), *std::move(text)};
}

}  // namespace senv
