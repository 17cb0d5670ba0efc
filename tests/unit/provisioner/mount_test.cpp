// What the kernel does with our mounts. Needs root; each test works in a child with a mount namespace of its own, so that
// nothing of it reaches the machine.
#include "provisioner/mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <functional>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

constexpr uid_t owner = 12345;

class Mount : public testing::Test {
protected:
    void SetUp() override {
        if (::getuid() != 0) GTEST_SKIP() << "needs root, to mount";
        ASSERT_EQ(::mkdir(where().store.c_str(), 0755), 0);
        ASSERT_EQ(::mkdir(where().target.c_str(), 0755), 0);
        std::ofstream(where().store + "/item") << "text";
        ASSERT_EQ(::chown(where().store.c_str(), owner, owner), 0);
    }

    StoreMount where() const { return {dir_ / "store", dir_ / "target", owner}; }

    // In a child in a mount namespace of its own whose mounts all propagate, as on a host with systemd.
    static void on_a_shared_host(const std::function<void()>& body) {
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            EXPECT_EQ(::unshare(CLONE_NEWNS), 0);
            EXPECT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
            EXPECT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr), 0);
            body();
            ::_exit(testing::Test::HasFailure() ? 1 : 0);
        }
        int status = -1;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0) << "see the failures printed above";
    }

    // Forks a step's task, which enters and runs `inside`; meanwhile, and after it has entered, `outside` runs on the host.
    static void in_a_step(const StoreMount& mount, const std::function<void()>& outside,
                          const std::function<void()>& inside) {
        std::array<int, 2> entered = {};
        std::array<int, 2> go_on = {};
        ASSERT_EQ(::pipe(entered.data()), 0);
        ASSERT_EQ(::pipe(go_on.data()), 0);
        const pid_t task = ::fork();
        if (task == 0) {
            EXPECT_THAT(enter_new_namespace(mount), IsOk());
            char c = 'x';
            EXPECT_EQ(::write(entered[1], &c, 1), 1);
            EXPECT_EQ(::read(go_on[0], &c, 1), 1);
            inside();
            ::_exit(testing::Test::HasFailure() ? 1 : 0);
        }
        char c = 'x';
        EXPECT_EQ(::read(entered[0], &c, 1), 1);
        outside();
        EXPECT_EQ(::write(go_on[1], &c, 1), 1);
        int status = -1;
        EXPECT_EQ(::waitpid(task, &status, 0), task);
        EXPECT_EQ(status, 0) << "see the failures printed above";
    }

    static bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

    test::TempDir dir_;
};

TEST_F(Mount, ShowsTheStoreReadOnlyToTheStepAlone) {
    on_a_shared_host([&] {
        in_a_step(
            where(), [&] { EXPECT_FALSE(exists(where().target + "/item")); },
            [&] {
                EXPECT_TRUE(exists(where().target + "/item"));
                EXPECT_LT(::open((where().target + "/new").c_str(), O_CREAT | O_WRONLY, 0644), 0);
                EXPECT_EQ(errno, EROFS);
                struct statvfs status = {};
                EXPECT_EQ(::statvfs(where().target.c_str(), &status), 0);
                EXPECT_EQ(status.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV), ST_RDONLY | ST_NOSUID | ST_NODEV);
                EXPECT_EQ(status.f_flag & ST_NOEXEC, 0U);
            });
    });
}

TEST_F(Mount, LetsTheStepSeeWhatTheNodeMountsLater) {
    on_a_shared_host([&] {
        const std::string home = dir_ / "home";
        EXPECT_EQ(::mkdir(home.c_str(), 0755), 0);
        in_a_step(
            where(),
            [&] {
                EXPECT_EQ(::mount("tmpfs", home.c_str(), "tmpfs", 0, nullptr), 0);
                std::ofstream(home + "/file") << "text";
            },
            [&] { EXPECT_TRUE(exists(home + "/file")); });
    });
}

TEST_F(Mount, ASiblingJoins) {
    on_a_shared_host([&] {
        std::array<int, 2> pipe = {};
        EXPECT_EQ(::pipe(pipe.data()), 0);
        const pid_t first = ::fork();
        if (first == 0) {
            const auto made = enter_new_namespace(where());
            EXPECT_THAT(made, IsOk());
            EXPECT_EQ(::write(pipe[1], "x", 1), 1);
            ::pause();
        }
        char c = 0;
        EXPECT_EQ(::read(pipe[0], &c, 1), 1);
        const auto made = open_file("/proc/" + std::to_string(first) + "/ns/mnt", O_RDONLY);
        EXPECT_THAT(made, IsOk());
        EXPECT_THAT(join_namespace(*made), IsOk());
        EXPECT_TRUE(exists(where().target + "/item"));
        ::kill(first, SIGKILL);
        ::waitpid(first, nullptr, 0);
        EXPECT_TRUE(exists(where().target + "/item"));
    });
}

TEST_F(Mount, KeepsTheFlagsOfTheFileSystemBelow) {
    on_a_shared_host([&] {
        EXPECT_EQ(::mount(where().store.c_str(), where().store.c_str(), nullptr, MS_BIND, nullptr), 0);
        EXPECT_EQ(::mount(nullptr, where().store.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOATIME, nullptr), 0);
        EXPECT_THAT(enter_new_namespace(where()), IsOk());
        struct statvfs status = {};
        EXPECT_EQ(::statvfs(where().target.c_str(), &status), 0);
        EXPECT_NE(status.f_flag & ST_NOATIME, 0U);
    });
}

TEST_F(Mount, RefusesAStoreOfSomebodyElse) {
    EXPECT_EQ(::chown(where().store.c_str(), 0, 0), 0);
    on_a_shared_host([&] {
        EXPECT_THAT(enter_new_namespace(where()), FailsWith(Kind::denied, "it belongs to uid 0, not to senvd's uid"));
        EXPECT_FALSE(exists(where().target + "/item"));
    });
}

TEST_F(Mount, RefusesAStoreThatOthersMayWriteTo) {
    EXPECT_EQ(::chmod(where().store.c_str(), 0775), 0);
    on_a_shared_host([&] { EXPECT_THAT(enter_new_namespace(where()), FailsWith(Kind::denied, "others may write")); });
}

TEST_F(Mount, RefusesAStoreThatIsNoFolder) {
    on_a_shared_host([&] {
        StoreMount mount = where();
        mount.store += "/item";
        EXPECT_THAT(enter_new_namespace(mount), FailsWith(Kind::missing, "Not a directory"));
    });
}

TEST_F(Mount, NamesAStoreThatIsNotThere) {
    on_a_shared_host([&] {
        StoreMount mount = where();
        mount.store = dir_ / "nowhere";
        EXPECT_THAT(enter_new_namespace(mount), FailsWith(Kind::missing, "nowhere"));
    });
}

TEST_F(Mount, SaysHowToMakeATargetThatIsNotThere) {
    on_a_shared_host([&] {
        StoreMount mount = where();
        mount.target = dir_ / "gnu";
        const auto made = enter_new_namespace(mount);
        EXPECT_THAT(made, FailsWith(Kind::missing, "there is no such folder"));
        EXPECT_NE(made.error().hint().find("create the empty folder"), std::string::npos);
    });
}

TEST_F(Mount, DoesNotFollowALinkAsTarget) {
    on_a_shared_host([&] {
        StoreMount mount = where();
        mount.target = dir_ / "link";
        EXPECT_EQ(::symlink("/etc", mount.target.c_str()), 0);
        EXPECT_FALSE(enter_new_namespace(mount));
    });
}

TEST_F(Mount, SaysThatNothingCouldRunFromANoexecFileSystem) {
    on_a_shared_host([&] {
        EXPECT_EQ(::mount(where().store.c_str(), where().store.c_str(), nullptr, MS_BIND, nullptr), 0);
        EXPECT_EQ(::mount(nullptr, where().store.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOEXEC, nullptr), 0);
        EXPECT_THAT(enter_new_namespace(where()), FailsWith(Kind::denied, "noexec"));
    });
}

}  // namespace
}  // namespace senv
