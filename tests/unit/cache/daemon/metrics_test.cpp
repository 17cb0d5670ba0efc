#include "cache/daemon/metrics.h"

#include <gmock/gmock.h>

#include <thread>

#include "cache/base/text.h"

namespace senv {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

/// The lines of one metric, with HELP and TYPE.
std::string lines_of(const std::string& text, const std::string& name) {
    std::string lines;
    for (const auto line : split(text, '\n')) {
        std::string_view rest = line;
        for (const std::string_view comment : {"# HELP ", "# TYPE "}) {
            if (rest.starts_with(comment)) rest.remove_prefix(comment.size());
        }
        if (rest.starts_with(name)) lines += std::string(line) + "\n";
    }
    return lines;
}

TEST(Histogram, CountsWhatTookAtMostSoLong) {
    static constexpr std::array<Histogram::Duration, 3> bounds = {microseconds(50), milliseconds(1), seconds(2)};
    Histogram histogram(bounds);
    histogram.observe(microseconds(0));
    histogram.observe(microseconds(50));
    histogram.observe(microseconds(51));
    histogram.observe(milliseconds(1999));
    histogram.observe(minutes(3));
    EXPECT_EQ(histogram.text("x_seconds"),
              "x_seconds_bucket{le=\"0.00005\"} 2\n"
              "x_seconds_bucket{le=\"0.001\"} 3\n"
              "x_seconds_bucket{le=\"2\"} 4\n"
              "x_seconds_bucket{le=\"+Inf\"} 5\n"
              "x_seconds_sum 181.999101\n"
              "x_seconds_count 5\n");
}

TEST(Histogram, IsZeroBeforeAnything) {
    static constexpr std::array<Histogram::Duration, 1> bounds = {seconds(10)};
    EXPECT_EQ(Histogram(bounds).text("x"), "x_bucket{le=\"10\"} 0\nx_bucket{le=\"+Inf\"} 0\nx_sum 0\nx_count 0\n");
}

TEST(Metrics, AreTheTextThatPrometheusReads) {
    Metrics metrics("1.2.3", 1'700'000'000, {"http://a:8080/x", "http://b"});
    metrics.answered_warm(microseconds(200));
    metrics.answered_warm(microseconds(2500));
    metrics.answered(RequestEnd::miss);
    metrics.answered(RequestEnd::failed);
    metrics.answered(RequestEnd::refused);
    metrics.answered(RequestEnd::gone);
    metrics.connections(7);
    metrics.fetches(2);
    metrics.fetch_complete(seconds(40));
    metrics.fetch_failed(Kind::untrusted);
    metrics.narinfo_came("http://a:8080/x");
    metrics.narinfo_came("http://b");
    metrics.narinfo_refused("http://a:8080/x", Outcome::absent);
    metrics.narinfo_refused("http://b", Outcome::stopped);
    metrics.item_fetched("http://b", 1000, milliseconds(50));
    metrics.item_fetched("http://b", 24, milliseconds(1500));
    metrics.nar_failed("http://a:8080/x", Fetched::again);
    metrics.nar_failed("http://a:8080/x", Fetched::stopped);
    metrics.evicted(3, 333);
    metrics.item_damaged();
    metrics.item_damaged();
    metrics.item_repaired();
    metrics.stored({11, 2222, {8192, 55}, 4, 1, {1'000'000'000'000, 65'536}, {400'000'000'000, 60'000}});
    EXPECT_EQ(
        metrics.text(),
        "# HELP senvd_build_info The version that runs.\n"
        "# TYPE senvd_build_info gauge\n"
        "senvd_build_info{version=\"1.2.3\"} 1\n"
        "# HELP senvd_start_time_seconds When senvd was started, in seconds since 1970.\n"
        "# TYPE senvd_start_time_seconds gauge\n"
        "senvd_start_time_seconds 1700000000\n"
        "# HELP senvd_requests_total Requests for an environment: hit (it was complete), miss (it was fetched), "
        "failed, "
        "refused, gone (the client did not wait).\n"
        "# TYPE senvd_requests_total counter\n"
        "senvd_requests_total{result=\"hit\"} 2\n"
        "senvd_requests_total{result=\"miss\"} 1\n"
        "senvd_requests_total{result=\"failed\"} 1\n"
        "senvd_requests_total{result=\"refused\"} 1\n"
        "senvd_requests_total{result=\"gone\"} 1\n"
        "# HELP senvd_warm_answer_seconds From a client's connection to the answer, for environments that were "
        "complete.\n"
        "# TYPE senvd_warm_answer_seconds histogram\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.00005\"} 0\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.0001\"} 0\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.00025\"} 1\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.0005\"} 1\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.001\"} 1\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.0025\"} 2\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.005\"} 2\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.01\"} 2\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.05\"} 2\n"
        "senvd_warm_answer_seconds_bucket{le=\"0.25\"} 2\n"
        "senvd_warm_answer_seconds_bucket{le=\"1\"} 2\n"
        "senvd_warm_answer_seconds_bucket{le=\"+Inf\"} 2\n"
        "senvd_warm_answer_seconds_sum 0.0027\n"
        "senvd_warm_answer_seconds_count 2\n"
        "# HELP senvd_connections Open connections of clients.\n"
        "# TYPE senvd_connections gauge\n"
        "senvd_connections 7\n"
        "# HELP senvd_fetches Environments being fetched.\n"
        "# TYPE senvd_fetches gauge\n"
        "senvd_fetches 2\n"
        "# HELP senvd_fetch_seconds From the first request for an environment to its being complete, where "
        "something was "
        "fetched.\n"
        "# TYPE senvd_fetch_seconds histogram\n"
        "senvd_fetch_seconds_bucket{le=\"0.1\"} 0\n"
        "senvd_fetch_seconds_bucket{le=\"0.5\"} 0\n"
        "senvd_fetch_seconds_bucket{le=\"1\"} 0\n"
        "senvd_fetch_seconds_bucket{le=\"5\"} 0\n"
        "senvd_fetch_seconds_bucket{le=\"10\"} 0\n"
        "senvd_fetch_seconds_bucket{le=\"30\"} 0\n"
        "senvd_fetch_seconds_bucket{le=\"60\"} 1\n"
        "senvd_fetch_seconds_bucket{le=\"120\"} 1\n"
        "senvd_fetch_seconds_bucket{le=\"300\"} 1\n"
        "senvd_fetch_seconds_bucket{le=\"600\"} 1\n"
        "senvd_fetch_seconds_bucket{le=\"1800\"} 1\n"
        "senvd_fetch_seconds_bucket{le=\"+Inf\"} 1\n"
        "senvd_fetch_seconds_sum 40\n"
        "senvd_fetch_seconds_count 1\n"
        "# HELP senvd_fetch_failures_total Environments that could not be fetched, by the kind of error.\n"
        "# TYPE senvd_fetch_failures_total counter\n"
        "senvd_fetch_failures_total{kind=\"usage\"} 0\n"
        "senvd_fetch_failures_total{kind=\"missing\"} 0\n"
        "senvd_fetch_failures_total{kind=\"denied\"} 0\n"
        "senvd_fetch_failures_total{kind=\"corrupt\"} 0\n"
        "senvd_fetch_failures_total{kind=\"untrusted\"} 1\n"
        "senvd_fetch_failures_total{kind=\"busy\"} 0\n"
        "senvd_fetch_failures_total{kind=\"io\"} 0\n"
        "senvd_fetch_failures_total{kind=\"bug\"} 0\n"
        "# HELP senvd_item_fetch_seconds From the start of an item's transfer to its place in the store.\n"
        "# TYPE senvd_item_fetch_seconds histogram\n"
        "senvd_item_fetch_seconds_bucket{le=\"0.01\"} 0\n"
        "senvd_item_fetch_seconds_bucket{le=\"0.05\"} 1\n"
        "senvd_item_fetch_seconds_bucket{le=\"0.1\"} 1\n"
        "senvd_item_fetch_seconds_bucket{le=\"0.5\"} 1\n"
        "senvd_item_fetch_seconds_bucket{le=\"1\"} 1\n"
        "senvd_item_fetch_seconds_bucket{le=\"5\"} 2\n"
        "senvd_item_fetch_seconds_bucket{le=\"10\"} 2\n"
        "senvd_item_fetch_seconds_bucket{le=\"30\"} 2\n"
        "senvd_item_fetch_seconds_bucket{le=\"60\"} 2\n"
        "senvd_item_fetch_seconds_bucket{le=\"300\"} 2\n"
        "senvd_item_fetch_seconds_bucket{le=\"+Inf\"} 2\n"
        "senvd_item_fetch_seconds_sum 1.55\n"
        "senvd_item_fetch_seconds_count 2\n"
        "# HELP senvd_fetched_items_total Items that came into the store, by where they came from.\n"
        "# TYPE senvd_fetched_items_total counter\n"
        "senvd_fetched_items_total{origin=\"http://a:8080/x\"} 0\n"
        "senvd_fetched_items_total{origin=\"http://b\"} 2\n"
        "# HELP senvd_fetched_nar_bytes_total Their bytes, uncompressed.\n"
        "# TYPE senvd_fetched_nar_bytes_total counter\n"
        "senvd_fetched_nar_bytes_total{origin=\"http://a:8080/x\"} 0\n"
        "senvd_fetched_nar_bytes_total{origin=\"http://b\"} 1024\n"
        "# HELP senvd_narinfo_requests_total Answers to the question for an item: found (and authorised), or why "
        "it was of "
        "no use.\n"
        "# TYPE senvd_narinfo_requests_total counter\n"
        "senvd_narinfo_requests_total{origin=\"http://a:8080/x\",outcome=\"found\"} 1\n"
        "senvd_narinfo_requests_total{origin=\"http://a:8080/x\",outcome=\"absent\"} 1\n"
        "senvd_narinfo_requests_total{origin=\"http://a:8080/x\",outcome=\"soon\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://a:8080/x\",outcome=\"again\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://a:8080/x\",outcome=\"unreachable\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://a:8080/x\",outcome=\"unusable\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://a:8080/x\",outcome=\"stopped\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://b\",outcome=\"found\"} 1\n"
        "senvd_narinfo_requests_total{origin=\"http://b\",outcome=\"absent\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://b\",outcome=\"soon\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://b\",outcome=\"again\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://b\",outcome=\"unreachable\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://b\",outcome=\"unusable\"} 0\n"
        "senvd_narinfo_requests_total{origin=\"http://b\",outcome=\"stopped\"} 1\n"
        "# HELP senvd_nar_failures_total Transfers of items that brought nothing: absent, soon, again (may pass), "
        "unreachable, refused (of no use), failed (by this node), stopped (by senvd).\n"
        "# TYPE senvd_nar_failures_total counter\n"
        "senvd_nar_failures_total{origin=\"http://a:8080/x\",outcome=\"absent\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://a:8080/x\",outcome=\"soon\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://a:8080/x\",outcome=\"again\"} 1\n"
        "senvd_nar_failures_total{origin=\"http://a:8080/x\",outcome=\"unreachable\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://a:8080/x\",outcome=\"refused\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://a:8080/x\",outcome=\"failed\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://a:8080/x\",outcome=\"stopped\"} 1\n"
        "senvd_nar_failures_total{origin=\"http://b\",outcome=\"absent\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://b\",outcome=\"soon\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://b\",outcome=\"again\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://b\",outcome=\"unreachable\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://b\",outcome=\"refused\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://b\",outcome=\"failed\"} 0\n"
        "senvd_nar_failures_total{origin=\"http://b\",outcome=\"stopped\"} 0\n"
        "# HELP senvd_evicted_items_total Items that were evicted.\n"
        "# TYPE senvd_evicted_items_total counter\n"
        "senvd_evicted_items_total 3\n"
        "# HELP senvd_evicted_nar_bytes_total Their bytes, as nar.\n"
        "# TYPE senvd_evicted_nar_bytes_total counter\n"
        "senvd_evicted_nar_bytes_total 333\n"
        "# HELP senvd_damaged_items_total Items that were found damaged.\n"
        "# TYPE senvd_damaged_items_total counter\n"
        "senvd_damaged_items_total 2\n"
        "# HELP senvd_repaired_items_total Damaged items that came anew.\n"
        "# TYPE senvd_repaired_items_total counter\n"
        "senvd_repaired_items_total 1\n"
        "# HELP senvd_store_items Items in the store.\n"
        "# TYPE senvd_store_items gauge\n"
        "senvd_store_items 11\n"
        "# HELP senvd_store_nar_bytes Their bytes, as nar.\n"
        "# TYPE senvd_store_nar_bytes gauge\n"
        "senvd_store_nar_bytes 2222\n"
        "# HELP senvd_store_disk_bytes What they take on the disk.\n"
        "# TYPE senvd_store_disk_bytes gauge\n"
        "senvd_store_disk_bytes 8192\n"
        "# HELP senvd_store_inodes Their inodes.\n"
        "# TYPE senvd_store_inodes gauge\n"
        "senvd_store_inodes 55\n"
        "# HELP senvd_profiles Environments in the store.\n"
        "# TYPE senvd_profiles gauge\n"
        "senvd_profiles 4\n"
        "# HELP senvd_leases Leases that steps hold.\n"
        "# TYPE senvd_leases gauge\n"
        "senvd_leases 1\n"
        "# HELP senvd_filesystem_size_bytes Size of the store's file system, without what is root's.\n"
        "# TYPE senvd_filesystem_size_bytes gauge\n"
        "senvd_filesystem_size_bytes 1000000000000\n"
        "# HELP senvd_filesystem_avail_bytes What senvd may still use of it.\n"
        "# TYPE senvd_filesystem_avail_bytes gauge\n"
        "senvd_filesystem_avail_bytes 400000000000\n"
        "# HELP senvd_filesystem_inodes Inodes of the store's file system.\n"
        "# TYPE senvd_filesystem_inodes gauge\n"
        "senvd_filesystem_inodes 65536\n"
        "# HELP senvd_filesystem_avail_inodes What senvd may still use of them.\n"
        "# TYPE senvd_filesystem_avail_inodes gauge\n"
        "senvd_filesystem_avail_inodes 60000\n");
}

TEST(Metrics, EscapeLabels) {
    const Metrics metrics("a\\b\"c\nd", 0, {"http://x"});
    EXPECT_THAT(metrics.text(), HasSubstr("senvd_build_info{version=\"a\\\\b\\\"c\\nd\"} 1\n"));
}

TEST(Metrics, HaveOneSeriesForAnOriginThatIsNamedTwice) {
    Metrics metrics("1", 0, {"http://a", "http://b", "http://a"});
    metrics.item_fetched("http://a", 1, seconds(1));
    metrics.item_fetched("http://b", 20, seconds(1));
    metrics.item_fetched("http://a", 300, seconds(1));
    metrics.item_fetched("http://unknown", 4000, seconds(1));
    EXPECT_THAT(lines_of(metrics.text(), "senvd_fetched_nar_bytes_total"),
                testing::EndsWith("senvd_fetched_nar_bytes_total{origin=\"http://a\"} 301\n"
                                  "senvd_fetched_nar_bytes_total{origin=\"http://b\"} 20\n"));
}

TEST(Metrics, SayNothingOfTheStoreBeforeItWasLookedAt) {
    Metrics metrics("1", 0, {"http://a"});
    EXPECT_THAT(metrics.text(), Not(testing::AnyOf(HasSubstr("senvd_store"), HasSubstr("filesystem"))));
    metrics.stored({});
    EXPECT_THAT(metrics.text(), HasSubstr("\nsenvd_store_items 0\n"));
}

TEST(Metrics, SayNothingOfInodesOfTheDiskWhereTheyAreNotCounted) {
    Metrics metrics("1", 0, {"http://a"});
    StoreFigures figures;
    figures.disk = {100, UINT64_MAX};
    figures.free = {50, UINT64_MAX};
    metrics.stored(figures);
    EXPECT_THAT(metrics.text(),
                testing::AllOf(HasSubstr("\nsenvd_filesystem_avail_bytes 50\n"),
                               Not(HasSubstr("senvd_filesystem_inodes")), Not(HasSubstr("avail_inodes"))));
}

TEST(Metrics, AreCountedByManyThreadsAtOnce) {
    Metrics metrics("1", 0, {"http://a"});
    constexpr int each = 10'000;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                for (int k = 0; k < each; ++k) metrics.answered_warm(microseconds(1));
            });
        }
        threads.emplace_back([&] { (void)metrics.text(); });
    }
    const auto text = metrics.text();
    EXPECT_THAT(text, HasSubstr("senvd_requests_total{result=\"hit\"} 40000\n"));
    EXPECT_THAT(text, HasSubstr("senvd_warm_answer_seconds_sum 0.04\nsenvd_warm_answer_seconds_count 40000\n"));
}

TEST(Metrics, TellWhenWhatIsStoredIsKnownAgain) {
    Metrics metrics("1", 0, {});
    std::stop_source stop;
    metrics.stored({});
    metrics.await_stored(stop.get_token(), std::chrono::hours(1));  // before the wait, and not waited for yet
    std::jthread later([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        metrics.stored({});
    });
    metrics.await_stored(stop.get_token(), std::chrono::hours(1));
    metrics.await_stored(stop.get_token(), std::chrono::milliseconds(1));
    std::jthread stopper([&] { stop.request_stop(); });
    metrics.await_stored(stop.get_token(), std::chrono::hours(1));
}

}  // namespace
}  // namespace senv
