// A step on a node with a daemon that another process plays, speaking the real protocol over a real socket.
#include "spank/node.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>

#include "spank/submit.h"
#include "tests/support/fake_host.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

const std::string profile = "/gnu/store/88888888888888888888888888888888-profile";
const std::string resolved = "1 " + profile + " lock=" + std::string(64, 'a') +
                             " channels=guix@0123456789abcdef enter=plain from=command-line:--env-manifest";
const wire::Plan plan = {profile, {{"PATH", profile + "/bin", ":"}, {"SSL_CERT_DIR", profile + "/etc", ""}}};

// A process that answers each connection with what `serve` does, one at a time. It begins to listen after `delay`.
class FakeSenvd {
public:
    using Serve = std::function<void(int client)>;

    FakeSenvd(const std::string& path, const Serve& serve, std::chrono::milliseconds delay = 0ms) {
        std::array<int, 2> ends = {};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
        requests_ = Fd(ends[0]);
        Fd told(ends[1]);
        Fd socket = delay == 0ms ? listen_at(path) : Fd();
        process_ = ::fork();
        if (process_ != 0) return;
        ::alarm(60);
        std::this_thread::sleep_for(delay);
        if (!socket) socket = listen_at(path);
        for (;;) {
            wire::Connection connection(Fd(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC)));
            const auto request = connection.receive(Clock::now() + 10s);
            if (!request) continue;
            EXPECT_GE(::send(told.get(), request->payload.data(), request->payload.size(), MSG_NOSIGNAL), 0);
            serve(connection.fd());
        }
    }
    ~FakeSenvd() {
        ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
    }
    FakeSenvd(const FakeSenvd&) = delete;
    FakeSenvd& operator=(const FakeSenvd&) = delete;

    /// The payloads of the requests since the last call.
    std::vector<std::string> requests() {
        std::vector<std::string> all;
        std::array<char, 1024> payload = {};
        for (ssize_t n = 0; (n = ::recv(requests_.get(), payload.data(), payload.size(), MSG_DONTWAIT)) > 0;) {
            all.emplace_back(payload.data(), static_cast<std::size_t>(n));
        }
        return all;
    }

private:
    static Fd listen_at(const std::string& path) {
        struct sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, path.size());
        ::unlink(path.c_str());
        Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(socket.get(), 8), 0);
        return socket;
    }

    pid_t process_ = -1;
    Fd requests_;
};

void say(int client, const std::string& frame) {
    EXPECT_THAT(write_all(client, frame), test::IsOk());
}

void lend(int client, int fd) {
    std::string frame = wire::encode_empty(wire::Type::lease);
    struct iovec piece = {frame.data(), frame.size()};
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
    struct msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    auto* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    EXPECT_EQ(::sendmsg(client, &message, 0), static_cast<ssize_t>(frame.size()));
}

// Whether this process has `file` open, beside the descriptor `but`, in a way that survives exec and is in nobody's way.
bool is_inherited(const std::string& file, int but) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code ignored;
        const int fd = std::stoi(entry.path().filename());
        if (fd == but || std::filesystem::read_symlink(entry, ignored) != file) continue;
        if (fd >= 60 && fd < 64 && (::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) return true;
    }
    return false;
}

class Node : public testing::Test {
protected:
    Node() {
        settings_.socket = dir_ / "senvd.sock";
        settings_.user = std::to_string(::getuid());
        host_.program_is = Program::slurmstepd;
        host_.step_is = {12, 0, 1001, StepKind::normal, 1, 0};
        host_.job = {{resolution_variable, resolved}, {"PATH", "/usr/bin"}};
    }

    // Runs the stages up to task_init, without entering a namespace. True: the task goes on; false: it was ended.
    bool run(const std::function<void()>& between = [] {}) {
        NodeStep step(host_, settings_);
        step.prepare(forwarded_);
        between();
        // may_wait() asks whether slurmstepd, this process's parent, lives: so a task is a child here as well.
        try {
            step.start();
        } catch (const test::FakeHost::TaskEnded& ended) {
            status_ = ended.status;
            return false;
        }
        return true;
    }

    int status_ = 0;  // of the task that was ended
    test::TempDir dir_;
    test::FakeHost host_;
    Settings settings_;
    Forwarded forwarded_;
};

FakeSenvd::Serve warm() {
    return [](int client) {
        lend(client, STDIN_FILENO);
        say(client, plan.encode());
    };
}

/// Asked first what the job holds, then for that.
FakeSenvd::Serve holds(const std::string& how) {
    return [how, connections = 0](int client) mutable {
        if (++connections > 1) return warm()(client);
        say(client, wire::encode_text(profile + " lock=none channels=guix@abc enter=" + how + " from=default"));
    };
}

TEST_F(Node, EntersAWarmProfile) {
    FakeSenvd senvd(settings_.socket, warm());
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job["PATH"], profile + "/bin:/usr/bin");
    EXPECT_EQ(host_.job["SSL_CERT_DIR"], profile + "/etc");
    EXPECT_EQ(host_.job["GUIX_ENVIRONMENT"], profile);
    EXPECT_TRUE(host_.errors.empty());
    const auto requests = senvd.requests();
    ASSERT_EQ(requests.size(), 1U);
    const auto request = wire::Provision::decode(requests[0]).value();
    EXPECT_EQ(request.profile, profile);
    EXPECT_EQ(request.uid, 1001U);
    EXPECT_EQ(request.job, 12U);
    EXPECT_EQ(request.flags, wire::Provision::flag_lease | wire::Provision::flag_progress);
    EXPECT_EQ("1 " + profile + " " + request.details, resolved);
}

TEST_F(Node, LogsTheStartInOneLine) {
    FakeSenvd senvd(settings_.socket, warm());
    EXPECT_TRUE(run());
    EXPECT_THAT(host_.infos, ElementsAre("senv: job=12 step=0 uid=1001 profile=" + profile +
                                         " channels=guix@0123456789abcdef lock=" + std::string(64, 'a') +
                                         " from=command-line:--env-manifest"));
}

TEST_F(Node, LogsThatThereIsNoLock) {
    FakeSenvd senvd(settings_.socket, warm());
    host_.job[resolution_variable] =
        "1 " + profile + " lock=none channels= enter=plain from=command-line:--env-profile";
    EXPECT_TRUE(run());
    EXPECT_THAT(host_.infos, ElementsAre("senv: job=12 step=0 uid=1001 profile=" + profile +
                                         " channels= lock=none from=command-line:--env-profile"));
}

// By each task, when it is the user's process, and when nothing else comes to be set.
TEST_F(Node, EntersPureInTheTasks) {
    FakeSenvd senvd(settings_.socket, warm());
    settings_.slurm_commands = "/opt/commands";
    host_.job[resolution_variable] = "1 " + profile + " lock=none channels= enter=pure:%5eMY from=x";
    host_.job["MY_INPUT"] = "data";
    EXPECT_TRUE(run([&] {
        EXPECT_EQ(host_.job["PATH"], "/usr/bin");
        host_.job["SLURM_PROCID"] = "0";
        host_.job["OTHER"] = "x";
    }));
    EXPECT_EQ(host_.job["PATH"], profile + "/bin:/opt/commands");
    EXPECT_EQ(host_.job["MY_INPUT"], "data");
    EXPECT_EQ(host_.job["SLURM_PROCID"], "0");
    EXPECT_FALSE(host_.job.contains("OTHER"));
}

TEST_F(Node, SaysOnceWhatLedOutOfTheEnvironment) {
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, plan.encode()); });
    const Environment job = host_.job;
    for (const char* loudness : {"", quiet_variable, verbose_variable}) {
        host_.notes.clear();
        host_.job = job;
        host_.job["HOME"] = "/home/u";
        host_.job["OPAL_PREFIX"] = "/opt/mpi";
        host_.job["PYTHONPATH"] = "/home/u/lib:/no/such/folder";
        if (*loudness != '\0') host_.job[loudness] = "yes";
        EXPECT_TRUE(run());
        EXPECT_FALSE(host_.job.contains("OPAL_PREFIX"));
        EXPECT_EQ(host_.job.at("PYTHONPATH"), "/home/u/lib");
        const std::string dropped =
            "senv: dropped OPAL_PREFIX=/opt/mpi, PYTHONPATH=/no/such/folder, which led out of the "
            "environment; keep it with --env-preserve='^(OPAL_PREFIX|PYTHONPATH)$'";
        const std::string kept = "senv: kept PYTHONPATH=/home/u/lib, which comes before the environment's own";
        const bool is_quiet = loudness == quiet_variable;
        const bool is_verbose = loudness == verbose_variable;
        EXPECT_THAT(host_.notes, is_quiet     ? ElementsAreArray(std::vector<std::string>())
                                 : is_verbose ? ElementsAreArray(std::vector<std::string>{dropped, kept})
                                              : ElementsAreArray(std::vector<std::string>{dropped}));
    }
}

TEST_F(Node, LeavesItToTheFirstNodeToSayWhatLedOut) {
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, plan.encode()); });
    host_.step_is.nodes = 2;
    host_.step_is.node_index = 1;
    host_.job["OPAL_PREFIX"] = "/opt/mpi";
    EXPECT_TRUE(run());
    EXPECT_FALSE(host_.job.contains("OPAL_PREFIX"));
    EXPECT_THAT(host_.notes, testing::IsEmpty());
}

// A folder that the user names may hang, and root may not be allowed to see whose it is.
TEST_F(Node, AsksWhoseAFolderIsInTheTasks) {
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, plan.encode()); });
    host_.job["PYTHONPATH"] = "/no/such/folder";
    const Environment before = host_.job;
    EXPECT_TRUE(run([&] { EXPECT_EQ(host_.job.at("PATH"), before.at("PATH")); }));
    EXPECT_EQ(host_.job.at("PATH"), profile + "/bin:/usr/bin");
    EXPECT_FALSE(host_.job.contains("PYTHONPATH"));
}

TEST_F(Node, KeepsWhatSlurmSetForTheStep) {
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, plan.encode()); });
    host_.job["PYTHONPATH"] = "/no/such/folder";
    EXPECT_TRUE(run([&] { host_.job["PMIX_PREFIX"] = "/opt/slurm/pmix"; }));
    EXPECT_EQ(host_.job.at("PMIX_PREFIX"), "/opt/slurm/pmix");
}

TEST_F(Node, AStepOfAScriptKeepsWhatTheScriptSet) {
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, plan.encode()); });
    EXPECT_TRUE(run());
    host_.job[resolution_variable] = resolved;
    host_.job["LD_PRELOAD"] = "/opt/tool.so";
    const Environment inside = host_.job;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job, inside);
    EXPECT_THAT(host_.notes, testing::IsEmpty());
}

TEST_F(Node, DoesNotRunWithAPatternThatIsNone) {
    FakeSenvd senvd(settings_.socket, warm());
    host_.job[resolution_variable] = "1 " + profile + " lock=none channels= enter=plain:%28 from=x:--env-profile";
    EXPECT_FALSE(run());
    EXPECT_THAT(host_.errors[0],
                HasSubstr("--env-profile on n7: cannot use --env-preserve: '(' is not a regular expression"));
}

TEST_F(Node, KeepsTheLeaseForAllProcessesOfTheStep) {
    const std::string file = dir_ / "lease";
    const auto lease = open_file(file, O_CREAT | O_RDONLY, 0600);
    ASSERT_THAT(lease, test::IsOk());
    FakeSenvd senvd(settings_.socket, [&](int client) {
        lend(client, lease->get());
        say(client, plan.encode());
    });
    NodeStep step(host_, settings_);
    step.prepare({});
    EXPECT_TRUE(is_inherited(file, lease->get()));
}

TEST_F(Node, WithoutAResolutionDoesNothing) {
    host_.job.erase(resolution_variable);
    const auto before = host_.job;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job, before);
    EXPECT_TRUE(host_.infos.empty());
}

TEST_F(Node, LeavingTakesTheEnvironmentOutAndLeavesNoMark) {
    const std::string path = profile + "/bin:/usr/bin";
    const Environment wanted = {{"PATH", "/usr/bin"}};
    for (const Environment& job : std::vector<Environment>{
             {{"PATH", path}, {entered_variable, profile + " PATH:3a SENV_ENVIRONMENT:"}, {inside_variable, profile}},
             {{"PATH", path}, {entered_variable, profile + " PATH:3a"}},
             // The record is lost.
             {{"PATH", path}, {inside_variable, profile}, {"GUIX_ENVIRONMENT", profile}, {"MANPATH", profile + "/man"}},
             {{"PATH", "/usr/bin"}}}) {
        host_.job = job;
        host_.job[resolution_variable] = leaving;
        EXPECT_TRUE(run());  // senvd does not listen
        EXPECT_EQ(host_.job, wanted);
        EXPECT_TRUE(run());  // one level deeper
        EXPECT_EQ(host_.job, wanted);
    }
    settings_.slurm_commands = "/opt/commands";
    host_.job = {{"PATH", profile + "/bin:/opt/commands"}, {inside_variable, profile}};
    host_.job[resolution_variable] = leaving;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job, (Environment{{"PATH", default_path}}));
    EXPECT_TRUE(host_.infos.empty() && host_.errors.empty() && host_.notes.empty());
}

TEST_F(Node, InsideWithoutAResolutionIsAnError) {
    for (const Environment& job :
         std::vector<Environment>{{{"PATH", "/usr/bin"}, {entered_variable, profile + " PATH:3a"}},
                                  {{"PATH", "/usr/bin"}, {entered_variable, ""}},
                                  {{"PATH", profile + "/bin:/usr/bin"}, {inside_variable, profile}}}) {
        host_.job = job;
        host_.errors.clear();
        EXPECT_FALSE(run());
        EXPECT_EQ(status_, 1);
        ASSERT_EQ(host_.errors.size(), 2U);
        EXPECT_THAT(host_.errors[0], HasSubstr("cannot enter the job's environment on n7: the step is inside "));
        EXPECT_THAT(host_.errors[1], HasSubstr("--env-passthrough=ignore"));
        host_.step_is.kind = StepKind::external;
        EXPECT_TRUE(run());
        host_.step_is.kind = StepKind::normal;
    }
    host_.job = {{"PATH", profile + "/bin:/usr/bin"}, {"GUIX_ENVIRONMENT", profile}};
    const Environment of_guix = host_.job;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job, of_guix);
}

// --- a request that nobody resolved

TEST_F(Node, ARequestThatNobodyResolvedIsAnError) {
    host_.job = {{"PATH", "/usr/bin"}};
    for (const auto& [option, text] : std::vector<std::pair<Option, std::string>>{{Option::packages, "hello"},
                                                                                  {Option::manifest, "/m.scm"},
                                                                                  {Option::lock, "x.lock"},
                                                                                  {Option::profile, "/home/u/profile"},
                                                                                  {Option::profile, profile + "/bin"},
                                                                                  {Option::expression, ""}}) {
        forwarded_ = {};
        forwarded_[static_cast<std::size_t>(option)] = text;
        host_.errors.clear();
        EXPECT_FALSE(run());
        EXPECT_EQ(status_, 1);
        ASSERT_EQ(host_.errors.size(), 2U);
        EXPECT_EQ(host_.errors[0], std::string("senv: cannot enter the job's environment on n7: nothing resolved --") +
                                       text_of(option).name + " when the job was submitted");
        EXPECT_THAT(host_.errors[1], HasSubstr("`senv resolve --for-slurm` prints into SLURM_SENV_RESOLUTION"));
    }
}

TEST_F(Node, ARequestThatNamesNothingOrWasAnsweredIsNone) {
    forwarded_[static_cast<std::size_t>(Option::packages)] = "none";
    forwarded_[static_cast<std::size_t>(Option::pure)] = "yes";
    forwarded_[static_cast<std::size_t>(Option::channels)] = "c.scm";
    host_.job = {{"PATH", "/usr/bin"}};
    EXPECT_TRUE(run());
    forwarded_[static_cast<std::size_t>(Option::packages)] = "hello";
    host_.job[resolution_variable] = leaving;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job, (Environment{{"PATH", "/usr/bin"}}));
    FakeSenvd senvd(settings_.socket, warm());
    host_.job[resolution_variable] = resolved;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job["GUIX_ENVIRONMENT"], profile);
}

TEST_F(Node, FailsWhereWhatEnteringChangedCannotBeRead) {
    const std::string doubled = profile + " PATH:3a PATH:3a";
    for (const bool leaves : {true, false}) {
        FakeSenvd senvd(settings_.socket, [](int client) { say(client, plan.encode()); });
        host_.job = {{"PATH", "/usr/bin"}, {entered_variable, doubled}};
        host_.job[resolution_variable] = leaves ? std::string(leaving) : resolved;
        host_.errors.clear();
        EXPECT_FALSE(run());
        EXPECT_EQ(status_, 1);
        const std::string doing = leaves ? "cannot leave the job's environment on n7"
                                         : "cannot enter the environment of --env-manifest on n7";
        EXPECT_THAT(host_.errors, ElementsAre(HasSubstr(doing + ": cannot read the record of an environment in "
                                                                "SLURM_SENV_ENTERED: it has 'PATH' twice"),
                                              "senv: hint: unset SLURM_SENV_ENTERED where the step is started"));
    }
}

TEST_F(Node, AStorePathNeedsNobodyToResolveIt) {
    FakeSenvd senvd(settings_.socket, warm());
    forwarded_[static_cast<std::size_t>(Option::profile)] = profile;
    forwarded_[static_cast<std::size_t>(Option::pure)] = "(null)";
    forwarded_[static_cast<std::size_t>(Option::preserve)] = "KEPT";
    host_.job = {{"PATH", "/usr/bin"}, {"KEPT", "1"}, {"DROPPED", "1"}};
    EXPECT_TRUE(run());
    EXPECT_THAT(host_.job["PATH"], testing::StartsWith(profile + "/bin:"));
    EXPECT_EQ(host_.job[resolution_variable],
              "1 " + profile + " lock=none channels= enter=pure:KEPT from=node:--env-profile");
    EXPECT_TRUE(host_.job.contains("KEPT") && !host_.job.contains("DROPPED"));
}

// --- joining

TEST_F(Node, AJoiningStepEntersWhatTheJobHoldsAsTheJobDid) {
    FakeSenvd senvd(settings_.socket, holds("pure:KEPT"));
    host_.job = {{joining_variable, "use"}, {"PATH", "/usr/bin"}, {"KEPT", "1"}, {"DROPPED", "1"}};
    EXPECT_TRUE(run());
    EXPECT_THAT(host_.job["PATH"], testing::StartsWith(profile + "/bin:"));
    EXPECT_EQ(host_.job["KEPT"], "1");
    EXPECT_FALSE(host_.job.contains("DROPPED"));
    EXPECT_FALSE(host_.job.contains(joining_variable));
    EXPECT_EQ(host_.job[resolution_variable],
              "1 " + profile + " lock=none channels=guix@abc enter=pure:KEPT from=job:--jobid");
    const auto requests = senvd.requests();
    ASSERT_EQ(requests.size(), 2U);
    EXPECT_EQ(wire::Held::decode(requests[0])->job, 12U);
    EXPECT_EQ(wire::Held::decode(requests[0])->uid, 1001U);
}

TEST_F(Node, AJoiningStepsCommandIsLookedFor) {
    FakeSenvd senvd(settings_.socket, holds("plain"));
    host_.job = {{joining_variable, "use"}, {command_variable, "yes"}, {"PATH", "/usr/bin"}};
    host_.command_is = "no-such-command";
    EXPECT_FALSE(run());
    EXPECT_EQ(status_, ENOENT);
    EXPECT_THAT(host_.errors, ElementsAre("senv: cannot run 'no-such-command' on n7: it is not in this environment"));
}

TEST_F(Node, AJoiningStepThatMayNotInherit) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        say(client, wire::encode_text(profile + " lock=none channels=guix@abc enter=plain from=default"));
    });
    host_.job = {{joining_variable, "error"}, {"PATH", "/usr/bin"}};
    EXPECT_FALSE(run());
    EXPECT_THAT(host_.errors,
                ElementsAre("senv: cannot enter the environment of --jobid on n7: --env-passthrough=error "
                            "forbids to inherit it"));
}

TEST_F(Node, AJoiningStepOfAJobThatHoldsNothingIsAPlainOne) {
    host_.job = {{joining_variable, "use"}, {"PATH", "/usr/bin"}};
    EXPECT_TRUE(run());  // senvd does not listen
    EXPECT_EQ(host_.job, (Environment{{"PATH", "/usr/bin"}}));
    EXPECT_THAT(host_.notes, ElementsAre(HasSubstr("senv: cannot tell what the job is in on n7, so this step is in no "
                                                   "environment: cannot reach senvd at ")));
    host_.notes.clear();
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, wire::encode_text("")); });
    host_.job = {{joining_variable, "use"}, {"PATH", "/usr/bin"}};
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job, (Environment{{"PATH", "/usr/bin"}}));
    EXPECT_TRUE(host_.errors.empty());
}

TEST_F(Node, AJoiningStepThatMustFindTheEnvironmentFailsWithoutOne) {
    host_.job = {{joining_variable, joining_must}, {"PATH", "/usr/bin"}};
    EXPECT_FALSE(run());  // senvd does not listen
    EXPECT_THAT(host_.errors[0], HasSubstr("cannot enter the job's environment on n7: cannot reach senvd"));
    host_.errors.clear();
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, wire::encode_text("")); });
    host_.job = {{joining_variable, joining_must}, {"PATH", "/usr/bin"}};
    EXPECT_FALSE(run());
    EXPECT_THAT(host_.errors[0], HasSubstr("on n7: no step of the job is in one here"));
    host_.job = {{joining_variable, joining_tell}, {"PATH", "/usr/bin"}};
    EXPECT_TRUE(run());
    EXPECT_THAT(host_.notes, ElementsAre(HasSubstr("so this step is in no environment: no step of the job is in one")));
}

// Of the environment that srun was typed in nothing counts.
TEST_F(Node, AJoiningStepOfAPlainJobLeavesItsOwnShellsEnvironment) {
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, wire::encode_text("")); });
    host_.job = {
        {joining_variable, "use"}, {"PATH", profile + "/bin:/usr/bin"}, {entered_variable, profile + " PATH:3a"}};
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job, (Environment{{"PATH", "/usr/bin"}}));
}

// Without senvd the tasks stay where slurmstepd is, all of them.
TEST_F(Node, AJoiningStepWithoutSenvdMakesNoNamespace) {
    host_.job = {{joining_variable, "use"}, {"PATH", "/usr/bin"}};
    NodeStep step(host_, settings_);
    step.prepare({});
    const auto before = std::filesystem::read_symlink("/proc/self/ns/mnt");
    step.enter();
    EXPECT_EQ(std::filesystem::read_symlink("/proc/self/ns/mnt"), before);
    step.start();
    EXPECT_EQ(host_.notes.size(), 1U);
}

TEST_F(Node, PassesOverTheExternStep) {
    host_.step_is.kind = StepKind::external;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job["PATH"], "/usr/bin");
}

TEST_F(Node, TakesTheMarkOffTheCommandAlways) {
    host_.job.erase(resolution_variable);
    host_.command_is = std::string(absent_mark) + "/bin/hostname";
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.command_is, "/bin/hostname");
}

TEST_F(Node, RestoresWhatSbatchHid) {
    FakeSenvd senvd(settings_.socket, warm());
    host_.job["PATH"] = hidden_variables[0].decoy;
    host_.job["SLURM_SENV_PATH"] = "/opt/bin:/bin";
    host_.job["BASH_ENV"] = hidden_variables[1].decoy;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job["PATH"], profile + "/bin:/opt/bin:/bin");
    EXPECT_FALSE(host_.job.contains("SLURM_SENV_PATH"));
    EXPECT_FALSE(host_.job.contains("BASH_ENV"));
}

TEST_F(Node, KeepsThePathThatTheNodeMade) {
    FakeSenvd senvd(settings_.socket, warm());
    host_.job["SLURM_SENV_PATH"] = "/opt/bin:/bin";
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job["PATH"], profile + "/bin:/usr/bin");
    EXPECT_FALSE(host_.job.contains("SLURM_SENV_PATH"));
}

// sbatch --export-file clears the environment; what Slurm itself carries is left.
TEST_F(Node, TheBatchStepFindsTheResolutionInTheJobControlVariable) {
    FakeSenvd senvd(settings_.socket, warm());
    host_.job = {{"SLURM_SPANK_SENV_RESOLUTION", resolved}};
    EXPECT_TRUE(run());
    EXPECT_FALSE(host_.job.contains("GUIX_ENVIRONMENT"));
    host_.job = {{"SLURM_SPANK_SENV_RESOLUTION", resolved}};
    host_.step_is.kind = StepKind::batch;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job["GUIX_ENVIRONMENT"], profile);
    EXPECT_EQ(host_.job[resolution_variable], resolved);
    EXPECT_FALSE(host_.job.contains("SLURM_SPANK_SENV_RESOLUTION"));
}

TEST_F(Node, MakesRoomForPmixInStepsOfSeveralNodes) {
    FakeSenvd senvd(settings_.socket, warm());
    settings_.fetch_limit = 100s;
    EXPECT_TRUE(run());
    EXPECT_FALSE(host_.job.contains("SLURM_PMIX_TIMEOUT"));
    host_.step_is.nodes = 2;
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.job["SLURM_PMIX_TIMEOUT"], "400");
    for (const char* users : {"2", "5000", "nonsense", ""}) {
        host_.job["SLURM_PMIX_TIMEOUT"] = users;
        EXPECT_TRUE(run());
        EXPECT_EQ(host_.job["SLURM_PMIX_TIMEOUT"], users);
    }
}

TEST_F(Node, TellsTheUserWhyItCannotEnter) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        lend(client, STDIN_FILENO);
        say(client, wire::encode_error(Error(Kind::missing, "cannot fetch it: on no server").hint("resolve it again")));
    });
    EXPECT_FALSE(run());
    EXPECT_EQ(status_, 1);
    EXPECT_THAT(host_.errors,
                ElementsAre("senv: cannot enter the environment of --env-manifest on n7: cannot fetch it: on no server",
                            "senv: hint: resolve it again"));
    EXPECT_EQ(host_.steps_ended, 0);
}

TEST_F(Node, EndsAStepThatHasOtherNodes) {
    host_.step_is.nodes = 2;
    host_.job[resolution_variable] = "1 nonsense";
    EXPECT_FALSE(run());
    EXPECT_EQ(host_.steps_ended, 1);
    EXPECT_THAT(host_.errors[0], HasSubstr("cannot enter the job's environment on n7"));
}

TEST_F(Node, FailsWhenADaemonHoldsItsTongue) {
    FakeSenvd senvd(settings_.socket, [](int) { std::this_thread::sleep_for(30s); });
    const auto begin = Clock::now();
    EXPECT_FALSE(run());
    EXPECT_LT(Clock::now() - begin, 20s);
    EXPECT_THAT(host_.errors[0], HasSubstr("did not answer in time"));
}

TEST_F(Node, RefusesAnAnswerForAnotherProfile) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        say(client, wire::Plan{"/gnu/store/99999999999999999999999999999999-profile", {}}.encode());
    });
    EXPECT_FALSE(run());
    EXPECT_THAT(host_.errors[0], HasSubstr("answered for another profile"));
}

TEST_F(Node, FailsWithoutSenvdsUser) {
    settings_.user = "no-such-user-here";
    EXPECT_FALSE(run());
    EXPECT_THAT(host_.errors[0], HasSubstr("there is none on this node"));
}

// --- cold: the tasks wait. A task is a child of slurmstepd, so the test forks.

class CommandOfAStep : public Node {
protected:
    CommandOfAStep() { asks("no-such-command"); }
    void asks(const std::string& name) { host_.command_is = std::string(absent_mark) + name; }

    FakeSenvd senvd_{settings_.socket, warm()};
};

TEST_F(CommandOfAStep, ThatIsNowhereEndsTheTaskWithAMessage) {
    EXPECT_FALSE(run());
    EXPECT_EQ(status_, ENOENT);
    EXPECT_THAT(host_.errors, ElementsAre("senv: cannot run 'no-such-command' on n7: it is not in this environment"));
    EXPECT_EQ(host_.steps_ended, 0);
}

TEST_F(CommandOfAStep, ThatIsOnTheNodesPathRuns) {
    asks("true");
    EXPECT_TRUE(run());
    EXPECT_EQ(host_.command_is, "true");
    asks("/nowhere/at/all");
    EXPECT_TRUE(run());
    EXPECT_TRUE(host_.errors.empty());
}

TEST_F(CommandOfAStep, MayBeFoundByATaskProlog) {
    host_.task_prolog = true;
    EXPECT_TRUE(run());
    host_.task_prolog = false;
    asks("no-such-command");
    host_.job[task_prolog_variable] = "yes";
    EXPECT_TRUE(run());
    EXPECT_FALSE(host_.job.contains(task_prolog_variable));
    EXPECT_TRUE(host_.errors.empty());
}

TEST_F(CommandOfAStep, ThatSlurmMadeIsNotLookedFor) {
    host_.command_is = "0-3 a --multi-prog file";
    EXPECT_TRUE(run());
    EXPECT_TRUE(host_.errors.empty());
}

class ColdNode : public Node {
protected:
    // Runs one task of a step whose request is pending; gives its exit status, 0 when it entered.
    int run_task(const std::function<void(NodeStep&)>& task) {
        NodeStep step(host_, settings_);
        step.prepare({});
        EXPECT_FALSE(host_.job.contains("GUIX_ENVIRONMENT"));
        const pid_t pid = ::fork();
        if (pid == 0) {
            try {
                task(step);
            } catch (const test::FakeHost::TaskEnded& ended) {
                for (const auto& text : host_.errors) std::fprintf(stderr, "%s\n", text.c_str());
                ::_exit(ended.status);
            }
            ::_exit(host_.job["GUIX_ENVIRONMENT"] == profile ? 0 : 7);
        }
        int status = -1;
        EXPECT_EQ(::waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    int run_task() {
        return run_task([](NodeStep& step) { step.start(); });
    }
};

TEST_F(ColdNode, ATaskWaitsForThePlan) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        lend(client, STDIN_FILENO);
        say(client, wire::encode_empty(wire::Type::pending));
        std::this_thread::sleep_for(300ms);
        say(client, wire::Progress{1, 2, 3, 4, "an item"}.encode());
        say(client, plan.encode());
    });
    EXPECT_EQ(run_task(), 0);
}

class WaitingNode : public ColdNode {
protected:
    // What the tasks of a node say when senvd tells for three seconds that it fetches.
    std::string said() {
        FakeSenvd senvd(settings_.socket, [](int client) {
            lend(client, STDIN_FILENO);
            say(client, wire::encode_empty(wire::Type::pending));
            for (int i = 0; i < 30; ++i) {
                std::this_thread::sleep_for(100ms);
                say(client, wire::Progress{1, 2, 3, 4096, "an item"}.encode());
            }
            say(client, plan.encode());
        });
        testing::internal::CaptureStderr();
        EXPECT_EQ(run_task([this](NodeStep& step) {
                      step.start();
                      for (const auto& text : host_.notes) std::fprintf(stderr, "%s\n", text.c_str());
                  }),
                  0);
        EXPECT_FALSE(host_.job.contains(quiet_variable));
        return testing::internal::GetCapturedStderr();
    }
};

TEST_F(WaitingNode, TellsWhatItFetchesAndHowFar) {
    EXPECT_EQ(said(), "senv: n7 fetches the environment: 1 of 2 items, 3 B of 4.0 KiB\n");
}

TEST_F(WaitingNode, LeavesThatToTheFirstNodeOfTheStep) {
    host_.step_is.nodes = 2;
    host_.step_is.node_index = 1;
    EXPECT_EQ(said(), "");
}

TEST_F(WaitingNode, SaysNothingWhenSrunIsQuiet) {
    host_.job[quiet_variable] = "yes";
    EXPECT_EQ(said(), "");
}

TEST_F(ColdNode, FailsWhenNobodyListens) {
    const auto begin = Clock::now();
    testing::internal::CaptureStderr();
    EXPECT_EQ(run_task(), 1);
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                AllOf(HasSubstr("on n7: cannot reach senvd at '" + settings_.socket + "'"), HasSubstr("start senvd")));
    EXPECT_LT(Clock::now() - begin, 20s);
}

// slurmstepd does not wait for it, and has no lease that the task could inherit.
TEST_F(ColdNode, ATaskFindsASenvdThatIsStarting) {
    const std::string file = dir_ / "lease";
    const auto lease = open_file(file, O_CREAT | O_RDONLY, 0600);
    ASSERT_THAT(lease, test::IsOk());
    FakeSenvd senvd(
        settings_.socket,
        [&](int client) {
            lend(client, lease->get());
            say(client, plan.encode());
        },
        1500ms);
    EXPECT_EQ(run_task([&](NodeStep& step) {
                  step.start();
                  if (!is_inherited(file, lease->get())) ::_exit(8);
              }),
              0);
    EXPECT_EQ(senvd.requests().size(), 1U);
}

TEST_F(ColdNode, ASlowAnswerIsAsGoodAsPending) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        lend(client, STDIN_FILENO);
        std::this_thread::sleep_for(3500ms);
        say(client, plan.encode());
    });
    EXPECT_EQ(run_task(), 0);
}

TEST_F(ColdNode, ATaskSaysWhatWentWrong) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        lend(client, STDIN_FILENO);
        say(client, wire::encode_empty(wire::Type::pending));
        say(client, wire::encode_error(Error(Kind::untrusted, "signed by nobody we know")));
    });
    testing::internal::CaptureStderr();
    EXPECT_EQ(run_task(), 1);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("on n7: signed by nobody we know"));
}

TEST_F(ColdNode, AsksAgainWhenSenvdWasRestarted) {
    int connections = 0;
    FakeSenvd senvd(settings_.socket, [&](int client) {
        if (++connections == 1) {
            lend(client, STDIN_FILENO);
            say(client, wire::encode_empty(wire::Type::pending));
        } else {
            say(client, plan.encode());
        }
    });
    EXPECT_EQ(run_task(), 0);
    const auto requests = senvd.requests();
    ASSERT_EQ(requests.size(), 2U);
    EXPECT_EQ(wire::Provision::decode(requests[1])->flags, wire::Provision::flag_progress);
}

TEST_F(ColdNode, GivesUpAtTheFetchLimit) {
    settings_.fetch_limit = 1s;
    FakeSenvd senvd(settings_.socket, [](int client) {
        lend(client, STDIN_FILENO);
        say(client, wire::encode_empty(wire::Type::pending));
        std::this_thread::sleep_for(30s);
    });
    testing::internal::CaptureStderr();
    EXPECT_EQ(run_task(), 1);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("was not fetched within 1 s"));
}

TEST_F(ColdNode, WaitsUnderAnotherNameAndDiesOfSigterm) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        lend(client, STDIN_FILENO);
        say(client, wire::encode_empty(wire::Type::pending));
        std::this_thread::sleep_for(30s);
    });
    NodeStep step(host_, settings_);
    step.prepare({});
    const pid_t task = ::fork();
    if (task == 0) {
        step.start();
        ::_exit(0);
    }
    std::string name;
    for (int i = 0; i < 1000 && name != "senv-wait\n"; ++i) {
        std::this_thread::sleep_for(10ms);
        name = read_small_file("/proc/" + std::to_string(task) + "/comm", 100).value();
    }
    EXPECT_EQ(name, "senv-wait\n");
    EXPECT_EQ(::kill(task, SIGTERM), 0);
    int status = 0;
    EXPECT_EQ(::waitpid(task, &status, 0), task);
    EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_F(ColdNode, ATaskWithoutItsSlurmstepdEnds) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        lend(client, STDIN_FILENO);
        say(client, wire::encode_empty(wire::Type::pending));
        std::this_thread::sleep_for(30s);
    });
    std::array<int, 2> pipe = {};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t slurmstepd = ::fork();
    if (slurmstepd == 0) {
        NodeStep step(host_, settings_);
        step.prepare({});
        if (::fork() == 0) {
            try {
                step.start();
            } catch (const test::FakeHost::TaskEnded&) {
                EXPECT_EQ(::write(pipe[1], "x", 1), 1);
            }
            ::_exit(0);
        }
        std::this_thread::sleep_for(200ms);
        ::_exit(0);
    }
    ::close(pipe[1]);
    ::waitpid(slurmstepd, nullptr, 0);
    const auto begin = Clock::now();
    char c = 0;
    EXPECT_EQ(::read(pipe[0], &c, 1), 1);
    EXPECT_LT(Clock::now() - begin, 10s);
    ::close(pipe[0]);
}

// There getppid() gives 0.
TEST_F(ColdNode, ATaskInAPidNamespaceOfItsOwnWaits) {
    FakeSenvd senvd(settings_.socket, [](int client) {
        lend(client, STDIN_FILENO);
        say(client, wire::encode_empty(wire::Type::pending));
        std::this_thread::sleep_for(500ms);
        say(client, plan.encode());
    });
    const pid_t slurmstepd = ::fork();
    if (slurmstepd == 0) {
        NodeStep step(host_, settings_);
        step.prepare({});
        if (::unshare(CLONE_NEWPID) != 0) ::_exit(99);
        const pid_t task = ::fork();
        if (task == 0) {
            if (::getppid() != 0) ::_exit(98);
            try {
                step.start();
            } catch (const test::FakeHost::TaskEnded& ended) {
                ::_exit(ended.status);
            }
            ::_exit(0);
        }
        int status = 0;
        ::waitpid(task, &status, 0);
        ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
    }
    int status = 0;
    ::waitpid(slurmstepd, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 99) GTEST_SKIP() << "needs the right to make a pid namespace";
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

// --- prolog

TEST_F(Node, ThePrologFetchesAhead) {
    FakeSenvd senvd(settings_.socket, [](int client) { say(client, wire::encode_empty(wire::Type::accepted)); });
    host_.own = {{"SPANK_SENV_RESOLUTION", resolved}};
    prefetch(host_, settings_);
    const auto requests = senvd.requests();
    ASSERT_EQ(requests.size(), 1U);
    const auto request = wire::Prefetch::decode(requests[0]).value();
    EXPECT_EQ(request.profile, profile);
    EXPECT_EQ(request.job, 12U);
    EXPECT_TRUE(host_.infos.empty());
}

TEST_F(Node, ThePrologNeitherFailsNorWaits) {
    const auto begin = Clock::now();
    prefetch(host_, settings_);
    EXPECT_TRUE(host_.infos.empty());
    host_.own = {{"SPANK_SENV_RESOLUTION", resolved}};
    prefetch(host_, settings_);
    host_.own = {{"SPANK_SENV_RESOLUTION", "nonsense"}};
    prefetch(host_, settings_);
    EXPECT_EQ(host_.infos.size(), 2U);
    EXPECT_TRUE(host_.errors.empty());
    EXPECT_LT(Clock::now() - begin, 10s);
}

}  // namespace
}  // namespace senv
