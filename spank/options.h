// options.h: what users and administrators can say to the plugin. Pure.
//
// Shape    Users: --env-manifest=FILE --env-packages=SPEC[,SPEC…] --env-channels=FILE, in srun, sbatch, salloc and #SBATCH
//          lines; of an option given twice the last counts. Administrators: KEY=VALUE words behind the plugin's name in
//          plugstack.conf (etc/plugstack.conf explains them).
// Errors   usage.
#pragma once

#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "cache/base/result.h"

namespace senv {

struct OptionText {
    const char* name;      // without the dashes
    const char* argument;  // as shown in --help
    const char* usage;
};

enum class Option : unsigned char { manifest, packages, channels };

/// Indexed by Option.
inline constexpr std::array<OptionText, 3> option_texts = {{
    {"env-manifest", "FILE", "run the job in the Guix environment of the manifest FILE"},
    {"env-packages", "SPEC[,SPEC...]",
     "run the job in a Guix environment of these packages: name, name@version or name:output; with --env-manifest in "
     "addition to it"},
    {"env-channels", "FILE", "take the packages from the channels in FILE, as guix time-machine -C does"},
}};

/// What this command asks for; an empty text was not given.
struct Request {
    std::array<std::string, option_texts.size()> values;  // indexed by Option

    const std::string& value(Option option) const { return values[static_cast<std::size_t>(option)]; }
    bool empty() const { return value(Option::manifest).empty() && value(Option::packages).empty(); }
};

/// Values go through environments, launch messages and prologs, where one that is too long drains a node (Slurm 22.05).
inline constexpr std::size_t max_option_bytes = 4096;

/// Whether Slurm may carry `value` on. The file or the packages it names are looked at when it is resolved.
Result<void> check_value(Option option, std::string_view value);

struct Settings {
    std::string senv = "/usr/bin/senv";           // senv=      the command that resolves, on submit hosts
    std::string socket = "/run/senv/senvd.sock";  // socket=    senvd, on compute nodes
    std::string user = "senv";                    // user=      whom senvd runs as: a name or a number
    std::string store = "/var/lib/senv/store";    // store=     senvd's store
    std::chrono::seconds fetch_limit{1800};       // fetch_limit=  how long a task waits for senvd, in seconds

    static Result<Settings> parse(std::span<const char* const> words);
};

}  // namespace senv
