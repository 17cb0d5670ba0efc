// guix.h: the user's guix: which one answers, and the things that senv asks of it.
//
// Runs as  the user, with his environment but for the variables that change what a manifest means (GUIX_BUILD_OPTIONS,
//          GUIX_EXTENSIONS_PATH, GUIX_PULL_URL, GUILE_LOAD_PATH, GUILE_LOAD_COMPILED_PATH, GUIX_ENVIRONMENT, GUIX_PROFILE)
//          and those that the dynamic linker reads (LD_*: a module's libraries are not for it), and with LC_ALL=C.UTF-8: the same result and readable messages in every locale.
// Errors   missing: no guix here. What Guix refuses is of kind missing too, with its cause and, if there is one, its hint.
//          busy: a limit or a signal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "provisioner/resolve/cache.h"
#include "provisioner/resolve/child.h"
#include "provisioner/resolve/config.h"
#include "provisioner/resolve/inputs.h"

namespace senv {

/// Where execvp(3) would find the command `name`, given PATH; empty when nowhere.
std::string find_program(const std::string& name, const std::string& path);

/// The command that answers for the user.
struct Guix {
    std::vector<std::string> command;  // the first word has a slash
    bool remote = false;
    std::string profile;                // of `guix pull` that the program belongs to, or empty
    std::vector<std::string> identity;  // what distinguishes it from another Guix, without asking it

    /// From the configuration; else `guix` in PATH, else ~/.config/guix/current/bin/guix.
    static Result<Guix> find(const Config& config, const Environment& environment);
};

/// The environment that guix gets.
Environment environment_for_guix(const Environment& user);

/// One resolution's dealings with guix.
class GuixSession {
public:
    GuixSession(const Guix& guix, const Environment& user, const Limits& limits, const Signals& signals,
                const Watcher& watch);

    GuixSession(const GuixSession&) = delete;
    GuixSession& operator=(const GuixSession&) = delete;

    /// `guix time-machine -C FILE`: makes that Guix ready and returns its profile.
    Result<std::string> prepare_channels(const SourceFile& channels, const std::string& file, const std::string& doing);
    /// `guix build -f PROGRAM --root=LINK` (program.h): builds the profile and returns it. Build::never: the daemon makes sure.
    /// When it knows no package of a name, Guix is asked once more which it has, for a hint.
    Result<StorePath> build(const std::string& program, const std::string& link, const Inputs& inputs, Build build,
                            const std::optional<std::string>& channel_file,
                            const std::vector<std::pair<std::string, std::string>>& names, const std::string& doing);
    /// Whether a package was tuned for a CPU meanwhile.
    bool has_tuned() const noexcept { return has_tuned_; }
    /// `guix repl -- SCRIPT`: closure, channels and version for the lock; tells the daemon about the root at `link`,
    /// unless that is empty.
    Result<void> describe(const std::string& script, const std::string& link, const std::string& guix_profile,
                          Lock& lock, const std::string& doing);

private:
    /// The names of all packages; none when Guix does not say.
    std::vector<std::string> available(const Inputs& inputs, const std::optional<std::string>& channel_file);
    std::string version();
    Result<Finished> ask(std::vector<std::string> words, bool stdout_is_result, const std::string& doing);

    const Guix& guix_;
    Environment environment_;
    const Limits& limits_;
    const Signals& signals_;
    const Watcher watch_;
    bool has_tuned_ = false;
};

/// The text of the script for describe().
std::string_view describe_script();

}  // namespace senv
