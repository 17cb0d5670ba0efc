#include "cache/daemon/clients.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <future>
#include <thread>

#include "cache/wire/client.h"
#include "cache/wire/messages.h"
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

TEST(Clients, ARequestThatCameWhileTheThreadStoodStillIsAnswered) {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    const TempDir dir;
    const std::string socket = dir / "socket";
    std::filesystem::create_directory(dir / "leases");
    const Fd leases = open_file(dir / "leases", O_RDONLY | O_DIRECTORY).value();
    Board board;
    Metrics metrics("test", 0, {});
    const ServerConfig config;
    Clients clients(listen_at(socket).value(), config, leases, board, metrics, std::nullopt);
    std::promise<void> stands_still;
    std::promise<void> goes_on;
    ClientActions actions;
    actions.list = [&](std::uint64_t, const std::optional<StorePath>&) {
        stands_still.set_value();
        goes_on.get_future().wait();
    };
    actions.status = [&](std::uint64_t client) { clients.answer(client, wire::encode_text("{}")); };
    const std::jthread thread([&] { EXPECT_THAT(clients.run(actions), IsOk()); });
    const Ending ending;

    const auto open = [&] { return wire::Connection::open(socket, std::nullopt, Clock::now() + seconds(30)).value(); };
    auto early = open();  // accepted before the other one
    auto other = open();
    ASSERT_THAT(other.send(wire::List().encode(), Clock::now() + seconds(30)), IsOk());
    stands_still.get_future().wait();
    ASSERT_THAT(early.send(wire::encode_empty(wire::Type::status), Clock::now() + seconds(30)), IsOk());
    std::this_thread::sleep_for(milliseconds(5'100));  // more than a request may take
    goes_on.set_value();
    const auto reply = early.receive(Clock::now() + seconds(30));
    ASSERT_THAT(reply, IsOk());
    EXPECT_EQ(reply->type, wire::Type::text);
}

}  // namespace
}  // namespace senv
