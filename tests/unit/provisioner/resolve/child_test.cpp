#include "provisioner/resolve/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using namespace std::chrono_literals;
using test::FailsWith;
using test::IsOk;

class RunningACommand : public testing::Test {
protected:
    Signals signals = Signals::hold().value();
    std::vector<std::string> lines;
    Limits limits = {Clock::now() + 20s, 20s};

    Result<Finished> shell(const std::string& script, bool stdout_is_result = false) {
        Command command;
        command.words = {"/bin/sh", "-c", script};
        command.environment = {{"PATH", "/usr/bin:/bin"}, {"A", "b c"}};
        command.stdout_is_result = stdout_is_result;
        return run(command, limits, signals, [&](std::string_view line) {
            if (!line.empty()) lines.emplace_back(line);
        });
    }

    // True as soon as nobody holds the file open for writing any more, that is when the processes that do are gone.
    static bool ends(const std::string& fifo) {
        for (int i = 0; i < 1000; ++i) {
            const int fd = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
            if (fd < 0) return true;
            ::close(fd);
            std::this_thread::sleep_for(20ms);
        }
        return false;
    }
};

TEST_F(RunningACommand, KeepsResultAndMessagesApart) {
    const auto finished = shell("echo out; echo err >&2; printf 'half\\rline'", true);
    ASSERT_THAT(finished, IsOk());
    EXPECT_TRUE(finished.value().succeeded());
    EXPECT_EQ(finished.value().result, "out\nhalf\rline");
    EXPECT_EQ(finished.value().messages, "err\n");
    EXPECT_EQ(lines, std::vector<std::string>{"err"});
}

TEST_F(RunningACommand, OrTogether) {
    const auto finished = shell("echo out; echo err >&2; printf 'half\\rline'; exit 3");
    ASSERT_THAT(finished, IsOk());
    EXPECT_EQ(WEXITSTATUS(finished.value().status), 3);
    EXPECT_EQ(finished.value().messages, "out\nerr\nhalf\rline");
    EXPECT_EQ(lines, (std::vector<std::string>{"out", "err", "half", "line"}));
}

TEST_F(RunningACommand, HasNoInputAndOnlyTheGivenEnvironment) {
    const int leaked = ::open("/dev/null", O_RDONLY);
    const auto finished = shell("cat; echo \"$A\" $HOME; ls /proc/self/fd | wc -l", true);
    ::close(leaked);
    ASSERT_THAT(finished, IsOk());
    EXPECT_EQ(finished.value().result, "b c\n4\n");  // 0, 1, 2 and the folder that ls reads
}

TEST_F(RunningACommand, KeepsTheEndOfLongMessages) {
    const auto finished = shell(
        "i=0; while [ $i -lt 20000 ]; do echo 'a line of forty characters, more or less'; i=$((i+1)); done; echo end");
    ASSERT_THAT(finished, IsOk());
    EXPECT_LE(finished.value().messages.size(), 256U << 10U);
    EXPECT_TRUE(finished.value().messages.ends_with("end\n"));
}

TEST_F(RunningACommand, EndsWithTheCommandAlthoughItsChildrenHoldTheOutput) {
    const auto begin = Clock::now();
    const auto finished = shell("sleep 100 & echo done");
    ASSERT_THAT(finished, IsOk());
    EXPECT_LT(Clock::now() - begin, 50s);
    EXPECT_EQ(finished.value().messages, "done\n");
}

TEST_F(RunningACommand, KillsTheWholeGroupAtTheLimit) {
    const test::TempDir dir;
    const std::string fifo = dir / "fifo";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    limits = {Clock::now() + 300ms, 20s};
    // Both ignore SIGINT.
    const auto finished = shell("trap '' INT; (cat " + fifo + ") & sleep 100");
    EXPECT_THAT(finished, FailsWith(Kind::busy, "longer than the site allows"));
    EXPECT_TRUE(ends(fifo));
}

TEST_F(RunningACommand, StopsWhatIsSilent) {
    limits = {Clock::now() + 60s, 1s};
    EXPECT_THAT(shell("i=0; while [ $i -lt 22 ]; do sleep 0.05; echo; i=$((i+1)); done"), IsOk());  // longer than 1 s
    limits.silence = 400ms;
    EXPECT_THAT(shell("echo 1; sleep 10"), FailsWith(Kind::busy, "it printed nothing"));
}

TEST_F(RunningACommand, StopsAtASignalWhichStaysPending) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
        {
            Signals own = Signals::hold().value();
            Command command;
            command.words = {"/bin/sh", "-c", "kill -INT $PPID; sleep 100"};
            const auto finished = run(command, limits, own, [](std::string_view) {});
            if (finished || finished.error().kind() != Kind::busy || !own.pending()) ::_exit(1);
        }
        // Held by the test's own Signals; let through here.
        ::pthread_sigmask(SIG_SETMASK, &signals.mask_before(), nullptr);
        ::_exit(2);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
    EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST_F(RunningACommand, SaysWhatCannotBeStarted) {
    Command command;
    command.words = {"/no/such/program"};
    EXPECT_THAT(run(command, limits, signals, [](std::string_view) {}),
                FailsWith(Kind::missing, "cannot start '/no/such/program'"));
    command.words = {"/etc/passwd"};
    EXPECT_THAT(run(command, limits, signals, [](std::string_view) {}),
                FailsWith(Kind::denied, "cannot start '/etc/passwd'"));
}

}  // namespace
}  // namespace senv
