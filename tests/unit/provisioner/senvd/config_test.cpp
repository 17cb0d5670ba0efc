#include "provisioner/senvd/config.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

constexpr const char* origins = "origins = [\"http://host\"]\n";

TEST(SenvdConfig, NeedsOnlyOrigins) {
    const auto config = parse_config(origins, "senvd.toml");
    ASSERT_THAT(config, IsOk());
    EXPECT_THAT(config->origins, testing::ElementsAre("http://host"));
    EXPECT_EQ(config->state_dir, "/var/lib/senv");
    EXPECT_EQ(config->lease_folder(), "/run/senv/leases");
    EXPECT_EQ(config->downloads, 8U);
    EXPECT_EQ(config->nice, 10U);
    EXPECT_TRUE(config->cpus.empty());
    EXPECT_EQ(config->metrics_file, "");
    EXPECT_EQ(config->grace.count(), 900);
    EXPECT_FALSE(config->cover_gnu_store);
    EXPECT_EQ(config->high_water.percent, 90U);
    EXPECT_EQ(config->low_water.percent, 80U);
    EXPECT_EQ(config->user_requests, 512U);
    EXPECT_FALSE(config->user_leased);
    EXPECT_EQ(config->admin_group, "");
}

TEST(SenvdConfig, TakesEveryKey) {
    const auto config = parse_config(
        "origins = [\"http://a:8080/x/\", \"https://b\", \"file:///c/d\", \"store:///e\"]\nacl = \"/a\"\nstate_dir = "
        "\"/s/\"\nsocket = \"/r/k\"\nlease_dir = \"/l/\"\n"
        "downloads = 3\nfetch_limit = 4\nstall_limit = 5\ngrace = 0\nstore = \"node\"\n"
        "high_water = \"200 GiB\"\nlow_water = \"100 GiB\"\nadmin_group = \"hpc\"\n"
        "nice = 6\ncpus = \"8,0-2\"\nmetrics_file = \"/m/senvd.prom\"\n"
        "user_requests = 7\nuser_leased = \"25%\"\n",
        "senvd.toml");
    ASSERT_THAT(config, IsOk());
    EXPECT_THAT(config->origins, testing::ElementsAre("http://a:8080/x", "https://b", "file:///c/d", "store:///e"));
    EXPECT_EQ(config->acl, "/a");
    EXPECT_EQ(config->state_dir, "/s");
    EXPECT_EQ(config->socket, "/r/k");
    EXPECT_EQ(config->lease_folder(), "/l");
    EXPECT_EQ(config->downloads, 3U);
    EXPECT_EQ(config->fetch_limit.count(), 4);
    EXPECT_EQ(config->stall_limit.count(), 5);
    EXPECT_EQ(config->grace.count(), 0);
    EXPECT_TRUE(config->cover_gnu_store);
    EXPECT_EQ(config->high_water.bytes, std::uint64_t{200} << 30U);
    EXPECT_EQ(config->low_water.bytes, std::uint64_t{100} << 30U);
    EXPECT_EQ(config->admin_group, "hpc");
    EXPECT_EQ(config->nice, 6U);
    EXPECT_THAT(config->cpus, testing::ElementsAre(0, 1, 2, 8));
    EXPECT_EQ(config->metrics_file, "/m/senvd.prom");
    EXPECT_EQ(config->user_requests, 7U);
    ASSERT_TRUE(config->user_leased);
    EXPECT_EQ(config->user_leased->percent, 25U);
}

struct Bad {
    const char* line;
    const char* says;
};
void PrintTo(const Bad& bad, std::ostream* out) {
    *out << bad.line;
}

class SenvdConfigRefuses : public testing::TestWithParam<Bad> {};

TEST_P(SenvdConfigRefuses, AndNamesTheLine) {
    EXPECT_THAT(parse_config(std::string(origins) + GetParam().line, "senvd.toml"),
                FailsWith(Kind::usage, std::string("cannot use 'senvd.toml': line 2: ") + GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Table, SenvdConfigRefuses,
    testing::Values(Bad{"orgins = []", "unknown key 'orgins'"}, Bad{"[table]\nacl = \"/a\"", "unknown key 'table'"},
                    Bad{"acl = 3", "acl: want an absolute path"},
                    Bad{"acl = \"relative\"", "acl: want an absolute path"},
                    Bad{"downloads = 0", "downloads: want a whole number from 1 to 64"},
                    Bad{"downloads = 65", "downloads: want"}, Bad{"downloads = 2.0", "downloads: want"},
                    Bad{"fetch_limit = \"30m\"", "fetch_limit: want"}, Bad{"grace = -1", "grace: want"},
                    Bad{"nice = -1", "nice: want a whole number from 0 to 19"}, Bad{"nice = 20", "nice: want"},
                    Bad{"cpus = 3", "cpus: want CPUs in quotes, like \"0-3,8\""},
                    Bad{"cpus = \"3-1\"", "cpus: want CPUs in quotes, like \"0-3,8\": '3-1' is neither"},
                    Bad{"cpus = \"\"", "cpus: want"},
                    Bad{"metrics_file = \"senvd.prom\"", "metrics_file: want an absolute path"},
                    Bad{"metrics_file = \"/a/senvd.txt\"",
                        "metrics_file: want an absolute path in quotes that ends in .prom"},
                    Bad{"metrics_file = false", "metrics_file: want"},
                    Bad{"store = \"host\"", "store: want \"node\""}, Bad{"high_water = 90", "high_water: want a share like"},
                    Bad{"high_water = \"90\"", "high_water: want a share like"},
                    Bad{"low_water = \"0%\"", "low_water: want a share"},
                    Bad{"user_requests = 0", "user_requests: want a whole number from 1 to 100000"},
                    Bad{"user_leased = 0", "user_leased: want a share like \"90%\" or an amount like \"200 GiB\""},
                    Bad{"admin_group = 0", "admin_group: want the name of a group"}, Bad{"acl = ", ""}, Bad{"origins = []", ""}));

class SenvdConfigRefusesOrigins : public testing::TestWithParam<const char*> {};

TEST_P(SenvdConfigRefusesOrigins, ThatAreNone) {
    EXPECT_THAT(parse_config("origins = [" + std::string(GetParam()) + "]", "senvd.toml"),
                FailsWith(Kind::usage, "origins: "));
}

INSTANTIATE_TEST_SUITE_P(Table, SenvdConfigRefusesOrigins,
                         testing::Values("", "3", "\"\"", "\"host\"", "\"file://relative\"", "\"store:///gnu/store\"",
                                         "\"ftp://host\"", "\"http://\"", "\"http:///path\"",
                                         "\"http://me:secret@host\"", "\"http://host/?token=1\"", "\"http://host/#x\"",
                                         "\"http://ho st\""));

TEST(SenvdConfig, TheLowMarkIsBelowTheHighOne) {
    for (const auto* line : {"low_water = \"90%\"", "high_water = \"80%\"", "high_water = \"200 GiB\"",
                             "high_water = \"1 GiB\"\nlow_water = \"1024 MiB\""}) {
        EXPECT_THAT(parse_config(std::string(origins) + line, "senvd.toml"),
                    FailsWith(Kind::usage, "is not below high_water"))
            << line;
    }
}

TEST(SenvdConfig, ShowsWhatIsInForce) {
    const auto defaults = config_in_force(origins, "senvd.toml");
    ASSERT_THAT(defaults, IsOk());
    EXPECT_EQ(*defaults, (std::vector<InForce>{{"origins", "[\"http://host\"]", 1},
                                               {"acl", "\"/etc/senv/acl\"", {}},
                                               {"state_dir", "\"/var/lib/senv\"", {}},
                                               {"socket", "\"/run/senv/senvd.sock\"", {}},
                                               {"lease_dir", "\"/run/senv/leases\"", {}},
                                               {"downloads", "8", {}},
                                               {"nice", "10", {}},
                                               {"cpus", "null", {}},
                                               {"fetch_limit", "1800", {}},
                                               {"stall_limit", "60", {}},
                                               {"high_water", "\"90%\"", {}},
                                               {"low_water", "\"80%\"", {}},
                                               {"grace", "900", {}},
                                               {"user_requests", "512", {}},
                                               {"user_leased", "null", {}},
                                               {"admin_group", "\"\"", {}},
                                               {"metrics_file", "\"\"", {}},
                                               {"store", "null", {}}}));
    const auto given = config_in_force(
        "# where\norigins = [\n  \"http://a/\"]\ncpus = \"8,0,1\"\nhigh_water = \"1.5 TiB\"\nlow_water = \"1000 B\"\n"
        "user_leased = \"25%\"\nstore = \"node\"\n",
        "senvd.toml");
    ASSERT_THAT(given, IsOk());
    const auto has = [&](const InForce& one) { return std::ranges::count(*given, one) == 1; };
    EXPECT_TRUE(has({"origins", "[\"http://a\"]", 2}));
    EXPECT_TRUE(has({"cpus", "\"0-1,8\"", 4}));
    EXPECT_TRUE(has({"high_water", "\"1536 GiB\"", 5}));
    EXPECT_TRUE(has({"low_water", "\"1000 B\"", 6}));
    EXPECT_TRUE(has({"user_leased", "\"25%\"", 7}));
    EXPECT_TRUE(has({"store", "\"node\"", 8}));
    const auto none = config_in_force("grace = 1\n", "senvd.toml");
    ASSERT_THAT(none, IsOk());
    EXPECT_EQ(none->front(), (InForce{"origins", "[]", {}}));
}

TEST(SenvdConfig, WithoutOriginsIsNone) {
    EXPECT_THAT(parse_config("grace = 1\n", "senvd.toml"), FailsWith(Kind::usage, "the key 'origins' is missing"));
}

}  // namespace
}  // namespace senv
