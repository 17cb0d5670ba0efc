// environment.h: what entering a profile does to a job's variables. Pure.
//
// Shape    Input is the job's environment and a plan; output is a list of changes to carry out in order. Variables with a
//          separator get the plan's value in front of what the job has ("value" alone when unset; a variable that is set
//          but empty leaves a trailing separator, as Guix does); those without are replaced. GUIX_ENVIRONMENT and
//          SENV_ENVIRONMENT name the profile; the latter tells it from a profile that guix shell entered, and survives in
//          tools that drop all variables of Slurm. Variables that make binaries load or find other people's libraries are
//          removed, unless the plan sets them: host_library_variables. A job without PATH gets the profile's, then
//          default_path behind it.
// Pure     As guix shell --pure: all variables go but those that Guix calls precious and those of Slurm, MPI, OpenMP and
//          devices; the plan's values replace what is there; PATH ends with the folder of Slurm's commands.
// Preserve Names that match stay, in pure and where libraries of others are removed. Search paths are set all the same.
// Again    What entering changed is recorded in SLURM_SENV_ENTERED (record.h). Entering again first takes the earlier
//          profile's entries out; a variable that already has all entries of the same profile stays as it is, and what a
//          job sets after it was entered pure is its own: so entering twice changes nothing, and what a pure batch script
//          exports reaches its steps.
// Cost     Linear in the job's environment and the plan, but for a logarithm: it is root who enters and leaves, and people
//          who write both.
// Errors   corrupt: the job's record cannot be read, or the plan's would break a limit. usage: the job has more than 10,000
//          variables.
// Source   Guix, guix/search-paths.scm, guix/profiles.scm load-profile and %precious-variables;
//          vectors/profile/expected-load-profile.txt.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/wire/messages.h"
#include "provisioner/pattern.h"
#include "provisioner/record.h"

namespace senv {

inline constexpr const char* inside_variable = "SENV_ENVIRONMENT";            // the profile
inline constexpr const char* default_slurm_commands = "/usr/lib/senv/slurm";  // made by the installation
inline constexpr const char* default_path = "/usr/local/bin:/usr/bin:/bin";

using Environment = std::map<std::string, std::string, std::less<>>;

struct Change {
    std::string name;
    std::optional<std::string> value;  // nullopt: unset
    bool operator==(const Change&) const = default;
};

/// From "NAME=VALUE" strings up to a null pointer, as in environ(7). Entries without '=' are skipped.
Environment environment_from(const char* const* strings);
/// Empty when it is not set.
std::string value_of(const Environment& environment, std::string_view name);

/// Which of the job's variables stay.
struct Manner {
    bool pure = false;
    std::string slurm_commands;       // pure: the folder at the end of PATH, without colons and blanks; empty: none
    std::optional<Pattern> preserve;  // for names; to be matched as the user who wrote it only

    /// `preserve`: a pattern; empty: none. Errors as Pattern::compile().
    static Result<Manner> make(bool pure, std::string slurm_commands, const std::string& preserve);
};

/// Whether the record of entering the plan's profile would keep its limits; for who makes a plan.
Result<void> check_record_of(const wire::Plan& plan);

/// What to change so that the job with environment `job` is in the plan's profile.
Result<std::vector<Change>> changes_to_enter(const wire::Plan& plan, const Environment& job, const Manner& manner = {});
/// What to change so that the job is in no profile: takes out what the record names. What entering pure dropped is gone: a
/// PATH that only entering had set becomes default_path.
Result<std::vector<Change>> changes_to_leave(const Environment& job);

}  // namespace senv
