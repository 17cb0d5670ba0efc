#include "cache/daemon/report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "cache/wire/frame.h"
#include "tests/support/items.h"

namespace senv {
namespace {

using test::path_of;

TEST(Report, StatusHasTheFieldsThatScriptsRead) {
    Status status;
    status.version = "1.2.3";
    status.uptime_s = 5;
    status.store = "/var/lib/senv/store";
    status.items = 3;
    status.bytes = 3072;
    status.profiles = 1;
    status.leases.push_back({{path_of("p"), 1000, 12, 3}, "0123456789abcdef"});
    status.fetches.push_back({path_of("q"),
                              {1, 2, 10, 20, "lib from http://host"},
                              7,
                              {{path_of("lib"), "http://host", 5, 10}},
                              {{1000, 12, 3}, {1001, 13, 0}}});
    status.origins = {"http://host"};
    status.troubles = {{"http://host", "refused"}};
    status.space = {{{100, 10}, {1000, 90}, {400, 40}}, "90%", "80%", true, 2};
    const std::string p = path_of("p").absolute();
    const std::string q = path_of("q").absolute();
    EXPECT_EQ(
        to_json(status),
        R"({"version":"1.2.3","uptime_s":5,"store":"/var/lib/senv/store","items":3,"bytes":3072,)"
        R"("profiles":1,"leases":[{"profile":")" +
            p +
            R"(","job":12,"step":3,"uid":1000,"file":"0123456789abcdef"}],)"
            R"("fetches":[{"profile":")" +
            q +
            R"(","seconds":7,"items_done":1,"items_total":2,"bytes_done":10,)"
            R"("bytes_total":20,"what":"lib from http://host","transfers":[{"item":")" +
            path_of("lib").absolute() +
            R"(","origin":"http://host","bytes_done":5,"bytes_total":10}],"waiting":2,)"
            R"("waiters":[{"uid":1000,"job":12,"step":3},{"uid":1001,"job":13,"step":0}]}],)"
            R"("origins":["http://host"],"troubles":[{"origin":"http://host","why":"refused"}],)"
            R"("space":{"disk":{"bytes":1000,"free":100,"inodes":90,"inodes_free":10},)"
            R"("store":{"bytes":400,"inodes":40},"high_water":"90%","low_water":"80%","evicting":true,"pins":2}})");
    status.fetches.clear();
    status.space.usage = {{100, UINT64_MAX}, {1000, UINT64_MAX}, {}};
    EXPECT_THAT(to_json(status), testing::HasSubstr(R"("disk":{"bytes":1000,"free":100},"store":)"));
}

TEST(Report, CollectedSaysWhatWentAndWhyTheRestStayed) {
    Eviction collected;
    collected.profiles = {path_of("p")};
    collected.items = {path_of("p"), path_of("lib")};
    collected.nar_bytes = 100;
    collected.room = {8192, 5};
    collected.kept = {{path_of("q"), {4096, 2}, "leased by job 12 step 0"}};
    EXPECT_EQ(to_json(collected, false),
              R"({"dry_run":false,"evicted":[")" + path_of("p").absolute() +
                  R"("],"items":2,"bytes":100,"disk_bytes":8192,"inodes":5,"kept":[{"profile":")" +
                  path_of("q").absolute() + R"(","why":"leased by job 12 step 0","disk_bytes":4096}]})");
    EXPECT_EQ(pin_to_json(path_of("q"), true), R"({"profile":")" + path_of("q").absolute() + R"(","pinned":true})");
}

TEST(Report, ListIsAPage) {
    List list;
    EXPECT_EQ(to_json(list), R"({"profiles":[],"next":null})");
    list.profiles.push_back({path_of("p"), 3, 100, 8192, 1234, true, 2, false});
    list.next = path_of("p");
    const std::string p = path_of("p").absolute();
    EXPECT_EQ(to_json(list),
              R"({"profiles":[{"profile":")" + p +
                  R"(","items":3,"bytes":100,"disk_bytes":8192,"last_use":1234,"pinned":true,"leases":2,)"
                  R"("complete":false}],"next":")" +
                  p + R"("})");
}

TEST(Report, FitsIntoAReplyHoweverMuchThereIs) {
    Status status;
    Eviction collected;
    const HeldLease lease{{path_of(std::string(200, 'p')), 4'000'000'000, 4'000'000'000, 4'000'000'000},
                          "0123456789abcdef"};
    status.leases.assign(100'000, lease);
    collected.kept.assign(100'000, {lease.profile, {UINT64_MAX, 1}, "leased by job 4000000000 step 4000000000"});
    collected.profiles.assign(100'000, lease.profile);
    EXPECT_LT(to_json(status).size() + 100, wire::max_reply_bytes);
    EXPECT_LT(to_json(collected, false).size() + 100, wire::max_reply_bytes);
    const auto shown = nlohmann::json::parse(to_json(status));
    EXPECT_GE(shown.at("leases").size(), 300U);
    for (int i = 0; i < 20; ++i) {
        FetchStatus fetch{lease.profile, {1, 2, 3, 4, std::string(300, 'w')}};
        fetch.waiting.assign(1024, {4'000'000'000, 4'000'000'000, 4'000'000'000});
        fetch.transfers.assign(64, {lease.profile, std::string(200, 'o'), UINT64_MAX, UINT64_MAX});
        status.fetches.push_back(fetch);
    }
    EXPECT_LT(to_json(status).size() + 100, wire::max_reply_bytes);
    EXPECT_GE(nlohmann::json::parse(to_json(status)).at("fetches").size(), 1U);
    EXPECT_EQ(shown.at("more_leases").get<std::size_t>() + shown.at("leases").size(), 100'000U);
}

TEST(Report, OfWhatWasReleased) {
    EXPECT_EQ(
        released_to_json({{{path_of("p"), 1000, 12, 3}, "id"}}),
        R"({"released":[{"profile":")" + path_of("p").absolute() + R"(","job":12,"step":3,"uid":1000,"file":"id"}]})");
    EXPECT_EQ(released_to_json({}), R"({"released":[]})");
}

TEST(Report, TextsOfServersCannotSpoilIt) {
    Status status;
    wire::Progress progress;
    progress.what = "\xff\xfe\"";
    status.fetches.push_back({path_of("q"), progress});
    EXPECT_TRUE(nlohmann::json::accept(to_json(status)));
}

}  // namespace
}  // namespace senv
