// The tasks of a step are real processes here; the namespace that they pass on is any file.
#include "spank/siblings.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using namespace std::chrono_literals;
using test::FailsWith;
using test::IsOk;

pid_t fork_task(const std::function<void()>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        body();
        ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    return pid;
}

void expect_success(const std::vector<pid_t>& tasks) {
    for (const auto pid : tasks) {
        int status = -1;
        EXPECT_EQ(::waitpid(pid, &status, 0), pid);
        EXPECT_EQ(status, 0);
    }
}

// What tasks write, one letter each, to be counted when they are done.
struct Notes {
    Notes() { EXPECT_EQ(::pipe(ends.data()), 0); }
    void write(char c) const { EXPECT_EQ(::write(ends[1], &c, 1), 1); }
    char wait() const {
        char c = 0;
        EXPECT_EQ(::read(ends[0], &c, 1), 1);
        return c;
    }
    std::string all() const {
        ::close(ends[1]);
        return read_to_end(ends[0], 100, "notes").value();
    }
    std::array<int, 2> ends = {};
};

ino_t inode(const Fd& fd) {
    struct stat status = {};
    EXPECT_EQ(::fstat(fd.get(), &status), 0);
    return status.st_ino;
}

const wire::Plan plan = {"/gnu/store/88888888888888888888888888888888-profile", {{"PATH", "/x", ":"}}};

TEST(Siblings, SixtyFourTasksEnterOneNamespace) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    const Fd file(::memfd_create("a namespace", MFD_CLOEXEC));
    const ino_t expected = inode(file);
    const Notes notes;
    std::vector<pid_t> tasks;
    for (int i = 0; i < 64; ++i) {
        tasks.push_back(fork_task([&] {
            const auto entered = siblings->enter(
                [&]() -> Result<Fd> {
                    std::this_thread::sleep_for(50ms);
                    notes.write('m');
                    return Fd(::dup(file.get()));
                },
                [&](const Fd& joined) -> Result<void> {
                    EXPECT_EQ(inode(joined), expected);
                    notes.write('j');
                    return {};
                },
                60s);
            EXPECT_THAT(entered, IsOk());
        }));
    }
    expect_success(tasks);
    EXPECT_EQ(notes.all(), "m" + std::string(63, 'j'));
}

TEST(Siblings, JoinAlsoWhenTheFirstIsGone) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    const auto make = [] { return Result<Fd>(Fd(::memfd_create("a namespace", MFD_CLOEXEC))); };
    const auto join = [](const Fd&) { return Result<void>(); };
    expect_success({fork_task([&] { EXPECT_THAT(siblings->enter(make, join, 10s), IsOk()); })});
    expect_success({fork_task([&] { EXPECT_THAT(siblings->enter(make, join, 10s), IsOk()); })});
}

TEST(Siblings, AllFailAsTheFirstDid) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    const auto make = []() -> Result<Fd> { return Error(Kind::denied, "cannot mount").hint("do this"); };
    const auto join = [](const Fd&) { return Result<void>(); };
    EXPECT_THAT(siblings->enter(make, join, 1s), FailsWith(Kind::denied, "cannot mount"));
    const auto second = siblings->enter(make, join, 1s);
    EXPECT_THAT(second, FailsWith(Kind::denied, "cannot mount"));
    EXPECT_EQ(second.error().hint(), "do this");
}

TEST(Siblings, DoNotWaitForEverForTheFirst) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    const auto join = [](const Fd&) { return Result<void>(); };
    const pid_t first =
        fork_task([&] { EXPECT_THAT(siblings->enter([]() -> Result<Fd> { ::_exit(0); }, join, 1s), IsOk()); });
    expect_success({first});
    EXPECT_THAT(siblings->enter([] { return Result<Fd>(Fd()); }, join, 100ms), FailsWith(Kind::busy, "in time"));
}

TEST(Siblings, ShareOneAnswer) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    const Notes notes;
    std::vector<pid_t> tasks;
    for (int i = 0; i < 16; ++i) {
        tasks.push_back(fork_task([&] {
            const auto got = siblings->share(
                [&]() -> Result<wire::Plan> {
                    notes.write('a');
                    std::this_thread::sleep_for(100ms);
                    return plan;
                },
                [] { return Result<void>(); });
            EXPECT_THAT(got, IsOk());
            EXPECT_EQ(*got, plan);
        }));
    }
    expect_success(tasks);
    EXPECT_EQ(notes.all(), "a");
}

TEST(Siblings, AgreeOnWhatTheFirstIsTold) {
    for (const bool told : {false, true}) {
        auto siblings = Siblings::make();
        ASSERT_THAT(siblings, IsOk());
        const Notes notes;
        std::vector<pid_t> tasks;
        for (int i = 0; i < 16; ++i) {
            tasks.push_back(fork_task([&] {
                const bool agreed = siblings->agree([&] {
                    notes.write('a');
                    std::this_thread::sleep_for(100ms);
                    return told;
                });
                EXPECT_EQ(agreed, told);
            }));
        }
        expect_success(tasks);
        EXPECT_EQ(notes.all(), "a");
    }
}

TEST(Siblings, ShareOneError) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    const auto produce = []() -> Result<wire::Plan> {
        return Error(Kind::missing, "on no server").hint("resolve again");
    };
    EXPECT_FALSE(siblings->share(produce, [] { return Result<void>(); }));
    const auto second = siblings->share([]() -> Result<wire::Plan> { return plan; }, [] { return Result<void>(); });
    EXPECT_THAT(second, FailsWith(Kind::missing, "on no server"));
    EXPECT_EQ(second.error().hint(), "resolve again");
}

TEST(Siblings, AnotherTakesOverWhenTheReaderIsKilled) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    const Notes reading;
    const pid_t reader = fork_task([&] {
        (void)siblings->share(
            [&]() -> Result<wire::Plan> {
                reading.write('r');
                ::pause();
                return plan;
            },
            [] { return Result<void>(); });
    });
    ASSERT_EQ(reading.wait(), 'r');
    const pid_t other = fork_task([&] {
        EXPECT_THAT(siblings->share([]() -> Result<wire::Plan> { return plan; }, [] { return Result<void>(); }),
                    IsOk());
    });
    std::this_thread::sleep_for(50ms);
    ASSERT_EQ(::kill(reader, SIGKILL), 0);
    ::waitpid(reader, nullptr, 0);
    expect_success({other});
}

TEST(Siblings, WhoMayNotWaitAnyLongerStops) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    const Notes reading;
    const pid_t reader = fork_task([&] {
        (void)siblings->share(
            [&]() -> Result<wire::Plan> {
                reading.write('r');
                ::pause();
                return plan;
            },
            [] { return Result<void>(); });
    });
    ASSERT_EQ(reading.wait(), 'r');
    EXPECT_THAT(siblings->share([]() -> Result<wire::Plan> { return plan; },
                                []() -> Result<void> { return Error(Kind::busy, "enough"); }),
                FailsWith(Kind::busy, "enough"));
    ::kill(reader, SIGKILL);
    ::waitpid(reader, nullptr, 0);
}

TEST(Siblings, OneSpeaks) {
    auto siblings = Siblings::make();
    ASSERT_THAT(siblings, IsOk());
    expect_success({fork_task([&] { EXPECT_TRUE(siblings->first_to_speak()); })});
    EXPECT_FALSE(siblings->first_to_speak());
}

}  // namespace
}  // namespace senv
