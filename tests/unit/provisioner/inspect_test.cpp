#include "provisioner/inspect.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using test::FailsWith;
using test::golden_path;
using test::IsOk;

const std::string locked = "qw85j4ybkj65m9i9ywaypz6a1x094fnc-profile";  // of tests/golden/lock/hello.lock

class Inspect : public testing::Test {
protected:
    test::TempDir dir;
    Stores stores = {dir / "guix", [](const StorePath&) { return Error(Kind::io, "there is no senvd"); }};

    Inspect() {
        fs::create_directory(dir / "guix");
        fs::create_directory(dir / "node");
    }

    // A profile of one package.
    void make_profile(const std::string& store, const std::string& base) {
        fs::create_directories(dir / (store + "/" + base + "/bin"));
        std::ofstream(dir / (store + "/" + base + "/manifest"))
            << R"((manifest (version 4) (packages (("p" "1" "out" "/gnu/store/11111111111111111111111111111111-p-1")))))";
    }

    std::string link(const std::string& name, const std::string& target) {
        fs::create_symlink(target, dir / name);
        return dir / name;
    }
};

TEST_F(Inspect, LinksLeadToTheProfile) {
    const std::string profile = "/gnu/store/" + locked;
    fs::create_directory(dir / "deep");
    EXPECT_EQ(profile_behind(profile + "//").value()->absolute(), profile);
    EXPECT_EQ(profile_behind(link("generation", profile)).value()->absolute(), profile);
    EXPECT_EQ(profile_behind(link("relative", "generation")).value()->absolute(), profile);
    EXPECT_EQ(profile_behind(link("deep/up", "../relative")).value()->absolute(), profile);
    EXPECT_EQ(profile_behind(link("slash", profile + "/")).value()->absolute(), profile);
    EXPECT_EQ(profile_behind(golden_path("lock/hello.lock")).value(), std::nullopt);
    EXPECT_EQ(profile_behind(link("lock", golden_path("lock/hello.lock"))).value(), std::nullopt);
    EXPECT_EQ(profile_behind(dir / "nothing").value(), std::nullopt);
    EXPECT_THAT(profile_behind(link("circle", "circle")), FailsWith(Kind::corrupt, "more than 40 links"));
    EXPECT_THAT(profile_behind(profile + "/bin"), FailsWith(Kind::corrupt, "/bin"));
    EXPECT_THAT(profile_behind("/gnu/store/profile"), FailsWith(Kind::corrupt, "/gnu/store/profile"));
}

TEST_F(Inspect, ALockWithoutItsProfileHasNoPackages) {
    const auto found = inspect(golden_path("lock/hello.lock"), stores);
    ASSERT_THAT(found, IsOk());
    EXPECT_EQ(found->profile.base(), locked);
    EXPECT_FALSE(found->contents);
    EXPECT_FALSE(found->node);
    ASSERT_TRUE(found->lock);
    EXPECT_EQ(nar_bytes(*found->lock), 11'438'048U);
    std::vector<std::string> names;
    for (const StorePath& item : direct_references(*found->lock)) names.emplace_back(item.name());
    EXPECT_THAT(names, testing::ElementsAre("emacs-subdirs", "info-dir", "senv-bash-5.2.15", "senv-coreutils-9.1",
                                            "senv-hello-1.0"));
}

TEST_F(Inspect, ALockWhoseProfileIsHereHasAll) {
    make_profile("guix", locked);
    const auto found = inspect(golden_path("lock/hello.lock"), stores);
    ASSERT_THAT(found, IsOk());
    EXPECT_TRUE(found->lock);
    ASSERT_TRUE(found->contents);
    EXPECT_EQ(found->contents->store, stores.guix);
    ASSERT_EQ(found->contents->packages.size(), 1U);
    EXPECT_EQ(found->contents->packages[0].name, "p");
    ASSERT_EQ(found->contents->variables.size(), 1U);
    EXPECT_EQ(found->contents->variables[0].value, "/gnu/store/" + locked + "/bin");
}

TEST_F(Inspect, TheNodesStoreIsAskedForWhatGuixDoesNotHave) {
    int asked = 0;
    stores.node = [&](const StorePath& profile) {
        EXPECT_EQ(profile.base(), locked);
        ++asked;
        return NodeClosure{dir / "node", 5, 6};
    };
    make_profile("node", locked);
    const auto found = inspect(link("link", "/gnu/store/" + locked), stores);
    ASSERT_THAT(found, IsOk());
    EXPECT_FALSE(found->lock);
    EXPECT_EQ(found->contents->store, dir / "node");
    EXPECT_EQ(found->node->items, 5U);
    EXPECT_EQ(asked, 1);
    make_profile("guix", locked);
    EXPECT_EQ(inspect(dir / "link", stores)->contents->store, stores.guix);
    EXPECT_EQ(asked, 1);
}

TEST_F(Inspect, SaysWhatCannotBeFound) {
    EXPECT_EQ(inspect("/gnu/store/" + locked, stores)->absence,
              "it is neither in " + stores.guix + " nor in senvd's store (there is no senvd)");
    EXPECT_THAT(inspect(dir / "nothing", stores), FailsWith(Kind::missing, "nothing"));
    std::ofstream(dir / "text") << "{";
    EXPECT_THAT(inspect(dir / "text", stores), FailsWith(Kind::corrupt, "cannot use the lock"));
    fs::create_directory(dir / ("guix/" + locked));
    EXPECT_THAT(inspect("/gnu/store/" + locked, stores), FailsWith(Kind::missing, "it has no file 'manifest'"));
}

}  // namespace
}  // namespace senv
