#include "provisioner/resolve/guix.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "cache/base/text.h"
#include "provisioner/close_names.h"
#include "provisioner/resolve/guix_output.h"
#include "provisioner/trust.h"

namespace senv {

namespace {

namespace fs = std::filesystem;

constexpr const char* not_passed_on[] = {
    "GUIX_BUILD_OPTIONS",       "GUIX_EXTENSIONS_PATH", "GUIX_PULL_URL", "GUILE_LOAD_PATH",
    "GUILE_LOAD_COMPILED_PATH", "GUIX_ENVIRONMENT",     "GUIX_PROFILE",
};

bool is_program(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

std::string real_path(const std::string& path) {
    std::error_code error;
    const fs::path real = fs::canonical(path, error);
    return error ? std::string() : real.string();
}

// A program outside the store keeps its name when it is upgraded.
std::string identity_of_file(const std::string& real) {
    struct stat info {};
    if (real.starts_with(store_prefix) || ::stat(real.c_str(), &info) != 0) return real;
    return real + " " + std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec) + "." +
           std::to_string(info.st_mtim.tv_nsec);
}

// What killed it, in words; nothing when it exited. A shell or a program in front of Guix exits with 128 and the signal.
std::optional<std::string> killer(int status) {
    const char* name = ::sigdescr_np(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128);
    if (name != nullptr) return name;
    if (WIFSIGNALED(status)) return "unknown signal";
    return std::nullopt;
}

}  // namespace

std::string find_program(const std::string& name, const std::string& path) {
    if (name.find('/') != std::string::npos) return is_program(name) ? name : std::string();
    for (const std::string_view dir : split(path, ':')) {
        // An empty entry is the current directory, which no command should come from by accident.
        if (!dir.starts_with('/')) continue;
        std::string candidate = std::string(dir) + "/" + name;
        if (is_program(candidate)) return candidate;
    }
    return {};
}

Result<Guix> Guix::find(const Config& config, const Environment& environment) {
    Guix guix;
    guix.command = config.guix;
    guix.remote = config.guix_is_remote;
    const std::string current = value_of(environment, "HOME") + "/.config/guix/current";
    std::string program = find_program(config.guix[0], value_of(environment, "PATH"));
    if (program.empty() && config.guix == std::vector<std::string>{"guix"} && is_program(current + "/bin/guix")) {
        program = current + "/bin/guix";
    }
    if (program.empty() && !value_of(environment, "SLURMD_NODENAME").empty()) {
        return Error(Kind::missing, "there is no command '" + printable(config.guix[0]) + "' here, on a compute node")
            .hint("resolve it on the host where jobs are submitted, and name the profile or a lock here");
    }
    if (program.empty()) {
        return Error(Kind::missing, "there is no command '" + printable(config.guix[0]) + "' here")
            .hint(
                "load or install Guix on this host, or ask the administrator to set `guix` in /etc/senv/senv.toml; "
                "a lock or a profile needs no Guix");
    }
    SENV_TRY(check_may_be_used_by(::geteuid(), program).in("cannot use the command '" + printable(program) + "'"));
    for (const auto folder : split(value_of(environment, "GUIX_PACKAGE_PATH"), ':')) {
        if (folder.empty()) continue;
        SENV_TRY(check_may_be_used_by(::geteuid(), std::string(folder)).in("cannot use GUIX_PACKAGE_PATH"));
    }
    guix.command[0] = program;
    if (guix.remote) {
        guix.identity = config.guix;
        return guix;
    }
    guix.identity = {identity_of_file(real_path(program)), real_path(current)};
    // PROFILE/bin/guix
    const fs::path above = fs::path(program).parent_path().parent_path();
    if (real_path(above.string()).starts_with(store_prefix)) guix.profile = real_path(above.string());
    return guix;
}

Environment environment_for_guix(const Environment& user) {
    Environment environment = user;
    for (const char* name : not_passed_on) environment.erase(name);
    std::erase_if(environment, [](const auto& variable) { return variable.first.starts_with("LD_"); });
    environment["LC_ALL"] = "C.UTF-8";
    return environment;
}

std::string_view describe_script() {
    // Runs in the Guix that was found, not in the one of the channels, which may be years old.
    return R"((use-modules (guix base32) (guix channels) (guix config) (guix describe) (guix openpgp) (guix profiles)
             (guix store) (ice-9 match) (json) (srfi srfi-1))

(define (channel->json channel)
  (let ((introduction (channel-introduction channel)))
    `((name . ,(symbol->string (channel-name channel)))
      (url . ,(channel-url channel))
      (branch . ,(or (channel-branch channel) ""))
      (commit . ,(or (channel-commit channel) ""))
      (introduction
       . ,(if introduction
              `((commit . ,(channel-introduction-first-signed-commit introduction))
                (signer . ,(openpgp-format-fingerprint
                            (channel-introduction-first-commit-signer introduction))))
              'null)))))

(define (item->json store item)
  (let ((info (query-path-info store item)))
    `((path . ,item)
      (hash . ,(string-append "sha256:" (bytevector->nix-base32-string (path-info-hash info))))
      (size . ,(path-info-nar-size info))
      (references . ,(list->vector (sort (path-info-references info) string<?))))))

;; What the entry of the channel 'guix' calls itself in its profile: the first digits of its commit.
(define (version-in profile)
  (or (any (lambda (entry)
             (and (string=? (manifest-entry-name entry) "guix") (manifest-entry-version entry)))
           (manifest-entries (profile-manifest profile)))
      %guix-version))

(match (cdr (command-line))
  ((profile root guix)
   (with-store store
     (unless (string=? root "none")
       (add-indirect-root store root))
     (let ((closure (map (lambda (item) (item->json store item))
                         (sort (requisites store (list profile)) string<?)))
           (channels (if (string=? guix "none")
                         (current-channels)
                         (reverse (profile-channels guix)))))
       (scm->json `((version . ,(if (string=? guix "none") %guix-version (version-in guix)))
                    (channels . ,(list->vector (map channel->json channels)))
                    (closure . ,(list->vector closure))))))))
)";
}

GuixSession::GuixSession(const Guix& guix, const Environment& user, const Limits& limits, const Signals& signals,
                         const Watcher& watch)
    : guix_(guix),
      environment_(environment_for_guix(user)),
      limits_(limits),
      signals_(signals),
      watch_([this, watch](std::string_view line) {
          has_tuned_ = has_tuned_ || tells_of_tuning(line);
          watch(line);
      }) {}

Result<Finished> GuixSession::ask(std::vector<std::string> words, bool stdout_is_result, const std::string& doing) {
    Command command;
    command.words = guix_.command;
    command.words.insert(command.words.end(), words.begin(), words.end());
    command.environment = environment_;
    command.stdout_is_result = stdout_is_result;
    auto finished = run(command, limits_, signals_, watch_);
    if (finished) return finished;
    Error error = std::move(finished).error().in(doing);
    if (error.kind() != Kind::busy) return error;
    return std::move(error).hint(
        "try again with -v to see what Guix is doing, or ask the administrator about the limits in "
        "/etc/senv/senv.toml");
}

namespace {

Error refusal(const Finished& finished, const std::vector<std::pair<std::string, std::string>>& names,
              const std::string& doing, const std::string& by_hand = "guix shell") {
    if (const auto signal = killer(finished.status)) {
        return {Kind::io, doing + ": Guix did not finish: it was killed (" + *signal + ")"};
    }
    Cause cause = cause_of(finished.messages, names, by_hand);
    Error error(Kind::missing, doing + ": " + cause.what);
    return cause.hint.empty() ? error : std::move(error).hint(std::move(cause.hint));
}

Error ended_early(const std::string& where, const std::string& doing) {
    return Error(Kind::missing, doing + ": Guix ended early, as if all were well, and built nothing")
        .hint("a call of `exit` or `primitive-exit` in " + where + " does that");
}

// The words in front of the command that the Guix of these channels is to run.
std::vector<std::string> with_channels(const std::optional<std::string>& channel_file) {
    if (!channel_file) return {};
    return {"time-machine", "-C", *channel_file, "--"};
}

void add_load_path(std::vector<std::string>& words, const Inputs& inputs) {
    for (const std::string& dir : inputs.load_path) words.push_back("--load-path=" + dir);
}

// "NAME: unknown package" gives NAME, any other cause nothing.
std::string_view unknown_package(std::string_view cause) {
    static constexpr std::string_view mark = ": unknown package";
    if (!cause.ends_with(mark)) return {};
    cause.remove_suffix(mark.size());
    const auto at = cause.rfind(' ');
    return at == std::string_view::npos ? cause : cause.substr(at + 1);
}

}  // namespace

std::vector<std::string> GuixSession::available(const Inputs& inputs, const std::optional<std::string>& channel_file) {
    std::vector<std::string> words = with_channels(channel_file);
    for (const char* word : {"package", "--list-available"}) words.emplace_back(word);
    add_load_path(words, inputs);
    const auto finished = ask(std::move(words), true, "");
    std::vector<std::string> names;
    if (!finished) return names;
    for (const std::string_view line : split(finished->result, '\n')) {
        names.emplace_back(line.substr(0, line.find_first_of(" \t")));
    }
    return names;
}

// " (1.5.0)"; nothing when it does not say.
std::string GuixSession::version() {
    const auto finished = ask({"--version"}, true, "");
    if (!finished || !finished->succeeded()) return {};
    const auto line = split(finished->result, '\n').front();
    return line.empty() ? "" : " (" + printable(split(line, ' ').back(), 40) + ")";
}

Result<std::string> GuixSession::prepare_channels(const SourceFile& channels, const std::string& file,
                                                  const std::string& doing) {
    const Finished finished = SENV_TRY(ask({"time-machine", "-C", file}, true, doing));
    if (!finished.succeeded()) {
        // The channels of a lock have a name, but are in no file.
        const std::string shown = channels.absolute.starts_with('/') ? channels.name : "FILE";
        return refusal(finished, {{file, channels.name}, {channels.absolute, channels.name}}, doing,
                       "guix time-machine -C " + shown + " -- describe");
    }
    // A channel file is a program and may print, too: the last line is Guix's.
    std::string_view output = finished.result;
    while (output.ends_with('\n')) output.remove_suffix(1);
    if (const auto at = output.rfind('\n'); at != std::string_view::npos) output.remove_prefix(at + 1);
    if (output.empty()) return ended_early("a channel file", doing);
    if (!output.starts_with('/')) return Error(Kind::io, doing + ": guix time-machine printed no profile");
    return std::string(output);
}

Result<StorePath> GuixSession::build(const std::string& program, const std::string& link, const Inputs& inputs,
                                     Build build, const std::optional<std::string>& channel_file,
                                     const std::vector<std::pair<std::string, std::string>>& names,
                                     const std::string& doing) {
    std::vector<std::string> words = with_channels(channel_file);
    // -v3, because a build that says nothing looks like one that hangs. The profile's path is read from the link: what the
    // user's code prints cannot be taken for it.
    for (const char* word : {"build", "-v3"}) words.emplace_back(word);
    if (build == Build::never) {
        // Of what says that it prefers to be built where Guix runs, the daemon builds one at a time all the same.
        for (const char* word : {"--max-jobs=0", "--no-offload"}) words.emplace_back(word);
    }
    add_load_path(words, inputs);
    for (const std::string& word : {"--system=" + inputs.system, "--file=" + program, "--root=" + link}) {
        words.push_back(word);
    }
    const Finished finished = SENV_TRY(ask(std::move(words), false, doing));
    if (!finished.succeeded()) {
        Error error = refusal(finished, names, doing);
        const std::string what = error.what().substr(std::min(error.what().size(), doing.size() + 2));
        if (const auto unknown = unknown_package(what); !unknown.empty()) {
            const auto close = close_names(unknown, available(inputs, channel_file));
            if (!channel_file) {
                error = Error(error.kind(), error.what() + "; no channel file was given, so the Guix of this host" +
                                                version() + " was asked")
                            .hint(error.hint());
            }
            return close.empty() ? error : std::move(error).hint("did you mean " + join(close, " or ") + "?");
        }
        for (const auto* sources : {&inputs.manifests, &inputs.files}) {
            for (const SourceFile& source : *sources) {
                const std::string shown = excerpt(what, source.name, source.text);
                if (!shown.empty()) return Error(error.kind(), error.what() + shown).hint(error.hint());
            }
        }
        // Of several, Guix does not say which one.
        if (inputs.expressions.size() == 1) {
            const std::string shown = excerpt(what, expression_name, inputs.expressions[0]);
            return Error(error.kind(), error.what() + shown).hint(error.hint());
        }
        return error;
    }
    std::array<char, 4096> buffer{};
    const ssize_t n = ::readlink(link.c_str(), buffer.data(), buffer.size());
    if (n < 0 && errno == ENOENT) {
        return ended_early("a manifest, a file or an expression", doing);
    }
    if (n < 0) return Error::sys(errno, doing + ": cannot read Guix's GC root '" + link + "'");
    return StorePath::parse_absolute(std::string_view(buffer.data(), static_cast<std::size_t>(n))).in(doing);
}

Result<void> GuixSession::describe(const std::string& script, const std::string& link, const std::string& guix_profile,
                                   Lock& lock, const std::string& doing) {
    const auto or_none = [](const std::string& text) { return text.empty() ? std::string("none") : text; };
    const Finished finished = SENV_TRY(
        ask({"repl", "--", script, lock.profile.absolute(), or_none(link), or_none(guix_profile)}, true, doing));
    if (!finished.succeeded()) return refusal(finished, {}, doing);
    return read_description(finished.result, lock).in(doing);
}

}  // namespace senv
