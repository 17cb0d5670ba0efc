#include "spank/options.h"

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

Result<void> check(Option option, std::string_view value) {
    return check_value(option, value, std::string("--") + text_of(option).name);
}

TEST(CheckValue, TakesWhatAFileOrAPackageMayBeCalled) {
    EXPECT_THAT(check(Option::manifest, "dir with blanks/manifest.scm"), IsOk());
    EXPECT_THAT(check(Option::manifest, "a.scm,b.scm"), IsOk());
    EXPECT_THAT(check(Option::packages, "openmpi@4.1.6:debug,hello"), IsOk());
    EXPECT_THAT(check(Option::channels, "caf\xc3\xa9.scm"), IsOk());
    EXPECT_THAT(check(Option::expression, "(@ (gnu packages base) hello)"), IsOk());
    EXPECT_THAT(check(Option::packages, std::string(4095, 'x')), IsOk());
    EXPECT_THAT(check(Option::preserve, "^(LD_|MY).*$"), IsOk());
    EXPECT_THAT(check(Option::preserve, std::string(1000, 'x')), IsOk());
    for (const char* value : {"yes", "1", "none"}) EXPECT_THAT(check(Option::pure, value), IsOk());
    for (const char* value : {"never", "here", "none"}) EXPECT_THAT(check(Option::build, value), IsOk());
    for (const char* value : {"use", "ignore", "error", "none"}) EXPECT_THAT(check(Option::passthrough, value), IsOk());
}

struct Bad {
    const char* name;
    Option option;
    std::string value;
    const char* cause;
};
class CheckValueRefuses : public testing::TestWithParam<Bad> {};

TEST_P(CheckValueRefuses, And) {
    const auto checked = check(GetParam().option, GetParam().value);
    EXPECT_THAT(checked, FailsWith(Kind::usage, GetParam().cause));
    EXPECT_TRUE(checked.error().what().starts_with("cannot use the value of --env-"));
}

INSTANTIATE_TEST_SUITE_P(
    Values, CheckValueRefuses,
    testing::Values(
        Bad{"Empty", Option::manifest, "", "--env-manifest: it is empty"},
        Bad{"TooLong", Option::packages, std::string(4096, 'x'), "it has 4096 bytes"},
        Bad{"Newline", Option::channels, "a\nb", "control character: 'a\\x0ab'"},
        Bad{"Delete", Option::lock, "a\x7f", "control character"},
        Bad{"LonelyComma", Option::manifest, "a.scm,", "nothing stands before or behind a comma: 'a.scm,'"},
        Bad{"TwoCommas", Option::load_path, "a,,b", "nothing stands before or behind a comma"},
        Bad{"NoFlag", Option::pure, "maybe", "'maybe' is neither yes nor none"},
        Bad{"NoWay", Option::passthrough, "Use", "'Use' is none of use, ignore and error"},
        Bad{"NoPlace", Option::build, "always", "'always' is neither never nor here"},
        Bad{"OpenParenthesis", Option::preserve, "^(LD_", "'^(LD_' is not a regular expression: a '(' is not closed"},
        Bad{"BackReference", Option::preserve, "(a)\\1", "back-references are not supported"},
        Bad{"ManyCopies", Option::preserve, "((a{1,100}){1,100}){1,100}", "with its counts written out"},
        Bad{"LongPattern", Option::preserve, std::string(1001, 'x'), "it has 1001 bytes, the limit is 1000"}),
    [](const auto& bad) { return std::string(bad.param.name); });

TEST(CheckValue, NamesTheVariableThatHeldIt) {
    EXPECT_THAT(check_value(Option::pure, "x", "SBATCH_ENV_PURE"),
                FailsWith(Kind::usage, "value of SBATCH_ENV_PURE: "));
}

using Values = std::vector<std::string>;
Result<Values> in_script(Option option, const Values& values) {
    return together(option, values, Place::batch_script);
}

TEST(Together, AddsUpInTheOrderGiven) {
    EXPECT_EQ(in_script(Option::packages, {}).value(), Values());
    EXPECT_EQ(in_script(Option::packages, {"b", "a,c", "b"}).value(), (Values{"b", "a,c", "b"}));
    for (const Option option : {Option::manifest, Option::development, Option::file, Option::expression,
                                Option::load_path, Option::transform, Option::amd_gpu}) {
        EXPECT_EQ(in_script(option, {"b", "a"}).value(), (Values{"b", "a"})) << text_of(option).name;
    }
    EXPECT_EQ(in_script(Option::preserve, {"^A", "B"}).value(), Values{"^A|B"});
}

TEST(Together, TakesTheSameValueTwiceAsOneWhereOneCanCount) {
    for (const Option option : {Option::channels, Option::tune, Option::lock, Option::profile}) {
        EXPECT_EQ(in_script(option, {"x", "x"}).value(), Values{"x"}) << text_of(option).name;
        EXPECT_THAT(in_script(option, {"x", "x", "y"}), FailsWith(Kind::usage, "=x and --env-"))
            << text_of(option).name;
    }
    EXPECT_EQ(in_script(Option::pure, {"yes", "1"}).value(), Values{"yes"});
    EXPECT_THAT(in_script(Option::build, {"here", "never"}),
                FailsWith(Kind::usage,
                          "cannot use both --env-build=here and --env-build=never in #SBATCH lines: only one of them"));
}

TEST(Together, TakesNoneBesideAValueInOnePlaceAsAMistake) {
    for (const auto& option : {Option::packages, Option::preserve, Option::lock}) {
        EXPECT_EQ(in_script(option, {"none", "none"}).value(), Values()) << text_of(option).name;
        EXPECT_THAT(in_script(option, {"x", "x", "none"}), FailsWith(Kind::usage, "=x and --env-"))
            << text_of(option).name;
        EXPECT_THAT(in_script(option, {"none", "x"}), FailsWith(Kind::usage, "=none and --env-"))
            << text_of(option).name;
    }
    EXPECT_THAT(together(Option::pure, {"1", "none"}, Place::command_line),
                FailsWith(Kind::usage, "cannot use both --env-pure and --env-pure=none on the command line: only one"));
}

TEST(Together, LimitsTheSum) {
    EXPECT_THAT(in_script(Option::packages, {std::string(2047, 'x'), std::string(2047, 'x')}), IsOk());
    EXPECT_THAT(in_script(Option::packages, {std::string(2048, 'x'), std::string(2047, 'x')}),
                FailsWith(Kind::usage, "cannot use the values of --env-packages: together they have 4096 bytes"));
    EXPECT_THAT(
        in_script(Option::preserve, {std::string(500, 'x'), std::string(500, 'x')}),
        FailsWith(Kind::usage, "cannot use the values of --env-preserve: it has 1001 bytes, the limit is 1000"));
}

TEST(Settings, HaveDefaults) {
    const auto settings = Settings::parse({});
    ASSERT_THAT(settings, IsOk());
    EXPECT_EQ(settings->socket, "/run/senv/senvd.sock");
    EXPECT_EQ(settings->fetch_limit, std::chrono::seconds(1800));
}

TEST(Settings, AreReadFromPlugstackConf) {
    const std::array<const char*, 6> words = {"senv=/opt/senv", "socket=/s",      "user=990",
                                              "store=/st",      "fetch_limit=60", "slurm_commands=/opt/slurm/bin"};
    const auto settings = Settings::parse(words);
    ASSERT_THAT(settings, IsOk());
    EXPECT_EQ(settings->senv, "/opt/senv");
    EXPECT_EQ(settings->socket, "/s");
    EXPECT_EQ(settings->user, "990");
    EXPECT_EQ(settings->store, "/st");
    EXPECT_EQ(settings->fetch_limit, std::chrono::seconds(60));
    EXPECT_EQ(settings->slurm_commands, "/opt/slurm/bin");
}

struct Wrong {
    const char* name;
    const char* word;
    const char* cause;
};
class SettingsReject : public testing::TestWithParam<Wrong> {};

TEST_P(SettingsReject, And) {
    const std::array<const char*, 1> words = {GetParam().word};
    EXPECT_THAT(Settings::parse(words), FailsWith(Kind::usage, GetParam().cause));
    EXPECT_NE(Settings::parse(words).error().what().find(GetParam().word), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Words, SettingsReject,
                         testing::Values(Wrong{"UnknownKey", "sock=/s", "no such key"},
                                         Wrong{"NoValue", "socket", "absolute path"},
                                         Wrong{"RelativePath", "store=var/store", "absolute path"},
                                         Wrong{"TwoFolders", "slurm_commands=/a:/b", "one folder"},
                                         Wrong{"EmptyUser", "user=", "empty"},
                                         Wrong{"NoNumber", "fetch_limit=1h", "number of seconds"},
                                         Wrong{"Zero", "fetch_limit=0", "number of seconds"},
                                         Wrong{"Endless", "fetch_limit=99999999999999999999", "number of seconds"}),
                         [](const auto& wrong) { return std::string(wrong.param.name); });

}  // namespace
}  // namespace senv
