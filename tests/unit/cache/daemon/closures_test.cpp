#include "cache/daemon/closures.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using std::chrono::seconds;
using test::IsOk;
using test::path_of;
using test::TempDir;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// What the engine does with closures, without its thread and its helpers: the time is this test's.
class ClosuresTest : public testing::Test {
protected:
    void SetUp() override {
        std::filesystem::create_directory(dir / "state");
        config.origins = {"http://first"};
        Repairs repairs;
        auto store = Store::open(
            StateDir::open(dir / "state", dir / "leases").value(), "boot",
            [](const Narinfo&) -> Result<void> { return {}; }, repairs);
        ASSERT_THAT(store, IsOk());
        const auto note = [this](const std::string& what, const StorePath& profile, const std::string& more = "") {
            told.push_back(what + " " + std::string(profile.name()) + more);
        };
        EngineEvents events;
        events.pending = [note](const StorePath& profile) { note("pending", profile); };
        events.complete = [note](const StorePath& profile, const Board::PlanFrame&) { note("complete", profile); };
        events.failed = [note](const StorePath& profile, const Error& error) {
            note("failed", profile, ": " + error.what());
        };
        state.emplace(config, *std::move(store), board, metrics, events, Now{Deadline(seconds(1000)), 100'000},
                      [] { return 0.5; });
        evictions.emplace(*state);
        closures.emplace(*state, *evictions);
    }
    void provision(const StorePath& profile) { closures->provision(profile, {1000, 12, 3}, {}); }
    void pass(seconds time) {
        state->now.steady += time;
        state->now.unix_time += time.count();
        closures->end_late();
    }

    const StorePath p = path_of("p-profile");
    const StorePath q = path_of("q-profile");
    const TempDir dir;
    ServerConfig config;
    Board board;
    Metrics metrics{"test", 0, {"http://first"}};
    std::vector<std::string> told;
    std::optional<EngineState> state;
    std::optional<Evictions> evictions;
    std::optional<Closures> closures;
};

TEST_F(ClosuresTest, WhatNobodyWaitsForAnyMoreIsGivenUpAfterAWhile) {
    provision(p);
    provision(q);
    state->fetches.abandon(p, state->now.steady);
    state->fetches.abandon(q, state->now.steady);
    pass(seconds(14));
    EXPECT_NE(state->fetches.find(p), nullptr);
    provision(q);  // somebody comes
    pass(seconds(1));
    EXPECT_EQ(state->fetches.find(p), nullptr);
    EXPECT_NE(state->fetches.find(q), nullptr);
    EXPECT_THAT(told, ElementsAre("pending p-profile", "pending q-profile", "pending q-profile"));
}

TEST_F(ClosuresTest, WhatTakesTooLongFailsAndSaysHowFarItIs) {
    provision(p);
    pass(config.fetch_limit - seconds(1));
    told.clear();
    pass(seconds(1));
    EXPECT_THAT(told, ElementsAre(HasSubstr("failed p-profile: cannot fetch '" + p.absolute() +
                                            "': it was not complete after 1800 s: 0 of 1 items, 0 B of 0 B came")));
    EXPECT_EQ(state->fetches.find(p), nullptr);
    EXPECT_EQ(board.progress(p), std::nullopt);
}

TEST_F(ClosuresTest, ProgressIsToldUntilItEnds) {
    provision(p);
    ASSERT_THAT(closures->carry_out(Fetches::Wanted{p}), IsOk());
    closures->tell_progress();
    EXPECT_EQ(board.progress(p)->what, p.base() + " from http://first");
    closures->fail(p, Error(Kind::missing, "nobody has it"));
    EXPECT_EQ(board.progress(p), std::nullopt);
    EXPECT_THAT(told, ElementsAre("pending p-profile", "failed p-profile: nobody has it"));
    told.clear();
    closures->fail(p, Error(Kind::missing, "nobody has it"));  // there is none any more
    EXPECT_THAT(told, IsEmpty());
}

TEST_F(ClosuresTest, APlanIsToldAndItsUseRecorded) {
    provision(p);
    const std::string frame = "a plan";
    Planned too_early{p, std::make_shared<const std::string>(frame)};
    ASSERT_THAT(closures->planned(too_early), IsOk());  // an item was found damaged meanwhile
    EXPECT_THAT(told, ElementsAre("pending p-profile"));
    state->fetches.came(p, 7);
    Planned planned{p, std::make_shared<const std::string>(frame)};
    ASSERT_THAT(closures->planned(planned), IsOk());
    EXPECT_THAT(told, ElementsAre("pending p-profile", "complete p-profile"));
    EXPECT_EQ(*board.use(p, 1), frame);
    EXPECT_EQ(state->store.catalog().profiles()->at(0).last_use, 100'000);
    provision(p);
    EXPECT_EQ(told.back(), "complete p-profile");
}

TEST_F(ClosuresTest, WhatCannotBePlannedFails) {
    provision(p);
    state->fetches.came(p, 7);
    Planned planned{p, Error(Kind::corrupt, "it has no manifest")};
    ASSERT_THAT(closures->planned(planned), IsOk());
    EXPECT_EQ(told.back(), "failed p-profile: cannot use '" + p.absolute() + "': it has no manifest");
}

}  // namespace
}  // namespace senv
