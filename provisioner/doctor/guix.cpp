#include "provisioner/doctor/guix.h"

#include <unistd.h>

#include <filesystem>

#include "cache/base/text.h"
#include "provisioner/doctor/reach.h"
#include "provisioner/resolve/cache.h"

namespace senv {

namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr seconds guix_limit{10};
constexpr seconds daemon_limit{3};

Result<void> reach_daemon(const std::string& socket, const Commands& commands) {
    if (socket.starts_with("guix://")) return reach(endpoint_of(socket, "44146"), commands, daemon_limit);
    const std::string scheme = "unix://";
    return reach_socket(socket.starts_with(scheme) ? socket.substr(scheme.size()) : socket, commands, daemon_limit);
}

}  // namespace

SubmitSide::SubmitSide(const Installation& installation, const Commands& commands)
    : commands_(commands), file_(installation.senv_config), config_(Config::load(file_)) {
    if (config_) guix_ = Guix::find(*config_, installation.environment);
}

std::vector<Check> SubmitSide::checks() const {
    if (config_) return {settings(), program(), daemon(), roots()};
    const std::string what = "not looked at: the settings cannot be used";
    return {settings(),
            {"guix", State::not_here, what, ""},
            {"guix-daemon", State::not_here, what, ""},
            {"gc-roots", State::not_here, what, ""}};
}

Check SubmitSide::settings() const {
    const std::string name = "senv.toml";
    if (!config_) return {name, State::problem, config_.error().what(), "correct the file; `senv config` reads it"};
    std::error_code ignored;
    return {name, State::ok, file_ + (fs::exists(file_, ignored) ? "" : " is not there: the defaults"), ""};
}

Check SubmitSide::program() const {
    const std::string name = "guix";
    if (!*guix_) return {name, State::problem, guix_->error().what(), guix_->error().hint()};
    const Guix& guix = **guix_;
    std::vector<std::string> words = guix.command;
    words.emplace_back("--version");
    const auto said = commands_.output(words, guix_limit);
    if (!said) {
        return {name, State::problem, said.error().what(), "see what this does: " + join(words, " ")};
    }
    return {name, State::ok, join(guix.command, " ") + ": " + said->substr(0, said->find('\n')), ""};
}

Check SubmitSide::daemon() const {
    const std::string name = "guix-daemon";
    if (!has_guix()) return {name, State::not_here, "there is no Guix that would ask it", ""};
    if ((*guix_)->remote) return {name, State::not_here, "Guix runs on another host", ""};
    std::string socket = commands_.variable("GUIX_DAEMON_SOCKET");
    if (socket.empty()) socket = guix_state(commands_.environment()) + "/daemon-socket/socket";
    if (socket.starts_with("ssh://")) return {name, State::not_here, socket + " is not looked at", ""};
    if (const auto reached = reach_daemon(socket, commands_); !reached) {
        return {name, State::problem, "cannot reach guix-daemon: " + reached.error().what(),
                "start guix-daemon, or set GUIX_DAEMON_SOCKET to where the site's listens"};
    }
    return {name, State::ok, socket + " can be reached", ""};
}

Check SubmitSide::roots() const {
    const std::string name = "gc-roots";
    if (!has_guix()) return {name, State::not_here, "there is no Guix that would collect garbage", ""};
    if ((*guix_)->remote) {
        return {name, State::not_here,
                "Guix runs on another host, whose daemon must be able to read ~/.cache/senv/roots", ""};
    }
    const std::string own = guix_roots(commands_.environment());
    if (own.empty()) return {name, State::warning, "this user has no name", "set USER"};
    std::error_code ignored;
    const fs::path above = fs::path(own).parent_path();
    if (!fs::exists(above, ignored) && fs::exists(above.parent_path(), ignored)) {
        return {name, State::ok, above.string() + " is not there yet: guix-daemon makes it when it is first used", ""};
    }
    const std::string folder = fs::exists(own, ignored) ? own : above.string();
    if (::access(folder.c_str(), W_OK | X_OK) == 0) return {name, State::ok, folder + " can be written to", ""};
    return {
        name, State::warning,
        Error::sys(errno, folder).what() +
            "; so roots are in ~/.cache/senv/roots, and a guix-daemon that cannot read this home takes them for gone",
        "let guix-daemon read homes, or mount its /var/guix here"};
}

}  // namespace senv
