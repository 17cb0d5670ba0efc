#include "cache/daemon/requests.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "cache/wire/messages.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using test::path_of;

class RequestsTest : public testing::Test {
protected:
    /// `frame`: as clients send it.
    std::optional<Result<request::Any>> read(const std::string& frame) {
        const auto header =
            wire::Header::parse(std::as_bytes(std::span(frame)).first<wire::header_bytes>(), wire::max_request_bytes);
        return request::read(header->type, std::string_view(frame).substr(wire::header_bytes), peer, admins, requester);
    }
    template <class T>
    T read_as(const std::string& frame) {
        auto result = read(frame);
        EXPECT_TRUE(result);
        EXPECT_THAT(*result, IsOk());
        return std::get<T>(**std::move(result));
    }

    const StorePath p = path_of("p-profile");
    Peer peer{1000, false, false};
    std::optional<AdminGroup> admins;
    Requester requester;
};

TEST_F(RequestsTest, OnlyRootSpeaksForOthers) {
    read_as<request::Provision>(wire::Provision{p.absolute(), 7, 12, 3}.encode());
    EXPECT_EQ(requester, (Requester{1000, 12, 3}));
    EXPECT_EQ(read_as<request::Held>(wire::Held{7, 12}.encode()).uid, 1000U);
    peer = {0, true, true};
    read_as<request::Provision>(wire::Provision{p.absolute(), 7, 12, 3}.encode());
    EXPECT_EQ(requester, (Requester{7, 12, 3}));
    EXPECT_EQ(read_as<request::Prefetch>(wire::Prefetch{p.absolute(), 7, 12}.encode()).profile, p);
    EXPECT_EQ(read_as<request::Held>(wire::Held{7, 12}.encode()).uid, 7U);
}

TEST_F(RequestsTest, StorePathsAreStorePathsFromHereOn) {
    EXPECT_EQ(read_as<request::Provision>(wire::Provision{p.absolute(), 7, 12}.encode()).profile, p);
    EXPECT_THAT(*read(wire::Provision{"/gnu/store/../etc", 7, 12}.encode()), FailsWith(Kind::usage, "etc"));
    EXPECT_EQ(requester.job, 12U);  // for the log
    EXPECT_THAT(*read(wire::Prefetch{"/etc", 7, 12}.encode()), FailsWith(Kind::usage, "etc"));
    EXPECT_THAT(*read(wire::List{"/etc"}.encode()), FailsWith(Kind::usage, "etc"));
    EXPECT_EQ(read_as<request::List>(wire::List().encode()).after, std::nullopt);
    EXPECT_EQ(read_as<request::List>(wire::List{p.absolute()}.encode()).after, p);
}

TEST_F(RequestsTest, WhatChangesWhatIsKeptIsForAdministrators) {
    const std::string gc = wire::Gc().encode();
    const std::string pin = wire::Pin{p.absolute()}.encode();
    const std::string verify = wire::Verify{{p.absolute()}}.encode();
    for (const auto& frame : {gc, pin, verify})
        EXPECT_THAT(*read(frame), FailsWith(Kind::denied, "only root and senvd's"));
    admins = {"guix", 5};
    EXPECT_THAT(*read(gc), FailsWith(Kind::denied,
                                     "cannot evict: only root, senvd's own user and members of the group "
                                     "'guix' may"));
    peer.is_admin = true;
    EXPECT_FALSE(read_as<request::Collect>(gc).dry_run);
    EXPECT_TRUE(read_as<request::Pin>(pin).pinned);
    EXPECT_THAT(read_as<request::Verify>(verify).roots, testing::ElementsAre(p));
    EXPECT_THAT(*read(wire::Verify{{"/etc"}}.encode()), FailsWith(Kind::usage, "etc"));
}

TEST_F(RequestsTest, OnlyRootAndSenvdsOwnUserRelease) {
    const std::string of_job = wire::Release{12}.encode();
    for (const bool is_admin : {false, true}) {
        peer = {1000, is_admin, false};
        EXPECT_THAT(*read(of_job),
                    FailsWith(Kind::denied, "cannot release leases: only root and senvd's own user may"));
    }
    peer.is_owner = true;
    EXPECT_FALSE(read_as<request::Release>(of_job).of_user);
    EXPECT_EQ(read_as<request::Release>(of_job).number, 12U);
    EXPECT_TRUE(read_as<request::Release>(wire::Release{1000, wire::Release::flag_user}.encode()).of_user);
    EXPECT_FALSE(read(wire::Release{12, 2}.encode()));
    EXPECT_EQ(request::name_of(wire::Type::release), "release");
}

TEST_F(RequestsTest, WhatIsNotOfTheProtocolIsNothing) {
    EXPECT_FALSE(request::read(wire::Type::status, "x", peer, admins, requester));
    EXPECT_FALSE(request::read(wire::Type::provision, "x", peer, admins, requester));
    EXPECT_FALSE(request::read(wire::Type::plan, "", peer, admins, requester));
    EXPECT_TRUE(request::read(wire::Type::status, "", peer, admins, requester));
    EXPECT_EQ(request::name_of(wire::Type::status), "status");
    EXPECT_EQ(request::name_of(wire::Type::plan), "other");
}

TEST_F(RequestsTest, WhoeverIsThisUserIsAnAdministrator) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const Fd here(ends[0]);
    const Fd there(ends[1]);
    const auto self = Peer::of(here.get(), std::nullopt);
    ASSERT_TRUE(self);
    EXPECT_EQ(self->uid, ::getuid());
    EXPECT_TRUE(self->is_admin);
    EXPECT_TRUE(self->is_owner);
}

}  // namespace
}  // namespace senv
