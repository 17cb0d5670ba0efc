// An item from a fetcher that somebody took over (hostile_fetcher, see its head) into a real store.
#include "cache/daemon/fetch_item.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "cache/fetch/remote_transport.h"
#include "cache/store/tree_hash.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using test::IsOk;
using test::MadeItem;
using test::make_item;
using test::TempDir;
using testing::HasSubstr;

class FetchItem : public testing::Test {
protected:
    FetchItem() {
        fs::permissions(dir.path(), fs::perms(0755));
        std::ofstream(dir / "nar") << item.nar;
        fs::create_directory(dir / "state");
        Repairs repairs;
        auto vouch = [](const Narinfo&) { return Result<void>(); };
        store.emplace(
            Store::open(StateDir::open(dir / "state", dir / "leases").value(), "boot", vouch, repairs).value());
        start();
    }

    /// Anew: the next fetcher after one that was lost comes later each time.
    void start() {
        sources.reset();
        RemoteConfig config;
        config.limits = {"test", seconds(1), seconds(1)};
        config.program = SENV_HOSTILE_FETCHER;
        sources.emplace(make_remote_sources(config, [](const Renewal&) {}).value());
    }

    FetchResult fetch(const std::string& what) {
        const FetchJob job{
            std::make_shared<const Narinfo>(item.narinfo),
            {"fake:" + what + ":" + (dir / "nar"), Compression::none, item.nar.size(), Clock::now() + seconds(300)},
            std::make_shared<Transfer>()};
        FetchResult result = fetch_item(*store, *sources->nars, job);
        EXPECT_TRUE(fs::is_empty(dir / "state/staging")) << what;
        return result;
    }

    bool is_placed() const { return fs::exists(dir / ("state/store/" + item.path().base())); }
    void expect_as_signed() const {
        const auto found = hash_tree(store->state().store, item.path().base());
        ASSERT_THAT(found, IsOk());
        EXPECT_EQ(found->hash, item.narinfo.nar_hash());
    }

    const TempDir dir;
    const MadeItem item = make_item("item", {}, std::string(4'000'000, 'x'));
    std::optional<Store> store;
    std::optional<RemoteSources> sources;
};

TEST_F(FetchItem, ThatIsGoodIsPlaced) {
    EXPECT_EQ(fetch("good").outcome, Fetched::placed);
    expect_as_signed();
}

TEST_F(FetchItem, WhoseBytesChangeIsPlacedAsSignedOrNotAtAll) {
    for (int i = 0; i < 10 && !is_placed(); ++i) {
        const auto result = fetch("changing");
        EXPECT_EQ(is_placed(), result.outcome == Fetched::placed);
    }
    if (is_placed()) expect_as_signed();
}

TEST_F(FetchItem, OfAFetcherThatLiesIsNotPlaced) {
    for (const char* lie : {"counters", "lengths", "empty", "refusal", "nonsense", "die"}) {
        const auto result = fetch(lie);
        EXPECT_EQ(result.outcome, Fetched::again) << lie;
        EXPECT_THAT(result.error->what(), HasSubstr("senvd's fetcher broke off")) << lie;
        EXPECT_FALSE(is_placed()) << lie;
        start();
    }
    EXPECT_EQ(fetch("short").outcome, Fetched::refused);
    EXPECT_EQ(fetch("flood").outcome, Fetched::refused);  // not a byte more than was signed
    EXPECT_FALSE(is_placed());
    EXPECT_EQ(fetch("good").outcome, Fetched::placed);
    expect_as_signed();
}

}  // namespace
}  // namespace senv
