#include "cache/store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "cache/store/files.h"
#include "cache/store/tree_hash.h"
#include "cache/verify/signature.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using test::FailsWith;
using test::IsOk;
using test::MadeItem;
using test::make_item;
using test::stage;
using test::TempDir;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

Result<void> vouch_for_all(const Narinfo&) {
    return {};
}

class StoreTest : public testing::Test {
protected:
    Store open(const std::string& boot = "boot-1") {
        repairs = {};
        auto store =
            Store::open(StateDir::open(dir.path().string(), dir / "held").value(), boot, vouch_for_all, repairs);
        EXPECT_THAT(store, IsOk());
        return std::move(store).value();
    }

    static void add(Store& store, const MadeItem& item) {
        const Staging staging = stage(store, item);
        ASSERT_THAT(store.place(staging, item.narinfo), IsOk());
        ASSERT_THAT(store.record(item.narinfo, {8192, 2}, 1000), IsOk());
    }

    std::vector<std::string> names(const std::string& folder) const {
        std::vector<std::string> all;
        for (const auto& entry : fs::directory_iterator(dir / folder)) all.push_back(entry.path().filename());
        return all;
    }

    void expect_sound(Store& store) const {
        EXPECT_THAT(names("staging"), IsEmpty());
        std::vector<std::string> recorded;
        ASSERT_THAT(store.catalog().for_each([&](const ItemRecord& item) {
            recorded.push_back(item.path.base());
            const auto found = hash_tree(store.state().store, item.path.base());
            ASSERT_THAT(found, IsOk());
            EXPECT_EQ(found->hash, item.nar_hash);
            struct stat info = {};
            ASSERT_EQ(::lstat((dir / ("store/" + item.path.base())).c_str(), &info), 0);
            EXPECT_EQ(info.st_mode & 07777U, 0555U);
        }),
                    IsOk());
        EXPECT_THAT(names("store"), testing::UnorderedElementsAreArray(recorded));
        EXPECT_THAT(names("narinfo"), testing::UnorderedElementsAreArray(recorded));
    }

    void spoil(const MadeItem& item) const {
        const std::string file = dir / ("store/" + item.path().base() + "/text");
        ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
        ASSERT_EQ(::truncate(file.c_str(), 0), 0);
    }

    const TempDir dir;
    Repairs repairs;
    const MadeItem a = make_item("a");
    const MadeItem b = make_item("b", {a.path()});
};

TEST_F(StoreTest, KeepsWhatWasRecorded) {
    {
        Store store = open();
        add(store, a);
        add(store, b);
        expect_sound(store);
    }
    Store store = open();
    EXPECT_THAT(repairs.removed, IsEmpty());
    EXPECT_EQ(repairs.checked, 0U);
    const auto found = store.catalog().find(b.path());
    ASSERT_THAT(found, IsOk());
    ASSERT_TRUE(*found);
    EXPECT_THAT((*found)->references, ElementsAre(a.path()));
    expect_sound(store);
}

TEST_F(StoreTest, PlansGoWithTheirProfiles) {
    const auto keep_plan = [&](const std::string& name) { std::ofstream(dir / ("plans/" + name)) << "plan"; };
    {
        Store store = open();
        add(store, a);
        add(store, b);
        keep_plan(a.path().base());
        keep_plan(b.path().base());
        ASSERT_THAT(store.evict(std::vector{b.path()}), IsOk());
        EXPECT_THAT(names("plans"), ElementsAre(a.path().base()));
        keep_plan(b.path().base());
        keep_plan(a.path().base() + ".Xy12Zw");
    }
    const Store store = open();
    EXPECT_THAT(names("plans"), ElementsAre(a.path().base()));
}

TEST_F(StoreTest, StagingGoesWithItsOwner) {
    Store store = open();
    {
        const Staging staging = stage(store, a);
        EXPECT_EQ(names("staging").size(), 1U);
    }
    EXPECT_THAT(names("staging"), IsEmpty());
}

// Each of these stops at one point of an item's life, as kill -9 would, and opens the store again.

TEST_F(StoreTest, StoppedWhileUnpacking) {
    {
        const Store store = open();
        fs::create_directories(dir / ("staging/7/" + a.path().base() + "/half"));
        fs::permissions(dir / ("staging/7/" + a.path().base()), fs::perms::owner_read | fs::perms::owner_exec);
    }
    Store store = open();
    expect_sound(store);
}

TEST_F(StoreTest, StoppedWhileTheSessionWasWritten) {
    {
        const Store store = open();
        std::ofstream(dir / "session.Xy12Zw") << "half";
    }
    const Store store = open();
    EXPECT_FALSE(fs::exists(dir / "session.Xy12Zw"));
    EXPECT_TRUE(fs::exists(dir / "session"));
}

TEST_F(StoreTest, StoppedAfterTheNarinfo) {
    {
        const Store store = open();
        std::ofstream(dir / ("narinfo/" + a.path().base())) << a.narinfo.text();
        std::ofstream(dir / ("narinfo/" + a.path().base() + ".Xy12Zw")) << "half";
    }
    Store store = open();
    expect_sound(store);
}

TEST_F(StoreTest, StoppedAfterTheRenameBeforeTheMode) {
    {
        const Store store = open();
        const Staging staging = stage(store, a);
        ASSERT_THAT(store.place(staging, a.narinfo), IsOk());
        fs::permissions(dir / ("store/" + a.path().base()), fs::perms(0755));
    }
    Store store = open();
    EXPECT_THAT(repairs.removed, ElementsAre(a.path().base()));
    expect_sound(store);
    add(store, a);
    expect_sound(store);
}

TEST_F(StoreTest, StoppedBeforeTheRecord) {
    {
        Store store = open();
        add(store, a);
        const Staging staging = stage(store, b);
        ASSERT_THAT(store.place(staging, b.narinfo), IsOk());
    }
    Store store = open();
    EXPECT_THAT(repairs.removed, ElementsAre(b.path().base()));
    EXPECT_TRUE(store.catalog().find(a.path()).value());
    expect_sound(store);
}

TEST_F(StoreTest, StoppedWhileEvicting) {
    {
        Store store = open();
        add(store, a);
        add(store, b);
        const std::vector<StorePath> gone = {a.path()};
        ASSERT_THAT(store.catalog().remove(gone), IsOk());
    }
    Store store = open();
    EXPECT_THAT(names("store"), ElementsAre(b.path().base()));
    expect_sound(store);
}

TEST_F(StoreTest, ARowWithoutItsTreeIsDropped) {
    {
        Store store = open();
        add(store, a);
        ASSERT_THAT(remove_tree(store.state().store, a.path().base()), IsOk());
    }
    Store store = open();
    EXPECT_EQ(store.catalog().totals()->items, 0U);
    expect_sound(store);
}

TEST_F(StoreTest, AnItemWithoutItsNarinfoIsDamagedAndItsTreeStays) {
    {
        Store store = open();
        add(store, a);
        fs::remove(dir / ("narinfo/" + a.path().base()));
    }
    for (const bool is_news : {true, false}) {
        Store store = open();
        EXPECT_EQ(repairs.damaged.size(), is_news ? 1U : 0U);
        EXPECT_TRUE((*store.catalog().row(a.path()))->damaged);
        EXPECT_THAT(names("store"), ElementsAre(a.path().base()));
    }
    Store store = open();
    add(store, a);
    expect_sound(store);
    EXPECT_TRUE(*store.catalog().find(a.path()));
}

TEST_F(StoreTest, ChecksTheNarinfoAsWellAsTheTree) {
    Store store = open();
    add(store, b);
    const ItemRecord record = **store.catalog().find(b.path());
    const std::string file = dir / ("narinfo/" + b.path().base());
    const auto check = [&] { return store.check(record, {}); };
    const auto becomes = [&](std::string_view text) { std::ofstream(file) << text; };
    EXPECT_THAT(check(), IsOk());
    becomes(a.narinfo.text());
    EXPECT_THAT(check(), FailsWith(Kind::corrupt, "its narinfo: it says something else than the signed one"));
    becomes(b.narinfo.signed_text());
    EXPECT_THAT(check(), FailsWith(Kind::corrupt, "its narinfo: it is not signed"));
    const std::string_view other = a.narinfo.text();
    becomes(std::string(b.narinfo.signed_text()) + std::string(other.substr(a.narinfo.signed_text().size())));
    EXPECT_THAT(check(), FailsWith(Kind::corrupt, "its narinfo: the signature is for another text"));
    becomes("");
    EXPECT_THAT(check(), FailsWith(Kind::corrupt, "its narinfo: "));
    fs::remove(file);
    EXPECT_THAT(check(), FailsWith(Kind::missing, "its narinfo: "));
    becomes(b.narinfo.text());
    EXPECT_THAT(check(), IsOk());
    spoil(b);
    EXPECT_THAT(check(), FailsWith(Kind::corrupt, ""));
}

TEST_F(StoreTest, KilledAtAnyTimeItComesBackSound) {
    for (int round = 0; round < 20; ++round) {
        const pid_t child = ::fork();
        if (child == 0) {
            Repairs unused;
            auto store =
                Store::open(StateDir::open(dir.path().string(), dir / "held").value(), "boot-1", vouch_for_all, unused);
            for (int i = 0; store && i < 1000; ++i) {
                const MadeItem item = make_item("item-" + std::to_string(round) + "-" + std::to_string(i));
                if (!store->place(stage(*store, item), item.narinfo)) ::_exit(1);
                if (!store->record(item.narinfo, {8192, 2}, 1000)) ::_exit(1);
                if (i % 3 == 2) {
                    const std::vector<StorePath> gone = {item.path()};
                    if (!store->evict(gone)) ::_exit(1);
                }
            }
            ::_exit(0);
        }
        ::usleep(static_cast<useconds_t>(10'000 + round * 3'000));
        ::kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself, with an error";
        Store store = open();
        expect_sound(store);
    }
}

TEST_F(StoreTest, PlacingOverWhatWasPlacedButNotRecordedReplacesIt) {
    Store store = open();
    ASSERT_THAT(store.place(stage(store, a), a.narinfo), IsOk());
    add(store, a);
    expect_sound(store);
}

TEST_F(StoreTest, PlacingOverADamagedItemSwapsThem) {
    Store store = open();
    add(store, a);
    ASSERT_THAT(store.mark_damaged(a.path()), IsOk());
    EXPECT_FALSE(store.catalog().find(a.path()).value());
    spoil(a);
    {
        const Staging staging = stage(store, a);
        ASSERT_THAT(store.place(staging, a.narinfo), IsOk());
        EXPECT_THAT(names_in(staging.dir()).value(), ElementsAre(a.path().base()));  // the old one
    }
    ASSERT_THAT(store.record(a.narinfo, {8192, 2}, 1000), IsOk());
    EXPECT_TRUE(store.catalog().find(a.path()).value());
    expect_sound(store);
}

TEST_F(StoreTest, EvictedItemsGoAndCanComeBack) {
    Store store = open();
    add(store, a);
    add(store, b);
    const std::vector<StorePath> gone = {a.path()};
    {
        const auto grave = store.evict(gone);
        ASSERT_THAT(grave, IsOk());
        EXPECT_THAT(names("store"), ElementsAre(b.path().base()));
        add(store, a);  // while the old one is still being removed
    }
    expect_sound(store);
    EXPECT_EQ(store.catalog().totals()->items, 2U);
}

// What the disk may not have got.

TEST_F(StoreTest, AfterARebootItemsNotKnownToBeOnTheDiskAreHashed) {
    {
        Store store = open();
        add(store, a);
        add(store, b);
        spoil(a);
    }
    Store store = open("boot-2");
    EXPECT_EQ(repairs.checked, 2U);
    EXPECT_THAT(repairs.removed, ElementsAre(a.path().base()));
    EXPECT_THAT(names("store"), ElementsAre(b.path().base()));
    expect_sound(store);
}

TEST_F(StoreTest, AfterARebootAnItemWhoseNarinfoWasLostIsDropped) {
    {
        Store store = open();
        add(store, a);
        add(store, b);
        fs::resize_file(dir / ("narinfo/" + a.path().base()), 0);
    }
    Store store = open("boot-2");
    EXPECT_THAT(repairs.removed, ElementsAre(a.path().base()));
    expect_sound(store);
}

TEST_F(StoreTest, AfterARebootDurableItemsAreNotHashed) {
    {
        Store store = open();
        add(store, a);
        const std::vector<StorePath> durable = {a.path()};
        ASSERT_THAT(store.catalog().mark_durable(durable), IsOk());
    }
    const Store store = open("boot-2");
    EXPECT_EQ(repairs.checked, 0U);
}

TEST_F(StoreTest, AfterACleanStopNothingIsHashed) {
    {
        Store store = open();
        add(store, a);
        ASSERT_THAT(store.close(), IsOk());
    }
    const Store store = open("boot-2");
    EXPECT_EQ(repairs.checked, 0U);
}

TEST_F(StoreTest, ACleanStopDoesNotSpeakForALaterBoot) {
    { ASSERT_THAT(open("boot-1").close(), IsOk()); }
    {
        Store store = open("boot-2");
        add(store, a);
        spoil(a);
    }
    Store store = open("boot-3");
    EXPECT_THAT(repairs.removed, ElementsAre(a.path().base()));
    expect_sound(store);
}

TEST_F(StoreTest, WithoutASessionEverythingNotDurableIsHashed) {
    {
        Store store = open();
        add(store, a);
    }
    fs::remove(dir / "session");
    const Store store = open();
    EXPECT_EQ(repairs.checked, 1U);
}

// A catalog that is lost.

TEST_F(StoreTest, ALostCatalogIsMadeAnewFromWhatHashesRight) {
    {
        Store store = open();
        add(store, a);
        add(store, b);
        spoil(a);
        ASSERT_THAT(store.close(), IsOk());
    }
    for (const char* name : {"db", "db-wal"}) fs::remove(dir / name);
    Store store = open();
    EXPECT_TRUE(repairs.catalog_rebuilt);
    EXPECT_THAT(names("store"), ElementsAre(b.path().base()));
    const auto found = store.catalog().find(b.path());
    EXPECT_THAT((*found)->references, ElementsAre(a.path()));
    expect_sound(store);
}

TEST_F(StoreTest, ALostCatalogIsNotMadeFromWhatNobodyVouchesFor) {
    {
        Store store = open();
        add(store, a);
    }
    for (const char* name : {"db", "db-wal"}) fs::remove(dir / name);
    auto store = Store::open(
        StateDir::open(dir.path().string(), dir / "held").value(), "boot-1",
        [](const Narinfo&) -> Result<void> { return Error(Kind::untrusted, "unknown key"); }, repairs);
    ASSERT_THAT(store, IsOk());
    EXPECT_THAT(names("store"), IsEmpty());
}

TEST_F(StoreTest, ADamagedCatalogIsMadeAnew) {
    {
        Store store = open();
        add(store, a);
        ASSERT_THAT(store.close(), IsOk());
    }
    std::ofstream(dir / "db") << std::string(8192, 'x');
    Store store = open();
    EXPECT_TRUE(repairs.catalog_rebuilt);
    EXPECT_TRUE(store.catalog().find(a.path()).value());
    expect_sound(store);
}

TEST_F(StoreTest, ACatalogWithDamageThatShowsWhenItIsReadIsMadeAnew) {
    {
        Store store = open();
        add(store, a);
        ASSERT_THAT(store.close(), IsOk());
    }
    const auto size = fs::file_size(dir / "db");
    std::fstream(dir / "db", std::ios::in | std::ios::out).seekp(4096) << std::string(size - 4096, 'x');
    ASSERT_THAT(Catalog::open(dir / "db"), IsOk());
    Store store = open();
    EXPECT_TRUE(repairs.catalog_rebuilt);
    EXPECT_TRUE(store.catalog().find(a.path()).value());
    expect_sound(store);
}

TEST(MoveTree, MovesADirectoryThatItsOwnerMayNotWrite) {
    const TempDir dir;
    fs::create_directories(dir / "from/item");
    fs::create_directories(dir / "to");
    fs::permissions(dir / "from/item", fs::perms(0555));
    const Fd from = open_at(dir.fd(), "from", O_RDONLY | O_DIRECTORY).value();
    const Fd to = open_at(dir.fd(), "to", O_RDONLY | O_DIRECTORY).value();
    ASSERT_THAT(move_tree(from, "item", to, "other"), IsOk());
    EXPECT_TRUE(fs::is_directory(dir / "to/other"));
}

TEST(RemoveTree, FollowsNoLinksAndMindsNoModes) {
    const TempDir dir;
    fs::create_directories(dir / "tree/deep/deeper");
    fs::create_directories(dir / "kept");
    std::ofstream(dir / "kept/file") << "x";
    fs::create_directory_symlink("../../kept", dir / "tree/deep/link");
    fs::permissions(dir / "tree/deep", fs::perms(0555));
    fs::permissions(dir / "tree", fs::perms(0));
    ASSERT_THAT(remove_tree(dir.fd(), "tree"), IsOk());
    EXPECT_FALSE(fs::exists(dir / "tree"));
    EXPECT_TRUE(fs::exists(dir / "kept/file"));
    EXPECT_THAT(remove_tree(dir.fd(), "tree"), IsOk());
}

}  // namespace
}  // namespace senv
