#include "provisioner/senvd/plan_child.h"

#include <gtest/gtest.h>

#include <chrono>
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

class PlanChild : public testing::Test {
protected:
    void write(const std::string& name, const std::string& text) const {
        const fs::path file = dir / ("store/" + profile.base() + "/" + name);
        fs::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }
    Result<wire::Plan> plan(const std::stop_token& stop = {}) const {
        return plan_in_child(SENV_SENVD, dir / "store", profile, stop);
    }
    // With a program in the child's place.
    Result<wire::Plan> plan_by(const std::string& script, const std::stop_token& stop = {},
                               std::chrono::milliseconds time = plan_time) const {
        const std::string program = dir / "program";
        std::ofstream(program) << "#!/bin/sh\n" << script << "\n";
        fs::permissions(program, fs::perms(0755));
        return plan_in_child(program, dir / "store", profile, stop, time);
    }

    test::TempDir dir;
    StorePath profile = StorePath::parse("88888888888888888888888888888888-profile").value();
};

TEST_F(PlanChild, GivesThePlanOrWhyThereIsNone) {
    EXPECT_THAT(plan(), FailsWith(Kind::missing, "store"));
    write("bin/tool", "");
    EXPECT_THAT(plan(), FailsWith(Kind::missing, "it has no file 'manifest'"));
    write("manifest", "(manifest (version 4) (packages ()))");
    const auto made = plan();
    ASSERT_THAT(made, IsOk());
    EXPECT_EQ(made->variables, (std::vector<wire::Variable>{{"PATH", profile.absolute() + "/bin", ":"}}));
}

TEST_F(PlanChild, ReadsNothingOutsideOfTheStore) {
    write("manifest", "(manifest (version 4) (packages ()))");
    const std::string outside = dir / "outside";
    fs::create_directory(outside);
    fs::rename(dir / ("store/" + profile.base() + "/manifest"), outside + "/manifest");
    fs::create_symlink(outside + "/manifest", dir / ("store/" + profile.base() + "/manifest"));
    EXPECT_THAT(plan(), FailsWith(Kind::missing, "it has no file 'manifest'"));
}

TEST_F(PlanChild, WhatBreaksOffIsThisProfilesError) {
    for (const char* script :
         {"exit 0", "echo nonsense", "kill -9 $$", "head -c 2000000 /dev/zero", "printf '\\4\\0\\0\\0\\40\\0\\1\\0'"}) {
        EXPECT_THAT(plan_by(script), FailsWith(Kind::corrupt, "the process that makes it broke off")) << script;
    }
    EXPECT_THAT(plan_by("kill -XCPU $$"), FailsWith(Kind::corrupt, "that takes more than 5 s of processor time"));
    EXPECT_THAT(plan_in_child(dir / "none", dir / "store", profile, {}), FailsWith(Kind::missing, "none"));
}

TEST_F(PlanChild, EndsAtOnceWhenAsked) {
    std::stop_source stop;
    const auto start = Clock::now();
    const std::jthread asker([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        stop.request_stop();
    });
    EXPECT_THAT(plan_by("exec sleep 100", stop.get_token()), FailsWith(Kind::busy, "senvd stops"));
    EXPECT_THAT(plan(stop.get_token()), FailsWith(Kind::busy, "senvd stops"));
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
}

TEST_F(PlanChild, EndsAfterItsTime) {
    const auto start = Clock::now();
    EXPECT_THAT(plan_by("exec sleep 100", {}, std::chrono::milliseconds(300)),
                FailsWith(Kind::corrupt, "that takes more than 300 ms"));
    EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(300));
}

}  // namespace
}  // namespace senv
