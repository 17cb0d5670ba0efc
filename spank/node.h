// node.h: what slurmstepd does on a compute node, once per step, and what its tasks do; and the prolog.
//
// Order    prepare() in slurmstepd, before it forks; then in each task enter() as root and start() as the user.
//          Variables are set in prepare(), for all tasks, or in start() where that has to wait, or where Resolution::keeping
//          tells more than to set them: last of all, so that what others set is looked at as well, and as the user, whose
//          regular expression it is.
// Joins    A step that srun --jobid started outside the job is in the profile that another step of the job has on this node,
//          entered as that step entered it. Where none has, or senvd does not say, it is a step without an environment.
// Leaves   With "none" for a resolution, and where it joins a plain job. Inside, but without a resolution, is an error; so is an
//          option that names an environment where nobody resolved it, but for an absolute --env-profile=/gnu/store/….
// Errors   None leaves a callback: on 22.05 what fails in slurmstepd drains the node in batch steps and lets srun exit 0.
//          The first error is kept until start(), where one task of the node tells the user and all end with status 1,
//          also where plugstack.conf says `optional`.
// Lease    Its descriptor is open in slurmstepd and, not being close-on-exec, in every process of the step. When senvd did
//          not listen in prepare(), each task takes a lease of its own.
// Waits    prepare(): 3 s at most. enter(): 10 s at most. start(): until senvd has the closure, at most
//          Settings::fetch_limit; under the process name `waiting_name`, because proctrack/linuxproc signals nothing that
//          is called slurmstepd, and only as long as slurmstepd lives.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "cache/base/fd.h"
#include "cache/wire/client.h"
#include "cache/wire/messages.h"
#include "provisioner/resolution.h"
#include "spank/host.h"
#include "spank/options.h"
#include "spank/siblings.h"

namespace senv {

inline constexpr const char* waiting_name = "senv-wait";

/// Says to senvd what the job will need. Does not wait for it, and does not fail.
void prefetch(Host& host, const Result<Settings>& settings);

class NodeStep {
public:
    NodeStep(Host& host, Result<Settings> settings) : host_(host), settings_(std::move(settings)) {}

    /// `forwarded`: the options that Slurm carried here, as they were given.
    void prepare(const Forwarded& forwarded);
    void enter();
    void start();

private:
    Result<void> prepare_or_fail(const Forwarded& forwarded);
    Result<std::optional<std::string>> resolution_in(const Environment& job, const Forwarded& forwarded);
    Result<std::optional<std::string>> joined(const std::string& how);
    Result<void> leave(const Environment& job);
    Result<void> refuse(const Error& error);
    Result<std::string> what_the_job_holds() const;
    Result<void> ask();
    wire::Provision request() const;
    Result<void> take_answer(wire::Connection connection, Deadline deadline);
    Result<void> accept(wire::Plan plan);
    Result<void> apply_for_all();
    Result<void> apply(const wire::Plan& plan);
    Result<void> carry_out(Entering entering);
    Surroundings surroundings() const;
    Result<void> make_room_for_pmix();
    Result<void> wait();
    Result<wire::Plan> read_plan();
    Result<wire::Connection> ask_again();
    Result<void> may_wait() const;
    void tell(const wire::Progress& progress);
    void tell_unknown();
    void tell_foreign();
    void tell_times();
    void log_start(const Result<void>& asked);
    void check_command();
    void fail(const Error& error);
    void say(const std::string& what, const Error& error);

    Host& host_;
    Result<Settings> settings_;
    Step step_;
    std::optional<Resolution> resolution_;
    std::optional<Siblings> siblings_;
    std::optional<Error> error_;
    std::optional<Error> unknown_;    // why it is not known what a joined job is in
    bool requested_ = false;          // an environment was asked for, perhaps one that cannot be read
    bool names_command_ = false;      // the command is a name as the user wrote it
    bool is_quiet_ = false;           // srun was told so
    bool is_verbose_ = false;         // the same
    bool has_task_prolog_ = false;    // of srun
    bool tasks_wait_ = false;         // senvd did not listen, or is fetching
    std::optional<wire::Plan> plan_;  // what is still to be applied
    Entering entering_;               // what applying it did
    Environment submitted_;           // variables that may lead out of the environment, as they were submitted
    uid_t senvd_uid_ = 0;
    pid_t slurmstepd_ = 0;
    Fd slurmstepd_lives_;  // a pidfd; none before Linux 5.3
    Fd lease_;
    wire::Connection pending_{Fd()};           // where senvd's answer is to come
    std::optional<Clock::duration> mounting_;  // what it took; in the task that did it
    Deadline begun_;
    Deadline ready_;
    Deadline deadline_;
    Deadline next_word_;
};

}  // namespace senv
