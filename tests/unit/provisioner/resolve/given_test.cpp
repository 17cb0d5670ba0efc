#include "provisioner/resolve/given.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cache/verify/digest.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::IsOk;

const char* const profile = "/gnu/store/88888888888888888888888888888888-profile";

class Given : public testing::Test {
protected:
    test::TempDir dir;

    std::string link(const std::string& name, const std::string& target) const {
        EXPECT_EQ(::symlink(target.c_str(), (dir / name).c_str()), 0);
        return dir / name;
    }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(dir / name) << text;
        return dir / name;
    }
    static std::string found(const std::string& path) {
        const auto known = known_from_profile(path);
        EXPECT_THAT(known, IsOk());
        return known ? known.value().resolution.profile.absolute() : "";
    }
};

TEST_F(Given, LockGivesProfileDigestAndChannels) {
    const std::string text = golden("lock/hello.lock");
    const auto known = given_lock(write("a.lock", text));
    ASSERT_THAT(known, IsOk());
    const Resolution& resolution = known.value().known.resolution;
    EXPECT_EQ(resolution.profile.absolute(), "/gnu/store/qw85j4ybkj65m9i9ywaypz6a1x094fnc-profile");
    EXPECT_EQ(resolution.lock_digest, sha256_of(text).hex());
    EXPECT_EQ(resolution.channels.size(), 2U);
    EXPECT_EQ(known.value().known.lock_file, dir / "a.lock");
    EXPECT_EQ(known.value().lock.write(), text);
    EXPECT_THAT(Resolution::parse(resolution.encode()), IsOk());
}

TEST_F(Given, LockThatIsNoneIsNamed) {
    EXPECT_THAT(given_lock(dir / "none"), FailsWith(Kind::missing, "cannot read lock '" + dir / "none"));
    EXPECT_THAT(given_lock(dir.path().string()), FailsWith(Kind::io, "Is a directory"));
    EXPECT_THAT(given_lock(write("empty", "")), FailsWith(Kind::corrupt, "cannot use the lock '" + dir / "empty"));
}

TEST_F(Given, ProfileIsWhereLinksLead) {
    EXPECT_EQ(found(profile), profile);
    EXPECT_EQ(found(std::string(profile) + "//"), profile);
    EXPECT_EQ(found(link("direct", profile)), profile);
    // As Guix makes them: guix-profile -> guix-profile-42-link -> /gnu/store/…
    link("guix-profile-42-link", profile);
    EXPECT_EQ(found(link("guix-profile", "guix-profile-42-link")), profile);
    std::filesystem::create_directory(dir / "home");
    EXPECT_EQ(found(link("home/.guix-profile", "../guix-profile")), profile);
    EXPECT_EQ(found((dir / "home") + "/./.guix-profile/"), profile);
    link("elsewhere", dir / "home");
    EXPECT_EQ(found((dir / "elsewhere") + "/.guix-profile"), profile);
}

TEST_F(Given, ProfileKnowsNoLockAndNoChannels) {
    const auto known = known_from_profile(profile);
    ASSERT_THAT(known, IsOk());
    EXPECT_EQ(known.value().resolution.lock_digest, "");
    EXPECT_EQ(known.value().lock_file, "");
    EXPECT_THAT(Resolution::parse(known.value().resolution.encode()), IsOk());
}

TEST_F(Given, PathThatLeadsToNoProfileIsRefused) {
    const auto refuses = [](const std::string& path, Kind kind, const std::string& cause) {
        EXPECT_THAT(known_from_profile(path), FailsWith(kind, "cannot use profile '" + path + "': "));
        EXPECT_THAT(known_from_profile(path), FailsWith(kind, cause));
    };
    refuses(dir / "nothing", Kind::missing, "No such file or directory");
    refuses(link("dangling", "nowhere"), Kind::missing, (dir / "nowhere") + "': No such file or directory");
    refuses(write("file", "x"), Kind::corrupt, "is neither a profile nor a link to one");
    refuses(dir.path().string(), Kind::corrupt, "is neither a profile nor a link to one");
    refuses((dir / "file") + "/x", Kind::missing, "Not a directory");
    link("a", "b");
    refuses(link("b", "a"), Kind::corrupt, "more than 40 links");
    refuses((dir / "a") + "/x", Kind::io, "Too many levels of symbolic links");
    refuses(std::string(profile) + "/bin", Kind::corrupt, "it leads to something in '" + std::string(profile) + "'");
    refuses(link("inside", std::string(profile) + "/bin/sh"), Kind::corrupt, "not to a profile as a whole");
    refuses("/gnu/store/x", Kind::corrupt, "cannot use store item 'x'");
}

TEST_F(Given, LongestChainOfLinks) {
    std::string last = profile;
    for (int i = 0; i < 40; ++i) last = link(std::to_string(i), last);
    EXPECT_EQ(found(last), profile);
    EXPECT_THAT(known_from_profile(link("40", last)), FailsWith(Kind::corrupt, "more than 40 links"));
}

}  // namespace
}  // namespace senv
