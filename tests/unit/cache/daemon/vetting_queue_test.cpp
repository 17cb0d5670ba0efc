#include "cache/daemon/vetting_queue.h"

#include <gtest/gtest.h>

namespace senv {
namespace {

const StorePath item = StorePath::parse("00000000000000000000000000000000-item").value();

VetJob job(std::size_t bytes) {
    return {OriginId{}, "http://host", item, std::string(bytes, 'x')};
}

std::size_t kept(VettingQueue& queue, std::size_t count) {
    std::size_t bytes = 0;
    for (; count > 0; --count) {
        const auto next = queue.pop({});
        if (next->answer) bytes += std::get<std::string>(*next->answer).size();
    }
    return bytes;
}

TEST(VettingQueue, KeepsFewLargeNarinfos) {
    VettingQueue queue;
    for (int i = 0; i < 128; ++i) queue.push(job(max_narinfo_bytes));
    EXPECT_EQ(kept(queue, 128), most_large_narinfos * max_narinfo_bytes);
    queue.push(job(max_narinfo_bytes));
    EXPECT_EQ(kept(queue, 1), 0U);  // those before are still looked at
    queue.done();
    queue.push(job(max_narinfo_bytes));
    queue.push(job(max_narinfo_bytes));
    EXPECT_EQ(kept(queue, 2), max_narinfo_bytes);
}

TEST(VettingQueue, KeepsAllSmallOnesAndRefusals) {
    VettingQueue queue;
    for (std::size_t i = 0; i < most_large_narinfos; ++i) queue.push(job(max_narinfo_bytes));
    for (int i = 0; i < 100; ++i) queue.push(job(large_narinfo_bytes));
    queue.push({OriginId{}, "http://host", item, Refusal{Outcome::absent, Error(Kind::missing, "no"), std::nullopt}});
    EXPECT_EQ(kept(queue, most_large_narinfos), most_large_narinfos * max_narinfo_bytes);
    EXPECT_EQ(kept(queue, 100), 100 * large_narinfo_bytes);
    EXPECT_TRUE(std::holds_alternative<Refusal>(*queue.pop({})->answer));
}

}  // namespace
}  // namespace senv
