#include "cache/wire/client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <thread>

#include "cache/wire/messages.h"

namespace senv::wire {
namespace {

using namespace std::chrono_literals;

struct Pair {
    Pair() {
        std::array<int, 2> ends = {};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        client = Connection(Fd(ends[0]));
        server = Fd(ends[1]);
    }
    Connection client{Fd()};
    Fd server;
};

TEST(Client, ReceivesAFrameThatArrivesInPieces) {
    Pair pair;
    const std::string frame = encode_text("hello");
    std::jthread writer([&] {
        for (const char c : frame) {
            ASSERT_EQ(::write(pair.server.get(), &c, 1), 1);
            std::this_thread::sleep_for(2ms);
        }
    });
    const auto got = pair.client.receive(Clock::now() + 5s);
    ASSERT_TRUE(got) << got.error().what();
    EXPECT_EQ(got->type, Type::text);
    EXPECT_EQ(decode_text(got->payload).value(), "hello");
    EXPECT_FALSE(got->fd);
}

TEST(Client, ReceivesTheDescriptorOfALease) {
    Pair pair;
    const std::string frame = encode_empty(Type::lease);
    struct iovec piece = {const_cast<char*>(frame.data()), frame.size()};
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
    struct msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    auto* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    const int sent = 0;
    std::memcpy(CMSG_DATA(c), &sent, sizeof sent);
    ASSERT_EQ(::sendmsg(pair.server.get(), &message, 0), static_cast<ssize_t>(frame.size()));

    const auto got = pair.client.receive(Clock::now() + 5s);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->type, Type::lease);
    ASSERT_TRUE(got->fd);
    EXPECT_NE(::fcntl(got->fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Client, RefusesTwoDescriptorsAndKeepsNone) {
    const auto open_here = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                             std::filesystem::directory_iterator());
    };
    for (const std::size_t count : {2, 3, 20}) {
        Pair pair;
        const auto before = open_here();
        const std::string frame = encode_empty(Type::lease);
        struct iovec piece = {const_cast<char*>(frame.data()), frame.size()};
        alignas(struct cmsghdr) std::array<char, CMSG_SPACE(20 * sizeof(int))> control = {};
        struct msghdr message = {};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        auto* c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));  // each is 0
        ASSERT_EQ(::sendmsg(pair.server.get(), &message, 0), static_cast<ssize_t>(frame.size()));
        {
            const auto got = pair.client.receive(Clock::now() + 5s);
            ASSERT_FALSE(got);
            EXPECT_EQ(got.error().kind(), Kind::corrupt);
        }
        EXPECT_EQ(open_here(), before);
    }
}

TEST(Client, ADaemonThatNeverStopsSendingIsBusy) {
    Pair pair;
    const std::string frame = encode_text(std::string(400'000, 'x'));
    std::jthread writer([&](const std::stop_token& stop) {
        for (const char c : frame) {
            if (stop.stop_requested() || ::send(pair.server.get(), &c, 1, MSG_NOSIGNAL) != 1) return;
            std::this_thread::sleep_for(20us);
        }
    });
    const auto start = Clock::now();
    const auto got = pair.client.receive(start + 200ms);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind(), Kind::busy);
    EXPECT_LT(Clock::now() - start, 5s);
}

TEST(Client, ADaemonThatSaysNothingIsBusy) {
    Pair pair;
    const auto start = Clock::now();
    const auto got = pair.client.receive(start + 100ms);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind(), Kind::busy);
    EXPECT_LT(Clock::now() - start, 10s);
}

TEST(Client, ADaemonThatGoesAwayInTheMiddleOfAFrameIsAnError) {
    Pair pair;
    ASSERT_EQ(::write(pair.server.get(), "\x09\0\0", 3), 3);
    pair.server.reset();
    const auto got = pair.client.receive(Clock::now() + 5s);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind(), Kind::io);
}

TEST(Client, NobodyListeningIsMissingWithAHint) {
    const auto got = Connection::open("/nonexistent/senvd.sock", std::nullopt, Clock::now() + 1s);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind(), Kind::missing);
    EXPECT_NE(got.error().hint().find("start senvd"), std::string::npos);
}

// The kernel remembers who called listen(2); a child that gave up root plays the other user.
TEST(Client, RefusesADaemonOfAnotherUser) {
    if (::getuid() != 0) GTEST_SKIP() << "needs root, to listen as another user";
    constexpr uid_t other = 65534;
    std::string folder = "/tmp/senv-client-test.XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    ASSERT_EQ(::chmod(folder.c_str(), 0777), 0);
    const std::string path = folder + "/socket";
    std::array<int, 2> ready = {};
    ASSERT_EQ(::pipe(ready.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        struct sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, path.size());
        const int listening = ::socket(AF_UNIX, SOCK_STREAM, 0);
        const bool listens =
            ::setresuid(other, other, other) == 0 &&
            ::bind(listening, reinterpret_cast<const struct sockaddr*>(&address), sizeof address) == 0 &&
            ::listen(listening, 8) == 0 && ::write(ready[1], "x", 1) == 1;
        if (listens) ::pause();
        ::_exit(1);
    }
    ::close(ready[1]);
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);

    const auto refused = Connection::open(path, other - 1, Clock::now() + 1s);
    const auto accepted = Connection::open(path, other, Clock::now() + 1s);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::unlink(path.c_str());
    ::rmdir(folder.c_str());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind(), Kind::denied);
    EXPECT_TRUE(accepted);
}

TEST(Client, KnowsWhomAUserNamespaceHas) {
    constexpr std::string_view all = "         0          0 4294967295\n";
    constexpr std::string_view some = "         0          0          1\n      2001       2001          2\n";
    EXPECT_TRUE(is_mapped(0, all));
    EXPECT_TRUE(is_mapped(990, all));
    EXPECT_TRUE(is_mapped(0, some));
    EXPECT_TRUE(is_mapped(2002, some));
    EXPECT_FALSE(is_mapped(990, some));
    EXPECT_FALSE(is_mapped(2003, some));
    EXPECT_FALSE(is_mapped(0, ""));
}

}  // namespace
}  // namespace senv::wire
