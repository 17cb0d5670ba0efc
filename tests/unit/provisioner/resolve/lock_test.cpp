#include "provisioner/resolve/lock.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::IsOk;

TEST(Lock, IsWrittenAsItWasRead) {
    const std::string text = golden("lock/hello.lock");
    const auto lock = Lock::read(text);
    ASSERT_THAT(lock, IsOk());
    EXPECT_EQ(lock.value().write(), text);
    EXPECT_EQ(lock.value().channels.size(), 2U);
    EXPECT_EQ(lock.value().channels[0].name, "guix");
    EXPECT_EQ(lock.value().closure.size(), 11U);
}

TEST(Lock, DescriptionFillsIt) {
    const auto before = Lock::read(golden("lock/hello.lock"));
    ASSERT_THAT(before, IsOk());
    Lock lock = before.value();
    lock.channels.clear();
    lock.closure.clear();
    lock.guix_version.clear();
    ASSERT_THAT(read_description(golden("lock/hello.description"), lock), IsOk());
    EXPECT_EQ(lock.write(), golden("lock/hello.lock"));
}

TEST(Lock, DescriptionMustHoldTheProfile) {
    Lock lock = Lock::read(golden("lock/hello.lock")).value();
    lock.profile = StorePath::parse("88888888888888888888888888888888-profile").value();
    EXPECT_THAT(read_description(golden("lock/hello.description"), lock),
                FailsWith(Kind::corrupt, "the closure does not hold the profile"));
}

TEST(Lock, WithoutChannelsHasNone) {
    Lock lock = Lock::read(golden("lock/hello.lock")).value();
    lock.channels.clear();
    lock.channel_file.reset();
    lock.packages = {"hello", "a\"b\xff"};
    const auto again = Lock::read(lock.write());
    ASSERT_THAT(again, IsOk());
    EXPECT_FALSE(again.value().channel_file);
    EXPECT_EQ(again.value().packages[1], "a\"b\xef\xbf\xbd");
}

TEST(Lock, RefusesWhatIsNone) {
    const std::string text = golden("lock/hello.lock");
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string changed = text;
        const auto at = changed.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        return changed.replace(at, from.size(), to);
    };
    EXPECT_THAT(Lock::read(""), FailsWith(Kind::corrupt, "not JSON"));
    EXPECT_THAT(Lock::read("[]"), FailsWith(Kind::corrupt, "want an object"));
    EXPECT_THAT(Lock::read(text.substr(0, text.size() / 2)), FailsWith(Kind::corrupt, "not JSON"));
    EXPECT_THAT(Lock::read(with("\"senv-lock\": 1", "\"senv-lock\": 2")), FailsWith(Kind::corrupt, "its version is 2"));
    EXPECT_THAT(Lock::read(with("\"system\"", "\"systems\"")), FailsWith(Kind::corrupt, "'system' is missing"));
    EXPECT_THAT(Lock::read(with("\"manifests\": [", "\"manifests\": [1,")), FailsWith(Kind::corrupt, "manifests"));
    EXPECT_THAT(Lock::read(with("/gnu/store/", "/gnu/stare/")), FailsWith(Kind::corrupt, "/gnu/stare/"));
    EXPECT_THAT(Lock::read(with("\"size\": ", "\"size\": -")), FailsWith(Kind::corrupt, "'size' has the wrong type"));
    EXPECT_THAT(Lock::read(with("sha256:", "sha1:")), FailsWith(Kind::corrupt, "sha1"));
}

}  // namespace
}  // namespace senv
