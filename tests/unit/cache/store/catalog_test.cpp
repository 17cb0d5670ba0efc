#include "cache/store/catalog.h"

#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "cache/verify/digest.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using test::path_of;
using test::TempDir;

ItemRecord record(std::string_view name, std::vector<StorePath> references = {}) {
    return {path_of(name), sha256_of(name), 4096, std::move(references), 1234567, false};
}

TEST(Catalog, GivesBackWhatWasAddedAlsoAfterReopening) {
    const TempDir dir;
    const auto item = record("item", {path_of("item"), path_of("lib")});
    {
        auto catalog = Catalog::open(dir / "db");
        ASSERT_THAT(catalog, IsOk());
        ASSERT_THAT(catalog->add(item), IsOk());
    }
    auto catalog = Catalog::open(dir / "db");
    ASSERT_THAT(catalog, IsOk());
    const auto found = catalog->find(item.path);
    ASSERT_THAT(found, IsOk());
    ASSERT_TRUE(*found);
    EXPECT_EQ((*found)->nar_hash, item.nar_hash);
    EXPECT_EQ((*found)->nar_size, 4096U);
    EXPECT_EQ((*found)->references, item.references);
    EXPECT_EQ((*found)->added, 1234567);
    EXPECT_FALSE((*found)->durable);
    EXPECT_FALSE(catalog->find(path_of("lib")).value());
    EXPECT_EQ(catalog->totals()->items, 1U);
    EXPECT_EQ(catalog->totals()->bytes, 4096U);
}

TEST(Catalog, RemovesAndMarks) {
    const TempDir dir;
    auto catalog = Catalog::open(dir / "db");
    ASSERT_THAT(catalog, IsOk());
    for (const auto* name : {"a", "b", "c"}) ASSERT_THAT(catalog->add(record(name)), IsOk());
    const std::vector<StorePath> gone = {path_of("a"), path_of("never-there")};
    ASSERT_THAT(catalog->remove(gone), IsOk());
    const std::vector<StorePath> durable = {path_of("b")};
    ASSERT_THAT(catalog->mark_durable(durable), IsOk());
    std::map<StorePath, bool> left;
    ASSERT_THAT(catalog->for_each([&](const ItemRecord& item) { left[item.path] = item.durable; }), IsOk());
    EXPECT_EQ(left, (std::map<StorePath, bool>{{path_of("b"), true}, {path_of("c"), false}}));
}

TEST(Catalog, WhatIsDamagedIsNotFoundUntilItIsAddedAgain) {
    const TempDir dir;
    const auto item = record("item");
    {
        auto catalog = Catalog::open(dir / "db");
        ASSERT_THAT(catalog, IsOk());
        ASSERT_THAT(catalog->add(item), IsOk());
        ASSERT_THAT(catalog->mark_damaged(item.path), IsOk());
    }
    auto catalog = Catalog::open(dir / "db");
    ASSERT_THAT(catalog, IsOk());
    EXPECT_FALSE(catalog->find(item.path).value());
    ASSERT_TRUE(catalog->row(item.path).value());
    EXPECT_TRUE(catalog->row(item.path).value()->damaged);
    ASSERT_THAT(catalog->add(item), IsOk());
    EXPECT_TRUE(catalog->find(item.path).value());
}

TEST(Catalog, LastUsesOnlyMoveForward) {
    const TempDir dir;
    auto catalog = Catalog::open(dir / "db");
    ASSERT_THAT(catalog, IsOk());
    for (const std::int64_t time : {100, 300, 200}) {
        const ProfileUse use{path_of("p"), time};
        ASSERT_THAT(catalog->record_uses({&use, 1}), IsOk());
    }
    auto profiles = catalog->profiles();
    ASSERT_THAT(profiles, IsOk());
    ASSERT_EQ(profiles->size(), 1U);
    EXPECT_EQ(profiles->front().last_use, 300);
    const std::vector<StorePath> gone = {path_of("p")};
    ASSERT_THAT(catalog->forget_profiles(gone), IsOk());
    EXPECT_TRUE(catalog->profiles()->empty());
}

TEST(Catalog, MapsNoFile) {
    const TempDir dir;
    const auto catalog = Catalog::open(dir / "db");
    ASSERT_THAT(catalog, IsOk());
    EXPECT_TRUE(std::filesystem::exists(dir / "db-wal"));
    EXPECT_FALSE(std::filesystem::exists(dir / "db-shm"));
}

TEST(Catalog, TwoAtOnceDoNotStopEachOther) {
    const TempDir dir;
    auto catalog = Catalog::open(dir / "db");
    auto keeper = Catalog::open(dir / "db");
    ASSERT_THAT(catalog, IsOk());
    ASSERT_THAT(keeper, IsOk());
    ASSERT_THAT(catalog->add(record("a")), IsOk());
    ASSERT_THAT(keeper->checkpoint(), IsOk());
    ASSERT_THAT(catalog->add(record("b")), IsOk());
    ASSERT_THAT(keeper->checkpoint(), IsOk());
    EXPECT_TRUE(keeper->find(path_of("b")).value());
}

TEST(Catalog, KnowsWhatItemsTake) {
    const TempDir dir;
    auto catalog = Catalog::open(dir / "db");
    ASSERT_THAT(catalog, IsOk());
    auto counted = record("counted");
    counted.room = {12'288, 3};
    ASSERT_THAT(catalog->add(counted), IsOk());
    ASSERT_THAT(catalog->add(record("guessed")), IsOk());
    EXPECT_EQ((*catalog->find(counted.path))->room, (Room{12'288, 3}));
    EXPECT_EQ((*catalog->find(path_of("guessed")))->room, guessed_room(4096));
}

TEST(Catalog, ADatabaseOfVersion1IsTakenOver) {
    const TempDir dir;
    sqlite3* db = nullptr;
    ASSERT_EQ(::sqlite3_open((dir / "db").c_str(), &db), SQLITE_OK);
    const std::string sql =
        "CREATE TABLE items (base TEXT PRIMARY KEY, nar_hash BLOB NOT NULL, nar_size INTEGER NOT NULL, refs TEXT NOT NULL,"
        " added INTEGER NOT NULL, durable INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE profiles (base TEXT PRIMARY KEY, last_use INTEGER NOT NULL) WITHOUT ROWID;"
        "PRAGMA user_version = 1;"
        "INSERT INTO items VALUES ('" +
        path_of("a").base() + "', zeroblob(32), 4096, '" + path_of("lib").base() + "', 77, 1);" +
        "INSERT INTO profiles VALUES ('" + path_of("a").base() + "', 78);";
    ASSERT_EQ(::sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    ::sqlite3_close(db);
    for (int round = 0; round < 2; ++round) {
        auto catalog = Catalog::open(dir / "db");
        ASSERT_THAT(catalog, IsOk());
        const auto found = catalog->find(path_of("a"));
        ASSERT_THAT(found, IsOk());
        ASSERT_TRUE(*found);
        EXPECT_EQ((*found)->references, std::vector<StorePath>{path_of("lib")});
        EXPECT_TRUE((*found)->durable);
        EXPECT_EQ((*found)->room, guessed_room(4096));
        EXPECT_EQ(catalog->profiles()->front().last_use, 78);
        ASSERT_THAT(catalog->add(record("b")), IsOk());
    }
}

TEST(Catalog, SaysThatAFileIsNoCatalog) {
    const TempDir dir;
    std::ofstream(dir / "db") << std::string(10000, 'x');
    EXPECT_THAT(Catalog::open(dir / "db"), FailsWith(Kind::corrupt, "cannot open the catalog"));
}

TEST(Catalog, RefusesOneOfANewerRelease) {
    const TempDir dir;
    { ASSERT_THAT(Catalog::open(dir / "db"), IsOk()); }
    // user_version is a big-endian number at offset 60 of a database file.
    {
        auto catalog = Catalog::open(dir / "db");
        ASSERT_THAT(catalog->checkpoint(), IsOk());
    }
    std::fstream file(dir / "db", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(63);
    file.put(9);
    file.close();
    EXPECT_THAT(Catalog::open(dir / "db"), FailsWith(Kind::usage, "newer"));
}

TEST(Catalog, TimesOfAClockThatRanAheadBecomeNow) {
    const TempDir dir;
    auto catalog = Catalog::open(dir / "db");
    ASSERT_THAT(catalog, IsOk());
    const std::vector<ProfileUse> uses = {{path_of("past"), 50}, {path_of("future"), 1'000'000}};
    ASSERT_THAT(catalog->record_uses(uses), IsOk());
    ASSERT_THAT(catalog->leave_the_future(100), IsOk());
    const auto kept = catalog->profiles();
    ASSERT_THAT(kept, IsOk());
    std::map<StorePath, std::int64_t> last;
    for (const auto& use : *kept) last.emplace(use.profile, use.last_use);
    EXPECT_EQ(last.at(path_of("past")), 50);
    EXPECT_EQ(last.at(path_of("future")), 100);
    ASSERT_THAT(catalog->leave_the_future(200), IsOk());
    EXPECT_EQ(catalog->profiles()->size(), 2U);
    const std::vector<ProfileUse> later = {{path_of("future"), 150}};
    ASSERT_THAT(catalog->record_uses(later), IsOk());
    const auto again = catalog->profiles();
    ASSERT_THAT(again, IsOk());
    for (const auto& use : *again) EXPECT_EQ(use.last_use, use.profile == path_of("future") ? 150 : 50);
}

}  // namespace
}  // namespace senv
