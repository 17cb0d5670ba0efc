#include "provisioner/resolve/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace senv {

namespace {

constexpr std::size_t max_messages = std::size_t{128} << 10U;
constexpr std::size_t max_result = std::size_t{64} << 20U;
constexpr std::chrono::milliseconds tick(250);
constexpr std::chrono::milliseconds grace(500);

struct Pipe {
    Fd read;
    Fd write;
};

Result<Pipe> make_pipe() {
    std::array<int, 2> fds{};
    if (::pipe2(fds.data(), O_CLOEXEC) != 0) return Error::sys(errno, "cannot make a pipe");
    return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// Pointers to the strings and a null pointer, as execve wants them.
std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> all;
    for (std::string& s : strings) all.push_back(s.data());
    all.push_back(nullptr);
    return all;
}

// A started command, the leader of its group. Reaped last, so that the group's number cannot be anybody else's before.
class Child {
public:
    explicit Child(pid_t pid) : pid_(pid) {}
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ < 0) return;
        if (!ended()) interrupt();
        finish();
    }

    bool ended() const noexcept {
        siginfo_t info{};
        return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
    }

    /// Kills what is left of the group and returns the status, as wait(2) has it.
    int finish() noexcept {
        int status = 0;
        ::kill(-pid_, SIGKILL);
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return status;
    }

private:
    // Guix then removes its own temporary files.
    void interrupt() const noexcept {
        ::kill(-pid_, SIGINT);
        for (const Deadline end = Clock::now() + grace; Clock::now() < end && !ended();) ::poll(nullptr, 0, 10);
    }

    pid_t pid_;
};

// Between fork and execve: only calls that are safe there. Reports errno through `failure`.
[[noreturn]] void become(const std::vector<char*>& argv, const std::vector<char*>& envp, int out, int err, int failure,
                         const sigset_t& mask, pid_t parent) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (::getppid() == parent && null >= 0 && ::dup2(null, 0) == 0 && ::dup2(out, 1) == 1 && ::dup2(err, 2) == 2) {
        // What our own caller left open is none of Guix's business. Kernels before 5.9 cannot do that: no harm.
        ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
        ::signal(SIGPIPE, SIG_DFL);
        ::sigprocmask(SIG_SETMASK, &mask, nullptr);
        ::execve(argv[0], argv.data(), envp.data());
    }
    const int cause = errno;
    [[maybe_unused]] const ssize_t n = ::write(failure, &cause, sizeof cause);
    ::_exit(127);
}

Result<pid_t> start(const Command& command, const Fd& out, const Fd& err, const Signals& signals) {
    std::vector<std::string> words = command.words;
    std::vector<std::string> variables;
    for (const auto& [name, value] : command.environment) {
        std::string variable = name;
        variable += '=';
        variable += value;
        variables.push_back(std::move(variable));
    }
    const std::vector<char*> argv = pointers(words);
    const std::vector<char*> envp = pointers(variables);
    Pipe failure = SENV_TRY(make_pipe());
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return Error::sys(errno, "cannot start '" + words[0] + "'");
    if (pid == 0) become(argv, envp, out.get(), err.get(), failure.write.get(), signals.mask_before(), parent);
    ::setpgid(pid, pid);  // also here, so that the group exists before anybody kills it
    failure.write.reset();
    int cause = 0;
    if (::read(failure.read.get(), &cause, sizeof cause) == sizeof cause) {
        ::waitpid(pid, nullptr, 0);
        return Error::sys(cause, "cannot start '" + words[0] + "'");
    }
    return pid;
}

// Messages as they come: whole lines to the watcher, the last of them kept.
class Messages {
public:
    explicit Messages(const Watcher& watch) : watch_(watch) {}

    void add(std::string_view bytes) {
        kept_ += bytes;
        if (kept_.size() > 2 * max_messages) kept_.erase(0, kept_.size() - max_messages);
        line_ += bytes;
        for (;;) {
            const auto end = line_.find_first_of("\n\r");
            if (end == std::string::npos) break;
            if (end > 0) watch_(std::string_view(line_).substr(0, end));
            line_.erase(0, end + 1);
        }
        if (line_.size() > max_messages) line_.clear();
    }
    std::string take() {
        if (!line_.empty()) watch_(line_);
        return std::move(kept_);
    }

private:
    const Watcher& watch_;
    std::string kept_;
    std::string line_;
};

// What can be read now. False at the end.
Result<bool> drain(int fd, const std::function<Result<void>(std::string_view)>& use) {
    std::array<char, 65536> buffer{};
    for (;;) {
        const ssize_t n = ::read(fd, buffer.data(), buffer.size());
        if (n == 0) return false;
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return true;
            return Error::sys(errno, "cannot read a command's output");
        }
        SENV_TRY(use(std::string_view(buffer.data(), static_cast<std::size_t>(n))));
    }
}

}  // namespace

Result<Finished> run(const Command& command, const Limits& limits, const Signals& signals, const Watcher& watch) {
    Finished finished;
    Messages messages(watch);
    Pipe err = SENV_TRY(make_pipe());
    Pipe out;
    if (command.stdout_is_result) out = SENV_TRY(make_pipe());
    Child child(SENV_TRY(start(command, command.stdout_is_result ? out.write : err.write, err.write, signals)));
    err.write.reset();
    out.write.reset();
    for (const Fd* fd : {&err.read, &out.read}) {
        if (*fd && ::fcntl(fd->get(), F_SETFL, O_NONBLOCK) != 0) return Error::sys(errno, "cannot read a pipe");
    }

    Deadline heard = Clock::now();
    while (err.read || out.read) {
        std::array<pollfd, 3> polls = {
            {{signals.fd(), POLLIN, 0}, {err.read.get(), POLLIN, 0}, {out.read.get(), POLLIN, 0}}};
        ::poll(polls.data(), polls.size(), static_cast<int>(tick.count()));
        if (signals.pending()) return interrupted();
        // Asked before reading: what it wrote is then all there, and who else holds the pipes is not waited for.
        const bool ended = child.ended();
        const auto read = [&](Fd& fd, const auto& use) -> Result<void> {
            if (!fd) return {};
            const bool more = SENV_TRY(drain(fd.get(), [&](std::string_view bytes) {
                heard = Clock::now();
                return use(bytes);
            }));
            if (!more || ended) fd.reset();
            return {};
        };
        SENV_TRY(read(err.read, [&](std::string_view bytes) -> Result<void> {
            messages.add(bytes);
            return {};
        }));
        SENV_TRY(read(out.read, [&](std::string_view bytes) -> Result<void> {
            finished.result += bytes;
            if (finished.result.size() > max_result) return Error(Kind::corrupt, "a command printed too much");
            return {};
        }));
        watch("");
        const Deadline now = Clock::now();
        if (now >= limits.end) return Error(Kind::busy, "it took longer than the site allows");
        if (now - heard >= limits.silence) {
            return Error(Kind::busy, "it printed nothing for longer than the site allows");
        }
    }
    while (!child.ended()) ::poll(nullptr, 0, 1);
    finished.status = child.finish();
    finished.messages = messages.take();
    return finished;
}

}  // namespace senv
