#include "cache/daemon/lending.h"

#include <map>
#include <memory>

#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using test::path_of;
using test::TempDir;
using testing::IsEmpty;

/// A disk of 1000 bytes, of which each user may hold 40 %.
class LendingTest : public testing::Test {
protected:
    Result<Lending::Lent> lend(const StorePath& profile, std::uint32_t uid, std::uint64_t client = 1) {
        auto lent = lending.lend(profile, {uid, 12, 0}, {client, ""});
        if (lent) held.push_back(std::move(lent->lease));
        return lent;
    }
    std::size_t leases() const { return all_leases->live().size(); }

    const StorePath a = path_of("a");  // 200 bytes, here
    const StorePath b = path_of("b");  // 300 bytes, here
    const StorePath c = path_of("c");  // on its way

    const TempDir dir;
    const std::unique_ptr<Leases> all_leases = Leases::open(dir / "leases").value();
    std::map<StorePath, std::uint64_t> sizes{{a, 200}, {b, 300}};
    std::vector<Fd> held;
    Lending lending{*all_leases, Mark{40},
                    Sizes{[this](const StorePath& profile) { return !sizes.contains(profile); },
                          [this](const StorePath& profile) -> Result<bool> { return sizes.contains(profile); },
                          [this](const StorePath& profile) -> Result<std::uint64_t> { return sizes.at(profile); },
                          []() -> Result<std::uint64_t> { return 1000; }}};
};

TEST_F(LendingTest, AUserHoldsSoMuchAndNoMore) {
    const auto first = lend(a, 1000);
    ASSERT_THAT(first, IsOk());
    EXPECT_TRUE(first->is_weighed);
    EXPECT_THAT(lend(b, 1000), FailsWith(Kind::busy,
                                         "it takes 300 B, what else this user's jobs hold on this node 200 B, "
                                         "and the limit for one user is 400 B"));
    EXPECT_EQ(leases(), 1U);
    EXPECT_THAT(lend(a, 1000), IsOk());  // that is counted once
    EXPECT_THAT(lend(b, 1001), IsOk());
    held.clear();
    EXPECT_THAT(lend(b, 1000), IsOk());
}

TEST_F(LendingTest, WhatIsToComeIsWeighedWhenItsSizeIsKnown) {
    ASSERT_THAT(lend(a, 1000), IsOk());
    const auto lent = lend(c, 1000, 5);
    ASSERT_THAT(lent, IsOk());
    EXPECT_FALSE(lent->is_weighed);
    ASSERT_THAT(lend(c, 1001, 6), IsOk());
    ASSERT_THAT(lend(a, 1000), IsOk());  // what is not weighed yet does not count
    EXPECT_EQ(leases(), 3U);             // who asks again for what is held shares the lease
    sizes[c] = 300;
    const auto weighed = lending.weigh(c);
    ASSERT_THAT(weighed, IsOk());
    EXPECT_TRUE(weighed->is_wanted);
    ASSERT_EQ(weighed->refused.size(), 1U);
    EXPECT_EQ(weighed->refused[0].first, 5U);
    EXPECT_EQ(weighed->refused[0].second.kind(), Kind::busy);
    EXPECT_EQ(leases(), 2U);
    EXPECT_THAT(lending.weigh(c)->refused, IsEmpty());  // once
}

TEST_F(LendingTest, NobodyWantsWhatNobodyMayHold) {
    ASSERT_THAT(lend(c, 1000), IsOk());
    sizes[c] = 401;
    EXPECT_FALSE(lending.weigh(c)->is_wanted);
    EXPECT_EQ(leases(), 0U);
}

TEST_F(LendingTest, ALeaseForWhatCannotBeHadIsVoid) {
    ASSERT_THAT(lend(c, 1000), IsOk());
    ASSERT_THAT(lend(a, 1000), IsOk());
    lending.withdraw(c);
    EXPECT_EQ(leases(), 1U);
}

TEST_F(LendingTest, WhatCannotBeWeighedIsAnError) {
    sizes[a] = 500;
    EXPECT_THAT(lend(a, 1000), FailsWith(Kind::denied, "so it can never fit"));
    Lending broken(
        *all_leases, Mark{40},
        {[](const StorePath&) { return false; },
         [](const StorePath&) -> Result<bool> { return Error(Kind::io, "the catalog cannot be read"); },
         [](const StorePath&) -> Result<std::uint64_t> { return 0; }, []() -> Result<std::uint64_t> { return 1000; }});
    EXPECT_THAT(broken.lend(a, {1000, 1, 0}, {}), FailsWith(Kind::io, "the catalog cannot be read"));
    EXPECT_EQ(leases(), 0U);
}

TEST_F(LendingTest, WithoutALimitEverythingIsLent) {
    Lending generous(*all_leases, std::nullopt,
                     {[](const StorePath&) { return false; }, [](const StorePath&) -> Result<bool> { return true; },
                      [](const StorePath&) -> Result<std::uint64_t> { return UINT64_MAX; },
                      []() -> Result<std::uint64_t> { return 1; }});
    EXPECT_THAT(generous.lend(a, {1000, 1, 0}, {}), IsOk());
}

}  // namespace
}  // namespace senv
