#include "cache/daemon/durability.h"

#include <gmock/gmock.h>

#include "tests/support/items.h"

namespace senv {
namespace {

using std::chrono::seconds;
using test::path_of;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;
using testing::UnorderedElementsAre;

const Deadline start = Deadline(seconds(1000));

TEST(Durability, WaitsForTheDiskOnceInAWhileForAllThatCame) {
    Durability disk(start);
    EXPECT_EQ(disk.next_sync(), Deadline::max());
    disk.placed(path_of("a"));
    disk.placed(path_of("b"));
    EXPECT_EQ(disk.next_sync(), start + Durability::sync_period);
    EXPECT_EQ(disk.begin_sync(start + seconds(4)), std::nullopt);
    EXPECT_THAT(disk.begin_sync(start + seconds(5)), Optional(UnorderedElementsAre(path_of("a"), path_of("b"))));
    EXPECT_EQ(disk.begin_sync(start + seconds(700)), std::nullopt);  // one at a time
    EXPECT_EQ(disk.next_sync(), Deadline::max());
    EXPECT_THAT(disk.synced({path_of("a"), path_of("b")}, start + seconds(6)), ElementsAre(path_of("a"), path_of("b")));
    EXPECT_EQ(disk.begin_sync(start + seconds(12)), std::nullopt);
}

TEST(Durability, WaitsNowAndThenAlsoWhenNothingCame) {
    Durability disk(start);
    EXPECT_EQ(disk.begin_sync(start + seconds(599)), std::nullopt);
    EXPECT_THAT(disk.begin_sync(start + seconds(600)), Optional(IsEmpty()));
}

TEST(Durability, ATreeThatCameWhileTheDiskWasAskedIsNotYetDurable) {
    Durability disk(start);
    disk.placed(path_of("a"));
    disk.placed(path_of("b"));
    const auto asked = disk.begin_sync(start + seconds(5));
    disk.evicted(path_of("a"));
    disk.placed(path_of("a"));  // another one
    disk.placed(path_of("c"));
    EXPECT_THAT(disk.synced(*asked, start + seconds(6)), ElementsAre(path_of("b")));
    EXPECT_THAT(disk.begin_sync(start + seconds(11)), Optional(UnorderedElementsAre(path_of("a"), path_of("c"))));
}

TEST(Durability, WhatWasEvictedIsNotWaitedFor) {
    Durability disk(start);
    disk.placed(path_of("a"));
    disk.evicted(path_of("a"));
    EXPECT_EQ(disk.next_sync(), Deadline::max());
    EXPECT_EQ(disk.begin_sync(start + seconds(5)), std::nullopt);
}

TEST(Durability, WhatFailsIsTriedAgainLater) {
    Durability disk(start);
    disk.placed(path_of("a"));
    disk.not_synced(*disk.begin_sync(start + seconds(5)), start + seconds(30));
    EXPECT_EQ(disk.begin_sync(start + seconds(34)), std::nullopt);
    const auto asked = disk.begin_sync(start + seconds(35));
    EXPECT_THAT(asked, Optional(ElementsAre(path_of("a"))));
    disk.not_marked(disk.synced(*asked, start + seconds(36)));
    EXPECT_THAT(disk.begin_sync(start + seconds(41)), Optional(ElementsAre(path_of("a"))));
}

}  // namespace
}  // namespace senv
