#include "cache/daemon/engine.h"

#include <fcntl.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "cache/daemon/mailbox.h"
#include "cache/store/tree_hash.h"
#include "cache/verify/signature.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using test::MadeItem;
using test::make_item;
using test::path_of;
using test::TempDir;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* first = "http://first";
constexpr const char* second = "http://second";

Refusal refusal(Outcome outcome, const std::string& text, Kind kind = Kind::io) {
    return {outcome, Error(kind, text), std::nullopt};
}

/// Servers made of maps. What is not there is absent.
class FakeServers final : public NarinfoSource, public NarSource {
public:
    void give(const std::string& origin, const MadeItem& item) {
        const std::lock_guard lock(mutex_);
        narinfos_[{origin, item.path()}] = {item.narinfo.text()};
        nars_[origin + "/nar/" + item.path().base()] = item.nar;
    }
    /// Adds so many bytes to the narinfo, which say nothing.
    void pad(const std::string& origin, const MadeItem& item, std::size_t bytes) {
        const std::lock_guard lock(mutex_);
        narinfos_[{origin, item.path()}] = item.narinfo.text() + "Padding: " + std::string(bytes, 'x') + "\n";
    }
    /// The narinfo without its signature, perhaps of other contents; the nar as it is.
    void claim(const std::string& origin, const MadeItem& item, const MadeItem& contents) {
        give(origin, item);
        std::string text(contents.narinfo.signed_text());
        text += "URL: nar/" + item.path().base() + "\nCompression: none\n";
        const std::lock_guard lock(mutex_);
        narinfos_[{origin, item.path()}] = text;
    }
    void put(const std::string& url, std::string nar) {
        const std::lock_guard lock(mutex_);
        nars_[url] = std::move(nar);
    }
    void refuse_nar(const std::string& url, std::vector<Refusal> refusals) {
        const std::lock_guard lock(mutex_);
        nar_refusals_[url] = std::move(refusals);
    }
    /// The answers before the lasting one.
    void refuse_first(const std::string& origin, const StorePath& item, std::vector<Refusal> refusals) {
        const std::lock_guard lock(mutex_);
        refusals_[{origin, item}] = std::move(refusals);
    }
    void spoil(const std::string& origin, const StorePath& item, std::string nar) {
        const std::lock_guard lock(mutex_);
        nars_[origin + "/nar/" + item.base()] = std::move(nar);
    }
    /// Transfers of this item wait until release() or until they are stopped.
    void hold(const StorePath& item) {
        const std::lock_guard lock(mutex_);
        held_.insert(item.base());
    }
    void release() {
        {
            const std::lock_guard lock(mutex_);
            held_.clear();
        }
        changed_.notify_all();
    }
    std::size_t asked(const std::string& what) {
        const std::lock_guard lock(mutex_);
        return requests_[what];
    }
    void await_transfer(const StorePath& item) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return transfers_.contains(item.base()); });
    }

    void ask(const std::string& origin, const StorePath& item, std::function<void(NarinfoAnswer)> answer) override {
        NarinfoAnswer reply = refusal(Outcome::absent, origin + ": does not have it", Kind::missing);
        {
            const std::lock_guard lock(mutex_);
            ++requests_["narinfo " + item.base()];
            ++requests_[origin + " narinfo " + item.base()];
            auto& refusals = refusals_[{origin, item}];
            const auto found = narinfos_.find({origin, item});
            if (!refusals.empty()) {
                reply = refusals.front();
                refusals.erase(refusals.begin());
            } else if (found != narinfos_.end()) {
                reply = found->second;
            }
        }
        answer(std::move(reply));
    }

    std::optional<Refusal> fetch(const NarRequest& request, const ByteSink& sink, std::stop_token stop) override {
        const std::string base = request.url.substr(request.url.rfind('/') + 1);
        std::string nar;
        {
            std::unique_lock lock(mutex_);
            ++requests_["nar " + base];
            ++requests_[request.url];
            transfers_.insert(base);
            changed_.notify_all();
            changed_.wait(lock, stop, [&] { return !held_.contains(base); });
            if (stop.stop_requested()) return refusal(Outcome::stopped, "stopped");
            if (auto& refusals = nar_refusals_[request.url]; !refusals.empty()) {
                const Refusal now = refusals.front();
                refusals.erase(refusals.begin());
                return now;
            }
            const auto found = nars_.find(request.url);
            if (found == nars_.end())
                return refusal(Outcome::absent, request.url + ": does not have it", Kind::missing);
            nar = found->second;
        }
        for (std::size_t at = 0; at < nar.size(); at += 100) {
            const std::string_view piece = std::string_view(nar).substr(at, 100);
            if (auto taken = sink(std::as_bytes(std::span(piece))); !taken) {
                return Refusal{Outcome::stopped, taken.error(), std::nullopt};
            }
        }
        return std::nullopt;
    }

private:
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::map<std::pair<std::string, StorePath>, std::string> narinfos_;
    std::map<std::pair<std::string, StorePath>, std::vector<Refusal>> refusals_;
    std::map<std::string, std::string> nars_;
    std::map<std::string, std::vector<Refusal>> nar_refusals_;
    std::map<std::string, std::size_t> requests_;
    std::set<std::string> held_;
    std::set<std::string> transfers_;
};

struct Seen {
    std::string what;  // "pending", "complete", "failed", "answer", "lease", "refused"
    std::optional<StorePath> profile;
    std::string text;
    std::shared_ptr<Fd> lease{};
};

class EngineTest : public testing::Test {
protected:
    static void SetUpTestSuite() { ASSERT_THAT(init_signatures(), test::IsOk()); }

    void SetUp() override {
        config.origins = {first, second};
        config.grace = seconds(0);
        config.downloads = 4;
        acl = std::make_unique<AclFile>(test::write_acl(dir.path().string()));
        fs::create_directory(dir / "state");
        start();
    }

    void start() {
        engine.reset();
        Repairs repairs;
        auto store = Store::open(
            StateDir::open(dir / "state", dir / "leases").value(), "boot",
            [](const Narinfo&) -> Result<void> { return {}; }, repairs);
        ASSERT_THAT(store, test::IsOk());
        leases = &store->leases();
        const Planner planner = [this](const std::string&, const StorePath& profile,
                                       const std::stop_token&) -> Result<wire::Plan> {
            ++plans;
            if (profile.name() == "no-profile") return Error(Kind::corrupt, "it has no manifest");
            return wire::Plan{profile.absolute(), {}};
        };
        engine = std::make_unique<Engine>(
            config, "test", *std::move(store), *acl, servers, servers, planner, board, metrics,
            EngineEvents{[this](const StorePath& profile) {
                             seen.push({"pending", profile, ""});
                         },
                         [this](const StorePath& profile, const Board::PlanFrame&) {
                             seen.push({"complete", profile, ""});
                         },
                         [this](const StorePath& profile, const Error& error) {
                             seen.push({"failed", profile, error.what() + "|" + error.hint()});
                         },
                         [this](std::uint64_t, std::string frame) {
                             seen.push({"answer", std::nullopt, std::move(frame)});
                         },
                         [this](std::uint64_t, Fd lease) {
                             seen.push({"lease", std::nullopt, "", std::make_shared<Fd>(std::move(lease))});
                         },
                         [this](std::uint64_t, const Error& error) {
                             seen.push({"refused", std::nullopt, error.what() + "|" + error.hint()});
                         },
                         [](std::uint64_t, const wire::Progress&) {}});
    }

    /// The next event that is not "pending".
    Seen next() {
        for (;;) {
            auto event = seen.pop(std::stop_token(), Clock::now() + seconds(30));
            if (!event) {
                ADD_FAILURE() << "nothing happened";
                return {};
            }
            if (event->what != "pending") return *std::move(event);
        }
    }
    void expect_complete(const MadeItem& profile) {
        engine->provision(profile.path(), {});
        const auto event = next();
        EXPECT_EQ(event.what, "complete") << event.text;
    }
    std::string expect_failed(const StorePath& profile) {
        engine->provision(profile, {});
        const auto event = next();
        EXPECT_EQ(event.what, "failed");
        return event.text;
    }
    bool in_store(const MadeItem& item) const { return fs::exists(dir / ("state/store/" + item.path().base())); }
    std::string pin(const MadeItem& profile, bool pinned = true) {
        engine->pin(1, profile.path(), pinned);
        return next().text.substr(8);
    }
    static void await(const std::function<bool()>& is_true) {
        const auto end = Clock::now() + seconds(30);
        while (!is_true() && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        EXPECT_TRUE(is_true());
    }
    void await_gone(const MadeItem& item) const {
        await([&] { return !in_store(item); });
    }
    /// A figure by its name and labels.
    std::string figure(const std::string& series) const {
        const std::string text = "\n" + metrics.text();
        const auto begin = text.find("\n" + series + " ");
        if (begin == std::string::npos) return "none";
        const auto value = begin + series.size() + 2;
        return text.substr(value, text.find('\n', value) - value);
    }
    std::string list(const std::optional<StorePath>& after = {}) {
        engine->list(1, after);
        return next().text.substr(12);
    }
    std::string collect(bool dry_run = false) {
        engine->collect(1, dry_run);
        return next().text.substr(12);  // the frame's header and the text's length
    }
    std::string verify(bool repair = true, const std::vector<StorePath>& roots = {}) {
        engine->verify(1, roots, repair);
        return next().text.substr(12);
    }
    /// Another byte in its file.
    void spoil(const MadeItem& item) const {
        const std::string file = dir / ("state/store/" + item.path().base() + "/text");
        fs::permissions(file, fs::perms(0644));
        std::ofstream(file) << "TEXT";
        fs::permissions(file, fs::perms(0444));
    }
    bool is_whole(const MadeItem& item) const {
        const Fd store = open_file(dir / "state/store", O_RDONLY | O_DIRECTORY).value();
        const auto found = hash_tree(store, item.path().base());
        return found && found->hash == item.narinfo.nar_hash();
    }

    const MadeItem lib = make_item("lib");
    const MadeItem tool = make_item("tool", {lib.path(), path_of("tool")});
    const MadeItem p = make_item("p-profile", {tool.path()});
    const MadeItem q = make_item("q-profile", {lib.path()});

    const TempDir dir;
    ServerConfig config;
    FakeServers servers;
    Board board;
    Metrics metrics{"test", 0, {first, second}};
    std::unique_ptr<AclFile> acl;
    std::atomic<int> plans = 0;
    Mailbox<Seen> seen;
    Leases* leases = nullptr;  // of the engine
    std::unique_ptr<Engine> engine;
};

TEST_F(EngineTest, FetchesAClosureAndMakesItsPlanOnce) {
    for (const auto& item : {lib, tool, p}) servers.give(first, item);
    expect_complete(p);
    EXPECT_NE(board.use(p.path(), 1), nullptr);
    expect_complete(p);
    EXPECT_EQ(plans, 1);
    EXPECT_EQ(servers.asked("nar " + lib.path().base()), 1U);
    EXPECT_TRUE(in_store(lib));
}

TEST_F(EngineTest, KnowsAfterARestartWhatIsComplete) {
    for (const auto& item : {lib, tool, p}) servers.give(first, item);
    expect_complete(p);
    board.retire(std::vector<StorePath>{p.path()}, board.moment());
    start();
    expect_complete(p);
    EXPECT_EQ(servers.asked("narinfo " + p.path().base()), 1U);
}

TEST_F(EngineTest, ItemsThatTwoClosuresShareAreFetchedOnce) {
    for (const auto& item : {lib, tool, p, q}) servers.give(first, item);
    servers.hold(lib.path());
    engine->provision(p.path(), {});
    engine->provision(q.path(), {});
    engine->provision(p.path(), {});
    servers.await_transfer(lib.path());
    servers.release();
    std::multiset<std::string> done;
    for (int i = 0; i < 2; ++i) done.insert(next().what);
    EXPECT_EQ(done, (std::multiset<std::string>{"complete", "complete"}));
    EXPECT_EQ(servers.asked("narinfo " + lib.path().base()), 1U);
    EXPECT_EQ(servers.asked("nar " + lib.path().base()), 1U);
}

TEST_F(EngineTest, ItemsMayBeOnDifferentServers) {
    servers.give(first, p);
    servers.give(second, tool);
    servers.give(first, lib);
    expect_complete(p);
}

TEST_F(EngineTest, ANarThatIsNotAsSignedComesFromTheNextServer) {
    for (const auto* origin : {first, second}) servers.give(origin, lib);
    servers.give(first, q);
    std::string altered = lib.nar;
    altered[altered.find("text", altered.find("contents"))] = 'T';
    servers.spoil(first, lib.path(), altered);
    expect_complete(q);
    EXPECT_EQ(servers.asked("nar " + lib.path().base()), 2U);
}

TEST_F(EngineTest, SaysWhatEachServerDid) {
    servers.give(first, q);
    servers.give(first, lib);
    servers.spoil(first, lib.path(), lib.nar.substr(0, 200));
    const auto text = expect_failed(q.path());
    EXPECT_THAT(text, HasSubstr("cannot fetch '" + lib.path().absolute() + "', which '" + q.path().absolute() +
                                "' needs: http://first/nar/" + lib.path().base() + ": its nar is damaged"));
    EXPECT_THAT(text, HasSubstr("; http://second: does not have it|ask the administrator to look at that server"));
    EXPECT_FALSE(in_store(lib));
    await([&] { return fs::is_empty(dir / "state/staging"); });  // the other item's transfer may have yet to end
}

TEST_F(EngineTest, NothingIsFetchedWhenAnItemIsOnNoServer) {
    servers.give(first, tool);
    servers.give(first, p);
    const auto text = expect_failed(p.path());
    EXPECT_THAT(text, HasSubstr("cannot fetch '" + lib.path().absolute() + "'"));
    EXPECT_EQ(servers.asked("nar " + tool.path().base()), 0U);
}

TEST_F(EngineTest, FailuresThatMayPassAreTriedAgainOthersAreNot) {
    for (const auto& item : {lib, q}) servers.give(first, item);
    servers.refuse_first(first, q.path(), {refusal(Outcome::again, "reset"), refusal(Outcome::unreachable, "refused")});
    servers.refuse_first(first, lib.path(), {refusal(Outcome::soon, "baking")});
    expect_complete(q);
    EXPECT_EQ(servers.asked("narinfo " + q.path().base()), 3U);
    EXPECT_EQ(servers.asked("narinfo " + lib.path().base()), 3U);  // first, second, and first again
}

TEST_F(EngineTest, AMirrorThatNobodySignsForGivesTheBytesOfWhatIsSignedElsewhere) {
    for (const auto& item : {lib, q}) {
        servers.claim(first, item, item);
        servers.give(second, item);
    }
    expect_complete(q);
    EXPECT_EQ(servers.asked("http://first/nar/" + lib.path().base()), 1U);
    EXPECT_EQ(servers.asked("http://second/nar/" + lib.path().base()), 0U);
    EXPECT_EQ(servers.asked("narinfo " + lib.path().base()), 2U);
}

TEST_F(EngineTest, WhatNobodySignsForIsNotFetched) {
    servers.claim(first, lib, lib);
    EXPECT_THAT(expect_failed(lib.path()),
                AllOf(HasSubstr("http://first: cannot trust the narinfo"), HasSubstr("it is not signed"),
                      HasSubstr("http://second: does not have it"), HasSubstr("|ask the administrator which keys")));
    EXPECT_EQ(servers.asked("nar " + lib.path().base()), 0U);
}

TEST_F(EngineTest, AMirrorWithDamagedBytesGivesWayToTheSigner) {
    servers.claim(first, lib, lib);
    servers.claim(first, q, q);
    servers.spoil(first, lib.path(), "nonsense");
    servers.give(second, lib);
    servers.give(second, q);
    expect_complete(q);
    EXPECT_EQ(servers.asked("http://second/nar/" + lib.path().base()), 1U);
    EXPECT_EQ(servers.asked("narinfo " + lib.path().base()), 2U);
}

TEST_F(EngineTest, AMountedStoreGivesBytesAndIsNeverAsked) {
    const std::string mounted = "store:///mnt/store";
    config.origins = {mounted, first};
    start();
    for (const auto& item : {lib, q}) servers.give(first, item);
    servers.put(mounted + "//" + lib.path().base(), lib.nar);
    servers.put(mounted + "//" + q.path().base(), "nonsense");
    expect_complete(q);
    EXPECT_EQ(servers.asked("http://first/nar/" + lib.path().base()), 0U);
    EXPECT_EQ(servers.asked("http://first/nar/" + q.path().base()), 1U);
    EXPECT_EQ(servers.asked(mounted + " narinfo " + lib.path().base()), 0U);
}

TEST_F(EngineTest, AMountedStoreComesAtItsPlace) {
    const std::string mounted = "store:///mnt/store";
    config.origins = {first, mounted, second};
    start();
    for (const auto& item : {lib, q}) servers.give(first, item);
    servers.spoil(first, lib.path(), "nonsense");
    servers.put(mounted + "//" + lib.path().base(), lib.nar);
    expect_complete(q);
    EXPECT_EQ(servers.asked(mounted + "//" + q.path().base()), 0U);
    EXPECT_EQ(servers.asked("http://second narinfo " + lib.path().base()), 0U);
}

TEST_F(EngineTest, AnotherBuildOfTheItemIsTakenWhenTheFirstCannotBeHad) {
    const MadeItem other = make_item("q-profile", {lib.path(), tool.path()}, "another build");
    servers.give(first, q);
    servers.spoil(first, q.path(), "nonsense");
    servers.give(second, other);
    for (const auto& item : {lib, tool}) servers.give(second, item);
    expect_complete(other);
    EXPECT_TRUE(in_store(tool));
}

TEST_F(EngineTest, ANarThatIsAbsentIsTakenElsewhere) {
    for (const auto* origin : {first, second}) {
        for (const auto& item : {lib, q}) servers.give(origin, item);
    }
    servers.refuse_nar("http://first/nar/" + lib.path().base(), {refusal(Outcome::absent, "collected", Kind::missing)});
    expect_complete(q);
    EXPECT_EQ(servers.asked("http://first/nar/" + lib.path().base()), 1U);
    EXPECT_EQ(servers.asked("http://second/nar/" + lib.path().base()), 1U);
}

TEST_F(EngineTest, WhatWaitsForAServerThatWentDownIsTakenElsewhere) {
    config.downloads = 1;
    start();
    std::vector<StorePath> needed;
    const auto refused = refusal(Outcome::unreachable, "http://first: connection refused");
    for (int i = 0; i < 20; ++i) {
        const MadeItem item = make_item("part-" + std::to_string(i));
        needed.push_back(item.path());
        for (const auto* origin : {first, second}) servers.give(origin, item);
        servers.refuse_nar("http://first/nar/" + item.path().base(), std::vector<Refusal>(100, refused));
    }
    const MadeItem all = make_item("all-profile", needed);
    for (const auto* origin : {first, second}) servers.give(origin, all);
    expect_complete(all);
}

TEST_F(EngineTest, AClosureThatFailsStopsOnlyWhatNobodyElseWants) {
    const MadeItem big = make_item("big", {}, std::string(1000, 'x'));
    const MadeItem bad = make_item("bad");
    const MadeItem r = make_item("r-profile", {big.path(), bad.path(), lib.path()});
    for (const auto& item : {lib, big, bad, q, r}) servers.give(first, item);
    servers.spoil(first, bad.path(), "nonsense");
    for (const auto& item : {big, lib, bad}) servers.hold(item.path());
    engine->provision(r.path(), {});
    engine->provision(q.path(), {});
    for (const auto& item : {big, lib, bad}) servers.await_transfer(item.path());
    servers.release();
    std::map<StorePath, std::string> done;
    for (int i = 0; i < 2; ++i) {
        const auto event = next();
        done[*event.profile] = event.what;
    }
    EXPECT_EQ(done[r.path()], "failed");
    EXPECT_EQ(done[q.path()], "complete");
}

TEST_F(EngineTest, AnItemGivenUpAndWantedAgainIsFetchedAgain) {
    const MadeItem bad = make_item("bad");
    const MadeItem r = make_item("r-profile", {bad.path(), lib.path()});
    for (const auto& item : {lib, bad, q, r}) servers.give(first, item);
    servers.spoil(first, bad.path(), "nonsense");
    servers.hold(lib.path());
    for (int round = 0; round < 20; ++round) {
        engine->provision(r.path(), {});
        EXPECT_EQ(next().what, "failed");  // while lib is being given up,
    }
    engine->provision(q.path(), {});  // it is wanted again
    servers.release();
    const auto event = next();
    EXPECT_EQ(event.what, "complete") << event.text;
}

TEST_F(EngineTest, RefusesAClosureOfTooManyItems) {
    std::vector<StorePath> needed;
    for (int i = 0; i < 20'000; ++i) needed.push_back(path_of(std::to_string(i)));
    const MadeItem all = make_item("all-profile", needed);
    servers.give(first, all);
    EXPECT_THAT(expect_failed(all.path()), HasSubstr("it claims to need more than 20000 items"));
    for (const auto& item : {lib, q}) servers.give(first, item);
    expect_complete(q);
}

TEST_F(EngineTest, ManyLargeNarinfosTakeTurns) {
    std::vector<StorePath> needed;
    for (int i = 0; i < 30; ++i) {
        const MadeItem part = make_item("part-" + std::to_string(i));
        servers.give(first, part);
        servers.pad(first, part, 1'000'000);
        needed.push_back(part.path());
    }
    const MadeItem all = make_item("all-profile", needed);
    servers.give(first, all);
    expect_complete(all);
    for (const auto& part : needed) EXPECT_EQ(servers.asked("http://second narinfo " + part.base()), 0U);
}

TEST_F(EngineTest, WhatIsNoProfileIsSaidButStays) {
    const MadeItem no = make_item("no-profile");
    servers.give(first, no);
    EXPECT_THAT(expect_failed(no.path()), HasSubstr("cannot use '" + no.path().absolute() + "': it has no manifest"));
    EXPECT_TRUE(in_store(no));
}

TEST_F(EngineTest, StoppingEndsTransfersAndLeavesNoStaging) {
    for (const auto& item : {lib, q}) servers.give(first, item);
    servers.hold(lib.path());
    engine->provision(q.path(), {});
    servers.await_transfer(lib.path());
    engine.reset();
    EXPECT_TRUE(fs::is_empty(dir / "state/staging"));
    servers.release();
    start();
    expect_complete(q);
}

TEST_F(EngineTest, CountsWhatCameFromWhereAndWhatDidNot) {
    const auto of = [](const char* what, const std::string& origin, const std::string& outcome = "") {
        return "senvd_" + std::string(what) + "{origin=\"" + origin + "\"" +
               (outcome.empty() ? "" : ",outcome=\"" + outcome + "\"") + "}";
    };
    // The first server lacks p, and has another lib than was signed; so lib and p come from the second, tool from the first.
    for (const auto& item : {lib, tool}) servers.give(first, item);
    for (const auto& item : {lib, tool, p}) servers.give(second, item);
    std::string altered = lib.nar;
    altered[altered.find("text", altered.find("contents"))] = 'T';
    servers.spoil(first, lib.path(), altered);
    expect_complete(p);
    EXPECT_EQ(figure(of("narinfo_requests_total", first, "absent")), "1");
    EXPECT_EQ(figure(of("narinfo_requests_total", first, "found")), "2");
    EXPECT_EQ(figure(of("narinfo_requests_total", second, "found")), "2");
    EXPECT_EQ(figure(of("nar_failures_total", first, "refused")), "1");
    EXPECT_EQ(figure(of("nar_failures_total", second, "refused")), "0");
    EXPECT_EQ(figure(of("fetched_items_total", first)), "1");
    EXPECT_EQ(figure(of("fetched_items_total", second)), "2");
    EXPECT_EQ(figure(of("fetched_nar_bytes_total", first)), std::to_string(tool.nar.size()));
    EXPECT_EQ(figure(of("fetched_nar_bytes_total", second)), std::to_string(lib.nar.size() + p.nar.size()));
    EXPECT_EQ(figure("senvd_item_fetch_seconds_count"), "3");
    EXPECT_EQ(figure("senvd_fetch_seconds_count"), "1");

    // What is there already is no fetch, and what is nowhere is a failed one.
    board.retire(std::vector<StorePath>{p.path()}, board.moment());
    expect_complete(p);
    EXPECT_EQ(figure("senvd_fetch_seconds_count"), "1");
    expect_failed(q.path());
    EXPECT_EQ(figure("senvd_fetch_failures_total{kind=\"missing\"}"), "1");
    EXPECT_EQ(figure(of("narinfo_requests_total", first, "absent")), "2");
    EXPECT_EQ(figure(of("narinfo_requests_total", second, "absent")), "1");

    collect();
    EXPECT_EQ(figure("senvd_evicted_items_total"), "3");
    EXPECT_EQ(figure("senvd_evicted_nar_bytes_total"), std::to_string(lib.nar.size() + tool.nar.size() + p.nar.size()));
    engine.reset();
    EXPECT_EQ(figure("senvd_store_items"), "0");
    EXPECT_EQ(figure("senvd_profiles"), "0");
}

TEST_F(EngineTest, CountsWhatIsInTheStoreWhileItRuns) {
    for (const auto& item : {lib, tool, p}) servers.give(first, item);
    expect_complete(p);
    engine.reset();
    config.metrics_file = "/nobody/writes/it/here.prom";
    metrics.stored({});
    start();
    await([&] { return figure("senvd_store_items") == "3"; });
    EXPECT_EQ(figure("senvd_profiles"), "1");
}

TEST_F(EngineTest, EvictsWhatNobodyNeeds) {
    for (const auto& item : {lib, tool, p, q}) servers.give(first, item);
    expect_complete(p);
    expect_complete(q);
    auto held = leases->take({q.path(), 1, 12, 0});
    EXPECT_THAT(collect(true), HasSubstr("\"dry_run\":true,\"evicted\":[\"" + p.path().absolute() + "\"],\"items\":2"));
    EXPECT_TRUE(in_store(p));
    EXPECT_THAT(collect(), HasSubstr("\"kept\":[{\"profile\":\"" + q.path().absolute() +
                                     "\",\"why\":\"leased by job 12 step 0\",\"disk_bytes\":24576}]"));
    EXPECT_FALSE(in_store(p));
    EXPECT_FALSE(in_store(tool));
    EXPECT_TRUE(in_store(lib));
    EXPECT_EQ(board.use(p.path(), 1), nullptr);
    EXPECT_NE(board.use(q.path(), 1), nullptr);
    expect_complete(p);
    held->fd.reset();
    EXPECT_THAT(collect(), HasSubstr("\"items\":4"));
    EXPECT_TRUE(fs::is_empty(dir / "state/store"));
    EXPECT_TRUE(fs::is_empty(dir / "state/narinfo"));
}

TEST_F(EngineTest, EvictingDuringAFetchKeepsWhatItNeeds) {
    for (const auto& item : {lib, tool, p, q}) servers.give(first, item);
    expect_complete(q);
    servers.hold(tool.path());
    engine->provision(p.path(), {});
    servers.await_transfer(tool.path());
    const auto text = collect();
    EXPECT_THAT(text, HasSubstr("being fetched"));
    EXPECT_FALSE(in_store(q));
    EXPECT_TRUE(in_store(lib));
    servers.release();
    EXPECT_EQ(next().what, "complete");
    EXPECT_EQ(servers.asked("nar " + lib.path().base()), 1U);
}

TEST_F(EngineTest, AboveTheHighMarkItGoesDownToTheLowMark) {
    // Each item takes three inodes and 12 KiB: a folder, a file, its narinfo.
    const std::vector<MadeItem> items = {make_item("a"), make_item("b"), make_item("c"), make_item("d")};
    engine.reset();  // its thread reads the configuration
    config.high_water = {99, 40 * 1024};
    config.low_water = {98, 24 * 1024};
    start();
    for (const auto& item : items) {
        servers.give(first, item);
        expect_complete(item);
    }
    await([&] { return std::ranges::count_if(items, [&](const auto& item) { return in_store(item); }) == 2; });
    for (const auto& item : items) EXPECT_EQ(board.use(item.path(), 1) != nullptr, in_store(item));
}

TEST_F(EngineTest, WhatCannotFitIsRefusedBeforeItIsFetched) {
    const MadeItem huge = make_item("huge", {}, "text", std::uint64_t{1} << 60U);
    const MadeItem r = make_item("r-profile", {huge.path(), lib.path()});
    for (const auto& item : {lib, huge, r, q}) servers.give(first, item);
    expect_complete(q);
    ASSERT_THAT(pin(q), HasSubstr("\"pinned\":true"));
    const auto text = expect_failed(r.path());
    EXPECT_THAT(
        text, HasSubstr("cannot fetch '" + r.path().absolute() + "': it needs 1088.0 PiB more on this node's disk; "));
    EXPECT_THAT(text, HasSubstr("held are 24.0 KiB '" + q.path().absolute() + "' (pinned)|try again when"));
    EXPECT_EQ(servers.asked("nar " + r.path().base()), 0U);
    EXPECT_EQ(servers.asked("nar " + huge.path().base()), 0U);
    EXPECT_TRUE(in_store(q));
    EXPECT_THAT(expect_failed(r.path()), HasSubstr("it needs"));  // and nothing is left of it
}

TEST_F(EngineTest, WhatCannotFitTakesNothingWithIt) {
    const MadeItem huge = make_item("huge", {}, "text", std::uint64_t{1} << 60U);
    const MadeItem r = make_item("r-profile", {huge.path(), lib.path()});
    for (const auto& item : {lib, huge, r, p, tool, q}) servers.give(first, item);
    expect_complete(p);
    servers.hold(lib.path());
    EXPECT_THAT(expect_failed(r.path()), HasSubstr("it needs"));
    EXPECT_TRUE(in_store(p));  // could have gone, but that would not have been enough
    servers.release();
    expect_complete(q);
}

TEST_F(EngineTest, PinsKeepUntilTheyAreTakenBack) {
    for (const auto& item : {lib, tool, p, q}) servers.give(first, item);
    EXPECT_THAT(pin(p), HasSubstr("cannot pin '" + p.path().absolute() + "': it is not complete on this node"));
    expect_complete(p);
    expect_complete(q);
    EXPECT_THAT(pin(p), HasSubstr("\"pinned\":true"));
    start();
    EXPECT_THAT(collect(), HasSubstr("\"kept\":[{\"profile\":\"" + p.path().absolute() + "\",\"why\":\"pinned\""));
    EXPECT_TRUE(in_store(lib));
    EXPECT_FALSE(in_store(q));
    EXPECT_THAT(pin(q, false), HasSubstr("it is not pinned here"));
    EXPECT_THAT(pin(p, false), HasSubstr("\"pinned\":false"));
    EXPECT_THAT(collect(), HasSubstr("\"items\":3"));
    EXPECT_TRUE(fs::is_empty(dir / "state/store"));
}

class UserLeasedTest : public EngineTest {
protected:
    void SetUp() override {
        EngineTest::SetUp();
        engine.reset();                             // its thread reads the configuration
        config.user_leased = Mark{100, 20 * 1024};  // one of these takes 12 KiB, and is guessed at 17 before it is here
        start();
        for (const auto& item : {a, b}) servers.give(first, item);
    }
    std::shared_ptr<Fd> expect_leased(const MadeItem& profile, std::uint32_t uid) {
        engine->provision(profile.path(), {uid, 1, 0}, LeaseFor{1});
        auto event = next();
        EXPECT_EQ(event.what, "lease") << event.text;
        EXPECT_EQ(next().what, "complete");
        return event.lease;
    }
    std::size_t live_leases() const { return leases->live().size(); }

    const MadeItem a = make_item("a-profile");
    const MadeItem b = make_item("b-profile");
};

TEST_F(UserLeasedTest, WhatIsHereIsRefusedBeforeThereIsALease) {
    const auto other = expect_leased(b, 1001);
    auto held = expect_leased(a, 1000);
    engine->provision(b.path(), {1000, 2, 0}, LeaseFor{2});
    EXPECT_THAT(next().text,
                HasSubstr("cannot hold '" + b.path().absolute() +
                          "' for uid 1000: it takes 12.0 KiB, what else this user's jobs hold on this node "
                          "12.0 KiB, and the limit for one user is 20.0 KiB|try again when"));
    EXPECT_EQ(live_leases(), 2U);
    const auto again = expect_leased(a, 1000);  // that is counted once
    held.reset();
    start();
    engine->provision(b.path(), {1000, 2, 0}, LeaseFor{2});
    EXPECT_EQ(next().what, "refused");
    again->reset();
    expect_leased(b, 1000);
}

TEST_F(UserLeasedTest, WhatIsToComeIsRefusedWhenItsSizeIsKnownAndItsLeaseIsVoid) {
    const auto held = expect_leased(a, 1000);
    engine->provision(b.path(), {1000, 2, 0}, LeaseFor{2});
    const auto lease = next();
    EXPECT_EQ(lease.what, "lease");
    EXPECT_THAT(next().text, HasSubstr("cannot hold '" + b.path().absolute() + "' for uid 1000: it takes 16."));
    EXPECT_EQ(live_leases(), 1U);
    engine->status(1);
    EXPECT_THAT(next().text, HasSubstr("\"fetches\":[]"));
    EXPECT_EQ(servers.asked("nar " + b.path().base()), 0U);
}

TEST_F(UserLeasedTest, WhoMayHoldItGetsItAlsoWhenAnotherMayNot) {
    const auto held = expect_leased(a, 1000);
    servers.hold(b.path());
    engine->provision(b.path(), {1001, 3, 0}, LeaseFor{3});
    EXPECT_EQ(next().what, "lease");
    servers.await_transfer(b.path());
    engine->provision(b.path(), {1000, 2, 0}, LeaseFor{2});
    EXPECT_EQ(next().what, "refused");
    servers.release();
    EXPECT_EQ(next().what, "complete");
}

TEST_F(UserLeasedTest, ALeaseForWhatCannotBeHadIsVoid) {
    engine->provision(q.path(), {1000, 2, 0}, LeaseFor{2});
    const auto lease = next();
    EXPECT_EQ(lease.what, "lease");
    EXPECT_EQ(next().what, "failed");
    EXPECT_EQ(live_leases(), 0U);
}

TEST_F(EngineTest, ListsPagesOfProfiles) {
    EXPECT_EQ(list(), R"({"profiles":[],"next":null})");
    std::vector<StorePath> profiles;
    for (int i = 0; i < 51; ++i) {
        const MadeItem one = make_item("profile-" + std::to_string(i), {lib.path()});
        servers.give(first, one);
        profiles.push_back(one.path());
    }
    servers.give(first, lib);
    for (const auto& profile : profiles) engine->provision(profile, {});
    for (std::size_t i = 0; i < profiles.size(); ++i) EXPECT_EQ(next().what, "complete");
    std::ranges::sort(profiles);
    const auto held = leases->take({profiles[0], 1, 12, 0});
    engine->pin(1, profiles[50], true);
    next();
    const auto page = list();
    EXPECT_THAT(page, HasSubstr("{\"profiles\":[{\"profile\":\"" + profiles[0].absolute() + "\",\"items\":2,"));
    EXPECT_THAT(page, HasSubstr("\"pinned\":false,\"leases\":1,\"complete\":true},"));
    EXPECT_THAT(page, HasSubstr("\"next\":\"" + profiles[49].absolute() + "\"}"));
    const auto rest = list(profiles[49]);
    EXPECT_THAT(rest, HasSubstr("{\"profiles\":[{\"profile\":\"" + profiles[50].absolute() + "\""));
    EXPECT_THAT(rest, HasSubstr("\"pinned\":true,\"leases\":0,\"complete\":true}],\"next\":null}"));
}

TEST_F(EngineTest, ListSaysWhatIsNotComplete) {
    for (const auto& item : {lib, q}) servers.give(first, item);
    const auto held = leases->take({q.path(), 1, 12, 0});
    EXPECT_EQ(list(), "{\"profiles\":[{\"profile\":\"" + q.path().absolute() +
                          "\",\"items\":0,\"bytes\":0,\"disk_bytes\":0,\"last_use\":0,\"pinned\":false,\"leases\":1,"
                          "\"complete\":false}],\"next\":null}");
    expect_complete(q);
    EXPECT_THAT(list(), HasSubstr("\"items\":2,\"bytes\":" + std::to_string(lib.nar.size() + q.nar.size()) + ","));
    EXPECT_THAT(list(), HasSubstr("\"complete\":true"));
}

TEST_F(EngineTest, StatusSaysWhatIsFetchedFromWhereAndForWhom) {
    for (const auto& item : {lib, q}) servers.give(first, item);
    servers.hold(lib.path());
    board.add_waiting(q.path(), 5, {1000, 12, 3});
    engine->provision(q.path(), {1000, 12, 3});
    servers.await_transfer(lib.path());
    engine->status(1);
    const auto text = next().text;
    EXPECT_THAT(text, HasSubstr("{\"item\":\"" + lib.path().absolute() +
                                "\",\"origin\":\"http://first\",\"bytes_done\":0,\"bytes_total\":" +
                                std::to_string(lib.nar.size()) + "}"));
    EXPECT_THAT(text, HasSubstr("\"waiting\":1,\"waiters\":[{\"uid\":1000,\"job\":12,\"step\":3}]"));
    EXPECT_THAT(text, HasSubstr("\"high_water\":\"90%\",\"low_water\":\"80%\",\"evicting\":false,\"pins\":0}}"));
    servers.release();
    EXPECT_EQ(next().what, "complete");
}

TEST_F(EngineTest, VerifyFindsNothingWhereAllIsWhole) {
    for (const auto& item : {lib, tool, p}) servers.give(first, item);
    EXPECT_EQ(verify(), R"({"checked":0,"bytes":0,"damaged":[],"repaired":[],"not_repaired":[],"unreadable":[]})");
    expect_complete(p);
    const auto bytes = std::to_string(lib.nar.size() + tool.nar.size() + p.nar.size());
    EXPECT_EQ(verify(), "{\"checked\":3,\"bytes\":" + bytes +
                            R"(,"damaged":[],"repaired":[],"not_repaired":[],"unreadable":[]})");
    EXPECT_THAT(verify(true, {tool.path(), lib.path()}), HasSubstr("{\"checked\":2,"));
    EXPECT_THAT(verify(true, {tool.path(), q.path()}),
                HasSubstr("cannot verify '" + q.path().absolute() + "': it is not on this node"));
    EXPECT_NE(board.use(p.path(), 1), nullptr);
}

TEST_F(EngineTest, VerifyRepairsInPlaceWhatIsDamagedAlsoWhereItIsLeased) {
    for (const auto& item : {lib, tool, p}) servers.give(first, item);
    const auto held = leases->take({p.path(), 1, 12, 0});
    expect_complete(p);
    spoil(tool);
    EXPECT_THAT(verify(), AllOf(HasSubstr("\"damaged\":[{\"item\":\"" + tool.path().absolute() + "\",\"why\":\""),
                                HasSubstr("\"repaired\":[\"" + tool.path().absolute() + "\"],\"not_repaired\":[]")));
    EXPECT_TRUE(is_whole(tool));
    EXPECT_EQ(servers.asked("nar " + tool.path().base()), 2U);
    EXPECT_EQ(servers.asked("nar " + lib.path().base()), 1U);
    EXPECT_EQ(board.use(p.path(), 1), nullptr);  // its plan was made of what was damaged
    expect_complete(p);
    EXPECT_EQ(figure("senvd_damaged_items_total"), "1");
    EXPECT_EQ(figure("senvd_repaired_items_total"), "1");
    engine->status(1);
    EXPECT_THAT(next().text,
                HasSubstr("\"items\":3,\"bytes\":" + std::to_string(lib.nar.size() + tool.nar.size() + p.nar.size())));
    EXPECT_THAT(verify(), HasSubstr("\"damaged\":[]"));
    await([&] { return fs::is_empty(dir / "state/staging"); });
}

TEST_F(EngineTest, WhatIsDamagedAndNotRepairedCountsAsMissingAlsoAfterARestart) {
    for (const auto& item : {lib, q}) servers.give(first, item);
    expect_complete(q);
    spoil(lib);
    EXPECT_THAT(verify(false), AllOf(HasSubstr("\"damaged\":[{"), HasSubstr("\"repaired\":[],\"not_repaired\":[]")));
    EXPECT_THAT(list(), HasSubstr("\"complete\":false"));
    EXPECT_THAT(pin(q), HasSubstr("it is not complete on this node"));
    EXPECT_EQ(servers.asked("nar " + lib.path().base()), 1U);
    start();
    EXPECT_THAT(verify(false), HasSubstr("it was found damaged before"));
    expect_complete(q);
    EXPECT_EQ(servers.asked("nar " + lib.path().base()), 2U);
    EXPECT_TRUE(is_whole(lib));
    EXPECT_THAT(verify(false), HasSubstr("\"damaged\":[]"));
}

TEST_F(EngineTest, WhatNobodyCanGiveGoesUnlessItIsNeeded) {
    for (const auto& item : {lib, tool, p}) servers.give(first, item);
    const MadeItem other = make_item("other-profile");
    servers.give(first, other);
    const auto held = leases->take({p.path(), 1, 12, 0});
    expect_complete(p);
    expect_complete(other);
    for (const auto* item : {&lib, &other}) {
        spoil(*item);
        const std::vector<Refusal> down(20, refusal(Outcome::unusable, "http://first: denied", Kind::denied));
        servers.refuse_first(first, item->path(), down);
    }
    EXPECT_THAT(verify(), AllOf(HasSubstr("\"repaired\":[],\"not_repaired\":[{\"item\":\""),
                                HasSubstr("\"item\":\"" + lib.path().absolute() + "\",\"why\":\"cannot fetch '" +
                                          lib.path().absolute() + "': http://first: denied")));
    await_gone(other);
    EXPECT_TRUE(in_store(lib));
    EXPECT_THAT(expect_failed(p.path()), HasSubstr("http://first: denied"));
    EXPECT_TRUE(in_store(lib));
    servers.refuse_first(first, lib.path(), {});
    expect_complete(p);
    EXPECT_TRUE(is_whole(lib));
}

TEST_F(EngineTest, ARepairAndAJobShareOneFetch) {
    for (const auto& item : {lib, tool, p, q}) servers.give(first, item);
    expect_complete(p);
    spoil(tool);
    spoil(p);
    for (const auto* item : {&tool, &p}) servers.hold(item->path());
    engine->verify(1, {}, true);
    await([&] {
        return servers.asked("nar " + p.path().base()) == 2 && servers.asked("nar " + tool.path().base()) == 2;
    });
    engine->verify(2, {}, true);
    EXPECT_THAT(next().text, HasSubstr("cannot verify: senvd does so already"));
    engine->provision(p.path(), {});
    expect_complete(q);  // needs nothing of it
    servers.release();
    std::multiset<std::string> done;
    for (int i = 0; i < 2; ++i) done.insert(next().what);
    EXPECT_EQ(done, (std::multiset<std::string>{"answer", "complete"}));
    EXPECT_EQ(servers.asked("nar " + p.path().base()), 2U);
    EXPECT_TRUE(is_whole(p) && is_whole(tool));
    engine->status(1);
    EXPECT_THAT(next().text, HasSubstr("\"fetches\":[]"));
}

TEST_F(EngineTest, AFetchThatCountedADamagedItemWaitsForItsRepair) {
    for (const auto& item : {lib, tool, p, q}) servers.give(first, item);
    expect_complete(q);
    spoil(lib);
    servers.hold(tool.path());
    engine->provision(p.path(), {});
    servers.await_transfer(tool.path());
    EXPECT_THAT(verify(false), HasSubstr("\"damaged\":[{"));
    servers.release();
    EXPECT_EQ(next().what, "complete");
    EXPECT_TRUE(is_whole(lib));
}

TEST_F(EngineTest, GraceKeepsWhatWasUsedLately) {
    engine.reset();  // its thread reads the configuration
    config.grace = seconds(1000);
    start();
    for (const auto& item : {lib, q}) servers.give(first, item);
    expect_complete(q);
    EXPECT_THAT(collect(), HasSubstr("\"evicted\":[],\"items\":0,\"bytes\":0"));
    EXPECT_THAT(collect(), HasSubstr("\"kept\":[{\"profile\":\"" + q.path().absolute() + "\",\"why\":\"used "));
    EXPECT_TRUE(in_store(q));
}

}  // namespace
}  // namespace senv
