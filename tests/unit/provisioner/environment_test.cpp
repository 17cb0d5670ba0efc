#include "provisioner/environment.h"

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <set>

#include "cache/base/text.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::ElementsAre;
using testing::IsEmpty;

const std::string profile = "/gnu/store/88888888888888888888888888888888-profile";
const std::string other = "/gnu/store/99999999999999999999999999999999-profile";

wire::Plan plan_for(const std::string& path) {
    return {path,
            {{"PATH", path + "/bin:" + path + "/sbin", ":"},
             {"C_INCLUDE_PATH", path + "/include", ":"},
             {"XML_CATALOG_FILES", path + "/xml/a.xml " + path + "/xml/b.xml", " "},
             {"SSL_CERT_DIR", path + "/etc/ssl/certs", ""}}};
}

Environment carried_out(Environment job, const std::vector<Change>& changes) {
    for (const auto& change : changes) {
        if (change.value) {
            job[change.name] = *change.value;
        } else {
            job.erase(change.name);
        }
    }
    return job;
}

Surroundings at_home() {
    Surroundings around;
    around.add_own("/home/u/");
    around.is_users = [](const std::string& folder) { return folder == "/project/u"; };
    return around;
}

Entering entering(const wire::Plan& plan, const Environment& job, const Manner& manner = {}) {
    return changes_to_enter(plan, job, manner, at_home()).value();
}

Environment entered(const wire::Plan& plan, const Environment& job, const Manner& manner = {}) {
    return carried_out(job, entering(plan, job, manner).changes);
}
const Manner pure = {true, "/opt/slurm-commands", std::nullopt};

Environment left(const Environment& job) {
    return carried_out(job, changes_to_leave(job).value());
}

// `export NAME="VALUE${NAME:+SEPARATOR}$NAME"` or `export NAME="VALUE"`, as guix shell --search-paths prints it.
wire::Plan plan_from_search_paths(const std::string& text) {
    wire::Plan plan{profile, {}};
    for (const auto line : split(text, '\n')) {
        if (line.empty()) continue;
        const std::string_view exported = line.substr(std::string_view("export ").size());
        const auto equals = exported.find('=');
        const std::string name(exported.substr(0, equals));
        std::string_view value = exported.substr(equals + 2);
        value.remove_suffix(1);
        const std::string tail = "${" + name + ":+";
        std::string separator;
        if (const auto at = value.find(tail); at != std::string_view::npos) {
            separator = value.substr(at + tail.size(), 1);
            value = value.substr(0, at);
        }
        plan.variables.push_back({name, std::string(value), separator});
    }
    return plan;
}

// "NAME=VALUE" words or lines. In the golden file a value may hold blanks, so lines are only split at line ends.
Environment read_environment(const std::string& text, char separator) {
    Environment environment;
    for (const auto word : split(text, separator)) {
        const auto equals = word.find('=');
        if (word.starts_with('#') || equals == std::string_view::npos) continue;
        environment[std::string(word.substr(0, equals))] = word.substr(equals + 1);
    }
    return environment;
}

TEST(ChangesToEnter, AreThoseOfGuixLoadProfile) {
    const std::string text = test::golden("profile/expected-load-profile.txt");
    const std::string first = text.substr(0, text.find('\n'));
    const Environment job = read_environment(first.substr(first.find(": ") + 2), ' ');
    ASSERT_EQ(job.at("GIT_EXEC_PATH"), "/x");
    const auto plan = plan_from_search_paths(test::golden("profile/expected-search-paths.txt"));

    Environment expected = read_environment(text.substr(text.find('\n') + 1), '\n');
    expected["GUIX_ENVIRONMENT"] = profile;
    expected["SENV_ENVIRONMENT"] = profile;
    for (const char* name : {"LD_LIBRARY_PATH", "PYTHONPATH"}) expected.erase(name);  // what we do beyond Guix
    Environment result = entered(plan, job);
    ASSERT_EQ(result.erase(entered_variable), 1U);
    EXPECT_EQ(result, expected);
}

TEST(ChangesToEnter, PutListsInFrontAndReplaceTheRest) {
    const Environment result =
        entered(plan_for(profile), {{"PATH", "/usr/bin"}, {"SSL_CERT_DIR", "/etc/ssl"}, {"C_INCLUDE_PATH", ""}});
    EXPECT_EQ(result.at("PATH"), profile + "/bin:" + profile + "/sbin:/usr/bin");
    EXPECT_EQ(result.at("SSL_CERT_DIR"), profile + "/etc/ssl/certs");
    EXPECT_EQ(result.at("C_INCLUDE_PATH"), profile + "/include:");
    EXPECT_EQ(result.at("XML_CATALOG_FILES"), profile + "/xml/a.xml " + profile + "/xml/b.xml");
    EXPECT_EQ(result.at("GUIX_ENVIRONMENT"), profile);
    EXPECT_EQ(result.at("SENV_ENVIRONMENT"), profile);
    EXPECT_EQ(
        result.at(entered_variable),
        profile + " PATH:3a C_INCLUDE_PATH:3a XML_CATALOG_FILES:20 SSL_CERT_DIR: GUIX_ENVIRONMENT: SENV_ENVIRONMENT:");
}

TEST(ChangesToEnter, GiveAJobWithoutPathTheDefaultOne) {
    EXPECT_EQ(entered(plan_for(profile), {}).at("PATH"), profile + "/bin:" + profile + "/sbin:" + default_path);
}

TEST(ChangesToEnter, ApplyAVariableThatOccursTwiceInOrder) {
    const wire::Plan plan{profile, {{"X", profile + "/a", ":"}, {"X", profile + "/b", ":"}}};
    const Environment once = entered(plan, {{"X", "/old"}});
    EXPECT_EQ(once.at("X"), profile + "/b:" + profile + "/a:/old");
    EXPECT_EQ(entered(plan, once), once);
    EXPECT_EQ(left(once), (Environment{{"X", "/old"}}));
}

TEST(ChangesToEnter, RemoveOtherPeoplesLibraries) {
    const Environment polluted = {{"LD_LIBRARY_PATH", "/opt/lib"},
                                  {"LD_PRELOAD", "/opt/lib/libmpi.so"},
                                  {"LD_AUDIT", "/a"},
                                  {"OPAL_PREFIX", "/opt/mpi"},
                                  {"PRTE_PREFIX", "/p"},
                                  {"PMIX_PREFIX", "/p"},
                                  {"I_MPI_ROOT", "/i"},
                                  {"OMPI_MCA_mca_base_component_path", "/o"},
                                  {"FI_PROVIDER_PATH", "/f"},
                                  {"UCX_MODULE_DIR", "/u"},
                                  {"OMPI_MCA_btl", "tcp,self"}};
    const Environment result = entered(plan_for(profile), polluted);
    for (const auto& [name, value] : polluted) EXPECT_EQ(result.contains(name), name == "OMPI_MCA_btl") << name;
}

TEST(ChangesToEnter, KeepALibraryVariableThatTheProfileSets) {
    wire::Plan plan = plan_for(profile);
    plan.variables.push_back({"I_MPI_ROOT", profile, ""});
    EXPECT_EQ(entered(plan, {{"I_MPI_ROOT", "/opt/intel"}}).at("I_MPI_ROOT"), profile);
}

TEST(ChangesToEnter, AreNoneTheSecondTime) {
    const Environment job = {{"PATH", "/usr/bin"}, {"C_INCLUDE_PATH", ""}, {"HOME", "/home/u"}};
    const Environment once = entered(plan_for(profile), job);
    EXPECT_THAT(entering(plan_for(profile), once).changes, IsEmpty());
}

TEST(ChangesToEnter, LeaveWhatTheJobPutInFrontWhereItIs) {
    Environment job = entered(plan_for(profile), {{"PATH", "/usr/bin"}});
    job["PATH"] = "/home/u/bin:" + job["PATH"];
    EXPECT_THAT(entering(plan_for(profile), job).changes, IsEmpty());
}

TEST(ChangesToEnter, PutBackWhatTheJobTookOut) {
    const Environment once = entered(plan_for(profile), {{"PATH", "/usr/bin"}});
    Environment job = once;
    job["PATH"] = profile + "/sbin:/usr/bin";
    job["SSL_CERT_DIR"] = "/etc/ssl";
    job.erase("C_INCLUDE_PATH");
    EXPECT_EQ(entered(plan_for(profile), job), once);
}

// srun --export=NONE inside a job: the record survives, as its name begins with SLURM, and what it speaks of does not.
TEST(ChangesToEnter, OfAJobWithOnlyTheRecordAreThoseOfAnEmptyOne) {
    const Environment once = entered(plan_for(profile), {{"PATH", "/opt/bin"}});
    const Environment bare = {{entered_variable, once.at(entered_variable)}};
    EXPECT_EQ(entered(plan_for(profile), bare), entered(plan_for(profile), {}));
}

TEST(ChangesToEnter, TakeAnEarlierProfileOut) {
    const Environment job = {{"PATH", "/usr/bin"}, {"C_INCLUDE_PATH", "/i"}, {"HOME", "/home/u"}};
    const Environment first = entered(plan_for(other), job);
    EXPECT_EQ(entered(plan_for(profile), first), entered(plan_for(profile), job));
}

TEST(ChangesToEnter, TakeOutWhatOnlyTheEarlierProfileSet) {
    wire::Plan earlier = plan_for(other);
    earlier.variables.push_back({"PYTHONPATH", other + "/lib/python", ":"});
    EXPECT_FALSE(entered(plan_for(profile), entered(earlier, {})).contains("PYTHONPATH"));
}

// --- again, with what was set since

TEST(ChangesToEnter, TakeNothingAwayThatWasSetInside) {
    const Environment once = entered(plan_for(profile), {{"PATH", "/usr/bin"}});
    for (const std::string own : {"", "/home/u/bin:", "/project/u:", "bin:", "/gnu/store/x/bin:"}) {
        Environment job = once;
        job["PATH"] = own + job["PATH"];
        job["LD_PRELOAD"] = "/opt/tool.so";
        job["LD_LIBRARY_PATH"] = "/opt/lib";
        job["PYTHONPATH"] = "/opt/site/lib";
        job["PMIX_INSTALL_PREFIX"] = "/opt/pmix";
        job["SSL_CERT_DIR"] = "/opt/certs";
        EXPECT_THAT(entering(plan_for(profile), job).changes, IsEmpty()) << own;
    }
}

TEST(ChangesToEnterPure, TakeNothingAwayThatWasSetInside) {
    Environment job = entered(plan_for(profile), {{"PATH", "/usr/bin"}}, pure);
    job["LD_PRELOAD"] = "/opt/tool.so";
    job["MINE"] = "1";
    EXPECT_THAT(entering(plan_for(profile), job, pure).changes, IsEmpty());
}

TEST(ChangesToEnter, AreThoseOfTheFirstTimeWhereTheEnvironmentIsNotInFront) {
    const Environment once = entered(plan_for(profile), {{"PATH", "/usr/bin"}});
    const std::string front = profile + "/bin:" + profile + "/sbin";
    const std::string sneaking = "/home/u/../../opt/bin";
    for (const std::string& path :
         {std::string("/usr/bin:/bin"), "/usr/bin:" + front, "/opt/modules/bin:" + front,
          "/home/u/bin:/usr/bin:" + front, sneaking + ":" + front, profile + "/bin:/usr/bin"}) {
        Environment job = once;
        job["PATH"] = path;
        job["LD_PRELOAD"] = "/opt/tool.so";
        job["SSL_CERT_DIR"] = "/opt/certs";
        const Entering again = entering(plan_for(profile), job);
        const Environment result = carried_out(job, again.changes);
        EXPECT_TRUE(result.at("PATH").starts_with(front + ":")) << path;
        EXPECT_FALSE(result.contains("LD_PRELOAD")) << path;
        EXPECT_EQ(result.at("SSL_CERT_DIR"), profile + "/etc/ssl/certs");
        EXPECT_THAT(again.dropped, ElementsAre(Named{"LD_PRELOAD", {"/opt/tool.so"}, ':'}));
    }
}

// --- what leads elsewhere

TEST(ChangesToEnter, DropWhatLeadsElsewhereByTheTable) {
    // One name at least of each row, with a value that goes and one that stays ("": none does).
    const std::vector<std::array<std::string, 3>> rows = {
        {"LD_LIBRARY_PATH", "/opt/lib", ""},
        {"LD_PRELOAD", "libmpi.so", ""},
        {"LD_AUDIT", "/a", ""},
        {"GCONV_PATH", "/usr/lib/gconv", "/gnu/store/g/gconv"},
        {"LOCPATH", "/usr/lib/locale", "/gnu/store/g/locale"},
        {"OPAL_PREFIX", "/opt/mpi", "/gnu/store/o"},
        {"OPAL_PKGLIBDIR", "/opt/mpi", "/gnu/store/o"},
        {"OMPI_MCA_mca_base_component_path", "/gnu/store/o:/opt/mca", "/gnu/store/o"},
        {"PRTE_PREFIX", "/opt/prte", "/gnu/store/o"},
        {"PRTE_MCA_mca_base_component_path", "/opt/mca", "/gnu/store/o"},
        {"PMIX_PREFIX", "/opt/pmix", "/gnu/store/o"},
        {"PMIX_INSTALL_PREFIX", "/opt/pmix", "/gnu/store/o"},
        {"PMIX_MCA_mca_base_component_path", "/opt/mca", "/gnu/store/o"},
        {"I_MPI_ROOT", "/opt/intel", "/gnu/store/i"},
        {"FI_PROVIDER_PATH", "/opt/fi", "/gnu/store/f"},
        {"UCX_MODULE_DIR", "/opt/ucx", "/gnu/store/u"},
        {"UCC_COMPONENT_PATH", "/opt/ucc", "/gnu/store/u"},
        {"NCCL_NET_PLUGIN", "/opt/libnccl-net.so", "none"},
        {"HWLOC_PLUGINS_PATH", "/opt/hwloc", "/gnu/store/h"},
        {"OPENSSL_MODULES", "/usr/lib/ossl-modules", "/gnu/store/o"},
        {"OPENSSL_ENGINES", "/usr/lib/engines-3", "/gnu/store/o"},
        {"HDF5_PLUGIN_PATH", "/opt/hdf5", "/gnu/store/h"},
        {"GDAL_DRIVER_PATH", "/opt/gdal", "disable"},
        {"QT_PLUGIN_PATH", "/usr/lib/qt5", "/gnu/store/q"},
        {"GIO_MODULE_DIR", "/usr/lib/gio", "/gnu/store/g"},
        {"PYTHONHOME", "/opt/python", "/gnu/store/p"},
        {"PYTHONPATH", "/opt/site/lib", "/home/u/lib"},
        {"R_HOME", "/usr/lib/R", "/gnu/store/r"},
        {"R_LIBS", "/opt/R", "/project/u"},
        {"R_LIBS_SITE", "/opt/R", "/home/u/R"},
        {"PERL5LIB", "/opt/perl", "lib"},
        {"PERLLIB", "/opt/perl", "/home/u/perl"},
        {"RUBYLIB", "/opt/ruby", "/home/u/ruby"},
        {"GEM_PATH", "/opt/gems", "/home/u/gems"},
        {"LUA_PATH", "/opt/lua/?.lua", "/project/u/?.lua;;"},
        {"LUA_CPATH_5_4", "/opt/lua/?.so", "./?.so"},
        {"JULIA_BINDIR", "/opt/julia/bin", "/gnu/store/j"},
        {"JULIA_DEPOT_PATH", "/opt/depot", "/home/u/.julia"},
        {"JULIA_LOAD_PATH", "/opt/julia", "@:@stdlib"},
        {"GUILE_LOAD_PATH", "/usr/share/guile", "/home/u/guile"},
        {"GUILE_LOAD_COMPILED_PATH", "/usr/lib/guile", "/home/u/guile"},
        {"GUILE_EXTENSIONS_PATH", "/usr/lib/guile", "/home/u/guile"},
        {"OCTAVE_HOME", "/usr", "/gnu/store/o"},
        {"OCTAVE_PATH", "/opt/octave", "/home/u/octave"},
        {"TCL_LIBRARY", "/usr/lib/tcl8.6", "/gnu/store/t"},
        {"TCLLIBPATH", "/opt/tcl", "/home/u/tcl /project/u"},
        {"NODE_PATH", "/usr/lib/node_modules", "/home/u/node_modules"},
    };
    std::set<const ForeignVariables*> seen;
    for (const auto& [name, goes, stays] : rows) {
        ASSERT_NE(foreign_variable(name), nullptr) << name;
        seen.insert(foreign_variable(name));
        const Entering once = entering(plan_for(profile), {{name, goes}});
        EXPECT_FALSE(carried_out({{name, goes}}, once.changes).contains(name)) << name;
        EXPECT_THAT(once.dropped, ElementsAre(Named{name, {goes}, foreign_variable(name)->separator})) << name;
        if (stays.empty()) continue;
        EXPECT_EQ(entered(plan_for(profile), {{name, stays}}).at(name), stays) << name;
    }
    EXPECT_EQ(seen.size(), foreign_variables().size()) << "a row without a test";
}

TEST(ChangesToEnter, LeaveSettingsThatNameNoFolderAndFoldersForOutput) {
    const Environment job = {{"OMPI_MCA_btl", "tcp,self"},
                             {"UCX_TLS", "tcp"},
                             {"FI_PROVIDER", "tcp"},
                             {"PMIX_SERVER_TMPDIR", "/tmp/pmix"},
                             {"OMPI_MCA_orte_tmpdir_base", "/tmp"},
                             {"UCX_LOG_FILE", "/scratch/log"},
                             {"NCCL_DEBUG_FILE", "/scratch/log"},
                             {"PYTHONPYCACHEPREFIX", "/scratch"},
                             {"TMPDIR", "/scratch"},
                             {"PMIX_MCA_gds", "hash"}};
    const Environment result = entered(plan_for(profile), job);
    for (const auto& [name, value] : job) EXPECT_EQ(value_of(result, name), value) << name;
}

TEST(ChangesToEnter, JudgeASearchListElementByElement) {
    const Environment job = {{"PYTHONPATH", "/opt/a:/home/u/lib:/project/u::/home/u/../v:/opt/b"}};
    const Entering once = entering(plan_for(profile), job);
    EXPECT_EQ(carried_out(job, once.changes).at("PYTHONPATH"), "/home/u/lib:/project/u:");
    EXPECT_THAT(once.dropped, ElementsAre(Named{"PYTHONPATH", {"/opt/a", "/home/u/../v", "/opt/b"}, ':'}));
    EXPECT_THAT(once.staying, ElementsAre(Named{"PYTHONPATH", {"/home/u/lib", "/project/u"}, ':'}));
    EXPECT_EQ(shown(once.dropped), "PYTHONPATH=/opt/a:/home/u/../v:/opt/b");
    EXPECT_EQ(pattern_that_keeps(once.dropped), "^PYTHONPATH$");
}

TEST(ChangesToEnter, LeaveWhatSlurmSetForTheStep) {
    Surroundings around;
    around.submitted = Environment{{"OPAL_PREFIX", "/opt/mpi"}, {"PMIX_PREFIX", "/old"}};
    const Environment job = {{"OPAL_PREFIX", "/opt/mpi"}, {"PMIX_PREFIX", "/new"}, {"UCX_MODULE_DIR", "/opt/ucx"}};
    const Environment result = carried_out(job, changes_to_enter(plan_for(profile), job, {}, around).value().changes);
    EXPECT_FALSE(result.contains("OPAL_PREFIX"));
    EXPECT_EQ(result.at("PMIX_PREFIX"), "/new");
    EXPECT_TRUE(result.contains("UCX_MODULE_DIR"));
}

TEST(ChangesToEnter, DropWhatIsBehindAListOfThePlan) {
    wire::Plan plan = plan_for(profile);
    plan.variables.push_back({"PERL5LIB", profile + "/lib/perl", ":"});
    EXPECT_EQ(entered(plan, {{"PERL5LIB", "/opt/perl:/home/u/perl"}}).at("PERL5LIB"),
              profile + "/lib/perl:/home/u/perl");
    EXPECT_EQ(entered(plan, {{"PERL5LIB", "/opt/perl"}}).at("PERL5LIB"), profile + "/lib/perl");
}

TEST(Shown, IsCut) {
    const Named one{"A", std::vector<std::string>(9999, "/opt/lib"), ':'};
    EXPECT_LT(shown(std::vector<Named>(1000, one)).size(), 1000U);
    EXPECT_EQ(pattern_that_keeps({{"A", {}, ':'}, {"B", {}, ':'}}), "^(A|B)$");
}

// --- pure

TEST(ChangesToEnterPure, KeepWhatGuixSlurmMpiAndDevicesNeed) {
    const Environment stays = {{"HOME", "/h"},
                               {"USER", "u"},
                               {"TERM", "dumb"},
                               {"HISTSIZE", "1"},
                               {"SLURM_JOB_ID", "1"},
                               {"SLURMD_NODENAME", "n1"},
                               {"PMI_RANK", "0"},
                               {"PMIX_RANK", "0"},
                               {"OMPI_MCA_btl", "self"},
                               {"OMPI_COMM_WORLD_RANK", "0"},
                               {"UCX_TLS", "tcp"},
                               {"FI_PROVIDER", "tcp"},
                               {"CUDA_VISIBLE_DEVICES", "0"},
                               {"CUDA_MPS_PIPE_DIRECTORY", "/m"},
                               {"ROCR_VISIBLE_DEVICES", "0"},
                               {"HIP_VISIBLE_DEVICES", "0"},
                               {"GPU_DEVICE_ORDINAL", "0"},
                               {"ZE_AFFINITY_MASK", "0"},
                               {"OMP_NUM_THREADS", "2"},
                               {"GOMP_CPU_AFFINITY", "0"},
                               {"KMP_AFFINITY", "x"},
                               {"TMPDIR", "/scratch/7"},
                               {"KRB5CCNAME", "FILE:/tmp/krb5cc_7"},
                               {"SSH_AUTH_SOCK", "/tmp/agent"},
                               {"NCCL_SOCKET_IFNAME", "ib0"},
                               {"NCCL_NET_PLUGIN", "none"},
                               {"MPIR_CVAR_CH4_OFI_TAG_BITS", "1"},
                               {"MPICH_ASYNC_PROGRESS", "1"},
                               {"I_MPI_FABRICS", "ofi"},
                               {"PSM3_DEVICES", "self"},
                               {"UCC_CLS", "basic"}};
    Environment job = stays;
    for (const char* name : {"LANG", "SHELL", "TMPDIR2", "HOMER", "XHOME", "CUDA_HOME", "HIP_PATH", "PMIX_PREFIX",
                             "UCX_MODULE_DIR", "FI_PROVIDER_PATH", "OMPI_MCA_mca_base_component_path", "OMPI_CC",
                             "LD_LIBRARY_PATH", "BASH_FUNC_module%%", "MY_SLURM", "PYTHONPATH"}) {
        job[name] = "/x";
    }
    job["PATH"] = "/usr/bin";
    job["C_INCLUDE_PATH"] = "/usr/include";
    Environment result = entered(plan_for(profile), job, pure);
    EXPECT_EQ(result.at("PATH"), profile + "/bin:" + profile + "/sbin:/opt/slurm-commands");
    EXPECT_EQ(result.at("C_INCLUDE_PATH"), profile + "/include");
    EXPECT_EQ(result.at(entered_variable),
              profile +
                  " pure=/opt/slurm-commands PATH:3a C_INCLUDE_PATH:3a "
                  "XML_CATALOG_FILES:20 SSL_CERT_DIR: GUIX_ENVIRONMENT: SENV_ENVIRONMENT:");
    for (const auto& variable : plan_for(profile).variables) result.erase(variable.name);
    result.erase("GUIX_ENVIRONMENT");
    result.erase("SENV_ENVIRONMENT");
    result.erase(entered_variable);
    EXPECT_EQ(result, stays);
}

TEST(ChangesToEnterPure, OfAVariableThatOccursTwiceLeaveTheLast) {
    const wire::Plan plan{profile, {{"X", profile + "/a", ":"}, {"X", profile + "/b", ":"}}};
    const Environment once = entered(plan, {{"X", "/old"}}, pure);
    EXPECT_EQ(once.at("X"), profile + "/b");
    EXPECT_EQ(once.at("PATH"), "/opt/slurm-commands");
    EXPECT_EQ(entered(plan, once, pure), once);
}

TEST(ChangesToEnterPure, AreNoneTheSecondTime) {
    const Environment once = entered(plan_for(profile), {{"PATH", "/usr/bin"}, {"X", "1"}}, pure);
    EXPECT_THAT(entering(plan_for(profile), once, pure).changes, IsEmpty());
}

TEST(ChangesToEnterPure, LeaveWhatAPureJobHasSetSince) {
    Environment job = entered(plan_for(profile), {{"PATH", "/usr/bin"}}, pure);
    job["MY_INPUT"] = "data";
    job["PATH"] = "/home/u/bin:" + job["PATH"];
    EXPECT_THAT(entering(plan_for(profile), job, pure).changes, IsEmpty());
}

TEST(ChangesToEnterPure, PurifyAJobThatIsInTheProfileAlready) {
    const Environment job = {{"PATH", "/usr/bin"}, {"X", "1"}, {"HOME", "/h"}};
    EXPECT_EQ(entered(plan_for(profile), entered(plan_for(profile), job), pure), entered(plan_for(profile), job, pure));
}

TEST(ChangesToEnterPure, PurifyAJobThatIsInAnotherPureProfile) {
    Environment job = entered(plan_for(other), {{"HOME", "/h"}}, pure);
    job["X"] = "1";
    EXPECT_EQ(entered(plan_for(profile), job, pure), entered(plan_for(profile), {{"HOME", "/h"}}, pure));
}

TEST(ChangesToEnterPure, OfAJobWithOnlyTheRecordAreThoseOfAnEmptyOne) {
    const Environment once = entered(plan_for(profile), {}, pure);
    const Environment bare = {{entered_variable, once.at(entered_variable)}};
    EXPECT_EQ(entered(plan_for(profile), bare, pure), once);
}

TEST(ChangesToEnter, AfterAPureOneGiveTheHostsPathBack) {
    const Environment first = entered(plan_for(other), {{"PATH", "/opt/bin"}, {"HOME", "/h"}}, pure);
    EXPECT_EQ(entered(plan_for(profile), first).at("PATH"), profile + "/bin:" + profile + "/sbin:" + default_path);
    EXPECT_EQ(entered(plan_for(other), first).at("PATH"), other + "/bin:" + other + "/sbin:" + default_path);
}

TEST(ChangesToLeave, APureProfileGiveADefaultPath) {
    Environment job = entered(plan_for(profile), {{"PATH", "/opt/bin"}, {"HOME", "/h"}}, pure);
    EXPECT_EQ(left(job), (Environment{{"PATH", default_path}, {"HOME", "/h"}}));
    job["PATH"] = "/home/u/bin:" + job["PATH"];
    EXPECT_EQ(left(job).at("PATH"), "/home/u/bin");
}

// --- preserve

TEST(ChangesToEnter, PreserveWhatMatches) {
    const Environment job = {
        {"PATH", "/usr/bin"}, {"LD_LIBRARY_PATH", "/l"}, {"LD_PRELOAD", "/p"}, {"MY_INPUT_1", "d"}};
    const Environment plain = entered(plan_for(profile), job, Manner::make(false, "", "^LD_L|INPUT").value());
    EXPECT_EQ(plain.at("LD_LIBRARY_PATH"), "/l");
    EXPECT_FALSE(plain.contains("LD_PRELOAD"));
    const Environment both = entered(plan_for(profile), job, Manner::make(true, "/s", "^LD_L|INPUT").value());
    EXPECT_EQ(both.at("LD_LIBRARY_PATH"), "/l");
    EXPECT_EQ(both.at("MY_INPUT_1"), "d");
    EXPECT_FALSE(both.contains("LD_PRELOAD"));
    EXPECT_EQ(entered(plan_for(profile), job, Manner::make(true, "/s", ".").value()).at("PATH"),
              profile + "/bin:" + profile + "/sbin:/s");
}

// --- leaving

TEST(ChangesToLeave, GiveTheJobBackWhatItHad) {
    const Environment job = {{"PATH", "/usr/bin:/bin"}, {"C_INCLUDE_PATH", ""}, {"XML_CATALOG_FILES", "/old.xml"}};
    EXPECT_EQ(left(entered(plan_for(profile), job)), job);
}

TEST(ChangesToLeave, AreNoneForAJobInNoProfile) {
    EXPECT_THAT(changes_to_leave({{"PATH", "/usr/bin"}, {"GUIX_ENVIRONMENT", other}}).value(), IsEmpty());
}

TEST(ChangesToLeave, TakeNothingButTheProfilesOwnEntries) {
    const Environment job = {{entered_variable, profile + " PATH:3a"},
                             {"PATH", profile + "-not/bin:" + profile + "/bin:/usr/bin"}};
    EXPECT_EQ(left(job), (Environment{{"PATH", profile + "-not/bin:/usr/bin"}}));
}

TEST(ChangesToLeave, WithoutTheRecordTakeOutWhatLiesInTheProfile) {
    const Environment job = {{"PATH", "/usr/bin:/bin"}, {"C_INCLUDE_PATH", "/i"}, {"OTHER", profile + "-more:/x"}};
    Environment inside = entered(plan_for(profile), job);
    inside.erase(entered_variable);
    EXPECT_EQ(left(inside), job);
    inside["SENV_ENVIRONMENT"] = "/";
    EXPECT_EQ(left(inside).at("PATH"), inside.at("PATH"));
    EXPECT_FALSE(left(inside).contains("SENV_ENVIRONMENT"));
}

TEST(ChangesToLeave, APureProfileWithoutTheRecordGiveADefaultPath) {
    Environment inside = entered(plan_for(profile), {{"HOME", "/h"}}, pure);
    inside.erase(entered_variable);
    EXPECT_EQ(carried_out(inside, changes_to_leave(inside, "/opt/slurm-commands").value()),
              (Environment{{"PATH", default_path}, {"HOME", "/h"}}));
}

TEST(ProfileInside, IsThatOfTheRecordOrOfPath) {
    EXPECT_EQ(profile_inside({{entered_variable, profile + " PATH:3a"}}), profile);
    EXPECT_EQ(profile_inside({{entered_variable, "nonsense"}}), "");
    EXPECT_EQ(profile_inside({{"SENV_ENVIRONMENT", profile}, {"PATH", "/bin:" + profile + "/bin"}}), profile);
    EXPECT_EQ(profile_inside({{"SENV_ENVIRONMENT", profile}, {"PATH", "/bin"}}), std::nullopt);
    EXPECT_EQ(profile_inside({{"SENV_ENVIRONMENT", "/"}, {"PATH", "/bin"}}), std::nullopt);
    EXPECT_EQ(profile_inside({{"GUIX_ENVIRONMENT", profile}, {"PATH", profile + "/bin"}}), std::nullopt);
}

TEST(ChangesToEnter, TakeAVariableWithTwoSeparators) {
    const wire::Plan plan{profile, {{"X", profile + "/a", ":"}, {"X", profile + "/b", " "}}};
    const Environment once = entered(plan, {{"X", "/old:/older"}});
    EXPECT_EQ(once.at("X"), profile + "/b " + profile + "/a:/old:/older");
    EXPECT_EQ(once.at(entered_variable), profile + " X:3a20 GUIX_ENVIRONMENT: SENV_ENVIRONMENT:");
    EXPECT_EQ(entered(plan, once), once);
    EXPECT_EQ(left(once), (Environment{{"X", "/old:/older"}}));
}

TEST(ChangesToEnter, TakeAListThatALaterPartOfThePlanReplaces) {
    const wire::Plan plan{profile, {{"X", profile + "/a", ":"}, {"X", profile + "/b", ""}, {"X", profile + "/c", ":"}}};
    const Environment once = entered(plan, {{"X", "/old"}});
    EXPECT_EQ(once.at("X"), profile + "/c:" + profile + "/b");
    EXPECT_EQ(entered(plan, once), once);
    EXPECT_FALSE(left(once).contains("X"));
}

// --- the record, and what people can write

const std::vector<std::string> unreadable_records = {"",
                                                     " ",
                                                     "relative PATH:3a",
                                                     "/x PATH:3a",
                                                     profile + " ",
                                                     profile + " PATH",
                                                     profile + " :3a",
                                                     profile + " PATH:zz",
                                                     profile + " PATH:3",
                                                     profile + "  PATH:3a",
                                                     profile + " PATH:3a PATH:3a",
                                                     profile + " PATH:3a pure=/s",
                                                     profile + " PATH:" + std::string(max_record_bytes, '3')};

TEST(ChangesToLeave, FailForARecordThatCannotBeRead) {
    for (const std::string& record : unreadable_records) {
        const Environment job = {{entered_variable, record}, {"PATH", "/usr/bin:/bin"}};
        EXPECT_THAT(changes_to_leave(job), FailsWith(Kind::corrupt, "cannot read the record")) << record;
        EXPECT_THAT(changes_to_enter(plan_for(profile), job), FailsWith(Kind::corrupt, "cannot read the record"));
    }
}

std::string record_of_names(std::size_t count) {
    std::string record = profile;
    for (std::size_t i = 0; i < count; ++i) record += " A" + std::to_string(i) + ":3a";
    return record;
}

TEST(ChangesToLeave, ReadARecordOfSoManyNamesAndNoMore) {
    EXPECT_THAT(changes_to_leave({{entered_variable, record_of_names(max_record_names)}}), IsOk());
    EXPECT_THAT(changes_to_leave({{entered_variable, record_of_names(max_record_names + 1)}}),
                FailsWith(Kind::corrupt, "more than 256 names"));
}

TEST(CheckRecordOf, RefusesAPlanWhoseRecordCouldNotBeRead) {
    wire::Plan plan{profile, {}};
    for (std::size_t i = 2; i < max_record_names; ++i) plan.variables.push_back({"A" + std::to_string(i), "x", ":"});
    EXPECT_THAT(check_record_of(plan), IsOk());
    EXPECT_THAT(changes_to_leave(entered(plan, {}, pure)), IsOk());
    plan.variables.push_back({"A2", "y", ":"});
    EXPECT_THAT(check_record_of(plan), IsOk());
    plan.variables.push_back({"B", "x", ":"});
    EXPECT_THAT(check_record_of(plan), FailsWith(Kind::corrupt, "257 names"));
    EXPECT_THAT(changes_to_enter(plan, {}), FailsWith(Kind::corrupt, "257 names"));
    plan.variables.clear();
    for (char c = 'a'; c <= 'z'; ++c)
        plan.variables.push_back({std::string(250, 'A') + c + std::string(100, c), "x", ":"});
    EXPECT_THAT(check_record_of(plan), FailsWith(Kind::corrupt, "bytes, the limit is 8192"));
}

// 128 KiB in each variable, which took minutes: the record, a list of nothing but separators, and a value that begins again
// and again as what the plan puts there. As the libraries are compiled for nodes: sanitizers take their own time.
TEST(ChangesToEnter, TakeNoLongerThanLinearTime) {
    constexpr std::size_t most = 128 * 1024 - 64;
    const auto repeated = [](const std::string& text, std::size_t limit) {
        std::string all;
        while (all.size() + text.size() <= limit) all += text;
        return all;
    };
    wire::Plan plan{profile, {{"A", repeated(profile + "/bin:", 65535) + profile + "/bin", ":"}}};
    while (plan.variables.size() < 4096) plan.variables.push_back({"B", repeated(":", 40), ":"});
    Environment job = {{"A", repeated(repeated(profile + "/bin:", 60000) + profile + "/bix:", most)},
                       {"B", repeated(":", most)}};
    job[entered_variable] = profile + " A:3a B:3a2f";
    const auto time = [](const auto& act) {
        const auto begin = std::clock();
        act();
        return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    constexpr double limit = 1;
#else
    constexpr double limit = 0.05;
#endif
    EXPECT_LT(time([&] { EXPECT_THAT(changes_to_leave(job), IsOk()); }), limit);
    EXPECT_LT(time([&] { EXPECT_THAT(changes_to_enter(plan, job), IsOk()); }), limit);
    EXPECT_LT(time([&] { EXPECT_THAT(changes_to_enter(plan, job, pure), IsOk()); }), limit);
    job[entered_variable] = profile + repeated(" A:3a", most - profile.size());
    EXPECT_LT(time([&] { EXPECT_THAT(changes_to_leave(job), FailsWith(Kind::corrupt, "bytes")); }), limit);
}

TEST(ChangesToEnter, OfAJobWithMoreVariablesThanAnybodyHasFail) {
    Environment job;
    for (int i = 0; i < 10001; ++i) job["A" + std::to_string(i)] = "";
    EXPECT_THAT(changes_to_enter(plan_for(profile), job), FailsWith(Kind::usage, "10001 variables"));
    EXPECT_THAT(changes_to_leave(job), IsOk());
    job[entered_variable] = profile;
    EXPECT_THAT(changes_to_leave(job), FailsWith(Kind::usage, "10002 variables"));
}

TEST(EnvironmentFrom, ReadsWhatEnvironHolds) {
    const char* const strings[] = {"A=1", "NOTHING", "=odd", "B=x=y", "A=2", "C=", nullptr};
    EXPECT_EQ(environment_from(strings), (Environment{{"A", "1"}, {"B", "x=y"}, {"C", ""}}));
    EXPECT_TRUE(environment_from(nullptr).empty());
}

}  // namespace
}  // namespace senv
