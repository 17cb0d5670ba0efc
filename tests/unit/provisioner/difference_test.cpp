#include "provisioner/difference.h"

#include <gmock/gmock.h>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::IsOk;
using testing::ElementsAre;
using testing::IsEmpty;

StorePath item(char digit, const std::string& name) {
    return StorePath::parse(std::string(32, digit) + "-" + name).value();
}

/// "name version output" with an item of that hash.
Package package(const std::string& name, const std::string& version, const std::string& output = "out",
                char hash = '1') {
    return {name, version, output, item(hash, name)};
}

Inspected with_packages(char digit, std::vector<Package> packages) {
    return {"", item(digit, "profile"), std::nullopt, Contents{"", std::move(packages), {}}, {}, std::nullopt};
}

Inspected with_lock(const Lock& lock) {
    return {"", lock.profile, lock, std::nullopt, "it is not here", std::nullopt};
}

Lock hello() {
    return Lock::read(golden("lock/hello.lock")).value();
}

/// "from>to" for what changed, of versions and outputs.
std::vector<std::string> changed(const Differences<Package>& all) {
    std::vector<std::string> shown;
    for (const auto& [from, to] : all.changed) {
        shown.push_back(from.version + ":" + from.output + ">" + to.version + ":" + to.output);
    }
    return shown;
}

Differences<Package> of(std::vector<Package> from, std::vector<Package> to) {
    const auto found = difference(with_packages('1', std::move(from)), with_packages('2', std::move(to)));
    EXPECT_THAT(found, IsOk());
    EXPECT_FALSE(found->same);
    EXPECT_FALSE(found->references);
    EXPECT_FALSE(found->channels);
    return *found->packages;
}

TEST(Difference, IsInWhatWasAddedRemovedAndChanged) {
    const auto found = of({package("gone", "1"), package("kept", "1"), package("newer", "1")},
                          {package("newer", "2"), package("come", "1"), package("kept", "1")});
    EXPECT_THAT(found.removed, ElementsAre(package("gone", "1")));
    EXPECT_THAT(found.added, ElementsAre(package("come", "1")));
    EXPECT_THAT(changed(found), ElementsAre("1:out>2:out"));
}

TEST(Difference, IsInTheItemAndTheOutputToo) {
    EXPECT_THAT(changed(of({package("p", "1", "out", '1')}, {package("p", "1", "out", '2')})),
                ElementsAre("1:out>1:out"));
    EXPECT_THAT(changed(of({package("p", "1", "out")}, {package("p", "1", "lib")})), ElementsAre("1:out>1:lib"));
    EXPECT_THAT(changed(of({package("p", "1", "out")}, {package("p", "2", "lib")})), ElementsAre("1:out>2:lib"));
}

TEST(Difference, PairsSameOutputsThenSameVersions) {
    const auto outputs =
        of({package("p", "1", "out"), package("p", "1", "lib")}, {package("p", "2", "lib"), package("p", "2", "out")});
    EXPECT_THAT(changed(outputs), ElementsAre("1:out>2:out", "1:lib>2:lib"));
    const auto versions =
        of({package("p", "1", "a"), package("p", "2", "b")}, {package("p", "2", "c"), package("p", "1", "d")});
    EXPECT_THAT(changed(versions), ElementsAre("1:a>1:d", "2:b>2:c"));
    const auto less = of({package("p", "1"), package("p", "2")}, {package("p", "2")});
    EXPECT_THAT(less.removed, ElementsAre(package("p", "1")));
    EXPECT_THAT(less.changed, IsEmpty());
}

TEST(Difference, IsNoneForTheSameProfile) {
    const auto found = difference(with_packages('1', {}), with_packages('1', {}));
    ASSERT_THAT(found, IsOk());
    EXPECT_TRUE(found->same);
    // Wherever it is.
    Inspected absent = with_packages('1', {});
    absent.contents.reset();
    EXPECT_TRUE(difference(absent, with_packages('1', {}))->same);
}

TEST(Difference, OfEqualPackagesIsOneOfProfiles) {
    const auto found = difference(with_packages('1', {package("p", "1")}), with_packages('2', {package("p", "1")}));
    ASSERT_THAT(found, IsOk());
    EXPECT_FALSE(found->same);
    EXPECT_TRUE(found->packages->none());
}

TEST(Difference, OfLocksIsInReferencesAndChannels) {
    Lock other = hello();
    EXPECT_TRUE(difference(with_lock(hello()), with_lock(other))->same);

    other.channels[1].commit = std::string(40, '0');
    const auto channels = difference(with_lock(hello()), with_lock(other));
    EXPECT_FALSE(channels->same);
    EXPECT_TRUE(channels->packages->none());
    ASSERT_EQ(channels->channels->changed.size(), 1U);
    EXPECT_EQ(channels->channels->changed[0].from.commit, hello().channels[1].commit);
    EXPECT_EQ(channels->channels->changed[0].to.commit, other.channels[1].commit);

    other.channels.pop_back();
    for (LockedItem& one : other.closure) {
        if (one.path != other.profile) continue;
        one.path = item('2', "profile");
        std::erase_if(one.references, [](const StorePath& path) { return path.name() == "info-dir"; });
        for (StorePath& path : one.references) {
            if (path == other.profile) path = item('2', "profile");
            if (path.name() == "senv-hello-1.0") path = item('3', "senv-hello-1.0");
            if (path.name() == "senv-bash-5.2.15") path = item('3', "senv-bash-5.3");
        }
    }
    other.profile = item('2', "profile");
    const auto found = difference(with_lock(hello()), with_lock(other));
    ASSERT_THAT(found, IsOk());
    EXPECT_FALSE(found->packages);
    ASSERT_EQ(found->references->removed.size(), 2U);
    EXPECT_EQ(found->references->removed[0].name(), "info-dir");
    EXPECT_EQ(found->references->removed[1].name(), "senv-bash-5.2.15");
    EXPECT_THAT(found->references->added, ElementsAre(item('3', "senv-bash-5.3")));
    ASSERT_EQ(found->references->changed.size(), 1U);
    EXPECT_EQ(found->references->changed[0].to, item('3', "senv-hello-1.0"));
    ASSERT_EQ(found->channels->removed.size(), 1U);
    EXPECT_EQ(found->channels->removed[0].name, "senv-test");
}

TEST(Difference, NeedsSomethingThatBothAreKnownBy) {
    EXPECT_THAT(difference(with_lock(hello()), with_packages('1', {})),
                FailsWith(Kind::missing, "cannot look into '" + hello().profile.absolute() + "': it is not here"));
    EXPECT_THAT(difference(with_packages('1', {}), with_lock(hello())), FailsWith(Kind::missing, "it is not here"));
}

}  // namespace
}  // namespace senv
