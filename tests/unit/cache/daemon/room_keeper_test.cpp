#include "cache/daemon/room_keeper.h"

#include <filesystem>

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
using test::path_of;
using test::TempDir;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr std::uint64_t GiB = std::uint64_t{1} << 30U;

/// A real store on a disk whose size is made up.
class RoomKeeperTest : public testing::Test {
protected:
    void SetUp() override {
        fs::create_directory(dir / "state");
        open();
    }
    void open() {
        keeper.reset();
        collector.reset();
        store.reset();
        Repairs repairs;
        auto opened = Store::open(
            StateDir::open(dir / "state", dir / "leases").value(), "boot",
            [](const Narinfo&) -> Result<void> { return {}; }, repairs);
        ASSERT_THAT(opened, IsOk());
        store.emplace(*std::move(opened));
        collector.emplace(*store, board, seconds(100));
        keeper.emplace(*collector, RoomKeeper::Marks{Mark{90}, Mark{50}},
                       RoomKeeper::Facts{[this]() -> Result<Store::Disk> {
                                             if (broken) return Error(Kind::io, "the disk cannot be asked");
                                             return Store::Disk{free, {10 * GiB, 1000}};
                                         },
                                         [this] { return running; },
                                         [this](const StorePath& item) -> std::optional<Room> {
                                             const auto found = to_come.find(item);
                                             return found == to_come.end() ? std::nullopt
                                                                           : std::optional(found->second);
                                         }});
    }
    /// The item is in the store, and was used at that time as a profile.
    void have(const MadeItem& item, std::int64_t last_use, const Room& room = {GiB, 10}) {
        const Staging staging = test::stage(*store, item);
        ASSERT_THAT(store->place(staging, item.narinfo), IsOk());
        ASSERT_THAT(store->record(item.narinfo, room, last_use), IsOk());
        const ProfileUse use{item.path(), last_use};
        ASSERT_THAT(store->catalog().record_uses({&use, 1}), IsOk());
        keeper->stored(item.narinfo.nar_size(), room);
    }
    /// "granted", "wait", "evict NAME…", or why it is refused.
    std::string admit(const StorePath& profile, const std::map<StorePath, Room>& items) {
        auto admission = keeper->admit(profile, items, now);
        if (!admission) return "error: " + admission.error().what();
        if (std::holds_alternative<RoomKeeper::Granted>(*admission)) return "granted";
        if (const auto* refused = std::get_if<RoomKeeper::Refused>(&*admission)) return refused->why.what();
        auto& wait = std::get<RoomKeeper::Wait>(*admission);
        return wait.round ? remove(*std::move(wait.round)) : "wait";
    }
    std::string keep_below_marks() {
        auto round = keeper->keep_below_marks(now);
        if (!round) return "error: " + round.error().what();
        return *round ? remove(**std::move(round)) : "";
    }
    std::string remove(Collector::Round round) {
        keeper->removing(round.eviction);
        std::string text = "evict";
        for (const auto& item : round.eviction.items) text += " " + std::string(item.name());
        return text;
    }

    const MadeItem old = make_item("old");
    const MadeItem young = make_item("young");
    const StorePath p = path_of("p-profile");
    const StorePath q = path_of("q-profile");
    const StorePath lib = path_of("lib");
    const StorePath tool = path_of("tool");

    const TempDir dir;
    Now now{Deadline(seconds(1000)), 100'000};
    Room free{8 * GiB, 900};
    bool broken = false;
    Running running;
    std::map<StorePath, Room> to_come;
    Board board;
    std::optional<Store> store;
    std::optional<Collector> collector;
    std::optional<RoomKeeper> keeper;
};

TEST_F(RoomKeeperTest, WhatFitsIsGranted) {
    EXPECT_EQ(admit(p, {}), "granted");
    EXPECT_EQ(admit(p, {{lib, {GiB, 1}}, {tool, {7 * GiB, 899}}}), "granted");
    EXPECT_FALSE(keeper->waits(p));
}

TEST_F(RoomKeeperTest, WhatIsPromisedIsPromisedOnce) {
    EXPECT_EQ(admit(p, {{lib, {5 * GiB, 1}}}), "granted");
    to_come[lib] = {5 * GiB, 1};
    EXPECT_THAT(admit(q, {{tool, {4 * GiB, 1}}}),
                HasSubstr("it needs 4.0 GiB more on this node's disk; 3.0 GiB are free"));
    keeper->forget(q);
    to_come[lib] = {4 * GiB, 1};  // a part has come
    EXPECT_EQ(admit(q, {{tool, {4 * GiB, 1}}}), "granted");
    EXPECT_EQ(admit(p, {{lib, {4 * GiB, 1}}}), "granted");  // the same item, from another server
    keeper->ended(lib);
    to_come[tool] = {4 * GiB, 1};
    EXPECT_EQ(admit(path_of("r"), {{path_of("other"), {4 * GiB, 1}}}), "granted");
}

TEST_F(RoomKeeperTest, WhatDoesNotFitEvictsAndWaits) {
    have(old, 1);
    have(young, 2);
    EXPECT_EQ(keeper->totals().items, 2U);
    EXPECT_EQ(keeper->room(), (Room{2 * GiB, 20}));
    EXPECT_EQ(admit(p, {{lib, {9 * GiB, 1}}}), "evict old");
    EXPECT_TRUE(keeper->waits(p));
    EXPECT_TRUE(keeper->is_removing());
    EXPECT_EQ(keeper->totals().items, 1U);
    EXPECT_EQ(keeper->room(), (Room{GiB, 10}));
    to_come[lib] = {9 * GiB, 1};
    EXPECT_EQ(admit(q, {{tool, {GiB, 1}}}), "wait");  // what went may be enough
    EXPECT_THAT(keeper->removed(), UnorderedElementsAre(p, q));
    EXPECT_FALSE(keeper->waits(p));
    EXPECT_FALSE(keeper->is_removing());
}

TEST_F(RoomKeeperTest, WhatCannotFitTakesNothingWithIt) {
    have(old, 1);
    EXPECT_THAT(admit(p, {{lib, {10 * GiB, 1}}}),
                HasSubstr("it needs 10.0 GiB more on this node's disk; 8.0 GiB are free, "
                          "and evicting can free 1.0 GiB"));
    EXPECT_TRUE(store->catalog().find(old.path())->has_value());
    EXPECT_FALSE(keeper->is_removing());
}

TEST_F(RoomKeeperTest, WhatCannotBeFoundOutIsAnError) {
    broken = true;
    EXPECT_EQ(admit(p, {{lib, {GiB, 1}}}), "error: the disk cannot be asked");
    EXPECT_EQ(keep_below_marks(), "error: the disk cannot be asked");
}

TEST_F(RoomKeeperTest, AboveTheHighMarkItGoesDownToTheLowOne) {
    EXPECT_EQ(keep_below_marks(), "");
    EXPECT_EQ(keeper->next_look(), Deadline::max());  // nothing has changed since
    have(old, 1, {6 * GiB, 10});
    have(young, 2);
    free = {GiB / 2, 900};
    EXPECT_LE(keeper->next_look(), now.steady);
    EXPECT_EQ(keep_below_marks(), "evict old");
    keeper->look();
    EXPECT_EQ(keep_below_marks(), "");  // one after the other
    keeper->removed();
    free = {6 * GiB, 900};
    EXPECT_EQ(keep_below_marks(), "");
}

TEST_F(RoomKeeperTest, BelowTheMarksEverythingStays) {
    have(old, 1);
    free = {GiB + 1, 900};
    EXPECT_EQ(keep_below_marks(), "");
    EXPECT_TRUE(store->catalog().find(old.path())->has_value());
}

TEST_F(RoomKeeperTest, WhereAllIsHeldItLooksAgainAfterAWhile) {
    have(old, 1);
    running.profiles = {old.path()};
    free = {};
    EXPECT_EQ(keep_below_marks(), "");
    keeper->look();
    running.profiles.clear();
    EXPECT_EQ(keeper->next_look(), now.steady + RoomKeeper::vain_period);
    now.steady += seconds(4);
    EXPECT_EQ(keep_below_marks(), "");
    now.steady += seconds(1);
    EXPECT_EQ(keep_below_marks(), "evict old");
}

TEST_F(RoomKeeperTest, WhereItIsNotKnownWhatIsHeldItEvictsNothingAndLooksAgainAfterAWhile) {
    fs::create_symlink("elsewhere", dir / "leases/odd");
    open();
    have(old, 1);
    free = {};
    testing::internal::CaptureStderr();
    EXPECT_EQ(keep_below_marks(), "");
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                testing::AllOf(HasSubstr("not-evicted"), HasSubstr("somebody holds the lease 'odd'")));
    keeper->look();
    EXPECT_EQ(keeper->next_look(), now.steady + RoomKeeper::vain_period);
    fs::remove(dir / "leases/odd");
    now.steady += RoomKeeper::vain_period;
    EXPECT_EQ(keep_below_marks(), "evict old");
}

TEST_F(RoomKeeperTest, AFullDiskMakesRoomWhateverTheMarksSay) {
    have(old, 1, {6 * GiB, 10});
    EXPECT_EQ(keep_below_marks(), "");
    const Error cause(Kind::io, "cannot write: no space left");
    EXPECT_THAT(keeper->ran_full(p, cause, {GiB, 1}, now).what(),
                HasSubstr("this node's disk became full: cannot write: no space left; about 1.0 GiB and 1 inodes are "
                          "needed, 8.0 GiB and 900 inodes are free now, and evicting can free 6.0 GiB"));
    free = {4 * GiB, 900};  // 60 % are used: above the low mark
    EXPECT_EQ(keep_below_marks(), "evict old");
}

TEST_F(RoomKeeperTest, ATreeThatTookAnothersPlaceCountsOnce) {
    have(old, 1);
    keeper->replaced(*store->catalog().find(old.path()).value());
    keeper->stored(7, {5, 1});
    EXPECT_EQ(keeper->totals().items, 1U);
    EXPECT_EQ(keeper->totals().bytes, 7U);
    EXPECT_EQ(keeper->room(), (Room{5, 1}));
}

}  // namespace
}  // namespace senv
