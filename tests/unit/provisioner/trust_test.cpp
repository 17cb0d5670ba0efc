#include "provisioner/trust.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

constexpr uid_t alice = 54321;

class Trust : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make files of others";
        std::filesystem::create_directory(of_root_);
        std::filesystem::create_directory(of_alice_);
        std::ofstream(of_root_ + "/file") << "x";
        std::ofstream(of_alice_ + "/file") << "x";
        ASSERT_EQ(::chown((of_alice_ + "/file").c_str(), alice, 0), 0);
        ASSERT_EQ(::chown(of_alice_.c_str(), alice, 0), 0);
    }
    void link(const std::string& target, const std::string& name) const {
        std::filesystem::create_symlink(target, dir_ / name);
    }

    test::TempDir dir_;
    std::string of_root_ = dir_ / "root", of_alice_ = dir_ / "alice";
};

TEST_F(Trust, RootsFilesInRootsFoldersAreRoots) {
    link("root/../root/file", "link");
    link(of_root_, "folder");
    for (const std::string& path : {of_root_ + "/file", of_root_ + "/", dir_ / "link", dir_ / "folder/file"}) {
        EXPECT_THAT(check_is_roots(path), IsOk()) << path;
    }
}

TEST_F(Trust, WhatSomebodyElseCanPutThereIsNot) {
    link("alice/file", "link");
    link("alice/to-root", "over-alice");
    link(of_root_ + "/file", "alice/to-root");
    std::ofstream(of_alice_ + "/roots-file") << "x";
    for (const std::string& path : {of_alice_ + "/file", of_alice_, dir_ / "link", dir_ / "over-alice",
                                    of_alice_ + "/roots-file", of_root_ + "/../alice/file"}) {
        EXPECT_THAT(check_is_roots(path), FailsWith(Kind::denied, "belongs to uid 54321")) << path;
    }
    ASSERT_EQ(::chmod(of_root_.c_str(), 0777), 0);
    EXPECT_THAT(check_is_roots(of_root_ + "/file"), FailsWith(Kind::denied, "can be written to by others"));
    ASSERT_EQ(::chmod(of_root_.c_str(), 01777), 0);
    EXPECT_THAT(check_is_roots(of_root_ + "/file"), IsOk());
    ASSERT_EQ(::chmod((of_root_ + "/file").c_str(), 0666), 0);
    EXPECT_THAT(check_is_roots(of_root_ + "/file"), FailsWith(Kind::denied, "can be written to by others"));
}

TEST_F(Trust, LinksOfTheKernelsAreFollowed) {
    ASSERT_EQ(::chdir(of_alice_.c_str()), 0);
    EXPECT_THAT(check_is_roots("/proc/self/cwd/file"), FailsWith(Kind::denied, "belongs to uid"));
    EXPECT_THAT(check_is_roots("file"), FailsWith(Kind::denied, "belongs to uid"));
    ASSERT_EQ(::chdir("/"), 0);
    std::array<int, 2> pipe = {};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    EXPECT_THAT(check_is_roots("/proc/self/fd/" + std::to_string(pipe[0])), IsOk());
    EXPECT_THAT(check_is_roots(of_root_ + "/no-such-file"), FailsWith(Kind::missing, "no-such-file"));
}

TEST_F(Trust, LinksWithoutAnEndAreAnError) {
    link("loop", "loop");
    EXPECT_THAT(check_is_roots(dir_ / "loop"), FailsWith(Kind::io, "cannot follow"));
}

TEST_F(Trust, OthersUseWhatTheyCanRead) {
    EXPECT_THAT(check_may_be_used_by(alice, of_alice_ + "/file"), IsOk());
    EXPECT_THAT(check_may_be_used_by(alice, of_root_ + "/file"), IsOk());
    EXPECT_THAT(check_may_be_used_by(0, of_alice_ + "/file"),
                FailsWith(Kind::denied, "evaluates nothing of other users"));
}

TEST_F(Trust, FoldersOfOthersDoNotCount) {
    const Environment root = with_own_folders({{"HOME", of_alice_},
                                               {"XDG_CACHE_HOME", of_alice_ + "/not-yet/there"},
                                               {"XDG_CONFIG_HOME", of_root_},
                                               {"A", "1"}},
                                              0);
    EXPECT_EQ(root, (Environment{{"HOME", "/root"}, {"XDG_CONFIG_HOME", of_root_}, {"A", "1"}}));
    // A user whom passwd does not know.
    EXPECT_EQ(with_own_folders({{"HOME", of_root_}}, alice), Environment());
    EXPECT_EQ(with_own_folders({{"HOME", of_alice_ + "/new"}}, alice), (Environment{{"HOME", of_alice_ + "/new"}}));
    EXPECT_EQ(with_own_folders({}, 0), (Environment{{"HOME", "/root"}}));
    EXPECT_EQ(with_own_folders({{"HOME", "relative"}}, 0), (Environment{{"HOME", "/root"}}));
}

}  // namespace
}  // namespace senv
