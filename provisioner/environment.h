// environment.h: what entering a profile does to a job's variables. Pure.
//
// Shape    Input is the job's environment and a plan; output is a list of changes to carry out in order. Variables with a
//          separator get the plan's value in front of what the job has ("value" alone when unset; a variable that is set
//          but empty leaves a trailing separator, as Guix does); those without are replaced. GUIX_ENVIRONMENT and
//          SENV_ENVIRONMENT name the profile; the latter tells it from a profile that guix shell entered, and survives in
//          tools that drop all variables of Slurm. A job without PATH gets the profile's, then default_path behind it.
// Foreign  Variables that lead programs of the environment to software outside it go, whole or in part, by the table of
//          foreign_variables.h. Of a search list stays what is below the user's home, the working or the submit folder, what
//          is relative, and what belongs to the user or one of his groups.
// Pure     As guix shell --pure: all variables go but those that Guix calls precious, settings of Slurm, MPI, what MPI talks
//          through, OpenMP and devices, and those that say where this job may write and with what it shows who it is; the
//          plan's values replace what is there; PATH ends with the folder of Slurm's commands.
// Preserve Names that match stay, in pure and where they lead out of the environment. Search paths are set all the same.
// Again    What entering changed is recorded in SLURM_SENV_ENTERED (record.h). Entering the same profile again takes nothing
//          away, and replaces nothing, that was set since, as long as the profile's folders stand side by side in PATH and
//          only folders of the user's own before them. Otherwise, and from another profile, the earlier one's entries are
//          taken out first, and the job enters as at first.
// Cost     Linear in the job's environment and the plan, but for a logarithm: it is root who enters and leaves, and people
//          who write both.
// Errors   corrupt: the job's record cannot be read, or the plan's would break a limit. usage: the job has more than 10,000
//          variables.
// Source   Guix, guix/search-paths.scm, guix/profiles.scm load-profile and %precious-variables;
//          vectors/profile/expected-load-profile.txt.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/wire/messages.h"
#include "provisioner/foreign_variables.h"
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

/// What is whose around a job.
struct Surroundings {
    std::vector<std::string> own_folders;  // the user's home, where the job was submitted, where it works; by add_own()
    /// Asks the file system about any other folder, as the user. Without it the folder is not his.
    std::function<bool(const std::string& folder)> is_users;
    /// Variables as they were submitted: one that differs now was set by Slurm for this step, and leads nobody astray.
    std::optional<Environment> submitted;

    void add_own(std::string folder);
};

struct Entering {
    std::vector<Change> changes;
    std::vector<Named> dropped;  // what led out of the environment
    std::vector<Named> staying;  // search lists of the user's own, which come before what the environment has
};

/// What to change so that the job with environment `job` is in the plan's profile.
Result<Entering> changes_to_enter(const wire::Plan& plan, const Environment& job, const Manner& manner = {},
                                  const Surroundings& around = {});
/// The profile that the variables say the job is in: by the record, or by SENV_ENVIRONMENT where PATH has a folder of that
/// profile. nullopt: in none, as far as they tell. "": in one, and which cannot be read. GUIX_ENVIRONMENT says nothing: it is
/// guix shell's.
std::optional<std::string> profile_inside(const Environment& job);
/// What to change so that the job is in no profile: takes out what the record names or, where there is none, whatever lies in
/// the profile that SENV_ENVIRONMENT names. What entering pure dropped is gone: a PATH that only entering had set becomes
/// default_path.
Result<std::vector<Change>> changes_to_leave(const Environment& job,
                                             std::string_view slurm_commands = default_slurm_commands);

}  // namespace senv
