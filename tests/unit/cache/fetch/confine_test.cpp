#include "cache/fetch/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace senv {
namespace {

bool can_read(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
}

bool can_make_sockets() {
    for (const int family : {AF_INET, AF_INET6, AF_NETLINK, AF_UNIX}) {
        if (::socket(family, SOCK_STREAM, 0) >= 0 || ::socket(family, SOCK_DGRAM, 0) >= 0) return true;
    }
    int pair[2];
    return ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
}

// What a process that is confined without a network can do: a bit for each.
int attempts(const std::string& folder) {
    const auto confined = confine({{folder}, std::size_t{256} << 20U, false});
    if (!confined) return 64;
    int can = 0;
    if (!can_read(folder + "/file")) can |= 1;
    if (confined->landlock > 0 && can_read("/etc/hosts")) can |= 2;
    if (confined->landlock > 0 && can_read("/etc/ssl/certs")) can |= 4;
    if (confined->seccomp && can_make_sockets()) can |= 8;
    if (::open((folder + "/new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644) >= 0) can |= 16;
    return can;
}

TEST(Confine, WithoutNetworkOnlyTheFoldersAreThere) {
    const test::TempDir dir;
    std::ofstream(dir / "file") << "text";
    ASSERT_TRUE(can_read("/etc/ssl/certs"));
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) ::_exit(attempts(dir.path()));
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace senv
