#include "cache/daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>

#include "cache/base/fd.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using test::TempDir;

/// A service manager's socket; '@' in front: abstract.
Fd listen_as_manager(const std::string& name) {
    Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    if (name.starts_with('@')) address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const struct sockaddr*>(&address), length), 0);
    return fd;
}

std::string received(const Fd& fd) {
    std::array<char, 100> text = {};
    const auto got = ::recv(fd.get(), text.data(), text.size(), MSG_DONTWAIT);
    return got < 0 ? "nothing" : std::string(text.data(), static_cast<std::size_t>(got));
}

TEST(ReadyNotice, IsOneDatagramToASocketWithAPathOrAnAbstractName) {
    const TempDir dir;
    for (const std::string& name : {dir / "notify", "@senv-test-" + std::to_string(::getpid())}) {
        const Fd manager = listen_as_manager(name);
        ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
        const auto notice = ReadyNotice::from_environment();
        EXPECT_EQ(::getenv("NOTIFY_SOCKET"), nullptr);
        EXPECT_EQ(received(manager), "nothing");
        EXPECT_THAT(notice.send(), IsOk());
        EXPECT_EQ(received(manager), "READY=1");
        EXPECT_EQ(received(manager), "nothing");
    }
}

TEST(ReadyNotice, IsNotSentWithoutAServiceManager) {
    ::unsetenv("NOTIFY_SOCKET");
    EXPECT_THAT(ReadyNotice::from_environment().send(), IsOk());
}

TEST(ReadyNotice, ToNobodyIsAnError) {
    const TempDir dir;
    ::setenv("NOTIFY_SOCKET", (dir / "none").c_str(), 1);
    EXPECT_THAT(ReadyNotice::from_environment().send(),
                FailsWith(Kind::missing, "(NOTIFY_SOCKET) that senvd is ready"));
    ::setenv("NOTIFY_SOCKET", std::string(200, 'x').c_str(), 1);
    EXPECT_THAT(ReadyNotice::from_environment().send(), FailsWith(Kind::usage, "the name is too long"));
}

}  // namespace
}  // namespace senv
