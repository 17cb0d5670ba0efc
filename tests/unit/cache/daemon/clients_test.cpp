#include "cache/daemon/clients.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <future>
#include <thread>

#include "cache/daemon/listener.h"
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
        clients_.emplace(listen_at(dir_ / "socket").value(), config_, *leases_, board_, metrics_, std::nullopt);
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
