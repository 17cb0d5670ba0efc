#include "cache/daemon/fetches.h"

#include <gmock/gmock.h>

#include "tests/support/items.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using std::chrono::seconds;
using test::MadeItem;
using test::make_item;
using test::path_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const Deadline start(seconds(1000));
const Requester alice{1000, 12, 3};
const Requester bob{1001, 13, 0};

/// Closures over a catalog that is a map.
class FetchesTest : public testing::Test {
protected:
    void have(const MadeItem& item) {
        const Narinfo& narinfo = item.narinfo;
        catalog.insert_or_assign(item.path(),
                                 ItemRecord{item.path(), narinfo.nar_hash(), narinfo.nar_size(), narinfo.references()});
    }
    void known(const MadeItem& item) { fetches.known(item.path(), std::make_shared<const Narinfo>(item.narinfo)); }
    void came(const MadeItem& item) {
        have(item);
        fetches.came(item.path(), item.narinfo.nar_size());
    }
    void want(const MadeItem& profile, const Requester& who = alice, bool is_sure = true) {
        fetches.want(profile.path(), who, is_sure, now);
    }
    /// "want lib", "unwant lib", "closed p", "complete p", "repaired lib", "failed p: WHY".
    std::vector<std::string> events() {
        std::vector<std::string> all;
        while (const auto event = fetches.take()) all.push_back(text_of(*event));
        return all;
    }
    static std::string text_of(const Fetches::Event& event) {
        const auto name = [](const StorePath& path) { return std::string(path.name()); };
        if (const auto* one = std::get_if<Fetches::Wanted>(&event)) return "want " + name(one->item);
        if (const auto* one = std::get_if<Fetches::Unwanted>(&event)) return "unwant " + name(one->item);
        if (const auto* one = std::get_if<Fetches::Closed>(&event)) return "closed " + name(one->profile);
        if (const auto* one = std::get_if<Fetches::Complete>(&event)) return "complete " + name(one->profile);
        if (const auto* one = std::get_if<Fetches::Repaired>(&event)) return "repaired " + name(one->profile);
        const auto& failed = std::get<Fetches::Failed>(event);
        return "failed " + name(failed.profile) + ": " + failed.why.what();
    }

    const MadeItem lib = make_item("lib");
    const MadeItem tool = make_item("tool", {lib.path(), path_of("tool")});  // it refers to itself
    const MadeItem p = make_item("p", {tool.path()});
    const MadeItem q = make_item("q", {lib.path()});
    const std::uint64_t all_of_p = lib.nar.size() + tool.nar.size() + p.nar.size();

    Deadline now = start;
    std::map<StorePath, ItemRecord> catalog;
    bool broken = false;
    Fetches fetches{[this](const StorePath& path) -> Result<std::optional<ItemRecord>> {
                        if (broken) return Error(Kind::io, "the catalog cannot be read");
                        const auto found = catalog.find(path);
                        return found == catalog.end() ? std::nullopt : std::optional(found->second);
                    },
                    seconds(1800)};
};

TEST_F(FetchesTest, AClosureIsDiscoveredThenFetchedThenPlanned) {
    want(p);
    EXPECT_THAT(events(), ElementsAre("want p"));
    known(p);
    EXPECT_THAT(events(), ElementsAre("want tool"));
    known(tool);
    EXPECT_THAT(events(), ElementsAre("want lib"));
    known(lib);
    EXPECT_THAT(events(), ElementsAre("closed p"));
    EXPECT_EQ(fetches.find(p.path())->bytes_total, all_of_p);
    for (const auto* item : {&lib, &p}) came(*item);
    EXPECT_THAT(events(), IsEmpty());
    came(tool);
    EXPECT_THAT(events(), ElementsAre("complete p"));
    EXPECT_TRUE(fetches.planned(p.path()));
    const auto fetch = fetches.give_up(p.path());
    EXPECT_EQ(fetch->items_done, 3U);
    EXPECT_EQ(fetch->bytes_done, all_of_p);
    EXPECT_EQ(fetch->fetched, 3U);
    EXPECT_EQ(fetch->fetched_bytes, all_of_p);
    EXPECT_EQ(fetch->requester, alice);
    EXPECT_THAT(events(), IsEmpty());
    EXPECT_FALSE(fetches.planned(p.path()));
}

TEST_F(FetchesTest, WhatIsHereIsOnlyPlanned) {
    for (const auto& item : {lib, tool, p}) have(item);
    want(p);
    want(p, bob);
    EXPECT_THAT(events(), ElementsAre("complete p"));
    EXPECT_EQ(fetches.give_up(p.path())->fetched, 0U);
}

TEST_F(FetchesTest, WhatIsHereInPartIsCompleted) {
    for (const auto& item : {lib, tool}) have(item);
    want(p);
    EXPECT_THAT(events(), ElementsAre("want p"));
    known(p);
    EXPECT_THAT(events(), ElementsAre("closed p"));
    EXPECT_EQ(fetches.find(p.path())->items_done, 2U);
    EXPECT_EQ(fetches.find(p.path())->seen.size(), 3U);
}

TEST_F(FetchesTest, ItemsThatClosuresShareAreWantedOnce) {
    want(p);
    want(q, bob);
    known(p);
    known(tool);
    known(q);
    EXPECT_THAT(events(), ElementsAre("want p", "want q", "want tool", "want lib"));
    EXPECT_THAT(fetches.wanted_by(lib.path()), UnorderedElementsAre(p.path(), q.path()));
    known(lib);
    EXPECT_THAT(events(), UnorderedElementsAre("closed p", "closed q"));
    const MadeItem r = make_item("r", {lib.path()});
    want(r);
    known(r);
    EXPECT_THAT(events(), ElementsAre("want r", "closed r"));  // what is known of lib counts
    EXPECT_EQ(fetches.find(r.path())->bytes_total, r.nar.size() + lib.nar.size());
    for (const auto& item : {r, q, lib}) came(item);
    EXPECT_THAT(events(), UnorderedElementsAre("complete q", "complete r"));
    EXPECT_TRUE(fetches.find(p.path())->open.contains(tool.path()));
}

TEST_F(FetchesTest, WhatComesSoonNeedNotBeKnown) {
    want(p);
    known(p);
    fetches.soon(tool.path());
    EXPECT_THAT(events(), ElementsAre("want p", "want tool", "closed p"));
    fetches.soon(tool.path());
    EXPECT_THAT(events(), IsEmpty());
    known(tool);  // then there is more to know
    EXPECT_THAT(events(), ElementsAre("want lib"));
    known(lib);
    EXPECT_THAT(events(), ElementsAre("closed p"));
}

TEST_F(FetchesTest, AnotherNarinfoTakesThePlaceOfTheFirst) {
    want(q);
    known(q);
    known(lib);
    events();
    const MadeItem other = make_item("q", {lib.path(), tool.path()}, "another build");
    known(other);
    EXPECT_THAT(events(), ElementsAre("want tool"));
    EXPECT_EQ(fetches.find(q.path())->bytes_total, other.nar.size() + lib.nar.size());
    EXPECT_EQ(fetches.narinfo(q.path())->nar_size(), other.nar.size());
}

TEST_F(FetchesTest, AnIdleItemAsksForRoomAgain) {
    want(lib);
    known(lib);
    EXPECT_THAT(events(), ElementsAre("want lib", "closed lib"));
    fetches.idle(lib.path());
    fetches.idle(lib.path());
    EXPECT_THAT(events(), ElementsAre("closed lib"));
    fetches.idle(tool.path());  // nobody wants it
    EXPECT_THAT(events(), IsEmpty());
}

TEST_F(FetchesTest, WhatIsGivenUpStopsOnlyWhatNobodyElseWants) {
    want(p);
    want(q, bob);
    for (const auto& item : {p, tool, q, lib}) known(item);
    events();
    EXPECT_EQ(fetches.one_who_wants(tool.path()), alice);
    EXPECT_TRUE(fetches.give_up(p.path()));
    EXPECT_THAT(events(), UnorderedElementsAre("unwant p", "unwant tool"));
    EXPECT_EQ(fetches.one_who_wants(lib.path()), bob);
    EXPECT_EQ(fetches.one_who_wants(tool.path()), Requester());
    EXPECT_FALSE(fetches.give_up(p.path()));
    for (const auto& item : {q, lib}) came(item);
    EXPECT_THAT(events(), ElementsAre("complete q"));
}

TEST_F(FetchesTest, WhatIsNotWantedAnyMoreIsIgnored) {
    want(lib);
    fetches.give_up(lib.path());
    EXPECT_THAT(events(), ElementsAre("want lib", "unwant lib"));
    known(lib);
    fetches.soon(lib.path());
    came(lib);
    EXPECT_THAT(events(), IsEmpty());
    EXPECT_EQ(fetches.narinfo(lib.path()), nullptr);
}

TEST_F(FetchesTest, RefusesAClosureOfTooManyItems) {
    std::vector<StorePath> needed;
    for (std::size_t i = 0; i < Fetches::max_items; ++i) needed.push_back(path_of(std::to_string(i)));
    const MadeItem all = make_item("all", needed);
    want(all);
    events();
    known(all);
    const auto seen = events();
    EXPECT_EQ(seen.back(),
              "failed all: cannot fetch '" + all.path().absolute() + "': it claims to need more than 20000 items");
    EXPECT_TRUE(fetches.give_up(all.path()));
    EXPECT_EQ(events().size(), Fetches::max_items + 1);
}

TEST_F(FetchesTest, RefusesAClosureThatTakesTooMuchToDescribe) {
    std::vector<StorePath> needed;
    for (int i = 0; i < 40; ++i) needed.push_back(path_of("part-" + std::to_string(i)));
    const MadeItem all = make_item("all", needed);
    want(all);
    known(all);
    events();
    for (const auto& path : needed) {
        const MadeItem part = make_item(path.name());
        const auto padded = Narinfo::parse(part.narinfo.text() + "Padding: " + std::string(1'000'000, 'x') + "\n");
        ASSERT_THAT(padded, test::IsOk());
        fetches.known(path, std::make_shared<const Narinfo>(*padded));
    }
    EXPECT_THAT(events().front(), HasSubstr("it claims to need narinfos of more than 32.0 MiB"));
}

TEST_F(FetchesTest, AClosureWhoseItemsCannotBeLookedUpFails) {
    broken = true;
    want(p);
    EXPECT_THAT(events(),
                ElementsAre("failed p: cannot fetch '" + p.path().absolute() + "': the catalog cannot be read"));
}

TEST_F(FetchesTest, ADamagedItemIsWantedAgainByWhoCountedIt) {
    for (const auto& item : {lib, tool, p}) have(item);
    want(q);  // needs lib
    want(p);  // is complete, and is being planned
    known(q);
    EXPECT_THAT(events(), ElementsAre("want q", "complete p", "closed q"));
    const ItemRecord damaged = catalog.at(lib.path());
    catalog.erase(lib.path());
    fetches.damaged(damaged);
    EXPECT_THAT(events(), ElementsAre("want lib"));
    EXPECT_FALSE(fetches.planned(p.path()));
    EXPECT_EQ(fetches.find(p.path())->items_done, 2U);
    fetches.damaged(damaged);  // it is on its way already
    EXPECT_THAT(events(), IsEmpty());
    known(lib);
    came(lib);
    EXPECT_THAT(events(), UnorderedElementsAre("closed p", "closed q", "complete p"));
    EXPECT_TRUE(fetches.planned(p.path()));
}

TEST_F(FetchesTest, ARepairIsOfOneItem) {
    fetches.repair(tool.path(), now);
    known(tool);
    EXPECT_THAT(events(), ElementsAre("want tool", "closed tool"));
    fetches.abandon(tool.path(), now);  // nobody has to wait for it
    EXPECT_THAT(fetches.abandoned(now + seconds(100)), IsEmpty());
    came(tool);
    EXPECT_THAT(events(), ElementsAre("repaired tool"));
    EXPECT_EQ(fetches.find(tool.path()), nullptr);
}

TEST_F(FetchesTest, ARepairAndAJobShareOneFetch) {
    fetches.repair(tool.path(), now);
    known(tool);
    events();
    now += seconds(100);
    want(tool, bob);
    EXPECT_THAT(events(), ElementsAre("want lib"));
    EXPECT_EQ(fetches.find(tool.path())->requester, bob);
    EXPECT_EQ(fetches.find(tool.path())->begun, now);
    EXPECT_FALSE(fetches.find(tool.path())->is_repair);
    fetches.repair(tool.path(), now);  // the other way
    EXPECT_FALSE(fetches.find(tool.path())->is_repair);
    known(lib);
    for (const auto& item : {lib, tool}) came(item);
    EXPECT_THAT(events(), ElementsAre("closed tool", "complete tool"));
}

TEST_F(FetchesTest, WhatNobodyWaitsForIsGivenUpAfterAWhile) {
    want(p);
    want(q, bob);
    fetches.abandon(p.path(), now);
    fetches.abandon(q.path(), now);
    fetches.abandon(lib.path(), now);  // there is none
    want(q, bob);                      // somebody comes
    EXPECT_THAT(fetches.abandoned(now + seconds(14)), IsEmpty());
    EXPECT_THAT(fetches.abandoned(now + seconds(15)), ElementsAre(p.path()));
}

TEST_F(FetchesTest, ALimitIsForEachClosure) {
    want(p);
    now += seconds(10);
    want(q, bob);
    EXPECT_THAT(fetches.overdue(start + seconds(1799)), IsEmpty());
    EXPECT_THAT(fetches.overdue(start + seconds(1800)), ElementsAre(p.path()));
    EXPECT_THAT(fetches.overdue(start + seconds(1810)), UnorderedElementsAre(p.path(), q.path()));
}

TEST_F(FetchesTest, OneWhoMayHoldItIsEnough) {
    want(p, alice, false);
    EXPECT_FALSE(fetches.find(p.path())->is_sure);
    want(p, bob, false);
    EXPECT_FALSE(fetches.find(p.path())->is_sure);
    fetches.make_sure(p.path());
    EXPECT_TRUE(fetches.find(p.path())->is_sure);
    want(p, alice, false);
    EXPECT_TRUE(fetches.find(p.path())->is_sure);
}

}  // namespace
}  // namespace senv
