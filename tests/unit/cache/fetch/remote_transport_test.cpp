// The fetcher that is started here is hostile_fetcher, which does what a request names: see its head.
#include "cache/fetch/remote_transport.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <mutex>
#include <thread>

#include "cache/verify/digest.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FailsWith;
using test::IsOk;
using testing::AnyOf;
using testing::HasSubstr;

const StorePath item = StorePath::parse("00000000000000000000000000000000-item").value();
constexpr seconds generous{120};  // for what must happen; the machine may be busy

class Remote : public testing::Test {
protected:
    ~Remote() override { ::unsetenv("SENV_HOSTILE_START"); }

    void start(seconds slack = seconds(15)) {
        auto made = make(slack);
        ASSERT_THAT(made, IsOk());
        sources.emplace(*std::move(made));
    }

    Result<RemoteSources> make(seconds slack) {
        RemoteConfig config;
        config.limits = {"test", seconds(1), seconds(1)};
        config.transfers = 2;
        config.program = SENV_HOSTILE_FETCHER;
        config.slack = slack;
        return make_remote_sources(config, [this](const Renewal& renewal) {
            const std::lock_guard lock(mutex_);
            losses_.push_back(renewal.lost->what());
            changed_.notify_all();
        });
    }

    NarinfoAnswer ask(const std::string& origin) {
        auto state = std::make_shared<std::pair<std::mutex, std::optional<NarinfoAnswer>>>();
        auto changed = std::make_shared<std::condition_variable>();
        sources->narinfos->ask(origin, item, [state, changed](NarinfoAnswer answer) {
            const std::lock_guard lock(state->first);
            state->second = std::move(answer);
            changed->notify_all();
        });
        std::unique_lock lock(state->first);
        if (!changed->wait_for(lock, generous, [&] { return state->second.has_value(); })) return "no answer";
        return *state->second;
    }

    std::optional<Refusal> fetch(const std::string& url, const ByteSink& sink, std::stop_token stop = {},
                                 seconds limit = generous) {
        const NarRequest request{url, Compression::none, 1'000'000, Clock::now() + limit};
        return sources->nars->fetch(request, sink, std::move(stop));
    }
    std::optional<Refusal> fetch(const std::string& url) {
        return fetch(url, [](auto) -> Result<void> { return {}; });
    }

    /// What is said about the next loss.
    std::string await_loss() {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_for(lock, generous, [&] { return !losses_.empty(); })) return "no loss";
        std::string loss = losses_.front();
        losses_.pop_front();
        return loss;
    }

    /// It was refused since the fetcher broke off, with this cause, and another one works.
    void broke_off(const std::optional<Refusal>& refusal, const std::string& cause) {
        ASSERT_TRUE(refusal) << cause;
        EXPECT_EQ(refusal->outcome, Outcome::again);
        EXPECT_THAT(refusal->error.what(), testing::AllOf(HasSubstr("senvd's fetcher broke off: "), HasSubstr(cause)));
        EXPECT_THAT(await_loss(), HasSubstr(cause));
        EXPECT_FALSE(fetch("fake:good")) << cause;
    }
    void broke_off(const NarinfoAnswer& answer, const std::string& cause) {
        ASSERT_TRUE(std::holds_alternative<Refusal>(answer)) << std::get<std::string>(answer);
        broke_off(std::optional(std::get<Refusal>(answer)), cause);
    }

    std::optional<RemoteSources> sources;

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::string> losses_;
};

TEST_F(Remote, BringsNarinfosAndNars) {
    start();
    EXPECT_EQ(sources->sandbox.landlock, 7U);
    EXPECT_EQ(std::get<std::string>(ask("fake:text")), item.base());
    std::string text;
    const auto refusal = fetch("fake:good", [&](std::span<const std::byte> bytes) -> Result<void> {
        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
    });
    EXPECT_FALSE(refusal);
    EXPECT_EQ(text, "some bytes");
}

TEST_F(Remote, RefusalsComeAsTheyAreButPrintable) {
    start();
    const auto refusal = fetch("fake:refuse");
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->outcome, Outcome::unusable);
    EXPECT_EQ(refusal->error.kind(), Kind::corrupt);
    EXPECT_EQ(refusal->error.what(), "fake: \\x1b[31mred\\x0aline");
}

TEST_F(Remote, AnErrorOfTheReceiverEndsTheTransfer) {
    start();
    for (int i = 0; i < 10; ++i) {  // more than there are slots
        const auto refusal =
            fetch("fake:flood", [](auto) -> Result<void> { return Error(Kind::io, "the disk is full"); });
        ASSERT_TRUE(refusal);
        EXPECT_EQ(refusal->outcome, Outcome::stopped);
        EXPECT_EQ(refusal->error.what(), "the disk is full");
    }
}

TEST_F(Remote, AStopEndsATransferAtOnce) {
    start();
    std::stop_source stop;
    std::jthread stopper([&] {
        std::this_thread::sleep_for(milliseconds(50));  // so that it waits; the test holds without it, too
        stop.request_stop();
    });
    const auto begun = Clock::now();
    const auto refusal = fetch(
        "fake:silent", [](auto) -> Result<void> { return {}; }, stop.get_token());
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->outcome, Outcome::stopped);
    EXPECT_LT(Clock::now() - begun, seconds(10));  // where the transfer's own limits are 27 s and more
}

TEST_F(Remote, ATransferEndsSoonAfterItsDeadline) {
    start(seconds(1));
    const auto refusal = fetch(
        "fake:silent", [](auto) -> Result<void> { return {}; }, {}, seconds(1));
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->outcome, Outcome::stopped);
    EXPECT_THAT(refusal->error.what(), HasSubstr("too slow"));
}

TEST_F(Remote, BytesDoNotChangeUnderTheReceiver) {
    const test::TempDir dir;
    std::ofstream(dir / "large") << std::string(5'000'000, 'x');
    start();
    const auto refusal =
        fetch("fake:changing:" + (dir / "large"), [](std::span<const std::byte> bytes) -> Result<void> {
            Sha256Stream first;
            first.update(bytes);
            std::this_thread::sleep_for(milliseconds(1));
            Sha256Stream second;
            second.update(bytes);
            EXPECT_EQ(first.finish(), second.finish());
            return {};
        });
    EXPECT_FALSE(refusal);
}

TEST_F(Remote, WhateverItSaysAboutWhoWaitsNothingIsLost) {
    const test::TempDir dir;
    std::ofstream(dir / "large") << std::string(5'000'000, 'x');
    start();
    std::size_t size = 0;
    const auto refusal = fetch("fake:waits:" + (dir / "large"), [&](std::span<const std::byte> bytes) -> Result<void> {
        size += bytes.size();
        return {};
    });
    EXPECT_FALSE(refusal);
    EXPECT_EQ(size, 5'000'000U);
}

TEST_F(Remote, ARingThatLies) {
    start();
    broke_off(fetch("fake:counters"), "a ring of 8 buffers holds 1000");
    broke_off(fetch("fake:lengths"), "holds 131073");
    broke_off(fetch("fake:empty"), "holds 0");
    broke_off(fetch("fake:refusal"), "too long");
    broke_off(fetch("fake:nonsense"), "'outcome'");
    broke_off(fetch("fake:back"), "a ring of 8 buffers holds 4294967295");
}

TEST_F(Remote, DeathInTheMiddle) {
    start();
    std::string text;
    broke_off(fetch("fake:die",
                    [&](std::span<const std::byte> bytes) -> Result<void> {
                        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                        return {};
                    }),
              "it ended with status 7");
    EXPECT_THAT(text, AnyOf("some ", ""));  // its death may be seen before its last bytes
    broke_off(ask("fake:die"), "it ended with status 7");
}

TEST_F(Remote, AChannelThatIsBroken) {
    start();
    broke_off(ask("fake:garbage"), "announces");
    broke_off(ask("fake:huge"), "announces 4294967295 bytes");
    broke_off(ask("fake:unasked"), "it answered what nobody had asked");
    broke_off(ask("fake:long"), "too long");
    broke_off(ask("fake:ready"), "it was ready twice");
    broke_off(ask("fake:close"), "it closed its channel");
    EXPECT_EQ(std::get<std::string>(ask("fake:twice")), item.base());
    EXPECT_THAT(await_loss(), HasSubstr("it answered what nobody had asked"));
}

TEST_F(Remote, SilenceIsBounded) {
    start(seconds(1));
    broke_off(ask("fake:silent"), "no answer came for 3 s");
    broke_off(fetch("fake:silent"), "neither a byte of a nar nor its end came for 13 s");
}

TEST_F(Remote, ATransferThatDoesNotEndWhenItIsCancelled) {
    start(seconds(1));
    const auto refusal = fetch("fake:stay", [](auto) -> Result<void> { return Error(Kind::io, "the disk is full"); });
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->outcome, Outcome::stopped);
    EXPECT_THAT(await_loss(), HasSubstr("it did not end a transfer that was cancelled"));
    EXPECT_FALSE(fetch("fake:good"));
}

TEST_F(Remote, OneThatBreaksOffTakesTheOthersAlong) {
    start();
    std::atomic<bool> begun{false};
    std::optional<Refusal> other;
    std::jthread waiting([&] {
        other = fetch("fake:stay", [&](auto) -> Result<void> {
            begun = true;
            return {};
        });
    });
    while (!begun) std::this_thread::yield();
    broke_off(ask("fake:die"), "it ended with status 7");
    waiting.join();
    ASSERT_TRUE(other);
    EXPECT_EQ(other->outcome, Outcome::again);
    EXPECT_THAT(other->error.what(), HasSubstr("it ended with status 7"));
}

TEST_F(Remote, AFetcherThatNeverBecomesReadyIsAnError) {
    ::setenv("SENV_HOSTILE_START", "die", 1);
    EXPECT_THAT(make(seconds(15)), FailsWith(Kind::io, "it ended with status 3"));
    ::setenv("SENV_HOSTILE_START", "garbage", 1);
    EXPECT_THAT(make(seconds(15)), FailsWith(Kind::io, "announces"));
    ::setenv("SENV_HOSTILE_START", "silent", 1);
    EXPECT_THAT(make(seconds(1)), FailsWith(Kind::io, "it was not ready after 4 s"));
}

TEST_F(Remote, AProgramThatIsNotThereIsAnError) {
    EXPECT_THAT(make_remote_sources({{}, 1, {}, "/nowhere/senvd"}, [](const Renewal&) {}),
                FailsWith(Kind::missing, "cannot start '/nowhere/senvd' as senvd's fetcher"));
}

TEST_F(Remote, WhatWaitsWhenItEndsIsStopped) {
    start();
    std::stop_source stop;
    std::optional<Refusal> refusal;
    std::jthread waiting([&] {
        refusal = fetch(
            "fake:silent", [](auto) -> Result<void> { return {}; }, stop.get_token());
    });
    sources->narinfos->ask("fake:silent", item, [](const NarinfoAnswer&) { ADD_FAILURE() << "it was answered"; });
    stop.request_stop();
    waiting.join();
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->outcome, Outcome::stopped);
    sources.reset();
}

}  // namespace
}  // namespace senv
