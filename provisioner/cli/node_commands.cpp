// node_commands.cpp: what asks senvd on this node, over cache/wire/protocol.md.
#include "provisioner/cli/node_commands.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "cache/base/text.h"
#include "cache/wire/client.h"
#include "cache/wire/messages.h"
#include "provisioner/cli/holders.h"
#include "provisioner/cli/output.h"
#include "provisioner/resolve/lock.h"

namespace senv {

namespace {

using Json = nlohmann::json;
using std::chrono::seconds;

constexpr seconds answer_limit{30};
constexpr std::size_t most_pids = 16;  // of one lease, in a line
constexpr seconds gc_limit{3600};      // removing files takes its time
constexpr seconds verify_limit{7 * 86'400};
constexpr seconds fetch_limit{90'000};  // above the longest that senvd can be configured to

struct Options {
    std::string socket = wire::default_socket;
    bool json = false;
    bool dry_run = false;
    bool quiet = false;
    std::string profile;  // or, for fetch, a lock
    std::optional<std::uint32_t> job;
    std::optional<std::uint32_t> uid;
    std::vector<std::string> paths;
};

Result<wire::Connection> ask(const std::string& socket, const std::string& frame) {
    auto connection = wire::Connection::open(socket, std::nullopt, Clock::now() + answer_limit);
    // slurmd sets it for all that it starts.
    const bool is_in_step = std::getenv("SLURMD_NODENAME") != nullptr;
    if (!connection && connection.error().kind() == Kind::missing && !is_in_step) {
        return std::move(connection)
            .error()
            .hint(
                "senvd runs on compute nodes: ask one from here as in `srun -w NODE senv list`; on a node, ask the "
                "administrator to start it");
    }
    if (!connection) return connection;
    SENV_TRY(connection->send(frame, Clock::now() + answer_limit));
    return connection;
}

Result<std::string> text_from(wire::Connection& connection, seconds limit) {
    const auto reply = SENV_TRY(connection.receive(Clock::now() + limit));
    if (reply.type == wire::Type::error) return wire::decode_error(reply.payload);
    if (reply.type != wire::Type::text) return Error(Kind::corrupt, "senvd answered something else than was asked");
    return wire::decode_text(reply.payload);
}

/// The TEXT that answers the request.
Result<std::string> ask_for_text(const std::string& socket, const std::string& frame, seconds limit) {
    auto connection = SENV_TRY(ask(socket, frame));
    return text_from(connection, limit);
}

Result<Json> read_json(const std::string& text) {
    Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return Error(Kind::corrupt, "senvd's answer cannot be read");
    return json;
}

/// What a list that senvd cut leaves out.
std::string more(const Json& json, const std::string& list, const std::string& verb,
                 const std::string& what = "more profile") {
    const auto left = json.value("more_" + list, std::uint64_t{0});
    return left == 0 ? "" : verb + count(left, what) + "\n";
}

std::string user_of(const Json& lease) {
    return "uid " + std::to_string(lease.at("uid").get<std::uint64_t>());
}

std::string of_job(const Json& lease) {
    return "job " + std::to_string(lease.at("job").get<std::uint64_t>()) + " step " +
           std::to_string(lease.at("step").get<std::uint64_t>());
}

std::uint64_t number(const Json& json, const char* field) {
    return json.at(field).get<std::uint64_t>();
}

std::string space_of(const Json& space) {
    const Json& disk = space.at("disk");
    std::string out =
        "disk     " + human_bytes(number(disk, "free")) + " of " + human_bytes(number(disk, "bytes")) + " free";
    if (disk.contains("inodes")) {
        out += ", " + std::to_string(number(disk, "inodes_free")) + " of " + std::to_string(number(disk, "inodes")) +
               " inodes free";
    }
    out += "; the store takes " + human_bytes(number(space.at("store"), "bytes")) + " and " +
           count(number(space.at("store"), "inodes"), "inode") + "; evicts above " +
           space.at("high_water").get<std::string>() + " down to " + space.at("low_water").get<std::string>();
    if (space.at("evicting").get<bool>()) out += ", and does so now";
    return out + "\n";
}

/// "PROFILE: job 12 step 0, uid 1000, pids 4711 4712"
std::string shown_lease(const Json& lease) {
    std::string text = lease.at("profile").get<std::string>() + ": " + of_job(lease) + ", " + user_of(lease);
    if (!lease.contains("pids")) return text;
    std::vector<std::string> pids;
    for (const auto& pid : lease.at("pids")) pids.push_back(std::to_string(pid.get<pid_t>()));
    const std::size_t more = pids.size() - std::min(pids.size(), most_pids);
    pids.resize(pids.size() - more);
    text += pids.empty() ? ", no process that is seen from here" : ", pids " + join(pids, " ");
    return more == 0 ? text : text + " and " + std::to_string(more) + " more";
}

/// Only root sees what other users' processes have open.
void add_pids(Json& json, uid_t senvd) {
    std::set<std::string> files;
    for (const auto& lease : json.at("leases")) files.insert(lease.at("file").get<std::string>());
    const auto pids = holders(files, senvd);
    for (auto& lease : json.at("leases")) {
        const auto found = pids.find(lease.at("file").get<std::string>());
        lease["pids"] = found == pids.end() ? std::vector<pid_t>() : found->second;
    }
}

Result<int> status(const Options& options) {
    auto connection = SENV_TRY(ask(options.socket, wire::encode_empty(wire::Type::status)));
    const std::string text = SENV_TRY(text_from(connection, answer_limit));
    if (options.json && ::geteuid() != 0) return print(text + "\n");
    Json json = SENV_TRY(read_json(text));
    if (::geteuid() == 0) add_pids(json, connection.peer_uid());
    if (options.json) return print(json.dump() + "\n");
    std::string out = "senvd " + json.at("version").get<std::string>() + ", up for " +
                      std::to_string(json.at("uptime_s").get<std::uint64_t>()) + " s\n";
    out += "store    " + json.at("store").get<std::string>() + ": " +
           count(json.at("items").get<std::uint64_t>(), "item") + ", " +
           human_bytes(json.at("bytes").get<std::uint64_t>()) + ", " +
           count(json.at("profiles").get<std::uint64_t>(), "profile") + "\n";
    for (const auto& origin : json.at("origins")) out += "origin   " + origin.get<std::string>() + "\n";
    for (const auto& trouble : json.at("troubles")) {
        out += "trouble  " + trouble.at("why").get<std::string>() + "\n";
    }
    for (const auto& lease : json.at("leases")) {
        out += "lease    " + shown_lease(lease) + "\n";
    }
    out += more(json, "leases", "lease    ", "more lease");
    out += space_of(json.at("space"));
    for (const auto& fetch : json.at("fetches")) {
        out += "fetching " + fetch.at("profile").get<std::string>() + ": " +
               std::to_string(number(fetch, "items_done")) + " of " + count(number(fetch, "items_total"), "item") +
               ", " + human_bytes(number(fetch, "bytes_done")) + " of " + human_bytes(number(fetch, "bytes_total")) +
               ", now " + fetch.at("what").get<std::string>() + "; for " + std::to_string(number(fetch, "seconds")) +
               " s, " + count(number(fetch, "waiting"), "request") + " waiting\n";
        for (const auto& transfer : fetch.at("transfers")) {
            out += "         " + transfer.at("item").get<std::string>() + ": " +
                   human_bytes(number(transfer, "bytes_done")) + " of " + human_bytes(number(transfer, "bytes_total")) +
                   " from " + transfer.at("origin").get<std::string>() + "\n";
        }
        for (const auto& who : fetch.at("waiters")) out += "         for " + of_job(who) + ", " + user_of(who) + "\n";
    }
    return print(out);
}

Result<int> release(const Options& options) {
    if (options.job.has_value() == options.uid.has_value()) {
        return Error(Kind::usage, "cannot release leases without a job, or a user with --uid; of one of them")
            .hint("see who holds what with `senv status`");
    }
    const wire::Release request{options.uid ? *options.uid : *options.job, options.uid ? wire::Release::flag_user : 0};
    const auto text = SENV_TRY(ask_for_text(options.socket, request.encode(), answer_limit));
    if (options.json) return print(text + "\n");
    const Json json = SENV_TRY(read_json(text));
    std::string out;
    for (const auto& lease : json.at("released")) out += "released " + shown_lease(lease) + "\n";
    out += more(json, "released", "released ", "more lease");
    return print(out);
}

Result<int> gc(const Options& options) {
    wire::Gc request;
    if (options.dry_run) request.flags |= wire::Gc::flag_dry_run;
    const auto text = SENV_TRY(ask_for_text(options.socket, request.encode(), gc_limit));
    if (options.json) return print(text + "\n");
    const Json json = SENV_TRY(read_json(text));
    const std::string verb = options.dry_run ? "would evict " : "evicted ";
    std::string out;
    for (const auto& profile : json.at("evicted")) out += verb + profile.get<std::string>() + "\n";
    out += more(json, "evicted", verb);
    for (const auto& kept : json.at("kept")) {
        out += "kept " + kept.at("profile").get<std::string>() + ": " + kept.at("why").get<std::string>() + ", " +
               human_bytes(kept.at("disk_bytes").get<std::uint64_t>()) + "\n";
    }
    out += more(json, "kept", "kept ");
    out += verb + count(json.at("items").get<std::uint64_t>(), "item") + ", " +
           human_bytes(json.at("disk_bytes").get<std::uint64_t>()) + "\n";
    return print(out);
}

Result<int> change_pin(const Options& options, std::uint32_t flags) {
    const wire::Pin request{options.profile, flags};
    const auto text = SENV_TRY(ask_for_text(options.socket, request.encode(), answer_limit));
    return options.json ? print(text + "\n") : Result<int>(0);
}

Result<int> pin(const Options& options) {
    return change_pin(options, 0);
}

Result<int> unpin(const Options& options) {
    return change_pin(options, wire::Pin::flag_unpin);
}

std::string date_of(std::int64_t time) {
    if (time == 0) return "never used";
    struct tm utc = {};
    const std::time_t seconds_of_utc = time;
    ::gmtime_r(&seconds_of_utc, &utc);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "used %Y-%m-%d %H:%M:%S UTC", &utc);
    return text.data();
}

Result<Json> profiles_on_node(const std::string& socket) {
    Json all = Json::array();
    std::string after;
    do {
        const auto text = SENV_TRY(ask_for_text(socket, wire::List{after}.encode(), answer_limit));
        const Json page = SENV_TRY(read_json(text));
        for (const auto& one : page.at("profiles")) all.push_back(one);
        const Json& next = page.at("next");
        after = next.is_null() ? "" : next.get<std::string>();
    } while (!after.empty());
    return all;
}

Result<int> list(const Options& options) {
    const Json all = SENV_TRY(profiles_on_node(options.socket));
    if (options.json) return print(Json{{"profiles", all}}.dump() + "\n");
    std::string out;
    for (const auto& one : all) {
        out += one.at("profile").get<std::string>() + ": " + count(number(one, "items"), "item") + ", " +
               human_bytes(number(one, "disk_bytes")) + ", " + date_of(one.at("last_use").get<std::int64_t>());
        if (one.at("pinned").get<bool>()) out += ", pinned";
        if (const auto leases = number(one, "leases"); leases > 0) out += ", " + count(leases, "lease");
        if (!one.at("complete").get<bool>()) out += ", not complete";
        out += "\n";
    }
    return print(out);
}

/// One line that moves on a terminal; a line every ten seconds elsewhere.
class ProgressLine {
public:
    explicit ProgressLine(bool quiet) : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}
    ~ProgressLine() {
        if (shown_ && terminal_) std::fputs("\r\033[K", stderr);
    }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    void show(const wire::Progress& progress) {
        const auto now = Clock::now();
        if (quiet_ || (!terminal_ && now < next_)) return;
        next_ = now + seconds(10);
        shown_ = true;
        const std::string line = "senv: " + std::to_string(progress.items_done) + " of " +
                                 count(progress.items_total, "item") + ", " + human_bytes(progress.bytes_done) +
                                 " of " + human_bytes(progress.bytes_total) + ": " + printable(progress.what);
        if (terminal_) {
            std::fprintf(stderr, "\r\033[K%s", line.c_str());
        } else {
            std::fprintf(stderr, "%s\n", line.c_str());
        }
    }

private:
    bool quiet_;
    bool terminal_;
    bool shown_ = false;
    Deadline next_{};
};

/// A store path as it is, or what a file written by `senv lock` says.
Result<std::string> profile_of(const std::string& path_or_lock) {
    if (path_or_lock.starts_with("/gnu/store/")) return path_or_lock;
    const std::string doing = "cannot use the lock '" + printable(path_or_lock) + "'";
    const auto text = read_small_file(path_or_lock, max_lock_bytes);
    if (!text) {
        return Error(text.error()).hint("give a profile in /gnu/store, or a file that `senv lock` wrote");
    }
    return SENV_TRY(Lock::read(*text).in(doing)).profile.absolute();
}

/// What may come before the last reply, where it was asked for.
struct Before {
    bool was_pending = false;
    Fd lease;
};

/// The payload of the last reply, which should be a `wanted`; shows progress until it comes. Without `before`, nothing else has
/// a place here.
Result<std::string> last_reply(wire::Connection& connection, wire::Type wanted, Deadline deadline, bool quiet,
                               Before* before = nullptr) {
    ProgressLine line(quiet);
    for (;;) {
        auto reply = SENV_TRY(connection.receive(deadline));
        if (reply.type == wanted) return std::move(reply.payload);
        if (reply.type == wire::Type::progress) {
            line.show(SENV_TRY(wire::Progress::decode(reply.payload)));
        } else if (reply.type == wire::Type::pending && before != nullptr) {
            before->was_pending = true;
        } else if (reply.type == wire::Type::lease && before != nullptr) {
            before->lease = std::move(reply.fd);
        } else if (reply.type == wire::Type::error) {
            return wire::decode_error(reply.payload);
        } else {
            return Error(Kind::corrupt, "senvd answered something else than was asked");
        }
    }
}

Result<int> fetch(const Options& options) {
    wire::Provision request;
    request.profile = SENV_TRY(profile_of(options.profile));
    request.uid = ::getuid();
    request.flags = wire::Provision::flag_progress;
    const auto begin = Clock::now();
    auto connection = SENV_TRY(ask(options.socket, request.encode()));
    Before before;
    SENV_TRY(last_reply(connection, wire::Type::plan, begin + fetch_limit, options.quiet, &before));
    if (!options.json) return 0;
    const nlohmann::ordered_json json = {{"profile", request.profile},
                                         {"was_complete", !before.was_pending},
                                         {"seconds", std::chrono::duration<double>(Clock::now() - begin).count()}};
    return print(json.dump() + "\n");
}

/// Exit status 1 when something stays damaged, or could not be checked.
Result<int> print_verified(const std::string& text, bool as_json) {
    const Json json = SENV_TRY(read_json(text));
    const auto size_of = [&](const std::string& list) {
        return json.at(list).size() + json.value("more_" + list, std::uint64_t{0});
    };
    const bool all_is_well =
        size_of("not_repaired") == 0 && size_of("unreadable") == 0 && size_of("repaired") == size_of("damaged");
    std::string out = text + "\n";
    if (!as_json) {
        out.clear();
        const auto show = [&](const std::string& list, const std::string& verb) {
            for (const auto& one : json.at(list)) {
                const bool has_why = one.is_object();
                const Json& item = has_why ? one.at("item") : one;
                out += verb + item.get<std::string>() + (has_why ? ": " + one.at("why").get<std::string>() : "") + "\n";
            }
            const auto left = json.value("more_" + list, std::uint64_t{0});
            if (left > 0) out += verb + count(left, "more item") + "\n";
        };
        show("damaged", "damaged ");
        show("repaired", "repaired ");
        show("not_repaired", "not repaired ");
        show("unreadable", "cannot read ");
        out += "checked " + count(number(json, "checked"), "item") + ", " + human_bytes(number(json, "bytes")) + "; " +
               std::to_string(size_of("damaged")) + " damaged, " + std::to_string(size_of("repaired")) + " repaired";
        if (size_of("unreadable") > 0) out += ", " + std::to_string(size_of("unreadable")) + " not readable";
        out += "\n";
    }
    SENV_TRY(print(out));
    return all_is_well ? 0 : 1;
}

Result<int> verify(const Options& options) {
    wire::Verify request{{}, wire::Verify::flag_repair};
    for (const auto& path : options.paths) request.paths.push_back(SENV_TRY(profile_of(path)));
    const std::string frame = request.encode();
    if (frame.size() > wire::header_bytes + wire::max_request_bytes) {
        return Error(Kind::usage, "cannot verify so many items at once")
            .hint("name fewer of them, or none: then all are verified");
    }
    auto connection = SENV_TRY(ask(options.socket, frame));
    const std::string reply =
        SENV_TRY(last_reply(connection, wire::Type::text, Clock::now() + verify_limit, options.quiet));
    return print_verified(SENV_TRY(wire::decode_text(reply)), options.json);
}

CLI::App* add(CLI::App& app, const std::string& name, const std::string& what, const std::shared_ptr<Options>& options,
              Result<int> (*run)(const Options&), Action& action) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("--socket", options->socket, "Where senvd listens")->type_name("FILE")->capture_default_str();
    command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
    return command;
}

/// The folder that senvd keeps items in.
Result<std::string> store_of_node(const std::string& socket) {
    const auto status = SENV_TRY(ask_for_text(socket, wire::encode_empty(wire::Type::status), answer_limit));
    return SENV_TRY(read_json(status)).at("store").get<std::string>();
}

/// Errors: missing when senvd does not have all of it, and those of asking.
Result<NodeClosure> closure_on_node(const std::string& socket, const StorePath& profile) {
    const Json all = SENV_TRY(profiles_on_node(socket));
    const auto found = std::ranges::find_if(all, [&](const Json& one) {
        return one.at("profile").get<std::string>() == profile.absolute() && one.at("complete").get<bool>();
    });
    if (found == all.end()) return Error(Kind::missing, "it does not have all of it");
    return NodeClosure{SENV_TRY(store_of_node(socket)), number(*found, "items"), number(*found, "disk_bytes"),
                       found->at("pinned").get<bool>(), number(*found, "leases")};
}

}  // namespace

Result<OnNode> bring_here(const std::string& socket, const StorePath& profile, bool quiet) {
    wire::Provision request;
    request.profile = profile.absolute();
    request.uid = ::getuid();
    request.flags = wire::Provision::flag_lease | wire::Provision::flag_progress;
    auto connection = SENV_TRY(ask(socket, request.encode()));
    Before before;
    const std::string plan =
        SENV_TRY(last_reply(connection, wire::Type::plan, Clock::now() + fetch_limit, quiet, &before));
    if (!before.lease) return Error(Kind::corrupt, "senvd gave no lease of the environment");
    return OnNode{SENV_TRY(closure_on_node(socket, profile)).store, connection.peer_uid(),
                  SENV_TRY(wire::Plan::decode(plan)), std::move(before.lease)};
}

bool shows_store_of_node(const std::string& socket, const std::string& folder) {
    const auto store = store_of_node(socket);
    struct stat one {};
    struct stat other {};
    return store && ::stat(store->c_str(), &one) == 0 && ::stat(folder.c_str(), &other) == 0 &&
           one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

Result<std::string> profile_of_job(const std::string& socket, std::uint32_t job) {
    const auto held = SENV_TRY(ask_for_text(socket, wire::Held{::getuid(), job}.encode(), answer_limit));
    return held.substr(0, held.find(' '));
}

Stores stores_here(const std::string& socket) {
    return {std::string(store_prefix.substr(0, store_prefix.size() - 1)),
            [socket](const StorePath& profile) { return closure_on_node(socket, profile); }};
}

void add_node_commands(CLI::App& app, Action& action) {
    const auto options = std::make_shared<Options>();
    CLI::App* show =
        add(app, "status", "What senvd on this node has, holds and fetches, and for whom", options, &status, action);
    show->add_flag("--json", options->json,
                   "Print senvd's answer as it is; for root, with the processes that hold leases");
    show->footer(
        "Examples:\n"
        "  senv status\n"
        "  senv status --json | jq '.leases[] | .job'");

    CLI::App* take = add(app, "release", "Let environments go that a job or a user holds on this node (for root)",
                         options, &release, action);
    take->add_option("JOB", options->job, "The number of a job: all that its steps hold")->type_name("");
    take->add_option("--uid", options->uid, "Instead: all that the steps of this user hold")->type_name("UID");
    take->add_flag("--json", options->json, "Print senvd's answer as it is");
    take->footer(
        "For what is held although nobody needs it, as by processes that outlived their job. Steps that run on lose "
        "files\n"
        "of their environment when senvd evicts it. `senv status`, run by root, shows the processes that hold each.\n\n"
        "Examples:\n"
        "  senv release 4711\n"
        "  senv release --uid 1000");

    CLI::App* collect =
        add(app, "gc", "Remove environments that no job uses (for root and admin_group)", options, &gc, action);
    collect->add_flag("--dry-run", options->dry_run, "Only say what would be removed");
    collect->add_flag("--json", options->json, "Print senvd's answer as it is");
    collect->footer(
        "What jobs hold, what is pinned and what was used a moment ago stays. senvd removes by itself what was not "
        "used\n"
        "for longest when its disk fills up.\n\n"
        "Examples:\n"
        "  senv gc --dry-run\n"
        "  senv gc");

    for (const bool undo : {false, true}) {
        CLI::App* change = undo ? add(app, "unpin", "Let a pinned profile be removed again (for root and admin_group)",
                                      options, &unpin, action)
                                : add(app, "pin",
                                      "Keep a profile that is on this node until it is unpinned (for root and "
                                      "admin_group)",
                                      options, &pin, action);
        change->add_option("PROFILE", options->profile, "/gnu/store/…-profile")->required();
        change->add_flag("--json", options->json, "Print senvd's answer as it is");
        change->footer(
            "Examples:\n"
            "  senv fetch environment.lock\n"
            "  senv pin $(jq -r .profile environment.lock)\n"
            "  senv unpin $(jq -r .profile environment.lock)");
    }

    CLI::App* all = add(app, "list", "The profiles on this node, with their sizes and uses", options, &list, action);
    all->add_flag("--json", options->json, "Print all of them as one JSON object");
    all->footer(
        "Examples:\n"
        "  senv list\n"
        "  senv list --json | jq -r '.profiles[] | select(.pinned) | .profile'");

    CLI::App* check =
        add(app, "verify", "Compare what this node has with what was signed, and repair it (for root and admin_group)",
            options, &verify, action);
    check->add_option("PATH", options->paths,
                      "Only these profiles or items and what they need: /gnu/store/… or the file of a lock");
    check->add_flag("-q,--quiet", options->quiet, "Show no progress");
    check->add_flag("--json", options->json, "Print senvd's answer as it is");
    check->footer(
        "Examples:\n"
        "  senv verify\n"
        "  senv verify environment.lock\n\n"
        "Exit status: 0 all is whole, 1 something is damaged and could not be repaired, or could not be read.");

    CLI::App* warm = add(app, "fetch", "Bring a profile and all it needs to this node", options, &fetch, action);
    warm->add_option("PROFILE", options->profile, "/gnu/store/…-profile, or a file that `senv lock` wrote")->required();
    warm->add_flag("-q,--quiet", options->quiet, "Show no progress");
    warm->add_flag("--json", options->json, "Print profile, was_complete and seconds as JSON");
    warm->footer(
        "It may be removed again when no job uses it and space is needed; `senv pin` keeps it.\n\n"
        "Examples:\n"
        "  senv fetch environment.lock\n"
        "  senv fetch $(senv resolve -m manifest.scm -C channels.scm)");
}

}  // namespace senv
