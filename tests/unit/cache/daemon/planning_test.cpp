#include "cache/daemon/planning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using test::FailsWith;
using test::IsOk;
using test::MadeItem;
using test::make_item;

StorePath path_of(std::uint32_t uid, int number) {
    return test::path_of("profile-" + std::to_string(uid) + "-" + std::to_string(number));
}

TEST(PlanQueue, UsersTakeTurnsAndHaveOneAtMost) {
    PlanQueue queue;
    for (int i = 0; i < 3; ++i) queue.push({path_of(1, i), 1, nullptr});
    for (int i = 0; i < 2; ++i) queue.push({path_of(2, i), 2, nullptr});
    std::stop_source stopped;
    stopped.request_stop();  // then nobody waits
    const auto next = [&] { return queue.pop(stopped.get_token()); };

    auto first = next();
    auto second = next();
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->profile, path_of(1, 0));
    EXPECT_EQ(second->profile, path_of(2, 0));
    EXPECT_FALSE(next());  // both are busy

    queue.push({path_of(3, 0), 3, nullptr});
    const auto third = next();
    ASSERT_TRUE(third);
    EXPECT_EQ(third->profile, path_of(3, 0));
    first.reset();
    first = next();
    ASSERT_TRUE(first);
    EXPECT_EQ(first->profile, path_of(1, 1));
    first.reset();
    second.reset();
    second = next();
    ASSERT_TRUE(second);
    EXPECT_EQ(second->profile, path_of(2, 1));  // was served before the other
}

class PlanningTest : public testing::Test {
protected:
    struct Told {
        StorePath profile;
        Result<Board::PlanFrame> plan;
    };

    void SetUp() override {
        fs::create_directory(dir / "state");
        state = std::make_unique<StateDir>(StateDir::open(dir / "state", dir / "leases").value());
        add_narinfo(item);
    }

    void add_narinfo(const MadeItem& one) const {
        std::ofstream(dir / ("state/narinfo/" + one.path().base())) << one.narinfo.text();
    }

    std::unique_ptr<Planning> planning(Planner planner) {
        return std::make_unique<Planning>(*state, std::move(planner),
                                          [this](const StorePath& profile, Result<Board::PlanFrame> plan) {
                                              told.push({profile, std::move(plan)});
                                          });
    }
    std::unique_ptr<Planning> planning() {
        return planning([this](const std::string&, const StorePath& profile, const std::stop_token&) {
            ++made;
            return Result<wire::Plan>({profile.absolute(), {{"PATH", profile.absolute() + "/bin", ":"}}});
        });
    }

    Result<Board::PlanFrame> next() {
        auto one = told.pop(std::stop_token(), Clock::now() + seconds(30));
        if (!one) return Error(Kind::bug, "nothing came");
        return std::move(one->plan);
    }
    // What a senvd that starts now gets; the plan must be right.
    void expect_plan() {
        const auto now = planning();
        now->push(item.path(), 1);
        const auto plan = next();
        ASSERT_THAT(plan, IsOk());
        const auto decoded = wire::Plan::decode(std::string_view(**plan).substr(wire::header_bytes));
        ASSERT_THAT(decoded, IsOk());
        EXPECT_EQ(decoded->profile, item.path().absolute());
        EXPECT_EQ(decoded->variables.size(), 1U);
    }
    std::string file() const { return dir / ("state/plans/" + item.path().base()); }
    std::string content() const { return read_small_file(file(), 65536).value(); }

    test::TempDir dir;
    std::unique_ptr<StateDir> state;
    MadeItem item = make_item("profile");
    Mailbox<Told> told;
    std::atomic<int> made = 0;
};

TEST_F(PlanningTest, RestartsMakeNoPlans) {
    expect_plan();
    expect_plan();
    EXPECT_EQ(made, 1);
}

TEST_F(PlanningTest, WhatIsOfAnotherFormatHashOrProfileIsMadeAgain) {
    expect_plan();
    const std::string good = content();
    ASSERT_TRUE(good.starts_with("senv plan 1 "));
    std::string other_format = good;
    other_format[10] = '0';
    std::string other_hash = good;
    other_hash[12] = other_hash[12] == '0' ? '1' : '0';
    std::string other_profile = good;
    const std::size_t name = good.find(item.path().base());
    ASSERT_NE(name, std::string::npos);
    other_profile[name] = good[name] == '0' ? '1' : '0';
    int expected = 1;
    for (const std::string& bad :
         {other_format, other_hash, other_profile, std::string(), good.substr(0, good.size() - 1), good + "x",
          good.substr(0, good.size() - 4) + std::string(4, '\0'), good.substr(0, good.find('\n') + 1)}) {
        fs::remove(file());
        std::ofstream(file()) << bad;
        expect_plan();
        EXPECT_EQ(made, ++expected) << bad;
        EXPECT_EQ(content(), good);
    }
    item = make_item("profile", {}, "another text");
    add_narinfo(item);
    expect_plan();
    EXPECT_EQ(made, ++expected);
}

TEST_F(PlanningTest, WhatCannotBeKeptIsUsed) {
    fs::remove(dir / "state/plans");
    expect_plan();
    EXPECT_EQ(made, 1);
}

TEST_F(PlanningTest, FailuresAreNotKept) {
    const auto now = planning([](const std::string&, const StorePath&, const std::stop_token&) -> Result<wire::Plan> {
        return Error(Kind::corrupt, "it has no manifest");
    });
    now->push(item.path(), 1);
    EXPECT_THAT(next(), FailsWith(Kind::corrupt, "it has no manifest"));
    EXPECT_FALSE(fs::exists(file()));
}

// One user's plans take as long as they may.
TEST_F(PlanningTest, OthersDoNotWaitForOneUsersPlans) {
    std::atomic<int> running = 0;
    const auto now =
        planning([&](const std::string&, const StorePath& profile, const std::stop_token& stop) -> Result<wire::Plan> {
            if (profile.name() == "profile") return wire::Plan{profile.absolute(), {}};
            ++running;
            while (!stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            return Error(Kind::busy, "stopped");
        });
    for (int i = 0; i < 10; ++i) now->push(path_of(2, i), 2);
    for (int i = 0; i < 3; ++i) {
        now->push(item.path(), 1);
        EXPECT_THAT(next(), IsOk());
    }
    EXPECT_EQ(running, 1);
    now->request_stop();
    for (int i = 0; i < 10; ++i) EXPECT_THAT(next(), FailsWith(Kind::busy, "stopped"));
}

}  // namespace
}  // namespace senv
