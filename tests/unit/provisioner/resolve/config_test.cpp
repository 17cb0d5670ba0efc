#include "provisioner/resolve/config.h"

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

Result<Config> parse(const std::string& text) {
    return Config::parse(text, "senv.toml");
}

TEST(ResolveConfig, WithoutAFileHasDefaults) {
    const test::TempDir dir;
    const auto config = Config::load(dir / "senv.toml");
    ASSERT_THAT(config, IsOk());
    EXPECT_EQ(config.value().guix, std::vector<std::string>{"guix"});
    EXPECT_EQ(config.value().time_limit, std::chrono::hours(1));
    EXPECT_EQ(config.value().silence_limit, std::chrono::minutes(15));
    EXPECT_EQ(config.value().unused_limit, std::chrono::hours(24 * 90));
    EXPECT_FALSE(config.value().guix_is_remote);
    EXPECT_EQ(config.value().build, Build::here);
}

TEST(ResolveConfig, ReadsEachKey) {
    const auto config = parse(
        "guix = [\"ssh\", \"head\", \"guix\"]\nbuild = \"never\"\nresolve_limit = 60\nsilence_limit = 0.5\nunused_days "
        "= 2\n");
    ASSERT_THAT(config, IsOk());
    EXPECT_EQ(config.value().guix, (std::vector<std::string>{"ssh", "head", "guix"}));
    EXPECT_TRUE(config.value().guix_is_remote);
    EXPECT_EQ(config.value().build, Build::never);
    EXPECT_EQ(parse("build = \"here\"").value().build, Build::here);
    EXPECT_EQ(config.value().time_limit, std::chrono::minutes(1));
    EXPECT_EQ(config.value().silence_limit, std::chrono::milliseconds(500));
    EXPECT_EQ(config.value().unused_limit, std::chrono::hours(48));
    EXPECT_FALSE(parse("guix = \"/opt/bin/guix\"").value().guix_is_remote);
}

TEST(ResolveConfig, RefusesWhatItDoesNotKnow) {
    EXPECT_THAT(parse("\nguiks = 1"), FailsWith(Kind::usage, "cannot use 'senv.toml': line 2: unknown key 'guiks'"));
    EXPECT_THAT(parse("[resolve]\nlimit = 1"), FailsWith(Kind::usage, "unknown key 'resolve'"));
    EXPECT_EQ(parse("guiks = 1").error().hint(),
              "the keys are guix, build, tune, resolve_limit, silence_limit, unused_days");
    for (const char* text : {"guix = \"\"", "guix = []", "guix = [1]", "guix = [\"\"]", "guix = 1"}) {
        EXPECT_THAT(parse(text), FailsWith(Kind::usage, "want a command")) << text;
    }
    for (const char* text : {"resolve_limit = 0", "resolve_limit = \"1\"", "silence_limit = -1", "unused_days = nan",
                             "unused_days = 1e9", "unused_days = true"}) {
        EXPECT_THAT(parse(text), FailsWith(Kind::usage, "want a number above 0")) << text;
    }
    for (const char* text : {"build = \"Never\"", "build = false"}) {
        EXPECT_THAT(parse(text), FailsWith(Kind::usage, "line 1: build: want never or here")) << text;
    }
    for (const auto& [text, wanted] :
         {std::pair("tune = \"x\"", "tune: want a table with default, partition or constraint"),
          std::pair("tune = {other = \"x\"}", "constraint, not 'other'"),
          std::pair("[tune]\ndefault = 1", "line 1: tune: want the name of a CPU"),
          std::pair("tune = {partition = {a = \"\"}}", "want the name of a CPU"),
          std::pair("tune.constraint = \"x\"", "want a table of names and CPUs")}) {
        EXPECT_THAT(parse(text), FailsWith(Kind::usage, wanted)) << text;
    }
    EXPECT_THAT(parse("a = 1\nb ="), FailsWith(Kind::usage, "cannot use 'senv.toml': line 2: "));
}

struct TuningRow {
    const char* partition;
    const char* constraint;
    const char* cpu;  // or what is wrong
};

class Tuned : public testing::TestWithParam<TuningRow> {};

TEST_P(Tuned, IsForOneCpu) {
    const auto& [partition, constraint, wanted] = GetParam();
    const auto tuning = parse(
                            "[tune.partition]\nfat = \"skylake\"\nbig = \"skylake\"\nnew = \"znver4\"\n"
                            "[tune.constraint]\nzen3 = \"znver3\"\nzen4 = \"znver4\"\n")
                            .value()
                            .tuning;
    const auto found = tuning.cpu_for({partition, constraint});
    EXPECT_EQ(found ? found->cpu : found.error().what(), wanted);
}

INSTANTIATE_TEST_SUITE_P(
    Resolve, Tuned,
    testing::Values(
        TuningRow{"fat", "", "skylake"}, TuningRow{"fat,big", "", "skylake"}, TuningRow{"", "zen3", "znver3"},
        TuningRow{"new", "ib&zen4", "znver4"}, TuningRow{"other", "[zen4*2&gpu]", "znver4"},
        TuningRow{"fat", "gpu", "skylake"}, TuningRow{"", "", "no partition and no constraint is named"},
        TuningRow{"other", "gpu", "the site names no CPU for partition 'other'"},
        TuningRow{"fat,other", "", "the site names no CPU for partition 'other'"},
        TuningRow{"", "gpu", "the site names no CPU for constraint 'gpu'"},
        TuningRow{"fat,new", "", "for partition 'fat' the site names skylake, for partition 'new' znver4"},
        TuningRow{"fat", "zen3", "for constraint 'zen3' the site names znver3, for partition 'fat' skylake"},
        TuningRow{"", "zen3|zen4", "for constraint 'zen3' the site names znver3, for constraint 'zen4' znver4"}));

TEST(ResolveConfig, TheDefaultCpuIsForWhatHasNoOther) {
    const auto tuning = parse("[tune]\ndefault = \"x86-64-v3\"\n[tune.partition]\nfat = \"skylake\"").value().tuning;
    EXPECT_EQ(tuning.cpu_for({"", ""})->cpu, "x86-64-v3");
    EXPECT_EQ(tuning.cpu_for({"other", "gpu"})->cpu, "x86-64-v3");
    EXPECT_EQ(tuning.cpu_for({"fat", "gpu"})->cpu, "skylake");
    EXPECT_THAT(tuning.cpu_for({"fat,other", ""}), FailsWith(Kind::usage, "skylake, for the site's default x86-64-v3"));
}

TEST(ResolveConfig, ShowsWhatIsInForce) {
    const auto defaults = Config::in_force("", "senv.toml");
    ASSERT_THAT(defaults, IsOk());
    EXPECT_EQ(*defaults, (std::vector<InForce>{{"guix", "\"guix\"", {}},
                                               {"build", "\"here\"", {}},
                                               {"tune", "{}", {}},
                                               {"resolve_limit", "3600", {}},
                                               {"silence_limit", "900", {}},
                                               {"unused_days", "90", {}}}));
    const auto given = Config::in_force(
        "unused_days = 0.5\n\nsilence_limit = 2.0\nguix = [\"ssh\", \"a b\"]\nbuild = \"never\"\n[tune.partition]\na = "
        "\"x\"",
        "senv.toml");
    ASSERT_THAT(given, IsOk());
    EXPECT_EQ(*given, (std::vector<InForce>{{"guix", R"(["ssh","a b"])", 4},
                                            {"build", "\"never\"", 5},
                                            {"tune", R"({"partition":{"a":"x"}})", 6},
                                            {"resolve_limit", "3600", {}},
                                            {"silence_limit", "2", 3},
                                            {"unused_days", "0.5", 1}}));
    EXPECT_EQ(Config::in_force("guix = [\"x\"]", "senv.toml")->front().value, "[\"x\"]");
    EXPECT_THAT(Config::in_force("guix = 1", "senv.toml"), FailsWith(Kind::usage, "want a command"));
}

}  // namespace
}  // namespace senv
