// submit.h: what srun, sbatch and salloc do. Every mistake of a user is found here, before there is a job.
//
// In       Of each option counts, in this order: the command line, the variable (SLURM_ENV_…), the #SBATCH lines. All values in the
//          place that counts are taken together, those in weaker ones are not looked at (together() in options.h). A step of a
//          job that has an environment looks at no variable but SLURM_ENV_PASSTHROUGH: they may have leaked in from the
//          shell that submitted it. Slurm's own variables for options of plugins count nowhere. A lock or a profile and what
//          cannot stand beside it: what is named in the weaker place gives way.
// Out      With an environment, the process's own environment (the job's, later) holds
//            SLURM_SENV_RESOLUTION   what steps inherit and nodes enter (provisioner/resolution.h)
//          and Slurm's copies of the option values are gone: a nested srun inherits the result, not the request.
//          The same text goes to prologs as SPANK_SENV_RESOLUTION.
//          "none" there says that the job leaves the environment: the node takes it out. Inside an environment (profile_inside()
//          in environment.h, or senv's mount at /gnu/store) one of the two has to be there: its absence is an error.
//          srun --jobid from outside the job cannot know: SLURM_SENV_JOINS makes the node ask senvd what the job is in.
// Root     Resolves nothing that may be code: --env-lock and --env-profile=/gnu/store/... only.
// Marks    A node without the plugin must not run the command on the host's software. srun puts `absent_mark` in front
//          of the command, which the plugin on the node takes off. Batch scripts cannot be marked: sbatch, and srun
//          --multi-prog, --bcast and --async, export a PATH with nothing in it instead, and a BASH_ENV at which bash stops; the real ones
//          are in SLURM_SENV_PATH and SLURM_SENV_BASH_ENV. What that does not catch: batch scripts under sbatch
//          --export=NONE or a list (there the node makes PATH); shell built-ins of scripts that are not bash's; programs
//          that a script or a --multi-prog file names by an absolute path, and the copy that --bcast makes.
// Errors   With the text for the user. Outcome::refused when `senv` has printed the cause itself.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "spank/host.h"
#include "spank/options.h"

namespace senv {

inline constexpr const char* quiet_variable = "SLURM_SENV_QUIET";              // srun was told so
inline constexpr const char* verbose_variable = "SLURM_SENV_VERBOSE";          // the same, of -v
inline constexpr const char* task_prolog_variable = "SLURM_SENV_TASK_PROLOG";  // srun has a --task-prolog of its own
inline constexpr std::string_view absent_mark = "/senv-is-not-installed-on-this-node/";
inline constexpr const char* command_variable =
    "SLURM_SENV_COMMAND";  // the command has no mark, and is a name all the same
inline constexpr const char* joining_variable = "SLURM_SENV_JOINS";  // "use" or "error", as --env-passthrough
inline constexpr const char* joining_must = "must";  // as "use"; the job has an environment: to find none is an error
inline constexpr const char* joining_tell = "tell";  // as "use"; no script holds one: to find none is told
inline constexpr const char* job_control_resolution = "SENV_RESOLUTION";
inline constexpr const char* job_control_copy = "SLURM_SPANK_SENV_RESOLUTION";  // as jobs see it

/// A variable that sbatch, and srun --multi-prog, --bcast and --async, hide from nodes without the plugin.
struct Hidden {
    const char* name;
    const char* kept;   // where its value is meanwhile
    const char* decoy;  // what it says meanwhile
};
inline constexpr std::array<Hidden, 2> hidden_variables = {{
    {"PATH", "SLURM_SENV_PATH", "/senv-is-not-installed-on-this-node"},
    {"BASH_ENV", "SLURM_SENV_BASH_ENV",
     "$(echo 'senv: cannot start this job: senv is not installed on this node; ask the administrator to install it' "
     ">&2; "
     "kill $$)"},
}};

/// What Slurm read from #SBATCH lines and then from the command line, each value having passed check_value().
class Given {
public:
    struct Value {
        std::string text;
        Place place = Place::nowhere;  // nowhere: of a flag that stands alone, which does not tell
    };

    void add(Option option, Value value);
    /// What is added from now on is of the next component of a heterogeneous job: of each option, it replaces what
    /// there was.
    void next_component() {
        is_earlier_.fill(true);
        is_first_ = false;
    }
    bool is_of_first_component() const { return is_first_; }
    std::span<const Value> operator[](Option option) const { return values_[static_cast<std::size_t>(option)]; }

private:
    std::array<std::vector<Value>, option_texts.size()> values_;
    std::array<bool, option_texts.size()> is_earlier_ = {};
    bool is_first_ = true;
};

/// Whether this command makes a job, rather than a step of one that is there. Valid from init_post_opt until the job is made.
bool makes_a_job(const Host& host);

/// init, before Slurm reads any option: forgets values that Slurm itself would carry into every nested command.
void before_options(Host& host);

enum class Outcome : unsigned char {
    plain,
    environment,
    joining,  // srun --jobid: what the job is in, the node finds out
    refused,
};

/// init_post_opt: resolves what was asked for, or takes over what the job has.
Result<Outcome> after_options(Host& host, const Result<Settings>& settings, const Given& given);

/// After each component of a heterogeneous job ("srun A : B"), which come one after another in one process: usage, unless it
/// enters what the first one does, which is kept in `first`. Slurm hands the variables of one to the steps of all, so the
/// site's CPU for one of them is of no use.
Result<void> agree_with_first(const Host& host, const Given& given, std::optional<std::string>& first);

/// Whether srun makes one step of several components of the job that it is in.
bool has_components(const Host& host);

/// The same time, of srun with several components, when it has an environment: local_user_init sees the command of one of them
/// only, whichever is first. So all are marked as --multi-prog is.
void mark_components(Host& host);

/// The same time, of srun --async (Slurm 26.05) when there is or may be an environment: local_user_init is not called for such
/// a step. Marks the command as --multi-prog is marked. Errors: usage, for a command with a path, which that does not catch.
Result<void> mark_async(Host& host);

/// init_post_opt of srun, before anything is marked: whether its shell is in the environment that the step inherits, and a
/// login shell has set PATH anew.
bool has_lost_path(const Host& host);

/// local_user_init of a srun that has_lost_path(): says so, in the job's first step.
void tell_lost_path(Host& host);

/// local_user_init of srun, if there is or may be an environment: marks the command, and passes on what
/// the node has to know of srun's own options.
void mark_command(Host& host);

}  // namespace senv
