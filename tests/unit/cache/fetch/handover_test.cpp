#include "cache/fetch/handover.h"

#include <gmock/gmock.h>

#include <thread>

namespace senv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::vector<std::byte> bytes(std::size_t count) {
    std::vector<std::byte> all(count);
    for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<std::byte>(i * 7 % 251);
    return all;
}

Deadline in_time() {
    return Clock::now() + seconds(60);
}

TEST(Handover, AllBytesComeInOrderThenTheEnd) {
    const auto sent = bytes(3 * Handover::max_blocks * Handover::block_bytes + 1);
    Handover handover;
    std::jthread giver([&] {
        EXPECT_TRUE(handover.give(sent));
        handover.finish(Refusal{Outcome::again, Error(Kind::io, "then it broke"), std::nullopt});
    });
    std::vector<std::byte> got;
    for (;;) {
        auto next = handover.take({}, in_time());
        if (auto* block = std::get_if<Handover::Block>(&next)) {
            EXPECT_LE(block->size(), Handover::block_bytes);
            got.insert(got.end(), block->begin(), block->end());
            continue;
        }
        ASSERT_TRUE(std::holds_alternative<Handover::End>(next));
        EXPECT_EQ(std::get<Handover::End>(next).refusal->error.what(), "then it broke");
        break;
    }
    EXPECT_TRUE(got == sent);
    EXPECT_TRUE(handover.is_finished());
}

TEST(Handover, TheTakerWaitsNoLongerThanItWants) {
    Handover handover;
    const auto next = handover.take({}, Clock::now() + milliseconds(20));
    ASSERT_TRUE(std::holds_alternative<Handover::Cut>(next));
    EXPECT_EQ(std::get<Handover::Cut>(next), Handover::Cut::late);
    EXPECT_FALSE(handover.is_finished());
}

TEST(Handover, TheTakerIsStopped) {
    Handover handover;
    std::stop_source stop;
    std::jthread stopper([&] { stop.request_stop(); });
    const auto next = handover.take(stop.get_token(), in_time());
    ASSERT_TRUE(std::holds_alternative<Handover::Cut>(next));
    EXPECT_EQ(std::get<Handover::Cut>(next), Handover::Cut::stopped);
}

TEST(Handover, TheGiverDoesNotWaitForATakerThatHasGone) {
    Handover handover;
    std::jthread giver([&] {
        EXPECT_FALSE(handover.give(bytes((Handover::max_blocks + 1) * Handover::block_bytes)));
        EXPECT_FALSE(handover.give(bytes(1)));
        handover.finish(std::nullopt);
    });
    ASSERT_TRUE(std::holds_alternative<Handover::Block>(handover.take({}, in_time())));
    handover.close();
}

}  // namespace
}  // namespace senv
