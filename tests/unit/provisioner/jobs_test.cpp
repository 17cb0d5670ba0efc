#include "provisioner/jobs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "cache/base/fd.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using test::FailsWith;
using test::IsOk;

class Jobs : public testing::Test {
protected:
    test::TempDir dir;
    std::string folder = dir / "home/.cache/senv";

    Jobs() { fs::create_directory(dir / "home"); }

    static SubmittedJob job(std::uint32_t number, const std::string& cluster = "c") {
        const auto resolution = Resolution::parse(
            "1 /gnu/store/88888888888888888888888888888888-profile lock=none channels=guix@0123 enter=pure "
            "from=command-line:--env-profile");
        return {"2026-11-28T10:00:00Z", cluster, number, resolution.value()};
    }
    std::vector<SubmittedJob> called(std::uint32_t number) const {
        auto found = jobs_called(folder, number);
        EXPECT_THAT(found, IsOk());
        return std::move(found).value();
    }
    std::size_t lines() const {
        std::size_t count = 0;
        for (const char* name : {"/jobs", "/jobs.old"}) {
            std::ifstream file(folder + name);
            for (std::string line; std::getline(file, line);) ++count;
        }
        return count;
    }
};

TEST_F(Jobs, AreFoundByTheirNumberTheLatestFirst) {
    EXPECT_TRUE(called(12).empty());
    for (const auto& one : {job(1), job(12), job(121), job(12, "other"), job(2)}) {
        ASSERT_THAT(remember_job(folder, one), IsOk());
    }
    const auto found = called(12);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].cluster, "other");
    EXPECT_EQ(found[1].cluster, "c");
    EXPECT_EQ(found[1].number, 12U);
    EXPECT_EQ(found[1].time, "2026-11-28T10:00:00Z");
    EXPECT_EQ(found[1].resolution.encode(), job(12).resolution.encode());
    EXPECT_TRUE(called(3).empty());
    struct stat info {};
    ASSERT_EQ(::stat((folder + "/jobs").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(Jobs, SkipsLinesThatMakeNoSense) {
    ASSERT_THAT(remember_job(folder, job(12)), IsOk());
    std::ofstream(folder + "/jobs", std::ios::app) << "\n12\nt c 12\nt c 12 2 /gnu/store\n\0x 12 12 12\nt c 12 1 ";
    EXPECT_EQ(called(12).size(), 1U);
}

TEST_F(Jobs, ComeAfterALineThatWasCut) {
    ASSERT_THAT(remember_job(folder, job(12)), IsOk());
    std::ofstream(folder + "/jobs", std::ios::app) << "2026-11-28T10:00:00Z c 1";
    ASSERT_THAT(remember_job(folder, job(13)), IsOk());
    ASSERT_THAT(remember_job(folder, job(14)), IsOk());
    EXPECT_EQ(called(12).size(), 1U);
    EXPECT_EQ(called(13).size(), 1U);
    EXPECT_EQ(lines(), 4U);
}

TEST_F(Jobs, ForgetsTheOldestWhenThereAreTooMany) {
    const std::size_t bytes = (std::size_t{1} << 20U) / (job(1000).resolution.encode().size() + 28);
    for (std::uint32_t i = 1000; i < 1000 + 3 * bytes; ++i) ASSERT_THAT(remember_job(folder, job(i)), IsOk());
    EXPECT_TRUE(called(1000).empty());
    EXPECT_EQ(called(static_cast<std::uint32_t>(1000 + 3 * bytes - 1)).size(), 1U);
    EXPECT_EQ(called(static_cast<std::uint32_t>(1000 + 2 * bytes)).size(), 1U);
    EXPECT_LE(fs::file_size(folder + "/jobs"), (1U << 20U) + 1000U);
    EXPECT_LE(fs::file_size(folder + "/jobs.old"), (1U << 20U) + 1000U);
}

TEST_F(Jobs, OfManyCommandsAtOnceAreAllThere) {
    // The file becomes the old one meanwhile.
    fs::create_directories(folder);
    std::ofstream(folder + "/jobs") << std::string((1U << 20U) - 4000, 'x') << '\n';
    std::vector<std::thread> writers;
    for (std::uint32_t writer = 0; writer < 8; ++writer) {
        writers.emplace_back([this, writer] {
            for (std::uint32_t i = 0; i < 20; ++i) EXPECT_THAT(remember_job(folder, job(100 * writer + i)), IsOk());
        });
    }
    for (auto& writer : writers) writer.join();
    EXPECT_EQ(lines(), 161U);
    EXPECT_TRUE(fs::exists(folder + "/jobs.old"));
    for (std::uint32_t writer = 0; writer < 8; ++writer) {
        for (std::uint32_t i = 0; i < 20; ++i) EXPECT_EQ(called(100 * writer + i).size(), 1U);
    }
}

TEST_F(Jobs, AreNotWaitedForWithoutEnd) {
    ASSERT_THAT(remember_job(folder, job(1)), IsOk());
    const auto file = open_file(folder + "/jobs", O_RDWR);
    ASSERT_THAT(file, IsOk());
    ASSERT_TRUE(try_lock(file->get(), 0, 0).value());
    EXPECT_THAT(remember_job(folder, job(2)), FailsWith(Kind::busy, "jobs' within two seconds"));
}

TEST_F(Jobs, OfWhomHasNoHome) {
    EXPECT_EQ(cache_folder({{"HOME", "/h"}}).value(), "/h/.cache/senv");
    EXPECT_EQ(cache_folder({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}).value(), "/x/senv");
    EXPECT_EQ(cache_folder({{"HOME", "/h"}, {"XDG_CACHE_HOME", "x"}}).value(), "/h/.cache/senv");
    EXPECT_THAT(cache_folder({}), FailsWith(Kind::missing, "HOME is not set"));
    EXPECT_THAT(remember_job("/dev/null/.cache/senv", job(1)), FailsWith(Kind::missing, "/dev/null/.cache/senv/jobs"));
}

TEST_F(Jobs, AreKeptInAFolderThatIsMadeWithThoseAboveIt) {
    folder = dir / "scratch/ada/cache/senv";
    ASSERT_THAT(remember_job(folder, job(1)), IsOk());
    EXPECT_EQ(called(1).size(), 1U);
}

TEST(JobNumber, IsInAllNamesThatSlurmGivesAJob) {
    for (const char* name : {"9", "9_3", "9_[2-3%1]", "9_[1,4,...]", "9+0", "9+1"})
        EXPECT_EQ(job_number(name), 9U) << name;
    EXPECT_EQ(job_number("4294967295"), 4294967295U);
    for (const char* name : {"", "x", "007", "+1", "_1", "9_", "9+", "9.0", "9_3_4", "9+1+2", "9+[1]", "9_[", "9_[1",
                             "9-1", "4294967296", "9x", "./9"}) {
        EXPECT_EQ(job_number(name), std::nullopt) << name;
    }
}

TEST(UtcTime, IsAsInISO8601) {
    EXPECT_EQ(utc_time(0), "1970-01-01T00:00:00Z");
    EXPECT_EQ(utc_time(1795860000), "2026-11-28T10:00:00Z");
}

}  // namespace
}  // namespace senv
