#include "provisioner/resolve/lock.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

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

TEST(Lock, DiffersInProfileItemsAndContents) {
    const Lock lock = Lock::read(golden("lock/hello.lock")).value();
    EXPECT_EQ(differences(lock, lock), std::vector<std::string>());
    const StorePath other = StorePath::parse("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-other").value();
    Lock made = lock;
    made.profile = other;
    made.closure[1].nar_hash = lock.closure[0].nar_hash;
    ++made.closure[2].nar_size;
    made.closure[3].references.push_back(other);
    made.closure.erase(made.closure.begin());
    made.closure.push_back({other, lock.closure[0].nar_hash, 1, {}});
    const std::string sizes = " has " + std::to_string(lock.closure[2].nar_size + 1) + " bytes, the lock has " +
                              std::to_string(lock.closure[2].nar_size);
    EXPECT_EQ(differences(lock, made),
              (std::vector<std::string>{
                  "the profile is " + other.absolute() + ", the lock has " + lock.profile.absolute(),
                  "- " + lock.closure[0].path.absolute(),
                  lock.closure[1].path.absolute() + " is " + lock.closure[0].nar_hash.prefixed() + ", the lock has " +
                      lock.closure[1].nar_hash.prefixed(),
                  lock.closure[2].path.absolute() + sizes,
                  lock.closure[3].path.absolute() + " refers to " + other.base() + ", not so in the lock",
                  "+ " + other.absolute()}));
    EXPECT_EQ(differences(made, lock).size(), 6U);
    EXPECT_THAT(differences(made, lock), testing::Contains(lock.closure[3].path.absolute() + " refers to " +
                                                           other.base() + " in the lock only"));
    Lock reordered = lock;
    for (LockedItem& item : reordered.closure) std::ranges::reverse(item.references);
    EXPECT_EQ(differences(lock, reordered), std::vector<std::string>());
    EXPECT_EQ(listed({"a", "b"}), "\n  a\n  b");
    EXPECT_THAT(listed(std::vector<std::string>(25, "a")), testing::EndsWith("\n  a\n  and 5 more"));
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
    for (const std::size_t part : {2U, 3U, 10U}) {
        EXPECT_THAT(Lock::read(text.substr(0, text.size() / part)), FailsWith(Kind::corrupt, "or not all of it"));
    }
    EXPECT_THAT(Lock::read(with("\"senv-lock\": 1", "\"senv-lock\": 2")),
                FailsWith(Kind::corrupt, "its version is 2, this senv reads version 1"));
    EXPECT_THAT(Lock::read(with("\"system\"", "\"systems\"")), FailsWith(Kind::corrupt, "'system' is missing"));
    EXPECT_THAT(Lock::read(with("\"manifests\": [", "\"manifests\": [1,")), FailsWith(Kind::corrupt, "manifests"));
    EXPECT_THAT(Lock::read(with("/gnu/store/", "/gnu/stare/")), FailsWith(Kind::corrupt, "/gnu/stare/"));
    EXPECT_THAT(Lock::read(with("\"size\": ", "\"size\": -")), FailsWith(Kind::corrupt, "'size' has the wrong type"));
    EXPECT_THAT(Lock::read(with("sha256:", "sha1:")), FailsWith(Kind::corrupt, "sha1"));
    EXPECT_THAT(Lock::read(with("x86_64-linux", "x86 64")), FailsWith(Kind::corrupt, "bad system 'x86 64'"));
    EXPECT_THAT(Lock::read(with("\"name\": \"guix\"", "\"name\": \"gu ix\"")),
                FailsWith(Kind::corrupt, "channel: bad name or commit 'gu ix@0572"));
    EXPECT_THAT(Lock::read(with("\"commit\": \"0572", "\"commit\": \"x572")), FailsWith(Kind::corrupt, "'guix@x572"));
}

// Each field of each object once away and once of another type.
TEST(Lock, RefusesAnyFieldThatIsForged) {
    const auto lock = nlohmann::json::parse(golden("lock/hello.lock"));
    int tried = 0;
    for (const char* place : {"", "/guix", "/channels/0", "/channels/1/introduction", "/closure/0"}) {
        const nlohmann::json::json_pointer object(place);
        for (const auto& [name, value] : lock.at(object).items()) {
            nlohmann::json forged = lock;
            forged[object].erase(name);
            EXPECT_THAT(Lock::read(forged.dump()), FailsWith(Kind::corrupt, "'" + name + "' is missing")) << place;
            for (const nlohmann::json& other : {nlohmann::json(-1), nlohmann::json(true), nlohmann::json(nullptr)}) {
                if (other.is_null() && (name == "introduction" || name == "channel-file")) continue;
                forged[object][name] = other;
                EXPECT_THAT(Lock::read(forged.dump()), FailsWith(Kind::corrupt, "'" + name + "'")) << place << other;
            }
            ++tried;
        }
    }
    EXPECT_EQ(tried, 14 + 1 + 5 + 2 + 4);
}

TEST(Lock, RefusesAClosureThatIsNone) {
    const auto lock = nlohmann::json::parse(golden("lock/hello.lock"));
    auto twice = lock;
    twice["closure"].push_back(lock["closure"][0]);
    EXPECT_THAT(Lock::read(twice.dump()), FailsWith(Kind::corrupt, "-emacs-subdirs' twice"));
    for (std::size_t i = 0; i < lock["closure"].size(); ++i) {
        auto without = lock;
        without["closure"].erase(i);
        // Every item of it is the profile or one that another refers to.
        EXPECT_THAT(Lock::read(without.dump()), FailsWith(Kind::corrupt, "the closure ")) << i;
    }
}

}  // namespace
}  // namespace senv
