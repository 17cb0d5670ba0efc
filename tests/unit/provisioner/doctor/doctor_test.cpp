#include "provisioner/doctor/doctor.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A whole installation below a folder, with made-up commands.
class Doctor : public testing::Test {
protected:
    test::TempDir dir;
    Signals signals = Signals::hold().value();
    Installation installation;
    Findings found;

    Doctor() {
        for (const char* name : {"bin", "gnu", "etc", "guix/profiles/per-user/ada", "origin"})
            fs::create_directories(dir / name);
        installation.environment = {
            {"PATH", dir / "bin"}, {"HOME", dir / "home"}, {"USER", "ada"}, {"GUIX_STATE_DIRECTORY", dir / "guix"}};
        installation.version = "1.0";
        installation.senv_config = dir / "etc/senv.toml";
        installation.senvd_config = dir / "etc/senvd.toml";
        installation.gnu_store = dir / "gnu";
        installation.slurm_confs = {dir / "nothing", dir / "etc/slurm.conf"};
        installation.sent_slurm_conf = dir / "sent/slurm.conf";
        installation.administrator = ::geteuid();
        slurm("slurmctld");
        program("srun", "echo slurm-wlm 22.05.8");
        program("guix", "[ $1 = --version ] && echo 'guix (GNU Guix) 1.5.0'");
        program("getent", "echo senv:x:990:990::/:/bin/sh");
        fs::copy_file(SENV_MADE_UP_PLUGIN, dir / "etc/spank_senv.so");
        fs::permissions(dir / "etc/spank_senv.so", fs::perms(0755));
        fs::permissions(dir / "etc", fs::perms(0755));
        plugstack("required " + (dir / "etc/spank_senv.so") + " senv=" + (dir / "bin/guix"));
    }

    void file(const std::string& name, const std::string& text) const { std::ofstream(dir / name) << text; }
    void program(const std::string& name, const std::string& text) const {
        file("bin/" + name, "#!/bin/sh\n" + text + "\n");
        fs::permissions(dir / ("bin/" + name), fs::perms(0755));
    }
    void slurm(const std::string& daemons, const std::string& settings = "") const {
        program("scontrol", "[ $2 = daemons ] && echo '" + daemons +
                                "' || printf 'SLURM_CONF = " + (dir / "etc/slurm.conf") + "\\n" + settings + "'");
    }
    void plugstack(const std::string& line) const { file("etc/plugstack.conf", line + "\n"); }
    // A compute node, as senvd.toml of which the text is.
    void compute_node(const std::string& settings = "") {
        slurm("slurmd");
        fs::remove(dir / "bin/guix");
        file("etc/senvd.toml", "origins = [\"file://" + (dir / "origin") + "\"]\nacl = \"" + (dir / "etc/acl") +
                                   "\"\nsocket = \"" + (dir / "socket") + "\"\n" + settings);
        file("etc/acl", test::golden("narinfo/acl"));
        fs::permissions(dir / "etc/acl", fs::perms(0644));
    }

    void look() {
        auto findings = examine(installation, signals);
        ASSERT_THAT(findings, test::IsOk());
        found = *std::move(findings);
    }
    const Check& check(const std::string& name) const {
        static const Check none = {"", State::not_here, "no such check", ""};
        const auto one = std::ranges::find(found.checks, name, &Check::name);
        return one == found.checks.end() ? none : *one;
    }
    void expect(const std::string& name, State state, const std::string& what) const {
        const Check& one = check(name);
        EXPECT_EQ(name_of(one.state), name_of(state)) << name << ": " << one.what;
        EXPECT_THAT(one.what, HasSubstr(what)) << name;
        EXPECT_EQ(one.hint.empty(), state == State::ok || state == State::not_here) << name << ": " << one.hint;
    }
};

TEST_F(Doctor, SubmitHost) {
    look();
    EXPECT_TRUE(found.is_submit_host);
    EXPECT_FALSE(found.is_compute_node);
    expect("host", State::ok, "a submit host");
    expect("slurm", State::ok, "Slurm 22.05.8: slurmctld answers; " + (dir / "etc/slurm.conf"));
    expect("plugstack", State::ok, "plugstack.conf:1: required ");
    expect("plugin", State::ok, "is built for Slurm 22.05");
    expect("plugin-words", State::ok, "senv=");
    expect("task-prolog", State::ok, "no TaskProlog");
    expect("senv.toml", State::ok, "is not there: the defaults");
    expect("guix", State::ok, "guix (GNU Guix) 1.5.0");
    expect("guix-daemon", State::problem, "No such file or directory");  // the only one
    expect("gc-roots", State::ok, "per-user/ada can be written to");
    expect("senvd", State::not_here, "only on compute nodes");
    EXPECT_EQ(std::ranges::count(found.checks, State::problem, &Check::state), 1);
    EXPECT_TRUE(found.has_problem());
}

TEST_F(Doctor, PlugstackThatDoesNotNameThePluginOrTwice) {
    plugstack("required /usr/lib/spank_other.so");
    look();
    expect("plugstack", State::problem, "names spank_senv.so");
    expect("plugin", State::not_here, "Slurm does not load it here");
    plugstack("required /a/spank_senv.so\noptional /b/spank_senv.so");
    look();
    expect("plugstack", State::problem, "plugstack.conf:1 and ");
    expect("plugin", State::problem, "/a/spank_senv.so: No such file or directory");
    fs::remove(dir / "etc/plugstack.conf");
    look();
    expect("plugstack", State::problem, "plugstack.conf");
    slurm("slurmctld", "PlugStackConfig = " + (dir / "etc/other.conf") + "\\n");
    file("etc/other.conf", "required spank_senv.so\n");
    look();
    expect("plugstack", State::ok, "other.conf:1: required spank_senv.so");
    expect("plugin", State::not_here, "only slurmctld says where that is");
    slurm("slurmctld", "PluginDir = /nothing\\nPlugStackConfig = " + (dir / "etc/other.conf") + "\\n");
    const fs::path here = fs::current_path();  // where Slurm does not look
    fs::current_path(dir / "etc");
    look();
    fs::current_path(here);
    expect("plugin", State::problem, "spank_senv.so is in no folder of PluginDir=/nothing");
    slurm("slurmctld",
          "PluginDir = /nothing:" + (dir / "etc") + "\\nPlugStackConfig = " + (dir / "etc/other.conf") + "\\n");
    look();
    expect("plugin", State::ok, dir / "etc/spank_senv.so");
}

TEST_F(Doctor, PluginThatOthersMayChange) {
    fs::permissions(dir / "etc/spank_senv.so", fs::perms(0775));
    look();
    expect("plugin", State::problem, "others may write to '" + (dir / "etc/spank_senv.so"));
    fs::permissions(dir / "etc/spank_senv.so", fs::perms(0755));
    fs::permissions(dir / "etc", fs::perms(0777));
    look();
    expect("plugin", State::problem, "others may write to '" + (dir / "etc") + "'");
    fs::permissions(dir / "etc", fs::perms(0755));
    installation.administrator += 1;
    look();
    expect("plugin", State::problem, "belongs to user " + std::to_string(::geteuid()));
}

TEST_F(Doctor, PluginForAnotherSlurm) {
    program("srun", "echo slurm 22.051.1");
    look();
    expect("plugin", State::problem, "is built for Slurm 22.05, and this is 22.051.1");
    file("etc/spank_senv.so", "text");
    look();
    expect("plugin", State::problem, "is no library for this machine");
}

TEST_F(Doctor, WordsOfThePlugin) {
    const std::string line = "required " + (dir / "etc/spank_senv.so") + " ";
    plugstack(line + "sokcet=/x");
    look();
    expect("plugin-words", State::problem, "the plugin does not take 'sokcet=/x'");
    plugstack(line + "senv=" + (dir / "nothing"));
    look();
    expect("plugin-words", State::problem, "senv=" + (dir / "nothing") + ": cannot be run: No such file");
    compute_node();
    plugstack(line + "user=senv store=" + (dir / "nothing"));
    look();
    expect("plugin-words", State::problem, "store=" + (dir / "nothing") + ": there is no such folder");
    plugstack(line + "user=senv slurm_commands=" + (dir / "etc") + " store=" + (dir / "gnu"));
    look();
    expect("plugin-words", State::warning, "slurm_commands=" + (dir / "etc") + ": there is no srun in it");
    plugstack(line + "user=senv slurm_commands=" + (dir / "bin") + " store=" + (dir / "gnu"));
    look();
    expect("plugin-words", State::ok, "user=senv");
    program("getent", "exit 2");
    look();
    expect("plugin-words", State::problem, "user=senv: there is no user 'senv'");
}

TEST_F(Doctor, TaskProlog) {
    slurm("slurmctld", "TaskProlog = /etc/prolog\\n");
    look();
    expect("task-prolog", State::warning, "TaskProlog=/etc/prolog runs after senv");
}

TEST_F(Doctor, PluginThatLetsNodesFetchAhead) {
    const std::string line = "required " + (dir / "etc/spank_senv.so");
    look();
    expect("prolog", State::not_here, "does not name spank_senv_prolog.so");
    plugstack(line + "\noptional " + (dir / "etc/spank_senv_prolog.so"));
    look();
    expect("prolog", State::warning, "PrologFlags has no Alloc");
    slurm("slurmctld", "PrologFlags = Alloc,Contain\n");
    look();
    expect("prolog", State::ok, "PrologFlags=Alloc,Contain");
    slurm("slurmctld", "PrologFlags = Alloc,Contain,RunInJob\n");
    look();
    expect("prolog", State::warning, "with RunInJob Slurm never calls");
}

TEST_F(Doctor, PluginThatRemembersJobs) {
    look();
    expect("jobs", State::not_here, "CliFilterPlugins has no senv");
    slurm("slurmctld", "CliFilterPlugins = senva,lua\\n");
    look();
    expect("jobs", State::not_here, "CliFilterPlugins has no senv");
    const std::string named = "CliFilterPlugins = lua,cli_filter/senv\\n";
    slurm("slurmctld", named);
    look();
    expect("jobs", State::not_here, "only slurmctld says where that is");
    slurm("slurmctld", named + "PluginDir = /nothing:" + (dir / "etc") + "\\n");
    look();
    expect("jobs", State::problem,
           "CliFilterPlugins=lua,cli_filter/senv, and without that plugin Slurm submits nothing: cli_filter_senv.so is "
           "in no folder of PluginDir=/nothing:");
    fs::copy_file(SENV_MADE_UP_PLUGIN, dir / "etc/cli_filter_senv.so");
    fs::permissions(dir / "etc/cli_filter_senv.so", fs::perms(0755));
    look();
    expect("jobs", State::ok, "CliFilterPlugins=lua,cli_filter/senv");
    fs::permissions(dir / "etc/cli_filter_senv.so", fs::perms(0775));
    look();
    expect("jobs", State::problem, "others may write to '" + (dir / "etc/cli_filter_senv.so"));
    fs::permissions(dir / "etc/cli_filter_senv.so", fs::perms(0755));
    program("srun", "echo slurm 24.11.5");
    look();
    expect("jobs", State::problem, "is built for Slurm 22.05, and this is 24.11.5");
    // Which srun itself does not say then.
    program("srun", "echo 'srun: error: cli_filter plugin terminated with error' >&2; exit 1");
    program("scontrol", "case $1$2 in --version) echo slurm 24.11.5 ;; showdaemons) echo slurmctld ;; *) printf '" +
                            named + "PluginDir = " + (dir / "etc") + "\\n' ;; esac");
    look();
    expect("jobs", State::problem, "is built for Slurm 22.05, and this is 24.11.5");
    file("etc/cli_filter_senv.so", "text");
    look();
    expect("jobs", State::problem, "is no library for this machine");
}

TEST_F(Doctor, ConfigurationThatSlurmctldSent) {
    fs::create_directory(dir / "sent");
    file("sent/slurm.conf", "");
    file("sent/plugstack.conf", "include plugstack.conf.d/*\n");
    look();  // although the file beside slurmctld's slurm.conf, left on this host from before, names the plugin
    expect("slurm", State::ok, "slurmctld answers; " + (dir / "sent/slurm.conf") + ", which slurmctld sent here");
    expect("plugstack", State::problem, "no line of " + (dir / "sent/plugstack.conf"));
    EXPECT_THAT(check("plugstack").hint, HasSubstr("plugstack.conf of slurmctld's host itself"));
    fs::copy_file(dir / "etc/plugstack.conf", dir / "sent/plugstack.conf", fs::copy_options::overwrite_existing);
    look();
    expect("plugstack", State::ok, dir / "sent/plugstack.conf:1: required ");
    fs::remove(dir / "sent/plugstack.conf");
    look();
    expect("plugstack", State::problem, "sent/plugstack.conf");
    installation.environment["SLURM_CONF"] = dir / "etc/slurm.conf";
    look();
    expect("plugstack", State::ok, dir / "etc/plugstack.conf:1: required ");
}

TEST_F(Doctor, SlurmctldThatDoesNotAnswer) {
    program("scontrol", "echo 'slurm_load_ctl_conf error: Connection refused' >&2; exit 1");
    look();
    expect("slurm", State::problem, "slurm_load_ctl_conf error: Connection refused, and no slurm.conf");
    expect("plugstack", State::not_here, "");
    expect("task-prolog", State::not_here, "");
    file("etc/slurm.conf", "TaskProlog=/p\n");
    look();
    expect("slurm", State::warning, "Connection refused; read " + (dir / "etc/slurm.conf") + " instead");
    expect("plugstack", State::ok, "plugstack.conf:1");
    expect("task-prolog", State::warning, "/p");
    installation.environment["SLURM_CONF"] = dir / "elsewhere";
    look();
    expect("slurm", State::problem, "elsewhere");
}

TEST_F(Doctor, HostThatIsNeither) {
    for (const char* name : {"scontrol", "srun"}) fs::remove(dir / (std::string("bin/") + name));
    look();
    EXPECT_FALSE(found.is_submit_host || found.is_compute_node || found.has_problem());
    expect("host", State::warning, "neither a submit host");
    expect("slurm", State::not_here, "there is no command 'scontrol' here");
    file("etc/senvd.toml", "origins = [\"http://x\"]\n");  // Slurm does not say, so this does
    look();
    EXPECT_TRUE(found.is_compute_node);
}

TEST_F(Doctor, Guix) {
    program("guix", "echo 'cannot load' >&2; exit 1");
    look();
    expect("guix", State::problem, "cannot load");
    fs::remove(dir / "bin/guix");
    plugstack("required " + (dir / "etc/spank_senv.so") + " senv=" + (dir / "bin/srun"));
    look();
    EXPECT_TRUE(found.is_submit_host);
    expect("guix", State::problem, "there is no command 'guix'");
    expect("guix-daemon", State::not_here, "");
    file("etc/senv.toml", "guix = [\"srun\"]\n");
    look();
    expect("guix", State::ok, "slurm-wlm");
    expect("guix-daemon", State::not_here, "another host");
    expect("gc-roots", State::not_here, "another host");
    file("etc/senv.toml", "guiks = 1\n");
    look();
    expect("senv.toml", State::problem, "unknown key 'guiks'");
    expect("guix", State::not_here, "not looked at");
}

TEST_F(Doctor, RootsThatADaemonMayNotSee) {
    fs::remove_all(dir / "guix/profiles/per-user/ada");
    look();
    expect("gc-roots", State::ok, "is not there yet");
    fs::remove_all(dir / "guix");
    look();
    expect("gc-roots", State::warning, "a guix-daemon that cannot read this home takes them for gone");
}

TEST_F(Doctor, ComputeNodeWithoutSenvd) {
    compute_node();
    look();
    EXPECT_TRUE(found.is_compute_node);
    EXPECT_FALSE(found.is_submit_host);
    expect("host", State::ok, "a compute node");
    expect("guix", State::not_here, "only on submit hosts");
    expect("senvd.toml", State::ok, dir / "etc/senvd.toml");
    expect("senvd", State::problem, "cannot reach senvd at '" + (dir / "socket"));
    EXPECT_EQ(check("senvd").hint, "start it: systemctl enable --now senvd");
    expect("disk", State::not_here, "");
    expect("keys", State::ok, ": 2 keys");
    expect("origin", State::ok, "is there and can be read");
    expect("gnu-store", State::ok, "is empty");
    file("etc/senvd.toml", "orgins = []\n");
    look();
    expect("senvd.toml", State::problem, "unknown key 'orgins'");
}

TEST_F(Doctor, GnuStoreOfAComputeNode) {
    compute_node();
    file("gnu/item", "");
    look();
    expect("gnu-store", State::problem, "is not empty");
    compute_node("store = \"node\"\n");
    look();
    expect("gnu-store", State::ok, "jobs see senvd's store there");
    fs::remove_all(dir / "gnu");
    look();
    expect("gnu-store", State::problem, "No such file or directory");
}

TEST_F(Doctor, Keys) {
    compute_node();
    file("etc/acl", "(acl)");
    look();
    expect("keys", State::problem, "has no key");
    file("etc/acl", "(acl");
    look();
    expect("keys", State::problem, dir / "etc/acl");
    compute_node();
    fs::permissions(dir / "etc/acl", fs::perms(0664));
    look();
    expect("keys", State::problem, "others may write to ");
    fs::remove(dir / "etc/acl");
    look();
    expect("keys", State::problem, "No such file");
}

TEST_F(Doctor, OriginThatIsGoneIsAProblemUntilThereIsAnother) {
    compute_node();
    fs::remove_all(dir / "origin");
    look();
    expect("origin", State::problem, "there is no such folder");
    fs::create_directory(dir / "other");
    compute_node();
    file("etc/senvd.toml", "origins = [\"file://" + (dir / "origin") + "\", \"file://" + (dir / "other") + "\"]\n");
    look();
    expect("origin", State::warning, "there is no such folder");
}

}  // namespace
}  // namespace senv
