#include "cache/base/threads.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "cache/base/fd.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::ElementsAre;

int own_nice() {
    return ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()));
}

int nice_after(int before, int levels) {
    return std::min(19, before + levels);
}

TEST(Cpus, AreReadAsTasksetAndSlurmWriteThem) {
    const auto cpus = parse_cpus("8,0-3,2,8191");
    ASSERT_THAT(cpus, IsOk());
    EXPECT_THAT(*cpus, ElementsAre(0, 1, 2, 3, 8, 8191));
    EXPECT_EQ(text_of_cpus(*cpus), "0-3,8,8191");
    EXPECT_EQ(text_of_cpus({5, 7}), "5,7");
    EXPECT_EQ(text_of_cpus({}), "");
}

class CpusRefuse : public testing::TestWithParam<const char*> {};

TEST_P(CpusRefuse, WhatIsNoList) {
    EXPECT_THAT(parse_cpus(GetParam()), FailsWith(Kind::usage, "is neither a CPU nor a range of CPUs (0 to 8191)"));
}

INSTANTIATE_TEST_SUITE_P(Table, CpusRefuse,
                         testing::Values("", ",", "0,", "a", "-1", "1-", "3-1", "1-2-3", "0-8192", "8192", "0x3", " 1",
                                         "0-6:2", "18446744073709551616"));

TEST(Cpus, BoundTheThreadAndWhatItStarts) {
    const auto before = used_cpus();
    ASSERT_THAT(before, IsOk());
    ASSERT_FALSE(before->empty());
    const unsigned last = before->back();
    std::vector<unsigned> mine;
    std::vector<unsigned> of_mine;
    std::thread([&] {
        // CPU 8191 is none that this machine has: left out.
        ASSERT_THAT(use_cpus({last, 8191}), IsOk());
        mine = used_cpus().value();
        std::thread([&] { of_mine = used_cpus().value(); }).join();
    }).join();
    EXPECT_THAT(mine, ElementsAre(last));
    EXPECT_THAT(of_mine, ElementsAre(last));
    EXPECT_EQ(*used_cpus(), *before);
}

TEST(Cpus, OfWhichNoneIsThereAreRefused) {
    const auto before = used_cpus();
    ASSERT_THAT(before, IsOk());
    EXPECT_THAT(use_cpus({8190, 8191}), FailsWith(Kind::usage,
                                                  "cannot use the CPUs 8190-8191: this process may use none "
                                                  "of them, but " +
                                                      text_of_cpus(*before)));
    EXPECT_EQ(*used_cpus(), *before);
}

TEST(Nicer, RunsThereAndLeavesTheCallerAsItIs) {
    const int before = own_nice();
    std::thread left;
    int child = -1;
    const int inside = nicer(3, [&] {
        left = std::thread([&] { child = own_nice(); });
        return own_nice();
    });
    left.join();
    EXPECT_EQ(inside, nice_after(before, 3));
    EXPECT_EQ(child, nice_after(before, 3));
    EXPECT_EQ(own_nice(), before);
    EXPECT_EQ(nicer(4'000'000'000U, own_nice), 19);
    EXPECT_EQ(nicer(0, own_nice), before);
}

TEST(Nicer, LetsResultsAndExceptionsThrough) {
    EXPECT_THAT(nicer(1, [] { return Result<int>(Error(Kind::missing, "not there")); }),
                FailsWith(Kind::missing, "not there"));
    EXPECT_THROW(nicer(1, [] { throw std::runtime_error("no"); }), std::runtime_error);
}

TEST(NameThread, IsSeenInProc) {
    std::string name;
    std::thread([&] {
        name_thread("senvd-test");
        name = read_small_file("/proc/self/task/" + std::to_string(::gettid()) + "/comm", 100).value();
    }).join();
    EXPECT_EQ(name, "senvd-test\n");
}

}  // namespace
}  // namespace senv
