#include "cache/daemon/desk.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <deque>
#include <memory>

#include "cache/store/leases.h"
#include "cache/wire/messages.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using std::chrono::seconds;
using test::path_of;
using test::TempDir;
using testing::ElementsAre;
using testing::IsEmpty;

class DeskTest : public testing::Test {
protected:
    void SetUp() override {
        actions.provision = [this](const StorePath& profile, const Requester&, const std::optional<LeaseFor>& lease) {
            passed_on.push_back("provision " + std::string(profile.name()) + (lease ? " with a lease" : ""));
        };
        actions.abandon = [this](const StorePath& profile) {
            passed_on.push_back("abandon " + std::string(profile.name()));
        };
        actions.status = [this](std::uint64_t client) { passed_on.push_back("status " + std::to_string(client)); };
        desk.emplace(config, *leases, board, metrics, std::nullopt);
        desk->use(actions);
    }
    /// A client of root that asks for itself.
    Client& connect() {
        std::array<int, 2> ends{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
        others.emplace_back(ends[0]);
        clients.push_back({others.size(), Peer{0, true, true}, Connection(Fd(ends[1]), now.steady)});
        return clients.back();
    }
    bool ask(Client& client, const std::string& frame) {
        const auto header =
            wire::Header::parse(std::as_bytes(std::span(frame)).first<wire::header_bytes>(), wire::max_request_bytes);
        const bool taken = desk->take(client, {header->type, frame.substr(wire::header_bytes)}, now);
        desk->give(client, now);
        return taken;
    }
    static std::string provision(const StorePath& profile, std::uint32_t flags = 0) {
        wire::Provision message{profile.absolute(), 1000, 12, 3};
        message.flags = flags;
        return message.encode();
    }
    /// The types of what the client was told since the last time.
    std::vector<wire::Type> told(Client& client) {
        (void)client.connection.flush(now.steady);
        std::string bytes;
        std::array<char, 4096> piece{};
        for (ssize_t n = 1; n > 0;) {  // what goes with a descriptor comes alone
            n = ::read(others.at(client.id - 1).get(), piece.data(), piece.size());
            if (n > 0) bytes.append(piece.data(), static_cast<std::size_t>(n));
        }
        std::vector<wire::Type> types;
        for (std::string_view left = bytes; left.size() >= wire::header_bytes;) {
            const auto header =
                wire::Header::parse(std::as_bytes(std::span(left)).first<wire::header_bytes>(), wire::max_reply_bytes);
            types.push_back(header->type);
            left.remove_prefix(wire::header_bytes + header->length);
        }
        return types;
    }

    const StorePath p = path_of("p-profile");
    const Connection::Frame plan = std::make_shared<const std::string>(wire::Plan{p.absolute(), {}}.encode());
    const Connection::Frame error =
        std::make_shared<const std::string>(wire::encode_error(Error(Kind::missing, "nobody has it")));
    const TempDir dir;
    const std::unique_ptr<Leases> leases = Leases::open(dir / "leases").value();
    ServerConfig config;
    Board board;
    Metrics metrics{"test", 0, {}};
    ClientActions actions;
    std::vector<std::string> passed_on;
    Now now{Deadline(seconds(1000)), 100'000};
    std::vector<Fd> others;
    std::deque<Client> clients;
    std::optional<Desk> desk;
};

TEST_F(DeskTest, WhatIsHereIsGivenAtOnce) {
    board.offer(p, plan, 1);
    Client& client = connect();
    EXPECT_TRUE(ask(client, provision(p, wire::Provision::flag_lease)));
    EXPECT_THAT(told(client), ElementsAre(wire::Type::lease, wire::Type::plan));
    EXPECT_THAT(passed_on, IsEmpty());
    EXPECT_TRUE(client.connection.is_ending());
    EXPECT_EQ(board.take_uses().at(0).last_use, 100'000);
}

TEST_F(DeskTest, WhoeverWaitsIsToldOnceThatItIsPendingThenTheEnd) {
    Client& one = connect();
    Client& other = connect();
    ask(one, provision(p));
    ask(other, provision(p));
    EXPECT_THAT(passed_on, ElementsAre("provision p-profile", "provision p-profile"));
    EXPECT_THAT(desk->waiting_for(p), ElementsAre(one.id, other.id));
    for (int i = 0; i < 2; ++i) Desk::pending(one, now);
    EXPECT_THAT(told(one), ElementsAre(wire::Type::pending));
    desk->complete(one, plan, now);
    desk->failed(other, error, Kind::missing, now);
    EXPECT_THAT(told(one), ElementsAre(wire::Type::plan));
    EXPECT_THAT(told(other), ElementsAre(wire::Type::error));
    EXPECT_THAT(desk->waiting_for(p), IsEmpty());
    EXPECT_THAT(board.waiting(p), IsEmpty());
}

TEST_F(DeskTest, TheLastOneThatGoesAbandons) {
    Client& one = connect();
    Client& other = connect();
    ask(one, provision(p));
    ask(other, provision(p));
    passed_on.clear();
    desk->gone(one);
    EXPECT_THAT(passed_on, IsEmpty());
    desk->gone(other);
    EXPECT_THAT(passed_on, ElementsAre("abandon p-profile"));
}

TEST_F(DeskTest, WhatIsPrefetchedIsNotAbandoned) {
    Client& early = connect();
    Client& job = connect();
    ask(early, wire::Prefetch{p.absolute(), 1000, 12}.encode());
    EXPECT_THAT(told(early), ElementsAre(wire::Type::accepted));
    ask(job, provision(p));
    passed_on.clear();
    desk->gone(job);
    EXPECT_THAT(passed_on, IsEmpty());
    desk->ended(p);
    Client& late = connect();
    ask(late, provision(p));
    desk->gone(late);
    EXPECT_EQ(passed_on.back(), "abandon p-profile");
}

TEST_F(DeskTest, WhatIsWeighedIsToldNothingBeforeItsLease) {
    config.user_leased = Mark{50};
    Client& client = connect();
    ask(client, provision(p, wire::Provision::flag_lease));
    EXPECT_THAT(passed_on, ElementsAre("provision p-profile with a lease"));
    EXPECT_THAT(desk->waiting_for(p), IsEmpty());
    desk->lease(client, Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), now);
    EXPECT_THAT(desk->waiting_for(p), ElementsAre(client.id));
    EXPECT_THAT(told(client), ElementsAre(wire::Type::lease));
    desk->refuse(client, Error(Kind::busy, "too much"), now);
    EXPECT_THAT(told(client), ElementsAre(wire::Type::error));
    EXPECT_THAT(desk->waiting_for(p), IsEmpty());
}

TEST_F(DeskTest, OnlySoManyRequestsOfAUserWait) {
    config.user_requests = 1;
    desk.emplace(config, *leases, board, metrics, std::nullopt);
    desk->use(actions);
    Client& one = connect();
    Client& other = connect();
    ask(one, provision(p));
    ask(other, provision(p));
    EXPECT_THAT(told(other), ElementsAre(wire::Type::error));
    desk->complete(one, plan, now);
    Client& next = connect();
    ask(next, provision(p));
    EXPECT_THAT(told(next), IsEmpty());
}

TEST_F(DeskTest, ProgressIsToldOnceASecondToThoseWhoWantIt) {
    board.set_progress(p, {});
    Client& client = connect();
    Client& other = connect();
    ask(client, provision(p, wire::Provision::flag_progress));
    ask(other, provision(p));
    EXPECT_FALSE(desk->tell_progress(client, now));
    now.steady += Desk::progress_period;
    EXPECT_FALSE(desk->tell_progress(other, now));
    EXPECT_TRUE(desk->tell_progress(client, now));
    EXPECT_FALSE(desk->tell_progress(client, now));
    EXPECT_THAT(told(client), ElementsAre(wire::Type::progress));
}

TEST_F(DeskTest, AJobIsToldWhatItHolds) {
    const auto held = leases->take({p, 1000, 12, 3, "pure"});
    Client& client = connect();
    ask(client, wire::Held{1000, 12}.encode());
    EXPECT_THAT(told(client), ElementsAre(wire::Type::text));
}

TEST_F(DeskTest, WhatIsReleasedKeepsNothingAnyMore) {
    const auto of_job = leases->take({p, 1000, 12, 3});
    const auto of_user = leases->take({p, 12, 13, 3});  // whose uid is the job's number
    const auto other = leases->take({p, 1001, 14, 3});
    const auto release = [&](std::uint32_t flags) {
        Client& client = connect();
        testing::internal::CaptureStderr();
        ask(client, wire::Release{12, flags}.encode());
        EXPECT_THAT(told(client), ElementsAre(wire::Type::text));
        return testing::internal::GetCapturedStderr();
    };
    EXPECT_THAT(release(0), testing::AllOf(testing::HasSubstr("released"), testing::HasSubstr("1000")));
    EXPECT_EQ(leases->live().size(), 2U);
    EXPECT_THAT(release(wire::Release::flag_user), testing::HasSubstr("released"));
    ASSERT_EQ(leases->live().size(), 1U);
    EXPECT_EQ(leases->live().front().uid, 1001U);
    EXPECT_EQ(release(0), "");  // there is none any more
}

TEST_F(DeskTest, OthersArePassedOnAndTheProtocolIsKept) {
    Client& client = connect();
    EXPECT_TRUE(ask(client, wire::encode_empty(wire::Type::status)));
    EXPECT_THAT(passed_on, ElementsAre("status 1"));
    EXPECT_FALSE(desk->take(client, {wire::Type::status, "more"}, now));
    EXPECT_FALSE(desk->take(client, {wire::Type::plan, ""}, now));
}

TEST_F(DeskTest, WhoeverWaitsAtTheEndIsTold) {
    Client& asked = connect();
    Client& silent = connect();
    ask(asked, provision(p));
    desk->goodbye(asked, error, now);
    desk->goodbye(silent, error, now);
    EXPECT_FALSE(silent.connection.has_unread());
}

}  // namespace
}  // namespace senv
