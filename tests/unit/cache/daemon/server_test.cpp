#include "cache/daemon/server.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

constexpr uid_t made_up_uid = 64001;

/// What serve() says when it is started by an ordinary user; empty when it served.
std::string start(const ServerConfig& config, const TempDir& dir) {
    fs::permissions(dir.path(), fs::perms(0755));
    if (::getuid() == 0) {
        EXPECT_EQ(::chown((dir / "state").c_str(), made_up_uid, made_up_uid), 0);
    }
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe(pipe.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        if (::getuid() == 0 && (::setgid(made_up_uid) != 0 || ::setuid(made_up_uid) != 0)) ::_exit(1);
        const auto served =
            serve(config, [](const std::string&, const StorePath&, const std::stop_token&) -> Result<wire::Plan> {
                return Error(Kind::bug, "not asked");
            });
        if (!served) (void)write_all(pipe[1], served.error().what() + "|" + served.error().hint());
        ::_exit(0);
    }
    ::close(pipe[1]);
    const Fd read_end(pipe[0]);
    auto text = read_to_end(read_end.get(), 10'000, "the child");
    ::waitpid(child, nullptr, 0);
    return std::move(text).value();
}

TEST(Serve, RefusesANodeWithAGuixStoreOfItsOwn) {
    const TempDir dir;
    ServerConfig config;
    config.state_dir = dir / "state";
    config.socket = dir / ("no-folder/socket");  // so that it ends where it would begin to serve
    config.lease_dir = dir / "state/held";
    config.acl = dir / "acl";
    config.gnu_store = dir / "gnu";
    fs::create_directory(config.state_dir);

    EXPECT_THAT(start(config, dir), testing::HasSubstr("cannot listen"));  // there is none
    fs::create_directory(config.gnu_store);
    EXPECT_THAT(start(config, dir), testing::HasSubstr("cannot listen"));  // it is empty
    std::ofstream(config.gnu_store + "/item") << "x";
    EXPECT_THAT(start(config, dir), testing::AllOf(testing::HasSubstr("'" + config.gnu_store + "' is not empty"),
                                                   testing::HasSubstr("|set store = \"node\"")));
    config.cover_gnu_store = true;
    EXPECT_THAT(start(config, dir), testing::HasSubstr("cannot listen"));
}

}  // namespace
}  // namespace senv
