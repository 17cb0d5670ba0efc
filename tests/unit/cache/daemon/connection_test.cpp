#include "cache/daemon/connection.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "cache/wire/messages.h"

namespace senv {
namespace {

using std::chrono::seconds;
using State = Connection::State;

const Deadline start(seconds(1000));

Connection::Frame frame(std::size_t bytes, char fill = 'x') {
    return std::make_shared<const std::string>(bytes, fill);
}

/// Both ends of a socket; the other one is the client's.
class ConnectionTest : public testing::Test {
protected:
    ConnectionTest() {
        std::array<int, 2> ends{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
        other = Fd(ends[0]);
        connection.emplace(Fd(ends[1]), start);
    }
    void send(std::string_view bytes) const {
        ASSERT_EQ(::write(other.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    }
    State receive() { return connection->receive(request); }
    std::string read(std::size_t most = 1UL << 24U) const {
        std::string text(most, '\0');
        const ssize_t n = ::read(other.get(), text.data(), text.size());
        text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
        return text;
    }

    const std::string status = wire::encode_empty(wire::Type::status);
    const std::string list = wire::List().encode();
    Fd other;
    std::optional<Connection> connection;
    std::optional<Connection::Request> request;
};

TEST_F(ConnectionTest, ARequestIsTakenWhenItIsWhole) {
    for (const char byte : list) {
        EXPECT_FALSE(request);
        send({&byte, 1});
        EXPECT_EQ(receive(), State::quiet);
    }
    ASSERT_TRUE(request);
    EXPECT_EQ(request->type, wire::Type::list);
    EXPECT_EQ(request->payload, list.substr(wire::header_bytes));
    EXPECT_TRUE(connection->has_asked());
}

TEST_F(ConnectionTest, MoreThanOneRequestEndsIt) {
    send(status + status);
    EXPECT_EQ(receive(), State::over);
    EXPECT_FALSE(request);
}

TEST_F(ConnectionTest, AnythingAfterTheRequestEndsIt) {
    send(status);
    EXPECT_EQ(receive(), State::quiet);
    EXPECT_TRUE(request);
    send("x");
    EXPECT_EQ(receive(), State::over);
}

TEST_F(ConnectionTest, WhatIsNoRequestEndsIt) {
    send("GET / HTTP/1.0\r\n\r\n");
    EXPECT_EQ(receive(), State::over);
}

TEST_F(ConnectionTest, AClientThatIsGoneEndsIt) {
    other.reset();
    EXPECT_EQ(receive(), State::over);
}

TEST_F(ConnectionTest, ARequestMustComeInTime) {
    send(status.substr(0, 3));
    EXPECT_EQ(connection->check(start + seconds(5), request), State::quiet);
    EXPECT_EQ(connection->check(start + seconds(6), request), State::over);
}

TEST_F(ConnectionTest, ARequestThatCameWhileNobodyLookedIsTaken) {
    send(status);
    EXPECT_EQ(connection->check(start + seconds(600), request), State::quiet);
    EXPECT_TRUE(request);
    EXPECT_EQ(connection->check(start + seconds(600), request), State::quiet);
}

TEST_F(ConnectionTest, SaysOneFrameAfterTheOtherAndEndsAfterTheLast) {
    connection->say(frame(3, 'a'), Fd(), start);
    EXPECT_EQ(connection->flush(start), State::quiet);
    EXPECT_FALSE(connection->is_ending());
    connection->say(frame(3, 'b'), Fd(), start);
    connection->say_last(frame(3, 'c'), start);
    EXPECT_TRUE(connection->has_unread());
    EXPECT_EQ(connection->flush(start), State::over);
    EXPECT_EQ(read(), "aaabbbccc");
}

TEST_F(ConnectionTest, ADescriptorGoesWithItsFrame) {
    connection->say(frame(8), Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), start);
    EXPECT_EQ(connection->flush(start), State::quiet);
    std::array<char, 64> bytes{};
    struct iovec place = {};
    place.iov_base = bytes.data();
    place.iov_len = bytes.size();
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    struct msghdr message = {};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    EXPECT_EQ(::recvmsg(other.get(), &message, MSG_CMSG_CLOEXEC), 8);
    const struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    ASSERT_NE(header, nullptr);
    EXPECT_EQ(header->cmsg_type, SCM_RIGHTS);
    int fd = -1;
    std::copy_n(CMSG_DATA(header), sizeof fd, reinterpret_cast<unsigned char*>(&fd));
    EXPECT_EQ(::close(fd), 0);
}

TEST_F(ConnectionTest, AClientThatReadsSlowlyIsWaitedForAWhile) {
    for (int i = 0; i < 2; ++i) connection->say(frame(512UL * 1024), Fd(), start);
    EXPECT_EQ(connection->flush(start), State::waiting);
    EXPECT_EQ(connection->check(start + seconds(5), request), State::quiet);
    send(status);
    EXPECT_EQ(receive(), State::quiet);
    const Deadline later = start + seconds(29);
    while (!read().empty()) EXPECT_NE(connection->flush(later), State::over);
    EXPECT_FALSE(connection->has_unread());
    connection->say(frame(1024UL * 1024), Fd(), later);
    EXPECT_EQ(connection->flush(later), State::waiting);
    EXPECT_EQ(connection->check(later + seconds(30), request), State::quiet);
    EXPECT_EQ(connection->check(later + seconds(31), request), State::over);
}

TEST_F(ConnectionTest, OnlySoMuchWaitsToBeRead) {
    connection->say(frame(3UL * 1024 * 1024), Fd(), start);
    EXPECT_EQ(connection->flush(start), State::over);
}

}  // namespace
}  // namespace senv
