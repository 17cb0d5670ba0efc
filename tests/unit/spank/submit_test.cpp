#include "spank/submit.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "cache/base/fd.h"
#include "provisioner/resolution.h"
#include "tests/support/fake_host.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

const std::string resolved = "1 /gnu/store/88888888888888888888888888888888-profile lock=" + std::string(64, 'a') +
                             " channels=guix@0123456789abcdef enter=plain from=";

class Submit : public testing::Test {
protected:
    Submit() { settings_.senv = dir_ / "senv"; }

    // A `senv` that notes its words and does what `script` says. It prints the source that it was given.
    void senv_is(const std::string& script) {
        std::ofstream(settings_.senv) << "#!/bin/sh\nprintf '%s\\n' \"$@\" >" << dir_ / "words"
                                      << "\n"
                                      << script;
        ASSERT_EQ(::chmod(settings_.senv.c_str(), 0755), 0);
    }
    void senv_answers() { senv_is("while [ \"$1\" != --source ]; do shift; done; echo \"" + resolved + "$2\"\n"); }
    std::string words() const { return read_small_file(dir_ / "words", 10000).value(); }

    Result<Outcome> submit() { return after_options(host_, settings_, request_); }
    std::string& value(Option option) { return request_.values[static_cast<std::size_t>(option)]; }

    test::TempDir dir_;
    test::FakeHost host_;
    Settings settings_;
    Request request_;
};

TEST_F(Submit, WithoutAnythingDoesNothing) {
    host_.own = {{"PATH", "/bin"}, {"SLURM_JOB_ID", "12"}};
    const auto before = host_.own;
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_EQ(host_.own, before);
    EXPECT_TRUE(host_.control.empty());
}

TEST_F(Submit, AsksSenvWithAbsoluteFiles) {
    senv_answers();
    host_.words = {"srun", "--env-manifest=m.scm", "true"};
    value(Option::manifest) = "m.scm";
    value(Option::packages) = "hello,openmpi@4";
    value(Option::channels) = "/etc/channels.scm";
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(
        words(),
        "resolve\n--for-slurm\n--manifest\n/home/u/m.scm\n--packages\nhello,openmpi@4\n--channels\n/etc/channels.scm\n"
        "--source\ncommand-line:--env-manifest,--env-packages,--env-channels\n");
    EXPECT_EQ(host_.own[resolution_variable], resolved + "command-line:--env-manifest,--env-packages,--env-channels");
    EXPECT_EQ(host_.control[job_control_resolution], host_.own[resolution_variable]);
}

TEST_F(Submit, ForgetsTheRequestOnceItIsResolved) {
    senv_answers();
    value(Option::packages) = "hello";
    host_.own = {{"_SLURM_SPANK_OPTION_senv_env_packages", "hello"},
                 {"SLURM_SPANK__SLURM_SPANK_OPTION_senv_env_packages", "hello"},
                 {"SLURM_SPANK__SLURM_SPANK_OPTION_other_env_packages", "other"}};
    host_.control = {{"_SLURM_SPANK_OPTION_senv_env_packages", "hello"}};
    EXPECT_THAT(submit(), IsOk());
    EXPECT_FALSE(host_.own.contains("_SLURM_SPANK_OPTION_senv_env_packages"));
    EXPECT_FALSE(host_.own.contains("SLURM_SPANK__SLURM_SPANK_OPTION_senv_env_packages"));
    EXPECT_TRUE(host_.own.contains("SLURM_SPANK__SLURM_SPANK_OPTION_other_env_packages"));
    EXPECT_FALSE(host_.control.contains("_SLURM_SPANK_OPTION_senv_env_packages"));
}

TEST_F(Submit, SaysWhereTheRequestStood) {
    senv_answers();
    value(Option::packages) = "hello";
    host_.program_is = Program::sbatch;
    host_.words = {"sbatch", "job.sh"};
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(host_.own[resolution_variable], resolved + "batch-script:--env-packages");
    host_.own["SLURM_SPANK__SLURM_SPANK_OPTION_senv_env_packages"] = "hello";
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(host_.own[resolution_variable], resolved + "environment:--env-packages");
    host_.words = {"sbatch", "--env-p=hello", "job.sh"};
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(host_.own[resolution_variable], resolved + "command-line:--env-packages");
}

TEST_F(Submit, ARefusalOfSenvMakesNoEnvironment) {
    senv_is("exit 2\n");
    value(Option::packages) = "nope";
    EXPECT_EQ(submit().value(), Outcome::refused);
    EXPECT_FALSE(host_.own.contains(resolution_variable));
    EXPECT_TRUE(host_.control.empty());
}

TEST_F(Submit, AnAnswerThatIsNoResolutionIsAnError) {
    senv_is("echo hello\n");
    value(Option::packages) = "hello";
    EXPECT_THAT(submit(), FailsWith(Kind::corrupt, "cannot resolve the environment of --env-packages"));
    senv_is("echo '" + resolved + "x'; echo more\n");
    EXPECT_THAT(submit(), FailsWith(Kind::corrupt, "character"));
}

TEST_F(Submit, NamesASenvThatIsNotInstalled) {
    value(Option::packages) = "hello";
    EXPECT_THAT(submit(), FailsWith(Kind::missing, settings_.senv));
}

TEST_F(Submit, ChannelsAloneAreAMistake) {
    value(Option::channels) = "channels.scm";
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "cannot use '--env-channels' alone"));
}

TEST_F(Submit, BadWordsInPlugstackConfHurtOnlyWhoAsksForAnEnvironment) {
    const Result<Settings> bad = Error(Kind::usage, "cannot use 'x' in plugstack.conf");
    EXPECT_EQ(after_options(host_, bad, request_).value(), Outcome::plain);
    value(Option::packages) = "hello";
    EXPECT_THAT(after_options(host_, bad, request_), FailsWith(Kind::usage, "plugstack.conf"));
}

TEST_F(Submit, AStepInheritsTheJobsEnvironment) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {resolution_variable, resolved + "salloc"}};
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_TRUE(host_.control.empty());
}

TEST_F(Submit, AStepWithAResolutionThatCannotBeReadIsRefused) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {resolution_variable, "2 new"}};
    EXPECT_THAT(submit(), FailsWith(Kind::corrupt, "version"));
}

TEST_F(Submit, AStepCanHaveAnEnvironmentOfItsOwn) {
    senv_answers();
    host_.own = {{"SLURM_JOB_ID", "12"}, {resolution_variable, resolved + "old"}};
    value(Option::packages) = "hello";
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(host_.own[resolution_variable], resolved + "environment:--env-packages");
}

TEST_F(Submit, ANewJobFromInsideAnEnvironmentMustNameItsOwn) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {resolution_variable, resolved + "x"}};
    host_.program_is = Program::sbatch;
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "cannot make a job with 'sbatch'"));
    host_.program_is = Program::salloc;
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "cannot make a job with 'salloc'"));
    host_.program_is = Program::srun;
    host_.own["SLURM_JOB_ID"] = "";
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "cannot make a job with 'srun'"));
    EXPECT_NE(submit().error().hint().find("env -u SLURM_SENV_RESOLUTION srun"), std::string::npos);
}

TEST_F(Submit, AJobThatLeftTheEnvironmentTakesNoCopyAlong) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {job_control_copy, resolved + "x"}};
    host_.control = {{job_control_resolution, resolved + "x"}};
    host_.program_is = Program::sbatch;
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_FALSE(host_.own.contains(job_control_copy));
    EXPECT_TRUE(host_.control.empty());
}

TEST_F(Submit, InsideAJobALeakedRequestCountsForNothing) {
    const std::string leaked = "SLURM_SPANK__SLURM_SPANK_OPTION_senv_env_manifest";
    host_.own = {{leaked, "m.scm"}};
    before_options(host_);
    EXPECT_TRUE(host_.own.contains(leaked));
    host_.own["SLURM_JOB_ID"] = "12";
    before_options(host_);
    EXPECT_TRUE(host_.own.contains(leaked));
    host_.own[resolution_variable] = resolved + "x";
    before_options(host_);
    EXPECT_FALSE(host_.own.contains(leaked));
}

TEST_F(Submit, SbatchHidesTheHostFromNodesWithoutThePlugin) {
    senv_answers();
    value(Option::packages) = "hello";
    host_.own = {{"PATH", "/usr/bin"}};
    host_.program_is = Program::sbatch;
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(host_.own["PATH"], "/senv-is-not-installed-on-this-node");
    EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/usr/bin");
    EXPECT_TRUE(host_.own.contains("BASH_ENV"));
    EXPECT_FALSE(host_.own.contains("SLURM_SENV_BASH_ENV"));
}

TEST_F(Submit, SallocKeepsThePathOfItsShell) {
    senv_answers();
    value(Option::packages) = "hello";
    host_.own = {{"PATH", "/usr/bin"}};
    host_.program_is = Program::salloc;
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(host_.own["PATH"], "/usr/bin");
}

TEST_F(Submit, SrunMarksTheCommand) {
    host_.command_is = "/usr/bin/hostname";
    mark_command(host_);
    EXPECT_EQ(host_.command_is, "/senv-is-not-installed-on-this-node//usr/bin/hostname");
}

TEST_F(Submit, SrunMultiProgHidesThePath) {
    host_.command_is = "programs.conf";
    host_.own = {{"PATH", "/usr/bin"}};
    host_.words = {"srun", "--multi-prog", "programs.conf"};
    mark_command(host_);
    EXPECT_EQ(host_.command_is, "programs.conf");
    EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/usr/bin");
}

}  // namespace
}  // namespace senv
