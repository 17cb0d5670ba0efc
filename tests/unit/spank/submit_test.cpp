#include "spank/submit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "cache/base/fd.h"
#include "provisioner/jobs.h"
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

    // A `senv` that notes its words and does what `script` says.
    void senv_is(const std::string& script) {
        std::ofstream(settings_.senv) << "#!/bin/sh\nprintf '%s\\n' \"$@\" >" << dir_ / "words"
                                      << "\n"
                                      << script;
        ASSERT_EQ(::chmod(settings_.senv.c_str(), 0755), 0);
    }
    // It prints the source that it was given.
    void senv_answers() { senv_is("while [ $# -gt 1 ]; do shift; done; echo \"" + resolved + "${1#--source=}\"\n"); }
    std::string words() const { return read_small_file(dir_ / "words", 10000).value(); }

    Result<Outcome> submit() { return after_options(host_, settings_, given_); }
    void give(Option option, const std::string& text, Place place = Place::command_line) {
        given_.next_component();  // instead of what it was
        given_.add(option, {text, place});
    }
    std::string travels() { return host_.own[resolution_variable]; }

    test::TempDir dir_;
    test::FakeHost host_;
    Settings settings_;
    Given given_;
    const std::string profile_ = "/gnu/store/88888888888888888888888888888888-profile";
};

TEST_F(Submit, WithoutAnythingDoesNothing) {
    host_.own = {{"PATH", "/bin"}, {"SLURM_JOB_ID", "12"}, {"SLURM_JOB_NODELIST", "n1"}};
    host_.store_owner = 0;  // a Guix of the host's
    const auto before = host_.own;
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_EQ(host_.own, before);
    EXPECT_TRUE(host_.control.empty());
}

TEST_F(Submit, AsksSenvWithAbsoluteFiles) {
    senv_answers();
    give(Option::manifest, "m.scm");
    give(Option::packages, "hello,openmpi@4");
    give(Option::channels, "/etc/channels.scm");
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(
        words(),
        "resolve\n--for-slurm\n--manifest=/home/u/m.scm\n--packages=hello,openmpi@4\n--channels=/etc/channels.scm\n"
        "--source=command-line:--env-manifest,--env-packages,--env-channels\n");
    EXPECT_EQ(travels(), resolved + "command-line:--env-manifest,--env-packages,--env-channels");
    EXPECT_EQ(host_.control[job_control_resolution], travels());
}

TEST_F(Submit, AsksSenvWithEveryOption) {
    senv_answers();
    give(Option::manifest, "m.scm,/n.scm");
    give(Option::development, "hello,gcc");
    give(Option::file, "a,b.scm");
    give(Option::expression, "(f \"x,y\")");
    give(Option::load_path, "lib,/lib");
    give(Option::transform, "with-input=openmpi=mpich");
    give(Option::tune, "skylake");
    give(Option::amd_gpu, "gfx90a,gfx942");
    give(Option::lock, "job.lock");
    give(Option::profile, "profile");
    give(Option::build, "never");
    give(Option::refresh, "yes");
    give(Option::pure, "yes");
    give(Option::preserve, "^X");
    give(Option::passthrough, "error");
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(words(),
              "resolve\n--for-slurm\n--manifest=/home/u/m.scm\n--manifest=/n.scm\n--development=hello\n"
              "--development=gcc\n--file=/home/u/a,b.scm\n--expression=(f \"x,y\")\n--load-path=/home/u/lib\n"
              "--load-path=/lib\n--transform=with-input=openmpi=mpich\n--tune=skylake\n--amd-gpu=gfx90a,gfx942\n"
              "--lock=/home/u/job.lock\n--profile=/home/u/profile\n--build=never\n--refresh\n"
              "--source=command-line:--env-manifest,--env-development,--env-file,--env-expression,--env-load-path,"
              "--env-transform,--env-tune,--env-amd-gpu,--env-lock,--env-profile,--env-build,--env-refresh\n");
}

TEST_F(Submit, TellsSenvWhereTheJobIsToRunForTheSitesCpu) {
    senv_answers();
    give(Option::packages, "hello");
    give(Option::tune, "auto");
    host_.own = {{"SLURM_PARTITION", "p"}, {"SLURM_CONSTRAINT", "c"}, {"SBATCH_PARTITION", "other"}};
    const auto asked = [&](std::vector<std::string> line) {
        host_.words = std::move(line);
        EXPECT_THAT(submit(), IsOk());
        const std::string text = words();
        const auto begin = text.find("--tune=auto\n") + 12;
        return text.substr(begin, text.find("--source") - begin);
    };
    EXPECT_EQ(asked({"srun"}), "--partition=p\n--constraint=c\n");
    for (const auto& line : std::vector<std::vector<std::string>>{{"srun", "-p", "a,b", "-C", "x&y"},
                                                                  {"srun", "-pa,b", "-vCx&y"},
                                                                  {"srun", "-p", "z", "-vHp", "a,b", "--cons=x&y"},
                                                                  {"srun", "--part", "a,b", "--constraint", "x&y"},
                                                                  {"srun", "--partition=a,b", "--constr=x&y"}}) {
        EXPECT_EQ(asked(line), "--partition=a,b\n--constraint=x&y\n");
    }
    EXPECT_EQ(asked({"srun", "-n4p", "--par=a", "--con", "-qC", "-"}), "--partition=p\n--constraint=c\n");
    host_.own = {{"SLURM_JOB_ID", "12"}, {"SLURM_NODELIST", "n1"}, {"SLURM_JOB_PARTITION", "of-the-job"}};
    EXPECT_EQ(asked({"srun", "-p", "a"}), "--partition=of-the-job\n");
    give(Option::tune, "skylake");
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(words(), testing::Not(testing::HasSubstr("--partition")));
}

TEST_F(Submit, ForgetsTheRequestOnceItIsResolved) {
    senv_answers();
    give(Option::packages, "hello");
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
    give(Option::packages, "hello", Place::batch_script);
    host_.program_is = Program::sbatch;
    host_.words = {"sbatch", "job.sh"};
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(travels(), resolved + "batch-script:--env-packages");
    host_.own = {{"SBATCH_ENV_PACKAGES", "other"}};
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(travels(), resolved + "environment:--env-packages");
    host_.own = {{"SBATCH_ENV_PACKAGES", "other"}};
    give(Option::packages, "hello");
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(travels(), resolved + "command-line:--env-packages");
}

// --- root

TEST_F(Submit, RootEvaluatesNothing) {
    senv_answers();
    const std::string store = "/gnu/store/88888888888888888888888888888888-profile";
    host_.real = host_.effective = 0;
    for (const Program program : {Program::srun, Program::sbatch, Program::salloc}) {
        host_.program_is = program;
        for (const auto& [option, text] :
             std::vector<std::pair<Option, std::string>>{{Option::manifest, "m.scm"},
                                                         {Option::packages, "hello"},
                                                         {Option::development, "hello"},
                                                         {Option::file, "f.scm"},
                                                         {Option::expression, "(f)"},
                                                         {Option::profile, "link"},
                                                         {Option::profile, "/home/u/link"},
                                                         {Option::profile, store + "/../x"},
                                                         {Option::channels, "c.scm"},
                                                         {Option::load_path, "l"}}) {
            given_ = {};
            give(option, text);
            EXPECT_THAT(submit(), FailsWith(Kind::denied, std::string(" as root")));
        }
        given_ = {};
        give(Option::lock, "l");
        EXPECT_EQ(submit().value(), Outcome::environment);
        give(Option::tune, "skylake");
        EXPECT_THAT(submit(), FailsWith(Kind::denied, "as root"));
        given_ = {};
        give(Option::profile, store);
        EXPECT_EQ(submit().value(), Outcome::environment);
        host_.own.clear();
    }
    given_ = {};
    host_.own = {{"SALLOC_ENV_MANIFEST", "m.scm"}};
    EXPECT_THAT(submit(), FailsWith(Kind::denied, "as root"));
    EXPECT_THAT(submit().error().hint(), testing::HasSubstr("`runuser -u USER -- salloc ...`"));
    EXPECT_FALSE(host_.own.contains(resolution_variable));
}

TEST_F(Submit, TwoUsersAtOnceResolveNothing) {
    senv_answers();
    give(Option::lock, "l");
    for (const auto& [real, effective] : {std::pair<uid_t, uid_t>(1001, 0), std::pair<uid_t, uid_t>(0, 1001)}) {
        host_.real = real;
        host_.effective = effective;
        EXPECT_THAT(submit(), FailsWith(Kind::denied, "real and effective user differ"));
    }
    given_ = {};
    EXPECT_EQ(submit().value(), Outcome::plain);
}

// --- precedence

TEST_F(Submit, TheCommandLineWinsOverTheVariableAndThatOverTheBatchScript) {
    senv_answers();
    host_.program_is = Program::sbatch;
    host_.words = {"sbatch", "-v", "--env-man", "line.scm", "job.sh"};
    host_.own = {
        {"SBATCH_ENV_MANIFEST", "variable.scm"}, {"SBATCH_ENV_CHANNELS", "variable.scm"}, {"SLURM_ENV_LOCK", "x"}};
    give(Option::manifest, "line.scm");
    give(Option::channels, "script.scm", Place::batch_script);
    give(Option::tune, "skylake", Place::batch_script);
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(words(),
              "resolve\n--for-slurm\n--verbose\n--manifest=/home/u/line.scm\n--channels=/home/u/variable.scm\n"
              "--tune=skylake\n--source=command-line:--env-manifest,--env-channels,--env-tune\n");
    EXPECT_THAT(host_.infos, testing::ElementsAre("senv: --env-manifest=line.scm, from the command line",
                                                  "senv: --env-channels=variable.scm, from SBATCH_ENV_CHANNELS",
                                                  "senv: --env-tune=skylake, from an #SBATCH line"));
}

TEST_F(Submit, WhatALockExcludesGivesWayInTheWeakerPlace) {
    struct Row {
        std::map<std::string, std::string> variables;
        std::vector<std::pair<Option, std::string>> line;    // of the command
        std::vector<std::pair<Option, std::string>> script;  // #SBATCH
        std::string wanted;                                  // the words of the question that name something
        std::vector<std::string> gave_way;
    };
    senv_answers();
    host_.program_is = Program::sbatch;
    for (const auto& row : std::vector<Row>{
             {{{"SBATCH_ENV_CHANNELS", "/c"}, {"SBATCH_ENV_MANIFEST", "/m"}},
              {{Option::lock, "/l"}},
              {},
              "--lock=/l\n",
              {"manifest gives way to --env-lock", "channels gives way to --env-lock"}},
             {{{"SBATCH_ENV_LOCK", "/l"}},
              {{Option::profile, "/p"}},
              {},
              "--profile=/p\n",
              {"lock gives way to --env-profile"}},
             {{{"SBATCH_ENV_LOCK", "/l"}},
              {{Option::manifest, "/m"}},
              {{Option::packages, "x"}},
              "--manifest=/m\n--packages=x\n",
              {"lock gives way to --env-manifest"}},
             {{{"SBATCH_ENV_CHANNELS", "/c"}},
              {},
              {{Option::lock, "/l"}},
              "--lock=/l\n",
              {"channels gives way to --env-lock"}},
             {{{"SBATCH_ENV_PACKAGES", "x"}},
              {},
              {{Option::profile, "/p"}, {Option::tune, "y"}},
              "--packages=x\n--tune=y\n",
              {"profile gives way to --env-packages"}},
             // senv says what is wrong with these.
             {{{"SBATCH_ENV_LOCK", "/l"}, {"SBATCH_ENV_CHANNELS", "/c"}}, {}, {}, "--channels=/c\n--lock=/l\n", {}},
             {{}, {{Option::refresh, "yes"}}, {{Option::lock, "/l"}}, "--lock=/l\n--refresh\n", {}}}) {
        host_.own = row.variables;
        host_.words = {"sbatch", "-v"};
        host_.infos.clear();
        given_ = {};
        for (const auto& [option, text] : row.script) give(option, text, Place::batch_script);
        for (const auto& [option, text] : row.line) give(option, text);
        ASSERT_THAT(submit(), IsOk());
        const std::string begin = "resolve\n--for-slurm\n--verbose\n";
        EXPECT_THAT(words(), testing::StartsWith(begin + row.wanted + "--source="));
        std::vector<std::string> said;
        for (const auto& line : host_.infos) {
            if (line.find(" gives way ") != std::string::npos)
                said.push_back(line.substr(std::string("senv: --env-").size()));
        }
        EXPECT_EQ(said, row.gave_way);
    }
}

TEST_F(Submit, ValuesOfOnePlaceAddUpAndReplaceThoseOfAWeakerOne) {
    senv_answers();
    host_.program_is = Program::sbatch;
    const auto script = Place::batch_script;
    for (const auto& [text, place] : {std::pair("a", script), std::pair("b,c", script)}) {
        given_.add(Option::packages, {text, place});
        given_.add(Option::transform, {std::string("with-input=x=") + text, place});
        given_.add(Option::preserve, {text, place});
    }
    given_.add(Option::expression, {"(f 1)", script});
    given_.add(Option::expression, {"(f 2)", Place::command_line});
    given_.add(Option::expression, {"(f 3)", Place::command_line});
    given_.add(Option::manifest, {"m.scm", Place::command_line});
    given_.add(Option::manifest, {"n.scm,/o.scm", Place::command_line});
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(words(), testing::StartsWith(
                             "resolve\n--for-slurm\n--manifest=/home/u/m.scm\n--manifest=/home/u/n.scm\n"
                             "--manifest=/o.scm\n--packages=a\n--packages=b,c\n--expression=(f 2)\n--expression=(f 3)\n"
                             "--transform=with-input=x=a\n--transform=with-input=x=b,c\n--source="));
    EXPECT_THAT(travels(), testing::HasSubstr(" enter=plain:a%7cb%2cc "));
    host_.own = {{"SBATCH_ENV_PACKAGES", "d"}};
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(words(), testing::HasSubstr("\n--packages=d\n--expression"));
    given_.add(Option::packages, {"none", Place::command_line});
    host_.words = {"sbatch", "-v"};
    host_.infos.clear();
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(words(), testing::Not(testing::HasSubstr("--packages")));
    EXPECT_THAT(host_.infos, testing::IsSupersetOf({"senv: --env-manifest=m.scm, from the command line",
                                                    "senv: --env-manifest=n.scm,/o.scm, from the command line"}));
}

TEST_F(Submit, ContradictionsInOnePlaceAreMistakes) {
    senv_answers();
    host_.program_is = Program::sbatch;
    give(Option::packages, "hello", Place::batch_script);
    given_.add(Option::packages, {"none", Place::batch_script});
    EXPECT_THAT(submit(), FailsWith(Kind::usage,
                                    "cannot use both --env-packages=hello and --env-packages=none in #SBATCH "
                                    "lines"));
    given_.add(Option::packages, {"other", Place::command_line});
    EXPECT_THAT(submit(), IsOk());
    given_.add(Option::tune, {"skylake", Place::command_line});
    given_.add(Option::tune, {"skylake", Place::command_line});
    EXPECT_THAT(submit(), IsOk());
    given_.add(Option::tune, {"znver4", Place::command_line});
    EXPECT_THAT(submit(), FailsWith(Kind::usage,
                                    "cannot use both --env-tune=skylake and --env-tune=znver4 on the command "
                                    "line"));
}

// Slurm does not say where a flag without a value stood.
TEST_F(Submit, AFlagThatStandsAloneIsLookedForOnTheCommandLine) {
    senv_answers();
    host_.program_is = Program::sbatch;
    give(Option::packages, "hello");
    given_.add(Option::pure, {"yes", Place::nowhere});
    host_.own = {{"SBATCH_ENV_PURE", "none"}};
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(travels(), testing::HasSubstr(" enter=plain "));
    host_.words = {"sbatch", "--env-pu"};
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(travels(), testing::HasSubstr(" enter=pure "));
    host_.words = {"sbatch", "--env-pure=none"};
    given_.add(Option::pure, {"none", Place::command_line});
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(travels(), testing::HasSubstr(" enter=plain "));
}

TEST_F(Submit, EachProgramHasVariablesOfItsOwn) {
    senv_answers();
    for (const auto& [program, prefix] : {std::pair(Program::srun, "SLURM"), std::pair(Program::sbatch, "SBATCH"),
                                          std::pair(Program::salloc, "SALLOC")}) {
        host_.program_is = program;
        host_.own = {
            {"SLURM_ENV_PACKAGES", "SLURM"}, {"SBATCH_ENV_PACKAGES", "SBATCH"}, {"SALLOC_ENV_PACKAGES", "SALLOC"}};
        ASSERT_THAT(submit(), IsOk());
        EXPECT_THAT(words(), testing::HasSubstr(std::string("--packages=") + prefix + "\n"));
    }
}

TEST_F(Submit, EveryOptionHasAVariable) {
    senv_answers();
    host_.program_is = Program::salloc;
    host_.own = {{"SALLOC_ENV_PACKAGES", "hello"}, {"SALLOC_ENV_DEVELOPMENT", "gcc"}, {"SALLOC_ENV_FILE", "/f"},
                 {"SALLOC_ENV_EXPRESSION", "(f)"}, {"SALLOC_ENV_LOAD_PATH", "/l"},    {"SALLOC_ENV_TRANSFORM", "a=b"},
                 {"SALLOC_ENV_TUNE", "skylake"},   {"SALLOC_ENV_AMD_GPU", "gfx90a"},  {"SALLOC_ENV_BUILD", "never"},
                 {"SALLOC_ENV_REFRESH", "yes"},    {"SALLOC_ENV_PRESERVE", "^X"}};
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(words(), testing::StartsWith("resolve\n--for-slurm\n--packages=hello\n--development=gcc\n--file=/f\n"
                                             "--expression=(f)\n--load-path=/l\n--transform=a=b\n--tune=skylake\n"
                                             "--amd-gpu=gfx90a\n--build=never\n--refresh\n--source=environment:"));
    EXPECT_THAT(travels(), testing::HasSubstr(" enter=plain:%5eX "));
    EXPECT_TRUE(host_.infos.empty());
    // They alone are no request.
    host_.own = {{"SALLOC_ENV_BUILD", "never"}, {"SALLOC_ENV_TUNE", "x"}, {"SALLOC_ENV_PRESERVE", "x"}};
    EXPECT_EQ(submit().value(), Outcome::plain);
}

TEST_F(Submit, WarnsOfVariablesThatDoNotExist) {
    host_.own = {{"SLURM_ENV_MANIFST", "m.scm"},
                 {"SBATCH_ENV_Packages", "x"},
                 {"SALLOC_ENV_SOMETHING_ELSE", "x"},
                 {"SLURM_ENVIRONMENT", "x"},
                 {"SLURM_ENV_PROFILE", "none"}};
    const std::string manifest =
        "senv: warning: the variable SLURM_ENV_MANIFST is not one of senv's: did you mean SLURM_ENV_MANIFEST?";
    const auto wanted = testing::ElementsAre(
        manifest,
        "senv: warning: the variable SBATCH_ENV_Packages is not one of senv's: did you mean SBATCH_ENV_PACKAGES?",
        "senv: warning: the variable SALLOC_ENV_SOMETHING_ELSE is not one of senv's; senv-options(7) lists them");
    for (const Program program : {Program::srun, Program::sbatch, Program::salloc}) {
        host_.program_is = program;
        host_.infos.clear();
        EXPECT_EQ(submit().value(), Outcome::plain);
        EXPECT_THAT(host_.infos, wanted);
    }
    host_.program_is = Program::srun;
    host_.words = {"srun", "-Q"};
    host_.infos.clear();
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_TRUE(host_.infos.empty());
    host_.words = {"srun"};
    host_.own["SLURM_JOB_ID"] = "12";
    host_.own["SLURM_JOB_NODELIST"] = "n1";
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_THAT(host_.infos, testing::ElementsAre(manifest));
    // Where no variable counts, and for the second component of a submission, once was enough.
    host_.infos.clear();
    given_.next_component();
    EXPECT_EQ(submit().value(), Outcome::plain);
    given_ = {};
    host_.own[resolution_variable] = resolved + "x";
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_TRUE(host_.infos.empty());
}

TEST_F(Submit, WarnsOfOptionsBehindTheCommand) {
    const auto said = [&](std::vector<std::string> line, std::size_t options_end) {
        host_.infos.clear();
        host_.words = std::move(line);
        host_.options_end = options_end;
        EXPECT_EQ(submit().value(), Outcome::plain);
        return host_.infos;
    };
    EXPECT_THAT(
        said({"srun", "-n1", "prog", "x", "--env-packages=hello"}, 2),
        testing::ElementsAre("senv: warning: --env-packages=hello stands after 'prog', which gets it; options of senv "
                             "stand in front of that"));
    EXPECT_THAT(said({"srun", "prog", "--env-pure"}, 1), testing::SizeIs(1));
    EXPECT_THAT(said({"srun", "prog", "--env-packs=x", "--environment", "-env-pure", "env-pure"}, 1),
                testing::IsEmpty());
    EXPECT_THAT(said({"srun", "a", ":", "--env-packages=hello", "b"}, 1), testing::IsEmpty());
    host_.program_is = Program::sbatch;
    given_.add(Option::profile, {"none", Place::batch_script});
    EXPECT_THAT(said({"sbatch", "job.sh", "--env-manifest", "m.scm"}, 1), testing::SizeIs(1));
    given_.add(Option::manifest, {"none", Place::command_line});
    EXPECT_THAT(said({"sbatch", "--env-manifest=none", "job.sh", "--env-manifest", "m.scm"}, 2), testing::IsEmpty());
}

TEST_F(Submit, NoneIsAsIfNotGivenWhereverItStands) {
    host_.own = {{"SLURM_ENV_MANIFEST", "m.scm"}, {"SLURM_ENV_PROFILE", "none"}};
    give(Option::manifest, "none");
    give(Option::refresh, "none");
    EXPECT_EQ(submit().value(), Outcome::plain);
    host_.program_is = Program::sbatch;
    host_.own = {{"SBATCH_ENV_LOCK", "none"}};
    give(Option::lock, "script.lock", Place::batch_script);
    EXPECT_EQ(submit().value(), Outcome::plain);
}

TEST_F(Submit, BadValuesOfVariablesAreRefusedByTheirName) {
    host_.own = {{"SLURM_ENV_PURE", "2"}};
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "SLURM_ENV_PURE: '2' is neither yes nor none"));
    host_.own = {{"SLURM_ENV_MANIFEST", ""}};
    EXPECT_EQ(submit().value(), Outcome::plain);
}

TEST_F(Submit, VariablesThatNameNothingAskForNothing) {
    host_.own = {{"SLURM_ENV_CHANNELS", "channels.scm"}, {"SLURM_ENV_PURE", "1"}};
    EXPECT_EQ(submit().value(), Outcome::plain);
}

TEST_F(Submit, InsideAJobThatHasAnEnvironmentVariablesCountForNothing) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {"SLURM_ENV_MANIFEST", "m.scm"}, {"SLURM_ENV_PURE", "1"}};
    host_.own[resolution_variable] = resolved + "x";
    host_.words = {"srun", "-v", "true"};
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(travels(), resolved + "x");
    EXPECT_THAT(host_.infos,
                testing::ElementsAre("senv: SLURM_ENV_MANIFEST does not count: this job has an environment",
                                     "senv: SLURM_ENV_PURE does not count: this job has an environment"));
    host_.own["SLURM_ENV_PASSTHROUGH"] = "ignore";
    EXPECT_EQ(submit().value(), Outcome::plain);
}

TEST_F(Submit, InsideAJobWithoutAnEnvironmentVariablesCount) {
    senv_answers();
    host_.own = {{"SLURM_JOB_ID", "12"}, {"SLURM_ENV_PACKAGES", "hello"}};
    EXPECT_EQ(submit().value(), Outcome::environment);
}

TEST_F(Submit, SenvIsAsLoudAsTheCommand) {
    senv_answers();
    give(Option::packages, "hello");
    for (const auto& [word, passed] : {std::pair("-Q", "--quiet\n"), std::pair("--quiet", "--quiet\n"),
                                       std::pair("-vvv", "--verbose\n"), std::pair("--verb", "--verbose\n"),
                                       std::pair("--version", ""), std::pair("-qhigh", ""), std::pair("-", "")}) {
        host_.words = {"srun", word};
        ASSERT_THAT(submit(), IsOk());
        EXPECT_THAT(words(), testing::StartsWith(std::string("resolve\n--for-slurm\n") + passed + "--packages"))
            << word;
    }
}

// --- entering

TEST_F(Submit, PureAndPreserveTravel) {
    senv_answers();
    give(Option::packages, "hello");
    give(Option::pure, "yes");
    give(Option::preserve, "^A B");
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(travels(), testing::HasSubstr(" enter=pure:%5eA%20B from=command-line:--env-packages"));
    EXPECT_EQ(host_.control[job_control_resolution], travels());
    EXPECT_THAT(words(), testing::Not(testing::HasSubstr("pure")));
}

TEST_F(Submit, PureAloneChangesWhatAStepInherits) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {resolution_variable, resolved + "x"}};
    give(Option::pure, "yes");
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_THAT(travels(), testing::HasSubstr(" enter=pure from=x"));
}

TEST_F(Submit, PureWithoutAnEnvironmentIsAMistake) {
    give(Option::pure, "yes");
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "cannot use '--env-pure' alone"));
    give(Option::pure, "none");
    give(Option::preserve, "X");
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "cannot use '--env-preserve' alone"));
}

TEST_F(Submit, APatternThatDoesNotFitIsRefused) {
    senv_is("echo '1 /gnu/store/88888888888888888888888888888888-profile lock=none channels=" + [] {
        std::string channels = "a@" + std::string(40, 'a');
        for (int i = 0; i < 30; ++i) channels += ",b@" + std::string(40, 'a');
        return channels;
    }() + " enter=plain from=x'\n");
    give(Option::packages, "hello");
    EXPECT_THAT(submit(), IsOk());
    give(Option::preserve, std::string(1000, '|'));
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "cannot use the value of --env-preserve: with all that travels"));
}

// --- what senv says

TEST_F(Submit, ARefusalOfSenvMakesNoEnvironment) {
    senv_is("exit 2\n");
    give(Option::packages, "nope");
    EXPECT_EQ(submit().value(), Outcome::refused);
    EXPECT_FALSE(host_.own.contains(resolution_variable));
    EXPECT_TRUE(host_.control.empty());
}

TEST_F(Submit, AnAnswerThatIsNoResolutionIsAnError) {
    senv_is("echo hello\n");
    give(Option::packages, "hello");
    EXPECT_THAT(submit(), FailsWith(Kind::corrupt, "cannot resolve the environment of --env-packages"));
    senv_is("echo '" + resolved + "x'; echo more\n");
    EXPECT_THAT(submit(), FailsWith(Kind::corrupt, "character"));
}

TEST_F(Submit, NamesASenvThatIsNotInstalled) {
    give(Option::packages, "hello");
    EXPECT_THAT(submit(), FailsWith(Kind::missing, settings_.senv));
}

// senv says what goes together.
TEST_F(Submit, ChannelsAloneAreAMistakeThatSenvExplains) {
    senv_is("exit 2\n");
    give(Option::channels, "channels.scm");
    EXPECT_EQ(submit().value(), Outcome::refused);
    EXPECT_THAT(words(), testing::HasSubstr("--channels=/home/u/channels.scm\n"));
}

TEST_F(Submit, BadWordsInPlugstackConfHurtOnlyWhoAsksForAnEnvironment) {
    const Result<Settings> bad = Error(Kind::usage, "cannot use 'x' in plugstack.conf");
    EXPECT_EQ(after_options(host_, bad, given_).value(), Outcome::plain);
    give(Option::packages, "hello");
    EXPECT_THAT(after_options(host_, bad, given_), FailsWith(Kind::usage, "plugstack.conf"));
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
    give(Option::packages, "hello");
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(travels(), resolved + "command-line:--env-packages");
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
    EXPECT_THAT(submit().error().hint(), testing::HasSubstr("--env-passthrough=ignore; for a tool that calls srun, set "
                                                            "SLURM_ENV_PASSTHROUGH to one of them"));
}

TEST_F(Submit, ANewJobFromInsideAnEnvironmentCanTakeItAlong) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {"SBATCH_ENV_PASSTHROUGH", "use"}, {"PATH", "/bin"}};
    host_.own[resolution_variable] = resolved + "x";
    host_.program_is = Program::sbatch;
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(host_.control[job_control_resolution], resolved + "x");
    EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/bin");
}

TEST_F(Submit, PassthroughIgnoreRunsWithoutWhatTheJobHas) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {job_control_copy, resolved + "x"}};
    host_.own[resolution_variable] = resolved + "x";
    give(Option::passthrough, "ignore");
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_EQ(travels(), leaving);
    EXPECT_FALSE(host_.own.contains(job_control_copy));
}

TEST_F(Submit, PassthroughErrorForbidsToInheritAndNothingElse) {
    senv_answers();
    give(Option::passthrough, "error");
    EXPECT_EQ(submit().value(), Outcome::plain);
    host_.own = {{"SLURM_JOB_ID", "12"}, {resolution_variable, resolved + "x"}};
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "it would inherit the job's environment"));
    give(Option::packages, "hello");
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(travels(), resolved + "command-line:--env-packages");
}

TEST_F(Submit, AJobThatLeftTheEnvironmentTakesNoCopyAlong) {
    host_.own = {{"SLURM_JOB_ID", "12"}, {job_control_copy, resolved + "x"}};
    host_.control = {{job_control_resolution, resolved + "x"}};
    host_.program_is = Program::sbatch;
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_FALSE(host_.own.contains(job_control_copy));
    EXPECT_TRUE(host_.control.empty());
}

TEST_F(Submit, AStepForAnotherJobAsksTheNode) {
    host_.words = {"srun", "--jobid=12", "--overlap", "--pty", "bash"};
    EXPECT_EQ(submit().value(), Outcome::joining);
    EXPECT_EQ(host_.own, (std::map<std::string, std::string>{{joining_variable, "use"}}));
    // Unmarked: the job may be a plain one.
    host_.command_is = "bash";
    mark_command(host_);
    EXPECT_EQ(host_.command_is, "bash");
    EXPECT_EQ(host_.own, (std::map<std::string, std::string>{{command_variable, "yes"}, {joining_variable, "use"}}));
    host_.own = {{joining_variable, "use"}, {"PATH", "/bin"}};
    host_.words = {"srun", "-v", "--jobid=12", "--multi-prog", "file"};
    mark_command(host_);
    EXPECT_EQ(host_.own, (std::map<std::string, std::string>{
                             {joining_variable, "use"}, {"PATH", "/bin"}, {verbose_variable, "yes"}}));
    host_.words = {"srun", "--jobid=12", "--overlap", "--pty", "bash"};
    host_.own.clear();
    give(Option::passthrough, "ignore");
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_TRUE(host_.own.empty());
    give(Option::passthrough, "none");
    give(Option::passthrough, "error");
    EXPECT_EQ(submit().value(), Outcome::joining);
    EXPECT_EQ(host_.own[joining_variable], "error");
    give(Option::passthrough, "none");
    host_.own = {{"SLURM_JOB_ID", "12"}, {"SLURM_JOB_NODELIST", "n1"}};
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_FALSE(host_.own.contains(joining_variable));
    // From inside of another job, of which nothing counts.
    host_.own = {{"SLURM_JOB_ID", "11"}, {resolution_variable, resolved + "x"}};
    EXPECT_EQ(submit().value(), Outcome::joining);
    EXPECT_EQ(host_.own, (std::map<std::string, std::string>{{"SLURM_JOB_ID", "11"}, {joining_variable, "use"}}));
}

// --- inside, and leaving

TEST_F(Submit, LeavingIsAValue) {
    give(Option::passthrough, "ignore");
    for (const Program program : {Program::srun, Program::sbatch, Program::salloc}) {
        host_.program_is = program;
        for (const auto& [name, text] :
             {std::pair(resolution_variable, resolved + "x"), std::pair(resolution_variable, std::string(leaving)),
              std::pair(entered_variable, profile_ + " PATH:3a")}) {
            host_.own = {{"SLURM_JOB_ID", "12"}, {"SLURM_JOB_NODELIST", "n1"}, {name, text}};
            EXPECT_EQ(submit().value(), Outcome::plain);
            EXPECT_EQ(travels(), leaving);
        }
        host_.own = {{"PATH", "/bin"}};
        EXPECT_EQ(submit().value(), Outcome::plain);
        EXPECT_EQ(host_.own, (std::map<std::string, std::string>{{"PATH", "/bin"}}));
    }
}

TEST_F(Submit, AShellThatLeftStaysOutside) {
    senv_answers();
    for (const char* how : {"", "use", "error"}) {
        host_.own = {{"SLURM_JOB_ID", "12"}, {"SLURM_ENV_PASSTHROUGH", how}, {entered_variable, profile_ + " PATH:3a"}};
        host_.own[resolution_variable] = leaving;
        EXPECT_EQ(submit().value(), Outcome::plain);
        EXPECT_EQ(travels(), leaving);
    }
    std::optional<std::string> first;
    EXPECT_THAT(agree_with_first(host_, given_, first), IsOk());
    host_.own["SLURM_ENV_PACKAGES"] = "hello";
    EXPECT_EQ(submit().value(), Outcome::environment);
    EXPECT_EQ(travels(), resolved + "environment:--env-packages");
}

TEST_F(Submit, InsideWithoutAResolutionIsRefused) {
    struct Row {
        std::map<std::string, std::string> variables;
        std::optional<uid_t> store_owner;
    };
    settings_.user = "1234";
    for (const auto& row :
         std::vector<Row>{{{{entered_variable, profile_ + " PATH:3a"}}, {}},
                          {{{entered_variable, "which nobody can read"}}, {}},
                          {{{inside_variable, profile_}, {"PATH", "/home/u/bin:" + profile_ + "/bin:/bin"}}, {}},
                          {{{"PATH", "/bin"}}, 1234}}) {
        for (const char* how : {"", "use", "error"}) {
            for (const Program program : {Program::srun, Program::sbatch, Program::salloc}) {
                host_.program_is = program;
                host_.own = row.variables;
                host_.own[program == Program::sbatch   ? "SBATCH_ENV_PASSTHROUGH"
                          : program == Program::salloc ? "SALLOC_ENV_PASSTHROUGH"
                                                       : "SLURM_ENV_PASSTHROUGH"] = how;
                host_.store_owner = row.store_owner;
                EXPECT_THAT(submit(), FailsWith(Kind::usage, "this shell is inside an environment"));
                EXPECT_THAT(submit().error().hint(), testing::HasSubstr("--env-passthrough=ignore"));
            }
        }
        senv_answers();
        give(Option::packages, "hello");
        EXPECT_EQ(submit().value(), Outcome::environment);
        give(Option::packages, "none");
    }
}

TEST_F(Submit, GuixOfTheHostIsNotInside) {
    settings_.user = "1234";
    host_.store_owner = 0;
    for (const auto& variables : std::vector<std::map<std::string, std::string>>{
             {{"GUIX_ENVIRONMENT", profile_}, {"PATH", profile_ + "/bin:/bin"}},
             {{inside_variable, profile_}, {"PATH", "/bin"}},
             {{inside_variable, profile_}, {"PATH", profile_ + "-more/bin"}},
             {{inside_variable, "/"}, {"PATH", "/bin"}},
             {{inside_variable, ""}, {"PATH", "/bin"}}}) {
        host_.own = variables;
        EXPECT_EQ(submit().value(), Outcome::plain);
        EXPECT_EQ(host_.own, variables);
    }
    host_.store_owner = 65534;
    EXPECT_EQ(submit().value(), Outcome::plain);
    settings_.user = "no-such-user-here";
    EXPECT_EQ(submit().value(), Outcome::plain);
}

TEST_F(Submit, AShellThatSlurmDidNotStartJoinsItsJob) {
    for (const auto& words : std::vector<std::vector<std::string>>{
             {"srun", "--overlap", "prog"}, {"srun", "--jobid=12", "prog"}, {"srun", "--jobid", "12", "prog"}}) {
        host_.words = words;
        host_.own = {{"SLURM_JOB_ID", "12"}};
        EXPECT_EQ(submit().value(), Outcome::joining);
        EXPECT_EQ(host_.own[joining_variable], "use");
        for (const char* list : {"SLURM_JOB_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST_HET_GROUP_0"}) {
            host_.own = {{"SLURM_JOB_ID", "12"}, {list, "n1"}};
            EXPECT_EQ(submit().value(), Outcome::plain);
        }
        host_.own = {{"SLURM_JOB_ID", "12"}, {resolution_variable, resolved + "x"}};
        EXPECT_EQ(submit().value(), Outcome::environment);
    }
    // Slurm makes a new job of it, which has nothing to be joined.
    host_.words = {"srun", "prog"};
    host_.own = {{"SLURM_JOBID", "12"}};
    EXPECT_EQ(submit().value(), Outcome::plain);
    EXPECT_TRUE(makes_a_job(host_));
    // It is in the job's environment, so the job has one.
    host_.words = {"srun", "prog"};
    host_.own = {{"SLURM_JOB_ID", "12"}, {inside_variable, profile_}, {"PATH", profile_ + "/bin"}};
    EXPECT_EQ(submit().value(), Outcome::joining);
    EXPECT_EQ(host_.own[joining_variable], joining_must);
    give(Option::passthrough, "error");
    EXPECT_THAT(submit(), FailsWith(Kind::usage, "it would inherit the job's environment"));
}

TEST_F(Submit, AnAllocationWithoutAScriptTellsWhatIsNotKnown) {
    host_.words = {"srun", "--jobid=12", "prog"};
    host_.submission = Submission{0, 0, false};
    EXPECT_EQ(submit().value(), Outcome::joining);
    EXPECT_EQ(host_.own[joining_variable], joining_tell);
    host_.submission->has_script = true;
    EXPECT_EQ(submit().value(), Outcome::joining);
    EXPECT_EQ(host_.own[joining_variable], "use");
}

TEST_F(Submit, AStepForAnotherJobEntersWhatWasRemembered) {
    const auto record = [&](const std::string& time, const std::string& cluster) {
        ASSERT_THAT(remember_job(dir_ / "senv", {time, cluster, 12, Resolution::parse(resolved + "x").value()}),
                    IsOk());
    };
    host_.words = {"srun", "--jobid=12", "bash"};
    host_.real = host_.effective = ::getuid();
    const auto outcome = [&] {
        host_.own = {{"XDG_CACHE_HOME", dir_.path()}};
        return submit();
    };
    host_.submission = Submission{1795860000, 1795860000};  // 2026-11-28T10:00:00Z
    EXPECT_EQ(outcome().value(), Outcome::joining);
    record("2026-11-28T10:00:01Z", "other");
    EXPECT_EQ(outcome().value(), Outcome::joining);
    record("2026-11-28T09:00:00Z", "c");  // of another job that had the number
    EXPECT_EQ(outcome().value(), Outcome::joining);
    host_.submission->earliest = 0;  // requeued
    EXPECT_EQ(outcome().value(), Outcome::environment);
    host_.submission->earliest = 1795860000;
    record("2026-11-28T10:00:01Z", "c");
    EXPECT_EQ(outcome().value(), Outcome::environment);
    EXPECT_EQ(travels(), resolved + "job:--jobid");
    EXPECT_FALSE(host_.own.contains(joining_variable));

    give(Option::passthrough, "error");
    EXPECT_THAT(outcome(), FailsWith(Kind::usage, "it would inherit the job's environment"));
    give(Option::passthrough, "ignore");
    EXPECT_EQ(outcome().value(), Outcome::plain);
    give(Option::passthrough, "none");
    give(Option::pure, "yes");
    EXPECT_EQ(outcome().value(), Outcome::environment);
    EXPECT_THAT(travels(), testing::HasSubstr(" enter=pure "));
    give(Option::pure, "none");
    host_.submission.reset();
    EXPECT_EQ(outcome().value(), Outcome::joining);
}

TEST_F(Submit, MarksAllComponentsOfAStep) {
    senv_answers();
    host_.words = {"srun", "--het-g=0,1", "pingpong"};
    EXPECT_TRUE(has_components(host_));
    host_.own = {{"PATH", "/bin"}};
    give(Option::packages, "hello");
    for (int component = 0; component < 3; ++component) {
        EXPECT_EQ(submit().value(), Outcome::environment);
        EXPECT_EQ(host_.own["PATH"], "/bin");  // senv looks for Guix
        mark_components(host_);
        EXPECT_EQ(host_.own["PATH"], hidden_variables[0].decoy);
        EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/bin");
        EXPECT_EQ(host_.own[command_variable], "yes");
    }
    host_.words = {"srun", "--multi-prog", "file"};
    mark_command(host_);  // of the component that Slurm shows
    EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/bin");
    host_.words = {"srun", "pingpong"};
    EXPECT_FALSE(has_components(host_));
    // What it joins may be a plain job.
    host_.own = {{"PATH", "/bin"}, {joining_variable, "use"}};
    mark_components(host_);
    EXPECT_EQ(host_.own["PATH"], "/bin");
    EXPECT_EQ(host_.own[command_variable], "yes");
}

TEST_F(Submit, KnowsWhoMakesAJob) {
    EXPECT_TRUE(makes_a_job(host_));
    host_.words = {"srun", "--jobid", "12", "--overlap", "bash"};
    EXPECT_FALSE(makes_a_job(host_));
    host_.words = {"srun"};
    host_.own = {{"SLURM_JOB_ID", "12"}};
    EXPECT_FALSE(makes_a_job(host_));
    for (const Program program : {Program::sbatch, Program::salloc}) {
        host_.program_is = program;
        EXPECT_TRUE(makes_a_job(host_));
    }
    host_.program_is = Program::other;  // scrontab, say
    EXPECT_FALSE(makes_a_job(host_));
}

TEST_F(Submit, WhatSlurmItselfCarriesIntoNestedCommandsCountsForNothing) {
    host_.own = {{"SLURM_SPANK__SLURM_SPANK_OPTION_senv_env_manifest", "m.scm"},
                 {"SLURM_SPANK__SLURM_SPANK_OPTION_senv_env_pure", "(null)"}};
    before_options(host_);
    EXPECT_TRUE(host_.own.empty());
}

TEST_F(Submit, SbatchHidesTheHostFromNodesWithoutThePlugin) {
    senv_answers();
    give(Option::packages, "hello");
    host_.own = {{"PATH", "/usr/bin"}};
    host_.program_is = Program::sbatch;
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(host_.own["PATH"], "/senv-is-not-installed-on-this-node");
    EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/usr/bin");
    EXPECT_TRUE(host_.own.contains("BASH_ENV"));
    EXPECT_FALSE(host_.own.contains("SLURM_SENV_BASH_ENV"));
    EXPECT_FALSE(host_.own.contains(quiet_variable));
    host_.words = {"sbatch", "-Q"};
    ASSERT_THAT(submit(), IsOk());  // the second component of a heterogeneous job
    EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/usr/bin");
    EXPECT_TRUE(host_.own.contains(quiet_variable));
}

TEST_F(Submit, ComponentsOfAHeterogeneousJobEnterTheSame) {
    std::optional<std::string> first;
    senv_answers();
    give(Option::packages, "hello");
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(agree_with_first(host_, given_, first), IsOk());
    give(Option::refresh, "yes");  // another source, the same environment
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(agree_with_first(host_, given_, first), IsOk());
    give(Option::pure, "yes");
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(agree_with_first(host_, given_, first), FailsWith(Kind::usage, "components of a heterogeneous job"));
    host_.own.clear();
    EXPECT_THAT(agree_with_first(host_, given_, first), FailsWith(Kind::usage, "components of a heterogeneous job"));
    first.reset();
    EXPECT_THAT(agree_with_first(host_, given_, first), IsOk());
}

TEST_F(Submit, ComponentsOfAHeterogeneousJobDoNotAddUp) {
    senv_answers();
    given_.add(Option::packages, {"a", Place::command_line});
    given_.add(Option::packages, {"b", Place::command_line});
    given_.add(Option::channels, {"/c", Place::command_line});
    given_.next_component();
    given_.add(Option::packages, {"c", Place::command_line});
    given_.add(Option::packages, {"d", Place::command_line});
    ASSERT_THAT(submit(), IsOk());
    EXPECT_THAT(words(), testing::HasSubstr("\n--packages=c\n--packages=d\n--channels=/c\n"));
}

TEST_F(Submit, TheSitesCpuIsForOneComponentOnly) {
    std::optional<std::string> first;
    give(Option::tune, "auto");
    EXPECT_THAT(agree_with_first(host_, given_, first), IsOk());
    EXPECT_THAT(agree_with_first(host_, given_, first),
                FailsWith(Kind::usage, "--env-tune=auto in a heterogeneous job"));
}

TEST_F(Submit, SallocKeepsThePathOfItsShell) {
    senv_answers();
    give(Option::packages, "hello");
    host_.own = {{"PATH", "/usr/bin"}};
    host_.program_is = Program::salloc;
    ASSERT_THAT(submit(), IsOk());
    EXPECT_EQ(host_.own["PATH"], "/usr/bin");
}

TEST_F(Submit, SallocSaysThatItsShellIsOutside) {
    senv_answers();
    give(Option::packages, "hello");
    host_.program_is = Program::salloc;
    const auto said = [&](std::vector<std::string> line, std::size_t options_end) {
        host_.infos.clear();
        host_.words = std::move(line);
        host_.options_end = options_end;
        EXPECT_THAT(submit(), IsOk());
        return host_.infos;
    };
    EXPECT_THAT(said({"salloc", "-n1"}, 2), testing::IsEmpty());  // a script
    host_.interactive = true;
    EXPECT_THAT(said({"salloc", "-n1"}, 2), testing::ElementsAre(testing::HasSubstr("start programs with srun")));
    EXPECT_THAT(said({"salloc", "-n1", "prog"}, 2), testing::IsEmpty());
    EXPECT_THAT(said({"salloc", "--no-sh"}, 2), testing::IsEmpty());
    EXPECT_THAT(said({"salloc", "-Q"}, 2), testing::IsEmpty());
    host_.shell_on_node = true;
    EXPECT_THAT(said({"salloc", "-n1"}, 2), testing::IsEmpty());
    host_.shell_on_node = false;
    host_.program_is = Program::sbatch;
    EXPECT_THAT(said({"sbatch"}, 1), testing::IsEmpty());
    host_.program_is = Program::salloc;
    give(Option::packages, "none");
    host_.own.clear();
    EXPECT_THAT(said({"salloc"}, 1), testing::IsEmpty());
}

TEST_F(Submit, NamesTheCommaInTheNameOfAFile) {
    senv_answers();
    host_.folder = dir_.path();
    std::ofstream(dir_ / "a,b.scm") << "";
    give(Option::manifest, "a,b.scm");
    EXPECT_THAT(submit(),
                FailsWith(Kind::usage, "cannot use --env-manifest=a,b.scm: there is a file of that name, but a comma"));
    std::ofstream(dir_ / "a") << "";
    std::ofstream(dir_ / "b.scm") << "";
    EXPECT_THAT(submit(), IsOk());
    give(Option::manifest, "c,d.scm");
    EXPECT_THAT(submit(), IsOk());  // senv says which one is not there
}

TEST_F(Submit, SrunMarksTheCommand) {
    host_.command_is = "/usr/bin/hostname";
    mark_command(host_);
    EXPECT_EQ(host_.command_is, "/senv-is-not-installed-on-this-node//usr/bin/hostname");
}

TEST_F(Submit, ADebuggerSeesTheCommand) {
    for (const bool is_attached : {true, false}) {
        host_.debugged = is_attached;
        if (!is_attached) host_.words = {"srun", "--debugger-test", "prog"};
        host_.command_is = "/usr/bin/hostname";
        host_.own = {{"PATH", "/bin"}};
        mark_command(host_);
        EXPECT_EQ(host_.command_is, "/usr/bin/hostname");
        EXPECT_EQ(host_.own["PATH"], hidden_variables[0].decoy);
        EXPECT_EQ(host_.own[command_variable], "yes");
    }
}

TEST_F(Submit, TheFirstStepTellsThatAScriptsPathWasSetAnew) {
    const std::map<std::string, std::string> inside = {
        {"SLURM_JOB_ID", "12"}, {resolution_variable, resolved + "x"}, {entered_variable, profile_ + " PATH:3a"}};
    host_.own = inside;
    host_.own["PATH"] = "/usr/bin";
    EXPECT_TRUE(has_lost_path(host_));
    host_.own["PATH"] = "/home/u/bin:" + profile_ + "/bin:/usr/bin";
    EXPECT_FALSE(has_lost_path(host_));
    host_.own["PATH"] = "/usr/bin";
    host_.own.erase(entered_variable);  // a shell of salloc's
    EXPECT_FALSE(has_lost_path(host_));
    host_.own = inside;
    host_.own[resolution_variable] = leaving;
    EXPECT_FALSE(has_lost_path(host_));
    host_.own = {{"PATH", "/usr/bin"}};
    EXPECT_FALSE(has_lost_path(host_));

    for (const auto& [step, word, lines] :
         {std::tuple(0U, "prog", 1U), std::tuple(1U, "prog", 0U), std::tuple(0U, "-Q", 0U)}) {
        host_.infos.clear();
        host_.step_is.step = step;
        host_.words = {"srun", word};
        tell_lost_path(host_);
        EXPECT_EQ(host_.infos.size(), lines);
    }
}

TEST_F(Submit, SrunSaysThatItHasATaskProlog) {
    host_.command_is = "prog";
    mark_command(host_);
    EXPECT_FALSE(host_.own.contains(task_prolog_variable));
    host_.words = {"srun", "--task-pro=prolog.sh"};
    mark_command(host_);
    EXPECT_TRUE(host_.own.contains(task_prolog_variable));
}

TEST_F(Submit, SrunMultiProgHidesThePath) {
    host_.command_is = "programs.conf";
    host_.own = {{"PATH", "/usr/bin"}};
    host_.words = {"srun", "--multi-prog", "programs.conf"};
    mark_command(host_);
    EXPECT_EQ(host_.command_is, "programs.conf");
    EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/usr/bin");
}

TEST_F(Submit, SrunBcastHidesThePath) {
    for (const bool is_option : {true, false}) {
        host_.command_is = "tool";
        host_.own = {{"PATH", "/usr/bin"}};
        if (!is_option) host_.own["SLURM_BCAST"] = "/tmp/tool";
        host_.words = is_option ? std::vector<std::string>{"srun", "--bcast=/tmp/tool", "tool"}
                                : std::vector<std::string>{"srun", "tool"};
        mark_command(host_);
        EXPECT_EQ(host_.command_is, "tool");
        EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/usr/bin");
    }
    host_.command_is = "tool";
    host_.own = {{"PATH", "/usr/bin"}};
    host_.words = {"srun", "--bcast-exclude=/lib", "tool"};
    mark_command(host_);
    EXPECT_EQ(host_.command_is, "/senv-is-not-installed-on-this-node/tool");
}

TEST_F(Submit, SrunAsyncHidesThePathAndRefusesACommandWithOne) {
    host_.own = {{"PATH", "/usr/bin"}};
    host_.words = {"srun", "hostname"};
    EXPECT_THAT(mark_async(host_), IsOk());
    EXPECT_FALSE(host_.own.contains("SLURM_SENV_PATH"));
    host_.words = {"srun", "--async", "/usr/bin/hostname"};
    host_.options_end = 2;
    EXPECT_THAT(mark_async(host_), FailsWith(Kind::usage, "cannot start '/usr/bin/hostname' with --async"));
    host_.words = {"srun", "--async", "hostname", "--async", "/a"};
    EXPECT_THAT(mark_async(host_), IsOk());
    EXPECT_EQ(host_.own["SLURM_SENV_PATH"], "/usr/bin");
    EXPECT_TRUE(host_.own.contains(command_variable));
}

}  // namespace
}  // namespace senv
