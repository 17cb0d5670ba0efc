#include "provisioner/resolve/cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cache/verify/digest.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::IsOk;

class ResolveCache : public testing::Test {
protected:
    test::TempDir dir;
    std::string key = std::string(64, 'a');
    Cache::Want want = Cache::Want::resolution;
    std::string guix_roots = dir / "guix/profiles/per-user/ada/senv";
    std::string own = dir / "home/.cache/senv";
    Lock lock = Lock::read(test::golden("lock/hello.lock")).value();

    Cache open() const {
        auto cache = Cache::open({{"HOME", dir / "home"}, {"USER", "ada"}, {"GUIX_STATE_DIRECTORY", dir / "guix"}});
        EXPECT_THAT(cache, IsOk());
        return std::move(cache).value();
    }
    void allow_guix_roots() const { fs::create_directories(fs::path(guix_roots).parent_path()); }
    Known keep(const Cache& cache) const {
        auto known = cache.keep(lock, key);
        EXPECT_THAT(known, IsOk());
        return std::move(known).value();
    }
    static void age(const std::string& path, std::chrono::seconds by) {
        const timespec then = {std::time(nullptr) - by.count(), 0};
        const timespec times[2] = {then, then};
        EXPECT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0) << path;
    }
};

TEST_F(ResolveCache, RemembersThatNothingCouldBeTuned) {
    allow_guix_roots();
    const Cache cache = open();
    ASSERT_THAT(cache.make_root(lock.profile, false), IsOk());
    EXPECT_TRUE(cache.keep(lock, key, true)->untuned);
    ASSERT_TRUE(cache.find(key, {}, want));
    EXPECT_TRUE(cache.find(key, {}, want)->untuned);
    keep(cache);
    EXPECT_FALSE(cache.find(key, {}, want)->untuned);
}

TEST_F(ResolveCache, FindsWhatItKeptWhileTheRootStands) {
    allow_guix_roots();
    const Cache cache = open();
    EXPECT_FALSE(cache.find(key, {}, want));
    const Known kept = keep(cache);
    EXPECT_FALSE(cache.find(key, {}, want));  // no root
    const auto root = cache.make_root(lock.profile, false);
    ASSERT_THAT(root, IsOk());
    EXPECT_TRUE(root.value().registered);
    EXPECT_EQ(root.value().link, guix_roots + "/" + lock.profile.base());
    const auto found = cache.find(key, {}, want);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->resolution.encode(), kept.resolution.encode());
    EXPECT_EQ(found->resolution.profile, lock.profile);
    EXPECT_EQ(found->resolution.channels.size(), 2U);
    EXPECT_EQ(read_small_file(found->lock_file, max_lock_bytes).value(), test::golden("lock/hello.lock"));
    EXPECT_EQ(sha256_of(test::golden("lock/hello.lock")).hex(), found->resolution.lock_digest);
    EXPECT_FALSE(cache.find(std::string(64, 'b'), {}, want));

    fs::remove(root.value().link);
    EXPECT_FALSE(cache.find(key, {}, want));
    fs::create_symlink("/gnu/store/88888888888888888888888888888888-other", root.value().link);
    EXPECT_FALSE(cache.find(key, {}, want));
}

TEST_F(ResolveCache, WhatAClockThatRanAheadWroteAgesAllTheSame) {
    allow_guix_roots();
    const Cache cache = open();
    keep(cache);
    const std::string link = cache.make_root(lock.profile, false).value().link;
    age(own + "/keys/" + key, -100h);
    age(link, -1000 * 24h);
    EXPECT_FALSE(cache.find(key, 1h, want));  // who knows when it was
    EXPECT_TRUE(cache.find(key, {}, want));
    age(link, -1000 * 24h);
    cache.remove_unused(90 * 24h);
    struct stat info = {};
    ASSERT_EQ(::lstat(link.c_str(), &info), 0);
    EXPECT_LE(info.st_mtime, std::time(nullptr));
}

TEST_F(ResolveCache, WhatIsUsedKeepsItsRootOrGetsANewOne) {
    const Environment environment = {{"HOME", dir / "home"}, {"USER", "ada"}, {"GUIX_STATE_DIRECTORY", dir / "guix"}};
    const std::string store = dir / "store";
    const std::string link = guix_roots + "/" + lock.profile.base();
    EXPECT_FALSE(keep_root(lock.profile, environment, store));  // no Guix here
    EXPECT_FALSE(fs::exists(dir / "home"));
    allow_guix_roots();
    EXPECT_FALSE(keep_root(lock.profile, environment, store));  // not in its store
    EXPECT_FALSE(standing_root(lock.profile, environment));
    fs::create_directories(store + "/" + lock.profile.base());
    EXPECT_TRUE(keep_root(lock.profile, environment, store));
    EXPECT_EQ(fs::read_symlink(link), lock.profile.absolute());

    age(link, 100 * 24h);
    EXPECT_EQ(standing_root(lock.profile, environment)->link, link);
    EXPECT_GE(standing_root(lock.profile, environment)->unused, 100 * 24h);
    EXPECT_FALSE(keep_root(lock.profile, environment, store));
    EXPECT_LT(standing_root(lock.profile, environment)->unused, 1h);
    open().remove_unused(90 * 24h);
    EXPECT_TRUE(standing_root(lock.profile, environment));

    fs::remove(link);
    const std::string other = own + "/roots/" + lock.profile.base();  // where Guix is on another host of this home
    fs::create_symlink(lock.profile.absolute(), other);
    age(other, 100 * 24h);
    EXPECT_FALSE(keep_root(lock.profile, environment, store));
    EXPECT_LT(standing_root(lock.profile, environment)->unused, 1h);
    fs::remove(other);
    fs::create_symlink("/gnu/store/88888888888888888888888888888888-other", link);
    EXPECT_TRUE(keep_root(lock.profile, environment, store));
    EXPECT_EQ(fs::read_symlink(link), lock.profile.absolute());
}

TEST_F(ResolveCache, KeepsRootsItselfWhereGuixHasNoPlace) {
    const Cache cache = open();
    keep(cache);
    for (const bool elsewhere : {false, true}) {
        if (elsewhere) allow_guix_roots();
        const auto root = cache.make_root(lock.profile, elsewhere);
        ASSERT_THAT(root, IsOk());
        EXPECT_FALSE(root.value().registered);
        EXPECT_EQ(root.value().link, own + "/roots/" + lock.profile.base());
    }
    EXPECT_TRUE(cache.find(key, {}, want));
}

// A compute node with the home of the login host, on which the root is.
TEST_F(ResolveCache, WithoutAGuixRootsMayStandOnAnotherHost) {
    const Cache cache = open();
    const Known kept = keep(cache);
    EXPECT_FALSE(cache.find(key, {}, want, Cache::Guix::here));
    EXPECT_TRUE(cache.find(key, {}, want, Cache::Guix::none));
    EXPECT_FALSE(cache.find(std::string(64, 'b'), {}, want, Cache::Guix::none));
    // Here are Guix's roots, if only the command is not loaded.
    fs::create_directories(dir / "guix");
    EXPECT_FALSE(cache.find(key, {}, want, Cache::Guix::none));
    allow_guix_roots();
    ASSERT_THAT(cache.make_root(lock.profile, false), IsOk());
    EXPECT_TRUE(cache.find(key, {}, want, Cache::Guix::none));
    fs::remove_all(dir / "guix");
    fs::remove(kept.lock_file);
    EXPECT_FALSE(cache.find(key, {}, want, Cache::Guix::none));
}

TEST_F(ResolveCache, DamagedEntriesAreAbsent) {
    const Cache cache = open();
    const Known kept = keep(cache);
    ASSERT_THAT(cache.make_root(lock.profile, true), IsOk());
    ASSERT_TRUE(cache.find(key, {}, want));
    fs::resize_file(kept.lock_file, 100);
    want = Cache::Want::lock;
    EXPECT_FALSE(cache.find(key, {}, want));
    keep(cache);
    EXPECT_TRUE(cache.find(key, {}, want));

    want = Cache::Want::resolution;
    fs::remove(kept.lock_file);
    EXPECT_FALSE(cache.find(key, {}, want));
    keep(cache);
    std::ofstream(own + "/keys/" + key) << "no resolution";
    EXPECT_FALSE(cache.find(key, {}, want));
}

TEST_F(ResolveCache, AgeCountsFromTheResolution) {
    const Cache cache = open();
    keep(cache);
    ASSERT_THAT(cache.make_root(lock.profile, true), IsOk());
    EXPECT_TRUE(cache.find(key, 1h, want));
    age(own + "/keys/" + key, 2h);
    EXPECT_FALSE(cache.find(key, 1h, want));
    EXPECT_FALSE(cache.find(key, 1h, want));
    EXPECT_TRUE(cache.find(key, 3h, want));  // being used does not make it younger
    EXPECT_FALSE(cache.find(key, 1h, want));
}

TEST_F(ResolveCache, RemovesWhatWasNotUsed) {
    allow_guix_roots();
    const Cache cache = open();
    const Known kept = keep(cache);
    const std::string root = cache.make_root(lock.profile, false).value().link;
    fs::create_directories(own + "/work.dead00/x");
    const std::string compiled = dir / "home/.cache/guile/ccache/3.0-LE-8-4.7" + own + "/work.dead00";
    fs::create_directories(compiled);
    fs::create_directories(own + "/work.alive0");

    age(root, 50h);
    age(kept.lock_file, 50h);
    age(own + "/keys/" + key, 50h);
    EXPECT_TRUE(cache.find(key, {}, want));  // touches
    age(own + "/work.dead00", 30h);
    cache.remove_unused(48h);
    EXPECT_TRUE(cache.find(key, {}, want));
    EXPECT_FALSE(fs::exists(own + "/work.dead00"));
    EXPECT_FALSE(fs::exists(compiled));
    EXPECT_TRUE(fs::exists(own + "/work.alive0"));

    age(root, 50h);
    age(kept.lock_file, 50h);
    age(own + "/keys/" + key, 50h);
    cache.remove_unused(48h);
    EXPECT_FALSE(fs::exists(fs::symlink_status(root)));
    EXPECT_FALSE(fs::exists(kept.lock_file));
    EXPECT_FALSE(fs::exists(fs::symlink_status(own + "/keys/" + key)));
}

TEST_F(ResolveCache, WorkFoldersTakeWhatGuileCompiledAlong) {
    const Cache cache = open();
    std::string path;
    std::string compiled;
    {
        const auto work = cache.make_work_folder();
        ASSERT_THAT(work, IsOk());
        path = work.value().path();
        ASSERT_THAT(work.value().write("a/m.scm", "x"), IsOk());
        compiled = dir / "home/.cache/guile/ccache/3.0-LE-8-4.7" + path;
        fs::create_directories(compiled);
        EXPECT_TRUE(fs::exists(path + "/a/m.scm"));
        EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_all);
    }
    EXPECT_FALSE(fs::exists(path));
    EXPECT_FALSE(fs::exists(compiled));
}

TEST_F(ResolveCache, ReservesAKeyForOne) {
    const Cache cache = open();
    const Signals signals = Signals::hold().value();
    const auto nothing = [] {};
    auto first = cache.reserve(key, signals, nothing);
    ASSERT_THAT(first, IsOk());
    ASSERT_THAT(cache.reserve(std::string(64, 'b'), signals, nothing), IsOk());
    std::atomic<bool> second_has_it = false;
    std::atomic<int> waited = 0;
    std::jthread second([&] {
        const auto fd = cache.reserve(key, signals, [&] { ++waited; });
        second_has_it = static_cast<bool>(fd);
    });
    while (waited == 0) std::this_thread::sleep_for(5ms);
    EXPECT_FALSE(second_has_it);
    first.value().reset();
    second.join();
    EXPECT_TRUE(second_has_it);
}

TEST_F(ResolveCache, NeedsAHome) {
    EXPECT_FALSE(Cache::open({}));
    EXPECT_THAT(Cache::open({{"XDG_CACHE_HOME", dir / "xdg"}}), IsOk());
    EXPECT_TRUE(fs::exists(dir / "xdg/senv/locks"));
}

}  // namespace
}  // namespace senv
