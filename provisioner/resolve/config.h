// config.h: the site's settings for resolving, /etc/senv/senv.toml. etc/senv.toml is the shipped file and explains each key.
//
// Errors   usage, with the key and the line: a key that does not exist, a value of the wrong type or out of range. A file
//          that is not there means the defaults.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "provisioner/settings.h"

namespace senv {

/// What has no substitute: it is built by the guix-daemon that the user's Guix talks to, or it is an error.
enum class Build : unsigned char { here, never };

/// "here" or "never". Errors: usage, "want …".
Result<Build> parse_build(std::string_view text);

/// Where a job is to run, as Slurm's options say it; what is not said is empty.
struct Destination {
    std::string partition;   // one, or several with commas between them
    std::string constraint;  // names of features, with whatever Slurm takes between them
};

/// The CPUs that packages are tuned for with "auto".
struct Tuning {
    std::string otherwise;                         // runs on every node; empty: there is none
    std::map<std::string, std::string> partition;  // by name
    std::map<std::string, std::string> constraint;

    struct Found {
        std::string cpu;
        std::string reason;  // "partition 'fat'"
    };
    /// The one CPU that partition and constraint lead to, `otherwise` counting for a partition that none is named for, and
    /// where neither is given. Errors: missing, there is none; usage, there are several, or neither is given.
    Result<Found> cpu_for(const Destination& destination) const;
};

struct Config {
    std::vector<std::string> guix = {"guix"};  // the command in front of "build …", "time-machine …"
    bool guix_is_remote = false;               // it was given as a list
    Build build = Build::here;
    Tuning tuning;
    std::chrono::milliseconds time_limit = std::chrono::minutes(60);     // for one resolution
    std::chrono::milliseconds silence_limit = std::chrono::minutes(15);  // without a byte from Guix
    std::chrono::hours unused_limit = std::chrono::hours(24 * 90);       // then a GC root and its lock go

    static Result<Config> parse(std::string_view text, const std::string& path);
    static Result<Config> load(const std::string& path);
    /// What parse() makes of the text, key by key.
    static Result<std::vector<InForce>> in_force(std::string_view text, const std::string& path);
};

}  // namespace senv
