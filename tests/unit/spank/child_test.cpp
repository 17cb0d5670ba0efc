#include "spank/child.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;

Result<Finished> shell(const std::string& script, std::size_t limit = 100) {
    return run_to_end({"/bin/sh", "-c", script}, limit);
}

TEST(RunToEnd, GivesOutputAndStatus) {
    const auto finished = shell("echo hello; exit 3");
    ASSERT_THAT(finished, test::IsOk());
    EXPECT_EQ(finished->output, "hello\n");
    EXPECT_EQ(finished->status, 3);
}

TEST(RunToEnd, GivesTheChildNoInput) {
    EXPECT_EQ(shell("cat; echo end")->output, "end\n");
}

TEST(RunToEnd, LeavesOutWhatTheDynamicLinkerReads) {
    ::setenv("LD_LIBRARY_PATH", "/opt/old/lib", 1);
    ::setenv("LD_BIND_NOW", "1", 1);
    ::setenv("LDFLAGS", "-s", 1);
    EXPECT_EQ(shell("echo ${LD_LIBRARY_PATH-none} ${LD_BIND_NOW-none} $LDFLAGS")->output, "none none -s\n");
    for (const char* name : {"LD_LIBRARY_PATH", "LD_BIND_NOW", "LDFLAGS"}) ::unsetenv(name);
}

TEST(RunToEnd, WorksWhereStandardDescriptorsAreClosed) {
    const auto with_closed = [](std::vector<int> closed) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            for (const int fd : closed) ::close(fd);
            const auto finished = shell("cat; echo hello; [ -e /proc/self/fd/2 ] && exit 3");
            ::_exit(finished && finished->output == "hello\n" ? 0 : 1);
        }
        int status = -1;
        ::waitpid(pid, &status, 0);
        return status;
    };
    for (const auto& closed : std::vector<std::vector<int>>{{0}, {1}, {0, 1}, {2}, {1, 2}, {0, 1, 2}}) {
        EXPECT_EQ(with_closed(closed), 0) << testing::PrintToString(closed);
    }
}

TEST(RunToEnd, SaysThatTheProgramIsNotThere) {
    EXPECT_THAT(run_to_end({"/nonexistent/senv", "resolve"}, 100),
                FailsWith(Kind::missing, "cannot run '/nonexistent/senv': No such file or directory"));
}

TEST(RunToEnd, SaysThatASignalEndedIt) {
    EXPECT_THAT(shell("kill -INT $$"), FailsWith(Kind::busy, "it was interrupted (Interrupt)"));
}

TEST(RunToEnd, BoundsTheOutput) {
    EXPECT_THAT(shell("exec yes"), FailsWith(Kind::corrupt, "more than 100 bytes"));
}

// srun blocks SIGINT, and a user's shell may ignore it; in the child Ctrl-C has to work.
TEST(RunToEnd, UndoesBlockedAndIgnoredSignals) {
    sigset_t interrupt;
    sigset_t before;
    ::sigemptyset(&interrupt);
    ::sigaddset(&interrupt, SIGINT);
    ::sigprocmask(SIG_BLOCK, &interrupt, &before);
    const auto handler = ::signal(SIGTERM, SIG_IGN);
    EXPECT_THAT(shell("kill -INT $$; sleep 5"), FailsWith(Kind::busy, "(Interrupt)"));
    EXPECT_THAT(shell("kill -TERM $$; sleep 5"), FailsWith(Kind::busy, "(Terminated)"));
    ::signal(SIGTERM, handler);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST(RunToEnd, PassesOnWhatIsBlockedHere) {
    for (const int signal : {SIGTERM, SIGHUP}) {
        sigset_t blocked;
        sigset_t before;
        ::sigemptyset(&blocked);
        ::sigaddset(&blocked, signal);
        ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
        ::kill(::getpid(), signal);
        EXPECT_THAT(shell("exec sleep 60"), FailsWith(Kind::busy, "it was interrupted"));
        int taken = 0;
        ::sigwait(&blocked, &taken);
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
}

}  // namespace
}  // namespace senv
