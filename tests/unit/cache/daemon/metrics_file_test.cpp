#include "cache/daemon/metrics_file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "cache/base/fd.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::TempDir;

std::string content(const std::string& path) {
    auto text = read_small_file(path, 1000);
    return text ? *text : "(none)";
}

/// At most a minute.
template <class F>
bool becomes_true(F&& condition) {
    for (const auto end = Clock::now() + seconds(60); Clock::now() < end;) {
        if (condition()) return true;
        std::this_thread::sleep_for(milliseconds(2));
    }
    return condition();
}

std::size_t entries_in(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(MetricsFile, IsWrittenAtTheStartAndAtTheEnd) {
    const TempDir dir;
    const std::string path = dir / "x.prom";
    std::atomic<int> value{1};
    {
        const MetricsFile file(
            path, [&]() -> Result<std::string> { return "x " + std::to_string(value) + "\n"; }, every(hours(10)));
        EXPECT_TRUE(becomes_true([&] { return content(path) == "x 1\n"; }));
        value = 2;
    }
    EXPECT_EQ(content(path), "x 2\n");
    struct stat found = {};
    ASSERT_EQ(::stat(path.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 07777, 0644U);
    EXPECT_EQ(entries_in(dir.path()), 1U);  // nothing beside it
}

TEST(MetricsFile, IsWrittenAnewOnlyWhenTheTextIsAnother) {
    const TempDir dir;
    const std::string path = dir / "x.prom";
    std::atomic<int> asked{0};
    std::atomic<int> value{1};
    const MetricsFile file(
        path,
        [&]() -> Result<std::string> {
            ++asked;
            return std::to_string(value);
        },
        every(milliseconds(1)));
    EXPECT_TRUE(becomes_true([&] { return content(path) == "1"; }));
    struct stat before = {};
    ASSERT_EQ(::stat(path.c_str(), &before), 0);
    const int now = asked;
    EXPECT_TRUE(becomes_true([&] { return asked > now + 3; }));
    struct stat after = {};
    ASSERT_EQ(::stat(path.c_str(), &after), 0);
    EXPECT_EQ(after.st_ino, before.st_ino);
    EXPECT_EQ(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
    value = 2;
    EXPECT_TRUE(becomes_true([&] { return content(path) == "2"; }));
}

TEST(MetricsFile, SaysOnceThatItCannotBeWrittenAndOnceMoreWhenThatComesBack) {
    const TempDir dir;
    const std::string folder = dir / "later";
    const std::string path = folder + "/x.prom";
    std::atomic<int> asked{0};
    const auto a_few_more = [&] {
        const int now = asked;
        return becomes_true([&] { return asked > now + 3; });
    };
    testing::internal::CaptureStderr();
    {
        const MetricsFile file(
            path, [&]() -> Result<std::string> { return std::to_string(++asked); }, every(milliseconds(1)));
        EXPECT_TRUE(a_few_more());
        fs::create_directory(folder);
        EXPECT_TRUE(becomes_true([&] { return fs::exists(path); }));
        fs::rename(folder, dir / "away");
        EXPECT_TRUE(a_few_more());
    }
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
    EXPECT_THAT(log,
                testing::HasSubstr("level=warning event=metrics-file kind=missing error=\"cannot create '" + path));
}

}  // namespace
}  // namespace senv
