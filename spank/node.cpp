#include "spank/node.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <thread>

#include "cache/base/memory.h"
#include "cache/base/text.h"
#include "provisioner/command.h"
#include "provisioner/environment.h"
#include "provisioner/mount.h"
#include "provisioner/ownership.h"
#include "spank/submit.h"

namespace senv {

namespace {

using namespace std::chrono_literals;

constexpr auto answer_limit = 3s;  // for senvd's first word, in slurmstepd
constexpr auto prolog_limit = 1s;
constexpr auto restart_limit = 4s;  // how long tasks look for a senvd that does not listen: it may be restarting
constexpr auto outage_limit = 60s;  // the same once it has answered
constexpr auto namespace_limit = 10s;
constexpr auto look_up = 200ms;  // how often a waiting task looks whether it still should
constexpr auto hearing = 1s;     // what srun gets to show a message: it drops what is under way when the step is ended
constexpr auto turn = 3s;  // what a node leaves the ones before it to end the step first: `hearing`, and Slurm's way
constexpr std::uint32_t max_turns = 4;
// When a node says what its tasks wait for, and how often: the first node of a step; the others, where it takes long.
struct Words {
    std::chrono::seconds first;
    std::chrono::seconds every;
};
constexpr Words words_of_first_node{2s, 10s};
constexpr Words words_of_others{30s, 60s};
constexpr auto pmix_margin = 300s;  // PMIx's own default, on top of the fetch
constexpr const char* pmix_timeout = "SLURM_PMIX_TIMEOUT";

// While it lives, this process has another name. From then on, signals end it.
class WaitingName {
public:
    WaitingName() {
        // Slurm 24.11 to 26.05.1: slurmstepd's own handlers survive in a task, where they do nothing: scancel would not end it.
        for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) {
            if (::signal(signal, SIG_DFL) == SIG_IGN) ::signal(signal, SIG_IGN);
        }
        ::prctl(PR_GET_NAME, name_.data());
        ::prctl(PR_SET_NAME, waiting_name);
    }
    ~WaitingName() { ::prctl(PR_SET_NAME, name_.data()); }
    WaitingName(const WaitingName&) = delete;
    WaitingName& operator=(const WaitingName&) = delete;

private:
    std::array<char, 16> name_ = {};
};

std::string shown(const std::vector<ChannelCommit>& channels) {
    std::vector<std::string> parts;
    for (const auto& channel : channels) parts.push_back(channel.name + "@" + channel.commit);
    return join(parts, ",");
}

std::string shown(const Step& step) {
    switch (step.kind) {
        case StepKind::batch: return "batch";
        case StepKind::interactive: return "interactive";
        case StepKind::external: return "extern";
        case StepKind::normal: break;
    }
    return std::to_string(step.step);
}

// What sbatch and srun hid from nodes without this plugin (submit.h). Only a decoy is replaced: with --export=NONE the
// node has made a PATH of its own.
Result<void> restore_hidden(Host& host) {
    for (const auto& hidden : hidden_variables) {
        const auto kept = host.job_variable(hidden.kept);
        if (host.job_variable(hidden.name) == hidden.decoy) SENV_TRY(host.change({hidden.name, kept}));
        if (kept) SENV_TRY(host.change({hidden.kept, std::nullopt}));
    }
    return {};
}

// What Slurm carried to the node, of a job that was submitted where nothing resolved it (slurmrestd, a host without this
// plugin). nullopt: no environment. A store path is as good as resolved.
Result<std::optional<std::string>> request_in(const Forwarded& forwarded) {
    const auto value = [&](Option option) -> const std::optional<std::string>& {
        return forwarded[static_cast<std::size_t>(option)];
    };
    const auto is_said = [&](std::size_t i) { return forwarded[i] && *forwarded[i] != no_value; };
    std::vector<std::string> names;
    bool has_more = false;  // than a profile
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        const Role role = option_texts[i].role;
        if (!is_said(i) || (role != Role::names && role != Role::details)) continue;
        if (role == Role::names) names.push_back(std::string("--") + option_texts[i].name);
        has_more = has_more || Option{static_cast<unsigned char>(i)} != Option::profile;
    }
    if (names.empty()) return std::optional<std::string>();
    const auto profile = StorePath::parse_absolute(value(Option::profile).value_or(""));
    if (has_more || !profile) {
        return Error(Kind::usage, "nothing resolved " + join(names, " and ") + " when the job was submitted")
            .hint(
                "submit it where senv's plugin is installed, give --env-profile=/gnu/store/..., or put the line that "
                "`senv resolve --for-slurm` prints into " +
                std::string(resolution_variable) + " of the job's environment");
    }
    Resolution resolution{*profile, {}, {}, "node:--env-profile"};
    resolution.keeping.pure = is_said(static_cast<std::size_t>(Option::pure));
    if (is_said(static_cast<std::size_t>(Option::preserve))) resolution.keeping.preserve = *value(Option::preserve);
    return std::optional(resolution.encode());
}

// Whether there was one.
bool take_mark_off(Host& host) {
    const auto command = host.command();
    if (!command.starts_with(absent_mark)) return false;
    host.set_command(command.substr(absent_mark.size()));
    return true;
}

}  // namespace

void prefetch(Host& host, const Result<Settings>& settings) {
    const auto text = host.own_variable((std::string("SPANK_") + job_control_resolution).c_str());
    if (!text) return;
    const auto asked = [&]() -> Result<void> {
        if (!settings) return settings.error();
        const auto resolution = SENV_TRY(Resolution::parse(*text));
        const Step job = SENV_TRY(host.prolog_job());
        const auto deadline = Clock::now() + prolog_limit;
        const auto uid = SENV_TRY(settings->senvd_uid());
        auto connection = SENV_TRY(wire::Connection::open(settings->socket, uid, deadline));
        SENV_TRY(connection.send(wire::Prefetch{resolution.profile.absolute(), job.uid, job.job}.encode(), deadline));
        // senvd forgets nothing when we hang up, but it has to have read the request first.
        const auto reply = SENV_TRY(connection.receive(deadline));
        if (reply.type == wire::Type::error) return wire::decode_error(reply.payload);
        return {};
    }();
    if (!asked) host.info("senv: cannot fetch ahead of the job: " + asked.error().what());
}

void NodeStep::prepare(const Forwarded& forwarded) {
    const Result<void> asked = contained([&] { return prepare_or_fail(forwarded); });
    if (!asked) error_ = asked.error();
    if (requested_ || error_) log_start(asked);
    // Slurm zeroes 256 KiB for each variable that is set. Left on the heap, these pages are copied in every task, which is
    // forked now and writes to them first of all.
    if (requested_) give_memory_back();
}

Result<void> NodeStep::prepare_or_fail(const Forwarded& forwarded) {
    names_command_ = take_mark_off(host_) || host_.job_variable(command_variable);
    const auto inherited = host_.job_variable(resolution_variable);
    requested_ = inherited && inherited != leaving;
    step_ = SENV_TRY(host_.step());
    if (step_.kind == StepKind::external) {
        requested_ = false;
        return {};
    }
    SENV_TRY(restore_hidden(host_));
    const Environment job = host_.job_environment();
    const auto text = SENV_TRY(resolution_in(job, forwarded));
    has_task_prolog_ = job.contains(task_prolog_variable);
    is_quiet_ = job.contains(quiet_variable);
    is_verbose_ = job.contains(verbose_variable);
    for (const char* name : {job_control_copy, joining_variable, command_variable, quiet_variable, verbose_variable,
                             task_prolog_variable}) {
        if (job.contains(name)) SENV_TRY(host_.change({name, std::nullopt}));
    }
    if (!text) return leave(job);
    requested_ = true;
    SENV_TRY(host_.change({resolution_variable, *text}));
    siblings_ = SENV_TRY(Siblings::make());
    resolution_ = SENV_TRY(Resolution::parse(*text));
    if (value_of(job, joining_variable) == "error") {
        return Error(Kind::usage, "--env-passthrough=error forbids to inherit it");
    }
    if (!settings_) return settings_.error();
    for (const auto& [name, value] : job) {
        if (foreign_variable(name) != nullptr) submitted_.emplace(name, value);
    }
    SENV_TRY(ask());
    return apply_for_all();
}

// A plain job changes nothing, and neither does this.
Result<void> NodeStep::leave(const Environment& job) {
    if (job.contains(resolution_variable) || job.contains(joining_variable)) {
        siblings_ = SENV_TRY(Siblings::make());
        const std::string_view commands =
            settings_ ? std::string_view(settings_->slurm_commands) : default_slurm_commands;
        for (const auto& change : SENV_TRY(changes_to_leave(job, commands))) SENV_TRY(host_.change(change));
    }
    if (job.contains(resolution_variable)) SENV_TRY(host_.change({resolution_variable, std::nullopt}));
    return {};
}

// What would be an environment on the submit host, and is none that a node can enter: an error of the step.
Result<void> NodeStep::refuse(const Error& error) {
    requested_ = true;
    siblings_ = SENV_TRY(Siblings::make());
    return error;
}

Result<std::optional<std::string>> NodeStep::resolution_in(const Environment& job, const Forwarded& forwarded) {
    std::optional<std::string> none;
    const auto said = job.find(resolution_variable);
    if (said != job.end()) return said->second == leaving ? none : said->second;
    // sbatch --export-file drops every variable but what Slurm itself carries.
    if (const auto copy = job.find(job_control_copy); step_.kind == StepKind::batch && copy != job.end()) {
        return std::optional(copy->second);
    }
    if (const auto how = job.find(joining_variable); how != job.end()) return joined(how->second);
    if (const auto profile = profile_inside(job)) {
        const std::string named = profile->empty() ? "an environment" : printable(*profile);
        SENV_TRY(refuse(Error(Kind::usage, "the step is inside " + named + ", but " + resolution_variable +
                                               " is not set, so nothing tells what it is to have")
                            .hint("name it with --env-profile, or leave it behind with --env-passthrough=ignore")));
    }
    const auto asked = request_in(forwarded);
    if (!asked) return refuse(asked.error()).error();
    return *asked;
}

// What srun does not know of the job that it joins from outside, this node may.
Result<std::optional<std::string>> NodeStep::joined(const std::string& how) {
    const auto held = what_the_job_holds();
    if (held && !held->empty()) return std::optional(*held);
    Error unknown = held ? Error(Kind::missing, "no step of the job is in one here") : held.error();
    if (how == joining_must) {
        return refuse(Error(unknown).hint("name the job's environment, with --env-lock or --env-profile")).error();
    }
    if (!held || how == joining_tell) unknown_ = std::move(unknown);
    return std::optional<std::string>();
}

Result<std::string> NodeStep::what_the_job_holds() const {
    if (!settings_) return settings_.error();
    const auto deadline = Clock::now() + answer_limit;
    auto connection = SENV_TRY(wire::Connection::open(settings_->socket, SENV_TRY(settings_->senvd_uid()), deadline));
    SENV_TRY(connection.send(wire::Held{step_.uid, step_.job}.encode(), deadline));
    const auto reply = SENV_TRY(connection.receive(deadline));
    if (reply.type == wire::Type::error) return wire::decode_error(reply.payload);
    const auto held = SENV_TRY(wire::decode_text(reply.payload));
    if (held.empty()) return held;
    auto resolution = SENV_TRY(Resolution::parse("1 " + held));
    resolution.source = "job:--jobid";
    return resolution.encode();
}

Result<void> NodeStep::ask() {
    slurmstepd_ = ::getpid();
    // Its parent's number says nothing to a task in another pid namespace.
    slurmstepd_lives_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, slurmstepd_, 0)));
    const auto now = Clock::now();
    begun_ = now;
    deadline_ = now + settings_->fetch_limit;
    senvd_uid_ = SENV_TRY(settings_->senvd_uid());
    SENV_TRY(make_room_for_pmix());
    auto connection = wire::Connection::open(settings_->socket, senvd_uid_, now + answer_limit);
    if (!connection && connection.error().kind() == Kind::missing) {
        // It may be restarting. The tasks look for it: what waits here holds up PMIx's server, and with it other nodes.
        tasks_wait_ = true;
        return {};
    }
    if (!connection) return connection.error();
    SENV_TRY(connection->send(request().encode(), now + answer_limit));
    return take_answer(*std::move(connection), now + answer_limit);
}

// Asks for a lease as long as there is none: senvd may have answered before it was restarted.
wire::Provision NodeStep::request() const {
    return {resolution_->profile.absolute(),
            step_.uid,
            step_.job,
            step_.step,
            wire::Provision::flag_progress | (lease_ ? 0U : wire::Provision::flag_lease),
            resolution_->details()};
}

Result<void> NodeStep::take_answer(wire::Connection connection, Deadline deadline) {
    for (;;) {
        // Once the lease is here, an answer that takes its time is as good as one that says PENDING.
        if (lease_ && !wire::wait_for(connection.fd(), POLLIN, deadline)) break;
        const auto frame = SENV_TRY(connection.receive(deadline));
        if (frame.type == wire::Type::lease && frame.fd) {
            lease_ = SENV_TRY(inheritable(frame.fd));
        } else if (frame.type == wire::Type::plan) {
            return accept(SENV_TRY(wire::Plan::decode(frame.payload)));
        } else if (frame.type == wire::Type::error) {
            return wire::decode_error(frame.payload);
        } else if (frame.type == wire::Type::pending && lease_) {
            break;
        } else if (frame.type != wire::Type::progress) {
            return Error(Kind::corrupt, "senvd answered with a frame that has no place here");
        }
    }
    pending_ = std::move(connection);
    tasks_wait_ = true;
    return {};
}

Result<void> NodeStep::accept(wire::Plan plan) {
    if (plan.profile != resolution_->profile.absolute()) {
        return Error(Kind::corrupt, "senvd answered for another profile than " + resolution_->profile.absolute());
    }
    ready_ = Clock::now();
    plan_ = std::move(plan);
    return {};
}

// In slurmstepd, for all tasks. Root neither runs the user's regular expression nor looks at folders that a user names,
// which may hang: where either is needed, the tasks apply the plan.
Result<void> NodeStep::apply_for_all() {
    if (!plan_ || resolution_->keeping != Keeping()) return {};
    bool asks = false;
    Surroundings around = surroundings();
    around.is_users = [&asks](const std::string&) {
        asks = true;
        return false;
    };
    auto entering = SENV_TRY(changes_to_enter(*plan_, host_.job_environment(), {}, around));
    if (asks) return {};
    plan_.reset();
    return carry_out(std::move(entering));
}

Surroundings NodeStep::surroundings() const {
    Surroundings around;
    for (const char* name : {"HOME", "SLURM_SUBMIT_DIR"}) around.add_own(host_.job_variable(name).value_or(""));
    around.submitted = submitted_;
    return around;
}

Result<void> NodeStep::apply(const wire::Plan& plan) {
    const auto& [pure, preserve] = resolution_->keeping;
    const auto manner =
        SENV_TRY(Manner::make(pure, settings_->slurm_commands, preserve).in("cannot use --env-preserve"));
    Surroundings around = surroundings();
    around.add_own(host_.working_folder());
    around.is_users = is_users_own;
    return carry_out(SENV_TRY(changes_to_enter(plan, host_.job_environment(), manner, around)));
}

Result<void> NodeStep::carry_out(Entering entering) {
    for (const auto& change : entering.changes) SENV_TRY(host_.change(change));
    entering_ = std::move(entering);
    return {};
}

// Ranks on a node that has everything wait in MPI_Init for those on a node that still fetches. PMIx's server, which starts
// in slurmstepd after this, gives up on them after this time. Ranks of one node wait for nobody else's.
Result<void> NodeStep::make_room_for_pmix() {
    if (step_.nodes < 2 || host_.job_variable(pmix_timeout)) return {};
    return host_.change({pmix_timeout, std::to_string((settings_->fetch_limit + pmix_margin).count())});
}

void NodeStep::log_start(const Result<void>& asked) {
    std::string line =
        "senv: job=" + std::to_string(step_.job) + " step=" + shown(step_) + " uid=" + std::to_string(step_.uid);
    if (resolution_) {
        line += " profile=" + resolution_->profile.absolute() + " channels=" + shown(resolution_->channels) +
                " lock=" + (resolution_->lock_digest.empty() ? "none" : resolution_->lock_digest) +
                " from=" + resolution_->source;
    }
    if (!asked) line += " error=\"" + printable(asked.error().what(), 1000) + "\"";
    host_.info(line);
}

void NodeStep::enter() {
    if (!resolution_ || !siblings_ || error_) return;
    const StoreMount mount{settings_->store, "/gnu/store", senvd_uid_};
    const auto enter_first = [&] {
        const auto begin = Clock::now();
        Result<Fd> made = enter_new_namespace(mount);
        mounting_ = Clock::now() - begin;
        return made;
    };
    const Result<void> entered =
        contained([&] { return siblings_->enter(enter_first, join_namespace, namespace_limit); });
    if (!entered) error_ = entered.error();
}

void NodeStep::start() {
    if (!requested_ && !error_) return tell_unknown();
    if (!error_ && tasks_wait_) {
        const WaitingName name;
        if (auto waited = wait(); !waited) error_ = std::move(waited).error();
        pending_ = wire::Connection(Fd());
    }
    if (!error_ && plan_) {
        const WaitingName name;  // a great many variables take Slurm their time
        if (auto applied = contained([this] { return apply(*plan_); }); !applied) error_ = std::move(applied).error();
    }
    if (!error_) {
        if (auto executed = check_machine(resolution_->profile.absolute()); !executed)
            error_ = std::move(executed).error();
    }
    if (error_) fail(*error_);
    tell_foreign();
    tell_times();
    check_command();
}

void NodeStep::tell_unknown() {
    if (!unknown_ || !siblings_ || !siblings_->first_to_speak()) return;
    host_.note("senv: cannot tell what the job is in on " + host_.node_name() +
               ", so this step is in no environment: " + unknown_->what());
}

void NodeStep::tell_foreign() {
    if (is_quiet_ || step_.node_index != 0 || (entering_.dropped.empty() && entering_.staying.empty())) return;
    if (!siblings_->first_to_notice()) return;
    if (!entering_.dropped.empty()) {
        host_.note("senv: dropped " + shown(entering_.dropped) +
                   ", which led out of the environment; keep it with --env-preserve='" +
                   pattern_that_keeps(entering_.dropped) + "'");
    }
    if (is_verbose_ && !entering_.staying.empty()) {
        host_.note("senv: kept " + shown(entering_.staying) + ", which comes before the environment's own");
    }
}

void NodeStep::tell_times() {
    if (!is_verbose_ || !mounting_) return;
    const auto shown = [](Clock::duration time) {
        return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
    };
    host_.note("senv: " + host_.node_name() +
               (tasks_wait_ ? " fetched the environment in " + shown(ready_ - begun_) : " has the environment") +
               ", entered it in " + shown(*mounting_));
}

// Slurm would say "execve(): NAME: No such file or directory", from every task.
void NodeStep::check_command() {
    if (!names_command_) return;
    const auto command = host_.command();
    const auto path = host_.job_variable("PATH").value_or("");
    if (can_be_found(command, path)) return;
    // A TaskProlog may change PATH. So many tasks must not ask slurmctld about it at once.
    if (has_task_prolog_ || siblings_->agree([this] { return host_.site_has_task_prolog(); })) return;
    const WaitingName name;
    if (siblings_->first_to_speak()) {
        Error error(Kind::missing, "it is not in this environment");
        const auto close = close_commands(command, path, resolution_->profile.absolute());
        if (!close.empty()) error = std::move(error).hint("did you mean " + join(close, " or ") + "?");
        say("cannot run '" + printable(command) + "' on " + host_.node_name(), error);
    }
    host_.end_task(ENOENT);  // as Slurm does
}

Result<void> NodeStep::wait() {
    SENV_TRY(accept(SENV_TRY(siblings_->share([this] { return read_plan(); }, [this] { return may_wait(); }))));
    if (lease_) return {};
    // slurmstepd got none to inherit, so each task takes its own.
    pending_ = SENV_TRY(ask_again());
    const Deadline deadline = Clock::now() + answer_limit;
    while (!lease_) {
        const auto frame = SENV_TRY(pending_.receive(deadline));
        if (frame.type == wire::Type::lease && frame.fd) lease_ = SENV_TRY(inheritable(frame.fd));
        if (frame.type == wire::Type::error) return wire::decode_error(frame.payload);
    }
    return {};
}

Result<void> NodeStep::may_wait() const {
    struct pollfd slurmstepd = {slurmstepd_lives_.get(), POLLIN, 0};  // readable once it has ended
    const bool is_gone = slurmstepd_lives_ ? ::poll(&slurmstepd, 1, 0) > 0 : ::getppid() != slurmstepd_;
    if (is_gone) return Error(Kind::busy, "slurmstepd is gone");
    if (Clock::now() >= deadline_) {
        return Error(Kind::busy,
                     "the environment was not fetched within " + std::to_string(settings_->fetch_limit.count()) + " s")
            .hint("look into senvd's log on this node; fetch_limit= in plugstack.conf is the limit");
    }
    return {};
}

Result<wire::Plan> NodeStep::read_plan() {
    for (;;) {
        SENV_TRY(may_wait());
        if (pending_.fd() < 0) pending_ = SENV_TRY(ask_again());
        if (const auto readable = wire::wait_for(pending_.fd(), POLLIN, Clock::now() + look_up); !readable) {
            if (readable.error().kind() == Kind::busy) continue;
            return readable.error();
        }
        const auto frame = pending_.receive(Clock::now() + answer_limit);
        if (!frame && frame.error().kind() == Kind::io) {
            pending_ = wire::Connection(Fd());
            std::this_thread::sleep_for(look_up);
            continue;
        }
        if (!frame) return frame.error();
        if (frame->type == wire::Type::lease && frame->fd) lease_ = SENV_TRY(inheritable(frame->fd));
        if (frame->type == wire::Type::progress) tell(SENV_TRY(wire::Progress::decode(frame->payload)));
        if (frame->type == wire::Type::plan) return wire::Plan::decode(frame->payload);
        if (frame->type == wire::Type::error) return wire::decode_error(frame->payload);
    }
}

void NodeStep::tell(const wire::Progress& progress) {
    const auto now = Clock::now();
    const auto& words = step_.node_index == 0 ? words_of_first_node : words_of_others;
    if (is_quiet_ || now < begun_ + words.first || now < next_word_) return;
    next_word_ = now + words.every;
    const std::string doing = "senv: " + host_.node_name() + " fetches the environment: ";
    if (progress.bytes_total == 0) return host_.note(doing + "asks the servers what it takes");
    host_.note(doing + std::to_string(progress.items_done) + " of " + std::to_string(progress.items_total) +
               (progress.items_total == 1 ? " item, " : " items, ") + human_bytes(progress.bytes_done) + " of " +
               human_bytes(progress.bytes_total));
}

// senvd did not listen yet, or was restarted in the middle. A lease of before still holds: it is a lock on a file that
// the new one finds.
Result<wire::Connection> NodeStep::ask_again() {
    const Deadline patience = Clock::now() + (lease_ ? Clock::duration(outage_limit) : Clock::duration(restart_limit));
    for (;;) {
        SENV_TRY(may_wait());
        auto connection = wire::Connection::open(settings_->socket, senvd_uid_, Clock::now() + answer_limit);
        if (!connection && connection.error().kind() == Kind::missing && Clock::now() < patience) {
            std::this_thread::sleep_for(look_up);
            continue;
        }
        if (!connection) return connection;
        SENV_TRY(connection->send(request().encode(), Clock::now() + answer_limit));
        return connection;
    }
}

void NodeStep::say(const std::string& what, const Error& error) {
    host_.error("senv: " + what + ": " + error.what());
    if (!error.hint().empty()) host_.error("senv: hint: " + error.hint());
}

void NodeStep::fail(const Error& error) {
    const WaitingName name;
    if (!siblings_ || siblings_->first_to_speak()) {
        const bool is_shared = step_.kind == StepKind::normal && step_.nodes > 1;
        // When the cause is the same everywhere, the first node tells it and ends the step before others come to speak.
        if (is_shared) std::this_thread::sleep_for(std::min(step_.node_index, max_turns) * turn);
        const std::string source = resolution_ ? resolution_->source : "";
        const auto colon = source.find(':');
        const std::string what =
            colon == std::string::npos ? "the job's environment" : "the environment of " + source.substr(colon + 1);
        say((requested_ ? "cannot enter " : "cannot leave ") + what + " on " + host_.node_name(), error);
        // Ranks on other nodes would wait for this one's for ever: srun lets them, unless KillOnBadExit is set.
        if (is_shared) {
            std::this_thread::sleep_for(hearing);
            host_.end_step(step_);
        }
    }
    host_.end_task(1);
}

}  // namespace senv
