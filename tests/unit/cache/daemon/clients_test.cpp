#include "cache/daemon/clients.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <future>
#include <thread>

#include "cache/store/leases.h"
#include "cache/wire/client.h"
#include "cache/wire/messages.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::IsOk;
using test::TempDir;

/// Ends the clients' loop, as its service does.
struct Ending {
    ~Ending() { ::kill(::getpid(), SIGTERM); }
};

class ClientsTest : public testing::Test {
protected:
    ClientsTest() {
        sigset_t signals;
        sigemptyset(&signals);
        for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
        ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        listen(seconds(5));
    }
    void listen(milliseconds request_limit) {
        clients_.reset();
        clients_.emplace(listen_at(dir_ / "socket").value(), config_, *leases_, board_, metrics_, std::nullopt,
                         request_limit);
    }
    wire::Connection open() const {
        return wire::Connection::open(dir_ / "socket", std::nullopt, Clock::now() + seconds(30)).value();
    }

    const TempDir dir_;
    const ServerConfig config_;
    const std::unique_ptr<Leases> leases_ = Leases::open(dir_ / "leases").value();
    Board board_;
    Metrics metrics_{"test", 0, {}};
    std::optional<Clients> clients_;
    ClientActions actions_;
};

TEST_F(ClientsTest, ARequestThatCameWhileTheThreadStoodStillIsAnswered) {
    listen(seconds(1));
    std::promise<void> stands_still;
    std::promise<void> goes_on;
    actions_.list = [&](std::uint64_t, const std::optional<StorePath>&) {
        stands_still.set_value();
        goes_on.get_future().wait();
    };
    actions_.status = [&](std::uint64_t client) { clients_->answer(client, wire::encode_text("{}")); };
    const std::jthread thread([&] { EXPECT_THAT(clients_->run(actions_), IsOk()); });
    const Ending ending;

    auto early = open();  // accepted before the other one
    auto other = open();
    ASSERT_THAT(other.send(wire::List().encode(), Clock::now() + seconds(30)), IsOk());
    stands_still.get_future().wait();
    ASSERT_THAT(early.send(wire::encode_empty(wire::Type::status), Clock::now() + seconds(30)), IsOk());
    std::this_thread::sleep_for(milliseconds(1'100));  // more than a request may take
    goes_on.set_value();
    const auto reply = early.receive(Clock::now() + seconds(30));
    ASSERT_THAT(reply, IsOk());
    EXPECT_EQ(reply->type, wire::Type::text);
}

TEST_F(ClientsTest, TellWhenTheLastOneThatWaitedIsGone) {
    std::promise<StorePath> abandoned;
    auto told = abandoned.get_future();
    std::atomic<int> asked{0};
    actions_.provision = [&](const StorePath&, const Requester&, const std::optional<LeaseFor>&) { ++asked; };
    actions_.abandon = [&](const StorePath& profile) { abandoned.set_value(profile); };
    const std::jthread thread([&] { EXPECT_THAT(clients_->run(actions_), IsOk()); });
    const Ending ending;
    const auto ask = [&](const StorePath& profile, bool later) {
        auto connection = open();
        const auto request = later ? wire::Prefetch{profile.absolute(), ::getuid(), 12}.encode()
                                   : wire::Provision{profile.absolute(), ::getuid(), 12}.encode();
        EXPECT_THAT(connection.send(request, Clock::now() + seconds(30)), IsOk());
        return connection;
    };
    const StorePath prefetched = test::path_of("prefetched");
    const StorePath wanted = test::path_of("wanted");
    ask(prefetched, true);
    {
        const auto stays = ask(wanted, false);
        const auto also = ask(prefetched, false);
        { const auto goes = ask(wanted, false); }
        while (asked < 4) std::this_thread::sleep_for(milliseconds(1));
        EXPECT_EQ(told.wait_for(milliseconds(200)), std::future_status::timeout);
    }
    EXPECT_EQ(told.get(), wanted);
}

TEST_F(ClientsTest, TellWhatAJobHolds) {
    const std::jthread thread([&] { EXPECT_THAT(clients_->run(actions_), IsOk()); });
    const Ending ending;
    const std::uint32_t uid = ::getuid();
    const auto step = leases_->take({test::path_of("step"), uid, 12, 3});
    const auto script = leases_->take({test::path_of("script"), uid, 12, 0xfffffffb, "enter=pure"});
    const auto others = leases_->take({test::path_of("others"), uid + 1, 12, 0xfffffffc});
    const auto other_job = leases_->take({test::path_of("other"), uid, 13, 4});
    (void)leases_->take({test::path_of("gone"), uid, 14, 0}).value();
    const auto held = [&](std::uint32_t job) {
        auto connection = open();
        EXPECT_THAT(connection.send(wire::Held{uid, job}.encode(), Clock::now() + seconds(30)), IsOk());
        return wire::decode_text(connection.receive(Clock::now() + seconds(30)).value().payload).value();
    };
    EXPECT_EQ(held(12), test::path_of("script").absolute() + " enter=pure");
    EXPECT_EQ(held(13), test::path_of("other").absolute());
    EXPECT_EQ(held(14), "");
    EXPECT_EQ(held(15), "");
}

}  // namespace
}  // namespace senv
