#include "spank/options.h"

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

TEST(CheckValue, TakesWhatAFileOrAPackageMayBeCalled) {
    EXPECT_THAT(check_value(Option::manifest, "dir with blanks/manifest.scm"), IsOk());
    EXPECT_THAT(check_value(Option::packages, "openmpi@4.1.6:debug,hello"), IsOk());
    EXPECT_THAT(check_value(Option::channels, "caf\xc3\xa9.scm"), IsOk());
    EXPECT_THAT(check_value(Option::packages, std::string(4095, 'x')), IsOk());
}

TEST(CheckValue, RefusesWhatCouldBreakANode) {
    EXPECT_THAT(check_value(Option::manifest, ""), FailsWith(Kind::usage, "--env-manifest: it is empty"));
    EXPECT_THAT(check_value(Option::packages, std::string(4096, 'x')), FailsWith(Kind::usage, "it has 4096 bytes"));
    EXPECT_THAT(check_value(Option::channels, "a\nb"), FailsWith(Kind::usage, "control character: 'a\\x0ab'"));
    EXPECT_THAT(check_value(Option::channels, "a\x7f"), FailsWith(Kind::usage, "control character"));
}

TEST(Settings, HaveDefaults) {
    const auto settings = Settings::parse({});
    ASSERT_THAT(settings, IsOk());
    EXPECT_EQ(settings->socket, "/run/senv/senvd.sock");
    EXPECT_EQ(settings->fetch_limit, std::chrono::seconds(1800));
}

TEST(Settings, AreReadFromPlugstackConf) {
    const std::array<const char*, 5> words = {"senv=/opt/senv", "socket=/s", "user=990", "store=/st", "fetch_limit=60"};
    const auto settings = Settings::parse(words);
    ASSERT_THAT(settings, IsOk());
    EXPECT_EQ(settings->senv, "/opt/senv");
    EXPECT_EQ(settings->socket, "/s");
    EXPECT_EQ(settings->user, "990");
    EXPECT_EQ(settings->store, "/st");
    EXPECT_EQ(settings->fetch_limit, std::chrono::seconds(60));
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
                                         Wrong{"EmptyUser", "user=", "empty"},
                                         Wrong{"NoNumber", "fetch_limit=1h", "number of seconds"},
                                         Wrong{"Zero", "fetch_limit=0", "number of seconds"},
                                         Wrong{"Endless", "fetch_limit=99999999999999999999", "number of seconds"}),
                         [](const auto& wrong) { return std::string(wrong.param.name); });

}  // namespace
}  // namespace senv
