#include "provisioner/senvd/plan_child.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <new>
#include <optional>

#include "cache/base/fd.h"
#include "cache/fetch/confine.h"
#include "provisioner/profile.h"

namespace senv {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t max_memory = std::size_t{256} << 20U;
constexpr rlim_t max_cpu_seconds = 5;
constexpr milliseconds end_time(500);  // from its last byte to its end
constexpr std::size_t max_frame_bytes = wire::header_bytes + wire::max_reply_bytes;

Error ended_by_limit(const std::string& limit) {
    return {Kind::corrupt, "cannot make its plan: that takes more than " + limit};
}

// ---- senvd ---------------------------------------------------------------------------------------------------------

// The child. It does not outlive this.
class Child {
public:
    explicit Child(pid_t pid) : pid_(pid) {}
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ >= 0) end();
    }

    // Ends it, if it does not end by itself; the status as wait(2) has it.
    int end(milliseconds patience = {}) noexcept {
        int status = 0;
        for (const Deadline until = Clock::now() + patience; Clock::now() < until; ::poll(nullptr, 0, 1)) {
            if (::waitpid(pid_, &status, WNOHANG) == pid_) return finished(status);
        }
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        return finished(status);
    }

private:
    int finished(int status) noexcept {
        pid_ = -1;
        return status;
    }

    pid_t pid_;
};

struct SpawnActions {
    posix_spawn_file_actions_t actions{};
    SpawnActions() { ::posix_spawn_file_actions_init(&actions); }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;
    ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions); }
};

Result<pid_t> start(const std::string& program, std::string store_dir, std::string profile, const Fd& out) {
    SpawnActions spawning;
    auto* actions = &spawning.actions;
    int failed = ::posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (failed == 0) failed = ::posix_spawn_file_actions_adddup2(actions, out.get(), STDOUT_FILENO);
    std::string name = "senvd";
    std::string word = plan_child_word;
    const std::array<char*, 5> words = {name.data(), word.data(), store_dir.data(), profile.data(), nullptr};
    pid_t pid = -1;
    if (failed == 0) failed = ::posix_spawn(&pid, program.c_str(), actions, nullptr, words.data(), environ);
    if (failed != 0) return Error::sys(failed, "cannot start '" + program + "' to make a plan");
    return pid;
}

// All that the child writes. Nothing when it takes too long; busy when `stop` was requested.
Result<std::optional<std::string>> read_all(const Fd& out, Deadline end, const std::stop_token& stop) {
    const Fd wake(::eventfd(0, EFD_CLOEXEC));
    if (!wake) return Error::sys(errno, "cannot wait for a plan");
    const std::stop_callback on_stop(stop, [&] { (void)::eventfd_write(wake.get(), 1); });
    std::string text;
    std::array<char, 65536> buffer{};
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
        if (left.count() <= 0) return std::optional<std::string>();
        std::array<pollfd, 2> polls = {{{out.get(), POLLIN, 0}, {wake.get(), POLLIN, 0}}};
        if (::poll(polls.data(), polls.size(), static_cast<int>(left.count())) <= 0) continue;
        if (polls[1].revents != 0) return Error(Kind::busy, "senvd stops");
        const ssize_t n = ::read(out.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return Error::sys(errno, "cannot read a plan");
        if (n == 0 || text.size() > max_frame_bytes) return std::optional(std::move(text));
        text.append(buffer.data(), static_cast<std::size_t>(n));
    }
}

Result<wire::Plan> decode(std::string_view frame) {
    const Error broken(Kind::corrupt, "cannot make its plan: the process that makes it broke off");
    if (frame.size() < wire::header_bytes) return broken;
    const auto bytes = std::as_bytes(std::span(frame));
    const auto header = wire::Header::parse(bytes.first<wire::header_bytes>(), wire::max_reply_bytes);
    if (!header) return broken;
    const std::string_view payload = frame.substr(wire::header_bytes);
    if (header->type == wire::Type::error) return wire::decode_error(payload);
    if (header->type != wire::Type::plan) return broken;
    auto plan = wire::Plan::decode(payload);
    return plan ? std::move(plan) : broken;
}

// ---- The child -----------------------------------------------------------------------------------------------------

Result<void> limit_cpu() {
    const struct rlimit limit = {max_cpu_seconds, max_cpu_seconds + 1};  // SIGXCPU, then SIGKILL
    if (::setrlimit(RLIMIT_CPU, &limit) != 0) return Error::sys(errno, "cannot limit the processor time of a plan");
    return {};
}

Result<wire::Plan> make_plan(const std::string& store_dir, const char* base) {
    const StorePath profile = SENV_TRY(StorePath::parse(base));
    SENV_TRY(limit_cpu());
    SENV_TRY(confine({{store_dir}, max_memory, false}));
    try {
        return plan_of_profile(store_dir, profile);
    } catch (const std::bad_alloc&) {
        return ended_by_limit("256 MiB of memory");
    }
}

}  // namespace

Result<wire::Plan> plan_in_child(const std::string& program, const std::string& store_dir, const StorePath& profile,
                                 const std::stop_token& stop, milliseconds time) {
    if (stop.stop_requested()) return Error(Kind::busy, "senvd stops");
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::sys(errno, "cannot make a pipe for a plan");
    const Fd read_end(ends[0]);
    Fd write_end(ends[1]);
    Child child(SENV_TRY(start(program, store_dir, profile.base(), write_end)));
    write_end.reset();
    const auto frame = SENV_TRY(read_all(read_end, Clock::now() + time, stop));
    if (!frame) return ended_by_limit(std::to_string(time.count()) + " ms");
    const int status = child.end(end_time);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) return ended_by_limit("5 s of processor time");
    auto plan = SENV_TRY(decode(*frame));
    if (plan.profile != profile.absolute()) return Error(Kind::bug, "a plan of another profile was made");
    return plan;
}

bool is_plan_child(int argc, const char* const* argv) noexcept {
    return argc == 4 && std::string_view(argv[1]) == plan_child_word;
}

int plan_child_main(const char* const* argv) {
    // If senvd died before this, nobody reads.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::prctl(PR_SET_NAME, "senvd-plan", 0, 0, 0);
    ::closefrom(STDERR_FILENO + 1);
    (void)::chdir("/");
    const auto plan = contained([&] { return make_plan(argv[2], argv[3]); });
    const auto written =
        contained([&] { return write_all(STDOUT_FILENO, plan ? plan->encode() : wire::encode_error(plan.error())); });
    return written ? 0 : 1;
}

}  // namespace senv
