#include "cache/store/state_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using test::FailsWith;
using test::IsOk;
using test::TempDir;

TEST(StateDir, MakesItsFoldersWithTheirModesWhateverTheUmask) {
    const TempDir dir;
    const mode_t before = ::umask(077);
    const auto state = StateDir::open(dir.path().string(), dir / "held");
    ::umask(before);
    ASSERT_THAT(state, IsOk());
    const auto mode = [&](const char* name) {
        struct stat info = {};
        EXPECT_EQ(::stat((dir / name).c_str(), &info), 0) << name;
        return info.st_mode & 07777U;
    };
    EXPECT_EQ(mode("store"), 0755U);
    EXPECT_EQ(mode("narinfo"), 0755U);
    EXPECT_EQ(mode("staging"), 0700U);
    EXPECT_EQ(mode("held"), 0700U);
    EXPECT_FALSE(fs::exists(dir / "leases"));
}

TEST(StateDir, HasOneUserAtATime) {
    const TempDir dir;
    {
        const auto first = StateDir::open(dir.path().string(), dir / "held");
        ASSERT_THAT(first, IsOk());
        EXPECT_THAT(StateDir::open(dir.path().string(), dir / "held"),
                    FailsWith(Kind::busy, "another senvd is using it"));
    }
    EXPECT_THAT(StateDir::open(dir.path().string(), dir / "held"), IsOk());
}

TEST(StateDir, NamesTheFirstFolderThatOthersMayWrite) {
    const TempDir dir;
    fs::create_directories(dir / "a/b/state");
    ASSERT_EQ(::chmod((dir / "a").c_str(), 0777), 0);
    EXPECT_THAT(StateDir::open(dir / "a/b/state", dir / "held"),
                FailsWith(Kind::denied, "others may write to '" + (dir / "a") + "'"));
    ASSERT_EQ(::chmod((dir / "a").c_str(), 01777), 0);
    EXPECT_THAT(StateDir::open(dir / "a/b/state", dir / "held"), IsOk());
    ASSERT_EQ(::chmod((dir / "a/b/state").c_str(), 01777), 0);
    EXPECT_THAT(StateDir::open(dir / "a/b/state", dir / "held"), FailsWith(Kind::denied, "others may write"));
}

TEST(StateDir, FollowsALinkOnce) {
    const TempDir dir;
    fs::create_directory(dir / "real");
    fs::create_directory_symlink("real", dir / "state");
    const auto state = StateDir::open(dir / "state", dir / "held");
    ASSERT_THAT(state, IsOk());
    EXPECT_EQ(state->path, fs::canonical(dir / "real").string());
}

TEST(StateDir, RefusesALinkInThePlaceOfAFolder) {
    const TempDir dir;
    fs::create_directory(dir / "elsewhere");
    fs::create_directory_symlink("elsewhere", dir / "store");
    EXPECT_FALSE(StateDir::open(dir.path().string(), dir / "held"));
}

TEST(StateDir, SaysWhatIsMissing) {
    const TempDir dir;
    EXPECT_THAT(StateDir::open(dir / "nowhere", dir / "held"), FailsWith(Kind::missing, "nowhere"));
}

}  // namespace
}  // namespace senv
