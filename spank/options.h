// options.h: what users and administrators can say to the plugin. Pure.
//
// Shape    Users: the options of option_texts, in srun, sbatch, salloc and #SBATCH lines; and as variables:
//          SLURM_ENV_MANIFEST for srun, SBATCH_ENV_… for sbatch, SALLOC_ENV_… for salloc.
//          Administrators: KEY=VALUE words behind the plugin's name in plugstack.conf (etc/plugstack.conf explains them).
// Errors   usage.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "provisioner/environment.h"

namespace senv {

enum class Option : unsigned char {
    manifest,
    packages,
    development,
    file,
    expression,
    load_path,
    channels,
    transform,
    tune,
    amd_gpu,
    lock,
    profile,
    build,
    refresh,
    pure,
    preserve,
    passthrough,
};

/// How a value is to be read.
enum class Form : unsigned char {
    text,
    list,   // parts with commas between them
    file,   // a name, relative to where the job is submitted
    files,  // a list of them
    flag,   // may stand alone
};

/// What an option is about.
enum class Role : unsigned char {
    names,     // what is in the environment
    details,   // how that is resolved: nothing by itself
    entering,  // how it is entered: nothing by itself
    passing,   // what is done with an environment that is there already
};

/// What an option means that stands more than once in one place.
enum class Repeated : unsigned char {
    once,    // the same value each time, or an error
    adds,    // all values, in the order given
    either,  // patterns: what one of them matches
};

struct OptionText {
    const char* name;      // without the dashes; behind "env-", `senv resolve` calls it the same
    const char* argument;  // as shown in --help; null: none
    const char* usage;
    Form form;
    Role role;
    Repeated repeated;
};

/// Indexed by Option.
inline constexpr std::array<OptionText, 17> option_texts = {{
    {"env-manifest", "FILE[,FILE...]", "run the job in the Guix environment of these manifests", Form::files,
     Role::names, Repeated::adds},
    {"env-packages", "SPEC[,SPEC...]",
     "run the job in a Guix environment of these packages: name, name@version or name:output", Form::text, Role::names,
     Repeated::adds},
    {"env-development", "PACKAGE[,PACKAGE...]",
     "with all that is needed to build these packages, as guix shell -D does", Form::list, Role::names, Repeated::adds},
    {"env-file", "FILE", "with the package that the Scheme code in FILE evaluates to, as guix shell -f does",
     Form::file, Role::names, Repeated::adds},
    {"env-expression", "EXPR", "with the package that this Scheme expression evaluates to, as guix shell -e does",
     Form::text, Role::names, Repeated::adds},
    {"env-load-path", "DIR[,DIR...]", "look for package modules in these folders first, as guix shell -L does",
     Form::files, Role::details, Repeated::adds},
    {"env-channels", "FILE", "take the packages from the channels in FILE, as guix time-machine -C does", Form::file,
     Role::details, Repeated::once},
    {"env-transform", "KEY=VALUE...",
     "transform the packages, with Guix's options without their dashes: 'with-input=openmpi=mpich tune=skylake'",
     Form::text, Role::details, Repeated::adds},
    {"env-tune", "CPU|auto",
     "tune packages for this CPU, as guix shell --tune does; auto: the one that the site names for the partition or "
     "constraint on the command line",
     Form::text, Role::details, Repeated::once},
    {"env-amd-gpu", "LIST", "make packages for these AMD GPUs (gfx90a,gfx942), as guix shell --amd-gpu does",
     Form::text, Role::details, Repeated::adds},
    {"env-lock", "FILE", "run the job in the environment that senv lock wrote to FILE; needs no Guix", Form::file,
     Role::names, Repeated::once},
    {"env-profile", "PATH", "run the job in this Guix profile, or the one that this link names; needs no Guix",
     Form::file, Role::names, Repeated::once},
    {"env-build", "never|here", "whether packages are built that no server has; what would be is listed", Form::text,
     Role::details, Repeated::once},
    {"env-refresh", nullptr, "resolve anew what has been resolved before", Form::flag, Role::details, Repeated::once},
    {"env-pure", nullptr,
     "keep none of the job's variables but those of Slurm, MPI, OpenMP and devices, and those that guix shell --pure "
     "keeps",
     Form::flag, Role::entering, Repeated::once},
    {"env-preserve", "REGEX", "keep variables with names that match, as guix shell --preserve does", Form::text,
     Role::entering, Repeated::either},
    {"env-passthrough", "use|ignore|error",
     "what a step that names no environment does with the job's: use it (default), run without, fail. The value none "
     "of any --env option: as if it were not given",
     Form::text, Role::passing, Repeated::once},
}};

constexpr const OptionText& text_of(Option option) {
    return option_texts[static_cast<std::size_t>(option)];
}

/// What Slurm carried to a node, indexed by Option: the last value of each, whatever the user wrote.
using Forwarded = std::array<std::optional<std::string>, option_texts.size()>;

/// Where a value stood; of two, the later in this list counts.
enum class Place : unsigned char { nowhere, batch_script, variable, command_line };

struct Choice {
    std::vector<std::string> values;
    Place place = Place::nowhere;

    /// Of an option that has one value at most; empty: none.
    std::string_view value() const { return values.empty() ? std::string_view() : values.front(); }
};

/// What this command asks for: indexed by Option. What was not given, or is "none", has no values and is nowhere.
struct Request {
    std::array<Choice, option_texts.size()> choices;

    const Choice& operator[](Option option) const { return choices[static_cast<std::size_t>(option)]; }
    Choice& operator[](Option option) { return choices[static_cast<std::size_t>(option)]; }
};

/// Values go through environments, launch messages and prologs, where one that is too long drains a node (Slurm 22.05).
inline constexpr std::size_t max_option_bytes = 4096;
inline constexpr std::size_t max_pattern_bytes = 1000;
/// As if the option had not been given.
inline constexpr std::string_view no_value = "none";
/// Of --env-tune: the CPU that the site names for where the job runs.
inline constexpr std::string_view site_cpu = "auto";
/// The value of a flag that stands alone.
inline constexpr std::string_view flag_value = "yes";

/// Whether Slurm may carry `value` on. The file or the packages it names are looked at when it is resolved.
/// `where`: who gave it, for the error: an option with its dashes, or a variable.
Result<void> check_value(Option option, std::string_view value, std::string_view where);

/// What an option means that has these values in one place, each of which has passed check_value(): none for "none",
/// one unless the option adds up. usage: "none" beside a value, two values where one can count, or more than may travel together.
Result<std::vector<std::string>> together(Option option, std::vector<std::string> values, Place place);

struct Settings {
    std::string senv = "/usr/bin/senv";                   // senv=      the command that resolves, on submit hosts
    std::string socket = "/run/senv/senvd.sock";          // socket=    senvd, on compute nodes
    std::string user = "senv";                            // user=      whom senvd runs as: a name or a number
    std::string store = "/var/lib/senv/store";            // store=     senvd's store
    std::string slurm_commands = default_slurm_commands;  // slurm_commands=  the end of PATH with --env-pure
    std::chrono::seconds fetch_limit{1800};               // fetch_limit=  how long a task waits for senvd, in seconds

    static Result<Settings> parse(std::span<const char* const> words);
    /// The number of `user` on this host. Errors: missing.
    Result<uid_t> senvd_uid() const;
};

}  // namespace senv
