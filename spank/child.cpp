#include "spank/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string_view>

#include "cache/base/fd.h"

namespace senv {

namespace {

constexpr int look_up_ms = 100;

// In the child, between fork and exec: system calls only.
[[noreturn]] void become(char* const* words, char* const* variables, int out, int failed, pid_t parent) {
    const int null = ::open("/dev/null", O_RDONLY);
    bool ready = null >= 0 && ::dup2(null, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0;
    ready = ready && ::prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && ::getppid() == parent;
    for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (ready) ::execve(words[0], words, variables);
    const int err = errno;
    [[maybe_unused]] const ssize_t told = ::write(failed, &err, sizeof err);
    ::_exit(127);
}

struct Pipe {
    Fd read, write;
};

// The child's stdin and stdout are put where these descriptors may be when ours are closed.
Result<Fd> above_stderr(Fd fd) {
    if (fd.get() > STDERR_FILENO) return fd;
    Fd above(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!above) return Error::sys(errno, "cannot make a pipe");
    return above;
}

Result<Pipe> make_pipe() {
    std::array<int, 2> ends = {};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::sys(errno, "cannot make a pipe");
    Fd read(ends[0]);
    Fd write(ends[1]);
    return Pipe{SENV_TRY(above_stderr(std::move(read))), SENV_TRY(above_stderr(std::move(write)))};
}

// What modules say to the dynamic linker is meant for the job's programs.
std::vector<char*> variables_for_child() {
    std::vector<char*> variables;
    for (char** one = environ; one != nullptr && *one != nullptr; ++one) {
        if (!std::string_view(*one).starts_with("LD_")) variables.push_back(*one);
    }
    variables.push_back(nullptr);
    return variables;
}

/// srun has these blocked until it has a job.
int pending_end() {
    sigset_t pending;
    ::sigpending(&pending);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        if (::sigismember(&pending, signal) == 1) return signal;
    }
    return 0;
}

/// Until the child prints or ends; what would end us, if it were not blocked, is passed on to it, once.
void wait_for_words(int out, pid_t child) {
    bool told = false;
    struct pollfd one = {out, POLLIN, 0};
    while (::poll(&one, 1, look_up_ms) == 0) {
        const int signal = told ? 0 : pending_end();
        if (signal == 0) continue;
        told = true;
        ::kill(child, signal);
    }
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
    const auto variables = variables_for_child();

    auto out = SENV_TRY(make_pipe());
    auto failed = SENV_TRY(make_pipe());
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) return Error::sys(errno, "cannot run '" + words[0] + "'");
    if (child == 0) become(argv.data(), variables.data(), out.write.get(), failed.write.get(), parent);
    out.write.reset();
    failed.write.reset();

    wait_for_words(out.read.get(), child);
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
        return Error(Kind::busy, std::string("it was interrupted (") + ::strsignal(WTERMSIG(status)) + ")");
    }
    return Finished{WEXITSTATUS(status), *std::move(text)};
}

}  // namespace senv
