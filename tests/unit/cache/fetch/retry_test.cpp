#include "cache/fetch/retry.h"

#include <gmock/gmock.h>

#include "cache/fetch/transport.h"

namespace senv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Case {
    const char* name;
    RetryRule rule;
    unsigned attempt;
    double random;
    std::optional<milliseconds> want;
};
void PrintTo(const Case& one, std::ostream* out) {
    *out << one.name;
}

constexpr RetryRule rule{4, milliseconds(200), milliseconds(1000)};
constexpr RetryRule endless{0, milliseconds(200), milliseconds(1000)};

class RetryDelay : public testing::TestWithParam<Case> {};

TEST_P(RetryDelay, IsAsInTheTable) {
    const Case& one = GetParam();
    EXPECT_EQ(retry_delay(one.rule, one.attempt, one.random), one.want);
}

INSTANTIATE_TEST_SUITE_P(Table, RetryDelay,
                         testing::Values(Case{"first_least", rule, 1, 0.0, milliseconds(100)},
                                         Case{"first_middle", rule, 1, 0.5, milliseconds(150)},
                                         Case{"second_doubles", rule, 2, 0.0, milliseconds(200)},
                                         Case{"third_doubles", rule, 3, 0.0, milliseconds(400)},
                                         Case{"fourth_was_the_last", rule, 4, 0.0, std::nullopt},
                                         Case{"long_after_the_last", rule, 4000, 0.0, std::nullopt},
                                         Case{"endless_grows_to_most", endless, 10, 0.0, milliseconds(500)},
                                         Case{"endless_stays_at_most", endless, 4'000'000'000, 0.999,
                                              milliseconds(999)}),
                         [](const auto& test) { return test.param.name; });

TEST(RetryDelay, AServerThatIsDownIsKnownWithinSeconds) {
    milliseconds total{0};
    for (unsigned attempt = 1;; ++attempt) {
        const auto delay = retry_delay(transient_rule, attempt, 0.999);
        if (!delay) break;
        total += *delay;
    }
    EXPECT_LT(total, seconds(5));
}

TEST(ShownUrl, HasNoCredentialsAndNoQuery) {
    EXPECT_EQ(shown_url("http://host:80/nar/x"), "http://host:80/nar/x");
    EXPECT_EQ(shown_url("https://me:secret@host/nar/x?token=1#part"), "https://host/nar/x");
    EXPECT_EQ(shown_url("http://me:p@ss@host"), "http://host");
    EXPECT_EQ(shown_url("http://host/a@b"), "http://host/a@b");
    EXPECT_EQ(shown_url("http://host/\n"), "http://host/\\x0a");
    EXPECT_EQ(shown_url(""), "");
}

TEST(ShownUrl, OfAFolderIsItsPath) {
    EXPECT_EQ(shown_url("file:///srv/cache"), "file:///srv/cache");
    EXPECT_EQ(shown_url("file:///srv/cache//nar/zstd/x?query"), "file:///srv/cache/nar/zstd/x");
    EXPECT_EQ(shown_url("store:///srv/a@b//00000000000000000000000000000000-a?b"),
              "store:///srv/a@b/00000000000000000000000000000000-a?b");
}

}  // namespace
}  // namespace senv
