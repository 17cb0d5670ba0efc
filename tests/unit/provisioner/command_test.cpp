#include "provisioner/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "provisioner/close_names.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Command : public testing::Test {
protected:
    void make(const std::string& file) {
        std::filesystem::create_directories(std::filesystem::path(dir_ / file).parent_path());
        std::ofstream(dir_ / file) << "";
    }
    void make_folder(const std::string& folder) { std::filesystem::create_directories(dir_ / folder); }

    test::TempDir dir_;
    std::string profile_ = dir_ / "profile";
    std::string path_ = profile_ + "/bin:" + (dir_ / "host");
};

TEST_F(Command, IsFoundInAnyFolderOfThePath) {
    make("profile/bin/hello");
    make("host/ls");
    EXPECT_TRUE(can_be_found("hello", path_));
    EXPECT_TRUE(can_be_found("ls", path_));
    EXPECT_FALSE(can_be_found("hell", path_));
    EXPECT_FALSE(can_be_found("hello", ""));
}

TEST_F(Command, IsFoundInTheCurrentFolder) {
    make("here/hello");
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(dir_ / "here");
    EXPECT_TRUE(can_be_found("hello", path_));
    EXPECT_TRUE(can_be_found("hello", ""));
    EXPECT_FALSE(can_be_found("hell", path_));
    std::filesystem::current_path(before);
}

TEST_F(Command, IsFoundHoweverManyFoldersStandInFront) {
    make("profile/bin/hello");
    std::string path;
    for (int i = 0; i < 3000; ++i) path += (dir_ / "m") + std::to_string(i) + "/bin:";
    EXPECT_TRUE(can_be_found("hello", path + path_));
    EXPECT_FALSE(can_be_found("helo", path + path_));
    EXPECT_THAT(close_commands("helo", path + path_, profile_), ElementsAre("hello"));
}

TEST_F(Command, IsNoFolder) {
    make_folder("profile/bin/hello");
    EXPECT_FALSE(can_be_found("hello", path_));
    make("host/hello");
    EXPECT_TRUE(can_be_found("hello", path_));
}

TEST_F(Command, WithASlashIsSlurmsBusiness) {
    EXPECT_TRUE(can_be_found("./nowhere", path_));
    EXPECT_TRUE(can_be_found("/nowhere", path_));
}

TEST_F(Command, IsOfAnEnvironmentThatTheKernelExecutes) {
    EXPECT_THAT(check_machine(profile_), test::IsOk());
    make("profile/bin/script");
    std::filesystem::copy_file("/proc/self/exe", profile_ + "/bin/own");
    EXPECT_THAT(check_machine(profile_), test::IsOk());
    // The beginning of a program for a 64-bit machine of another kind.
    std::string header(
        "\x7f"
        "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0",
        24);
    header.resize(4096);
    std::filesystem::remove(profile_ + "/bin/own");
    std::ofstream(profile_ + "/bin/other") << header;
    std::filesystem::permissions(profile_ + "/bin/other", std::filesystem::perms(0755));
    EXPECT_THAT(check_machine(profile_),
                test::FailsWith(Kind::missing, "its programs are made for aarch64, which this host"));
}

TEST(CloseNames, OfASingleLetterAreOnlyThatLetter) {
    const std::vector<std::string> names = {"", "r", "yq", "Y"};
    EXPECT_THAT(close_names("y", names), ElementsAre("Y"));
    EXPECT_THAT(close_names("rq", names), ElementsAre("r", "yq"));
}

TEST_F(Command, ProposesWhatIsClose) {
    for (const auto* name : {"IMB-MPI1", "IMB-EXT", "gmx", "gromacs", "python3"})
        make(std::string("profile/bin/") + name);
    EXPECT_THAT(close_commands("IMB-MPI9", path_, profile_), ElementsAre("IMB-MPI1"));
    EXPECT_THAT(close_commands("imb-mpi1", path_, profile_), ElementsAre("IMB-MPI1"));
    EXPECT_THAT(close_commands("gormacs", path_, profile_), ElementsAre("gromacs"));
    EXPECT_THAT(close_commands("python", path_, profile_), ElementsAre("python3"));
    EXPECT_THAT(close_commands("mgx", path_, profile_), ElementsAre("gmx"));
    EXPECT_THAT(close_commands("cat", path_, profile_), IsEmpty());
    EXPECT_THAT(close_commands("lammps", path_, profile_), IsEmpty());
}

TEST_F(Command, ProposesTheLikeliestFirstAndThreeAtMost) {
    for (const auto* name : {"run-aa", "run-b", "run-c", "run-d"}) make(std::string("profile/bin/") + name);
    EXPECT_THAT(close_commands("run-a", path_, profile_), ElementsAre("run-aa", "run-b", "run-c"));
    EXPECT_THAT(close_commands("run-d1", path_, profile_), ElementsAre("run-d", "run-aa", "run-b"));
}

TEST_F(Command, ProposesNothingOfTheHost) {
    make("host/hello");
    make("profile-of-another/bin/hello");
    EXPECT_THAT(close_commands("helo", path_ + ":" + profile_ + "-of-another/bin", profile_), IsEmpty());
}

}  // namespace
}  // namespace senv
