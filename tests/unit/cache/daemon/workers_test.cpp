#include "cache/daemon/workers.h"

#include <latch>
#include <set>

#include "tests/support/matchers.h"

namespace senv {
namespace {

TEST(Workers, DoJobsInTheirOrder) {
    std::vector<int> done;
    {
        Workers<int> one("test-worker", 1, [&](int job, const std::stop_token&) { done.push_back(job); });
        for (int job = 0; job < 100; ++job) one.push(job);
    }
    ASSERT_EQ(done.size(), 100U);
    EXPECT_TRUE(std::ranges::is_sorted(done));
}

TEST(Workers, WorkAtTheSameTime) {
    std::latch both(2);  // nobody passes it alone
    Workers<int> two("test-worker", 2, [&](int, const std::stop_token&) { both.arrive_and_wait(); });
    two.push(1);
    two.push(2);
}

TEST(Workers, DoWhatWasGivenBeforeTheyEndAndSayThatTheyAreToStop) {
    std::latch begun(1);
    std::vector<bool> stopped;
    {
        Workers<int> one("test-worker", 1, [&](int job, const std::stop_token& stop) {
            if (job == 0) {
                begun.count_down();
                Mailbox<int> never;
                (void)never.pop(stop);
            }
            stopped.push_back(stop.stop_requested());
        });
        for (int job = 0; job < 3; ++job) one.push(job);
        begun.wait();
        one.request_stop();
    }
    EXPECT_EQ(stopped, (std::vector<bool>{true, true, true}));
}

TEST(Workers, WhatComesWhenTheyAreGoneIsLeftInTheBox) {
    std::shared_ptr<Mailbox<int>> box;
    {
        const Workers<int> one("test-worker", 1, [](int, const std::stop_token&) { FAIL(); });
        box = one.box();
    }
    box->push(1);
    EXPECT_EQ(box->pop(std::stop_token()), 1);
}

}  // namespace
}  // namespace senv
