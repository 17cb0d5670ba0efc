// host.h: what Slurm is to this plugin. slurm_host.cpp asks Slurm; tests have one of their own.
//
// Errors     Slurm's refusals become Errors of kind bug: each call names the callbacks it is valid in.
// Ownership  Texts are copied; nothing points into Slurm's memory afterwards.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cache/base/result.h"
#include "provisioner/environment.h"

namespace senv {

/// Which of Slurm's programs loaded the plugin.
enum class Program : unsigned char { srun, sbatch, salloc, slurmstepd, prolog, other };

enum class StepKind : unsigned char { normal, batch, interactive, external };

struct Step {
    std::uint32_t job = 0;
    std::uint32_t step = 0;
    uid_t uid = 0;
    StepKind kind = StepKind::normal;
    std::uint32_t nodes = 1;       // of the step
    std::uint32_t node_index = 0;  // of this node among them, from 0
};

/// How a job was submitted, and when it can have been: in seconds since 1970. Of a job that was requeued Slurm knows only the latest time.
struct Submission {
    std::int64_t earliest = 0;
    std::int64_t latest = 0;
    bool has_script = true;  // it is a job of sbatch
};

class Host {
public:
    Host() = default;
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;
    virtual ~Host() = default;

    virtual Program program() const = 0;
    virtual uid_t real_user() const = 0;
    virtual uid_t effective_user() const = 0;

    // --- the process's own environment: in srun, sbatch and salloc what the job inherits, in a prolog Slurm's SPANK_*
    virtual std::optional<std::string> own_variable(const char* name) const = 0;
    /// The names of those that begin with `begin`.
    virtual std::vector<std::string> own_names(std::string_view begin) const = 0;
    virtual void set_own_variable(const char* name, const std::string& value) = 0;
    virtual void unset_own_variable(const char* name) = 0;

    // --- srun, sbatch, salloc
    /// The words of the command line, program and script's arguments included.
    virtual std::vector<std::string> command_line() const = 0;
    /// Its words up to script or command: the options and their values. Valid in init_post_opt.
    virtual std::vector<std::string> option_words() const = 0;
    /// On a node that of the task.
    virtual std::string working_folder() const = 0;
    /// Whether a person types at stdin.
    virtual bool is_interactive() const = 0;
    /// Whether the site starts salloc's shell on the first node, as a step (LaunchParameters=use_interactive_step).
    virtual bool starts_shell_on_node() const = 0;
    /// The cluster that the job goes to.
    virtual std::string cluster() const = 0;
    /// Who owns the folder /gnu/store here, as far as there is one.
    virtual std::optional<uid_t> owner_of_store() const = 0;
    /// Asks slurmctld.
    virtual Result<Submission> submission_of(std::uint32_t job) const = 0;
    /// A variable that slurmctld keeps with the job: a prolog on the node sees it as SPANK_NAME. Also without effect
    /// where Slurm offers none (srun --no-allocate).
    virtual void set_job_control(const char* name, const std::string& value) = 0;
    virtual void unset_job_control(const char* name) = 0;

    // --- slurmstepd, and srun's local_user_init
    /// The number of srun's step. Only in local_user_init.
    virtual std::optional<std::uint32_t> step_number() const = 0;
    /// What is to be executed: the first word of the command. Empty when there is none.
    virtual std::string command() const = 0;
    virtual void set_command(const std::string& command) = 0;
    /// Whether a debugger that knows MPIR started srun: it reads the command from srun's memory.
    virtual bool is_debugged() const = 0;

    // --- slurmstepd
    virtual Result<Step> step() const = 0;
    /// In a prolog: job and uid only.
    virtual Result<Step> prolog_job() const = 0;
    virtual Environment job_environment() const = 0;
    /// One variable of it, found without copying the others: what a task does is done as often as there are tasks.
    virtual std::optional<std::string> job_variable(std::string_view name) const = 0;
    /// Before the tasks are forked for all of them, in a task for that one.
    virtual Result<void> change(const Change& change) = 0;
    virtual std::string node_name() const = 0;
    /// Whether the site lets a TaskProlog run between task_init and the command; also when slurmctld, which is asked, does
    /// not say. Only in task_init.
    virtual bool site_has_task_prolog() const = 0;
    /// Ends the step on all its nodes, by asking slurmctld. Only in task_init.
    virtual void end_step(const Step& step) = 0;
    /// Ends this task, whatever plugstack.conf says of failing plugins. Only in task_init.
    [[noreturn]] virtual void end_task(int status) = 0;

    // --- everywhere. On the submit host and in a task the user reads it, elsewhere slurmd's log gets it.
    virtual void error(const std::string& text) = 0;
    virtual void info(const std::string& text) = 0;
    /// As it is, without Slurm's name in front. In a task only.
    virtual void note(const std::string& text) = 0;
};

}  // namespace senv
