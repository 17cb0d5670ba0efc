#include "provisioner/doctor/node.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cache/base/text.h"
#include "cache/formats/acl.h"
#include "cache/formats/narinfo.h"
#include "cache/formats/origin.h"
#include "cache/verify/signature.h"
#include "cache/wire/client.h"
#include "cache/wire/messages.h"
#include "provisioner/doctor/reach.h"
#include "provisioner/doctor/slurm.h"
#include "provisioner/senvd/config.h"

namespace senv {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using std::chrono::seconds;

constexpr seconds senvd_limit{3};
constexpr seconds origin_limit{5};
constexpr seconds user_limit{3};
constexpr std::size_t max_acl_bytes = 65536;  // of senvd

Result<ServerConfig> read_config(const std::string& file) {
    return parse_config(SENV_TRY(read_small_file(file, max_settings_bytes)), file);
}

NodeStatus status_in(const Json& json) {
    NodeStatus status;
    json.at("version").get_to(status.version);
    json.at("store").get_to(status.store);
    json.at("origins").get_to(status.origins);
    for (const Json& trouble : json.at("troubles")) {
        status.troubles[trouble.at("origin").get<std::string>()] = trouble.at("why").get<std::string>();
    }
    const Json& space = json.at("space");
    space.at("high_water").get_to(status.high_water);
    space.at("disk").at("bytes").get_to(status.usage.all.bytes);
    space.at("disk").at("free").get_to(status.usage.free.bytes);
    status.usage.all.inodes = space.at("disk").value("inodes", UINT64_MAX);
    status.usage.free.inodes = space.at("disk").value("inodes_free", UINT64_MAX);
    space.at("store").at("bytes").get_to(status.usage.store.bytes);
    return status;
}

Result<NodeStatus> ask(const std::string& socket, Deadline end) {
    auto connection = SENV_TRY(wire::Connection::open(socket, std::nullopt, end));
    SENV_TRY(connection.send(wire::encode_empty(wire::Type::status), end));
    const auto reply = SENV_TRY(connection.receive(end));
    if (reply.type == wire::Type::error) return wire::decode_error(reply.payload);
    const std::string text = SENV_TRY(wire::decode_text(reply.payload));
    auto status = contained([&]() -> Result<NodeStatus> { return status_in(Json::parse(text)); });
    if (!status) return Error(Kind::corrupt, "what answers at '" + socket + "' is no senvd of this release");
    status->uid = connection.peer_uid();
    return status;
}

bool is_number(const std::string& text) {
    return parse_decimal(text).has_value();
}

/// The number of a user by his name, or that number.
Result<uid_t> uid_of(const std::string& user, const Commands& commands) {
    if (is_number(user)) return static_cast<uid_t>(*parse_decimal(user));
    const auto entry = commands.output({"getent", "passwd", user}, user_limit);
    const Error nobody(Kind::missing, "there is no user '" + user + "'");
    if (!entry) return entry.error().kind() == Kind::busy ? entry.error() : nobody;
    const auto fields = split(*entry, ':');
    const auto number = fields.size() > 2 ? parse_decimal(fields[2]) : std::nullopt;
    if (!number) return nobody;
    return static_cast<uid_t>(*number);
}

bool same_file(const std::string& a, const std::string& b) {
    std::error_code ignored;
    return a == b || fs::equivalent(a, b, ignored);
}

constexpr const char* key_hint = "add that key to senvd's list of authorised keys (acl), if the site trusts it";

/// A folder may be on a server that does not answer, so another process goes there.
/// `acl`: the authorised keys, where they could be read.
Check look_at_folder(const std::string& origin, const std::string& folder, const std::optional<Acl>& acl,
                     const Commands& commands) {
    const std::string look =
        R"([ -d "$1" ] || { echo none; exit; }; [ -r "$1" ] && [ -x "$1" ] && echo yes || { echo no; exit; })"
        R"(; for one in "$1"/*.narinfo; do [ -f "$one" ] || continue)"
        R"(; while IFS= read -r line; do printf '%s\n' "$line"; done <"$one"; exit; done)";
    const auto found = commands.output({"/bin/sh", "-c", look, "sh", folder}, origin_limit);
    if (!found)
        return {"origin", State::problem, origin + ": " + found.error().what(), "see whether its server answers"};
    if (*found == "none\n") {
        return {"origin", State::problem, origin + ": there is no such folder",
                "mount it, or correct `origins` in senvd.toml"};
    }
    if (*found == "no\n") {
        return {"origin", State::warning, origin + " is there, and this user may not read it",
                "let senvd's user read it"};
    }
    if (*found != "yes\n" && acl) {
        const auto narinfo = Narinfo::parse(std::string_view(*found).substr(4));
        const auto believed = narinfo ? verify_signature(*narinfo, *acl) : Result<void>(narinfo.error());
        if (!believed) {
            return {"origin", State::problem, origin + ": " + believed.error().what(), key_hint};
        }
    }
    return {"origin", State::ok, origin + " is there and can be read", ""};
}

Check look_at_server(const std::string& origin, const Commands& commands) {
    const Endpoint endpoint = endpoint_of(origin, origin.starts_with("https:") ? "443" : "80");
    if (const auto reached = reach(endpoint, commands, origin_limit); !reached) {
        return {"origin", State::problem, origin + ": " + reached.error().what(),
                "start that server, or correct `origins` in senvd.toml (a proxy that senvd was given is not taken into "
                "account)"};
    }
    return {"origin", State::ok, origin + " can be reached at " + endpoint.text(), ""};
}

}  // namespace

ComputeNode::ComputeNode(const Installation& installation)
    : installation_(installation),
      config_(read_config(installation.senvd_config)),
      in_force_(config_ ? *config_ : ServerConfig()),
      status_(Error(Kind::missing, "senvd was not asked")) {}

bool ComputeNode::has_settings() const {
    return config_ || config_.error().kind() != Kind::missing;
}

bool ComputeNode::has_socket() const {
    std::error_code ignored;
    return fs::exists(in_force_.socket, ignored);
}

std::vector<Check> ComputeNode::checks(const Commands& commands) {
    status_ = ask(in_force_.socket, commands.within(senvd_limit));
    std::vector<Check> all = {settings(), daemon(), disk(), keys()};
    std::ranges::move(origins(commands), std::back_inserter(all));
    return all;
}

Check ComputeNode::settings() const {
    const std::string name = "senvd.toml";
    if (config_) return {name, State::ok, installation_.senvd_config, ""};
    const bool denied = config_.error().kind() == Kind::denied;
    return {name, denied ? State::warning : State::problem, config_.error().what(),
            denied ? "make it readable for all, or look as root" : "correct the file: senvd does not start with it"};
}

Check ComputeNode::daemon() const {
    const std::string name = "senvd";
    if (!status_) {
        const bool nobody = status_.error().kind() == Kind::missing;
        return {name, State::problem, status_.error().what(),
                nobody ? "start it: systemctl enable --now senvd" : "look into senvd's log on this node"};
    }
    const std::string found = "senvd " + status_->version + " at " + in_force_.socket + ", as user " +
                              std::to_string(status_->uid) + ", fetches from " + join(status_->origins, ", ");
    if (status_->uid == 0) return {name, State::problem, found, "run it as a user of its own, not as root"};
    if (status_->version != installation_.version) {
        return {name, State::warning, found + "; this is senv " + installation_.version,
                "install one version, and restart senvd"};
    }
    if (config_ && config_->origins != status_->origins) {
        return {name, State::warning, found + ", and not from what senvd.toml names", "restart senvd"};
    }
    return {name, State::ok, found, ""};
}

Check ComputeNode::disk() const {
    const std::string name = "disk";
    if (!status_) return {name, State::not_here, "senvd did not say", ""};
    const Usage& usage = status_->usage;
    const std::string found = human_bytes(usage.free.bytes) + " of " + human_bytes(usage.all.bytes) + " free below " +
                              status_->store + ", of which environments take " + human_bytes(usage.store.bytes);
    const auto high = Mark::parse(status_->high_water, Mark{90}.percent);
    if (high && above(*high, usage) != Room{}) {
        return {name, State::warning, found + "; fuller than high_water (" + status_->high_water + ")",
                "see what takes the space: `senv list`, `senv gc --dry-run`"};
    }
    return {name, State::ok, found, ""};
}

Check ComputeNode::gnu_store(const Findings& host) const {
    const std::string name = "gnu-store";
    const std::string& store = installation_.gnu_store;
    std::error_code failed;
    const fs::directory_iterator entries(store, failed);
    if (failed) {
        const std::string what = store + ": " + failed.message();
        if (!host.is_compute_node) return {name, State::not_here, what, ""};
        return {name, State::problem, what, "make it an empty folder of root's: systemd-tmpfiles --create"};
    }
    const bool is_empty = entries == fs::directory_iterator();
    if (is_empty || !host.is_compute_node)
        return {name, State::ok, store + (is_empty ? " is empty" : " is Guix's own"), ""};
    if (in_force_.cover_gnu_store) return {name, State::ok, store + " is Guix's own; jobs see senvd's store there", ""};
    return {name, State::problem,
            store + " is not empty, and senvd does not start on a node with a Guix store of its own",
            "set store = \"node\" in senvd.toml to cover it in jobs that have an environment"};
}

Check ComputeNode::keys() {
    const std::string name = "keys";
    const std::string& file = in_force_.acl;
    const std::string hint = "put the site's /etc/guix/acl there, owned by root, mode 0644";
    const auto text = read_small_file(file, max_acl_bytes);
    if (!text) {
        const bool denied = text.error().kind() == Kind::denied;
        return {name, denied ? State::warning : State::problem, text.error().what(), hint};
    }
    struct stat info {};
    const bool known = ::stat(file.c_str(), &info) == 0;
    const bool senvds = status_ && info.st_uid == status_->uid;
    if (known && ((info.st_mode & 022U) != 0 || (info.st_uid != installation_.administrator && !senvds))) {
        return {name, State::problem, "others may write to " + file + ", so senvd does not use it", hint};
    }
    auto acl = Acl::parse(*text);
    if (acl && init_signatures()) acl_ = *acl;
    if (!acl) return {name, State::problem, file + ": " + acl.error().what(), hint};
    if (acl->size() == 0) return {name, State::problem, file + " has no key, so nothing is trusted", hint};
    return {name, State::ok, file + ": " + std::to_string(acl->size()) + (acl->size() == 1 ? " key" : " keys"), ""};
}

std::vector<Check> ComputeNode::origins(const Commands& commands) const {
    std::vector<Check> all;
    for (const std::string& origin : in_force_.origins) {
        const auto folder = folder_of(origin);
        if (commands.within(seconds(1)) <= Clock::now()) {
            all.push_back({"origin", State::warning, origin + " was not looked at: no time was left",
                           "correct what took so long"});
        } else {
            all.push_back(folder ? look_at_folder(origin, *folder, acl_, commands) : look_at_server(origin, commands));
        }
        // senvd shows it without credentials.
        const std::size_t place = all.size() - 1;
        if (status_ && all.back().state == State::ok && status_->origins.size() == in_force_.origins.size()) {
            tell_trouble(all.back(), status_->origins[place]);
        }
    }
    // One that fails gives way to the next.
    if (std::ranges::any_of(all, [](const Check& one) { return one.state == State::ok; })) {
        for (Check& one : all) one.state = one.state == State::problem ? State::warning : one.state;
    }
    return all;
}

/// What senvd met there says more than that somebody listens.
void ComputeNode::tell_trouble(Check& check, const std::string& shown) const {
    const auto trouble = status_->troubles.find(shown);
    if (trouble == status_->troubles.end()) return;
    const std::string& why = trouble->second;
    const bool is_certificate = why.find("certificate") != std::string::npos || why.find("SSL") != std::string::npos;
    const bool is_key = why.find("authorised keys") != std::string::npos;
    check = {"origin", State::problem, "senvd, when it asked last: " + why,
             is_key           ? key_hint
             : is_certificate ? "name the site's certificate authorities to senvd: `systemctl edit senvd`, "
                                "Environment=SSL_CERT_FILE=FILE"
                              : "see what that server says in its own log"};
}

Check ComputeNode::agrees_with(const PluginLine& line, const Findings& host, const Commands& commands) const {
    const std::string name = "plugin-words";
    const std::string hint = "correct " + line.place();
    const auto wrong = [&](const std::string& what) { return Check{name, State::problem, what, hint}; };
    const auto words = PluginSettings::parse(line.words);
    if (!words) return wrong(words.error().what());
    if (host.is_submit_host && ::access(words->senv.c_str(), X_OK) != 0) {
        return wrong("senv=" + words->senv + ": " + Error::sys(errno, "cannot be run").what());
    }
    if (!host.is_compute_node) return {name, State::ok, "senv=" + words->senv, ""};
    const auto uid = uid_of(words->user, commands);
    if (!uid) return wrong("user=" + words->user + ": " + uid.error().what());
    std::error_code ignored;
    if (status_ && !same_file(words->socket, in_force_.socket)) {
        return wrong("socket=" + words->socket + ", and senvd listens at " + in_force_.socket);
    }
    if (status_ && status_->uid != *uid) {
        return wrong("user=" + words->user + ", and senvd runs as user " + std::to_string(status_->uid));
    }
    if (status_ && !same_file(words->store, status_->store)) {
        return wrong("store=" + words->store + ", and senvd's is " + status_->store);
    }
    if (!fs::is_directory(words->store, ignored)) return wrong("store=" + words->store + ": there is no such folder");
    if (!fs::exists(words->slurm_commands + "/srun", ignored)) {
        return {name, State::warning,
                "slurm_commands=" + words->slurm_commands +
                    ": there is no srun in it, nor for batch scripts with --env-pure",
                "install senv on this node again, or " + hint};
    }
    return {name, State::ok, "user=" + words->user + " socket=" + words->socket + " store=" + words->store, ""};
}

}  // namespace senv
