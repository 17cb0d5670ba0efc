// diff_command.cpp: `senv diff`.
#include <memory>

#include "cache/base/text.h"
#include "cache/wire/client.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/inspected.h"
#include "provisioner/cli/node_commands.h"
#include "provisioner/cli/output.h"
#include "provisioner/cli/request_options.h"
#include "provisioner/difference.h"

namespace senv {

namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

constexpr int exit_different = 1;

struct Options {
    std::string from;
    std::string to;
    std::string socket = wire::default_socket;
    bool json = false;
    RequestOptions resolving;  // of manifests
};

// What a row says of one: its name, and what can differ.

std::string name_of(const Package& package) {
    return printable(package.name);
}
std::string value_of(const Package& package) {
    return printable(package.output == "out" ? package.version : package.version + ":" + package.output);
}

std::string name_of(const StorePath& item) {
    return std::string(item.name());
}
std::string value_of(const StorePath&) {
    return "";
}

std::string name_of(const LockedChannel& channel) {
    return printable(channel.name);
}
std::string value_of(const LockedChannel& channel) {
    return printable(channel.commit);
}

std::string change(const Package& from, const Package& to) {
    return value_of(from) == value_of(to) ? value_of(to) + ", another build" : value_of(from) + " -> " + value_of(to);
}
std::string change(const StorePath&, const StorePath&) {
    return "another build";
}
std::string change(const LockedChannel& from, const LockedChannel& to) {
    std::string text = from.commit == to.commit ? value_of(to) : value_of(from) + " -> " + value_of(to);
    if (from.url != to.url) text += ", " + printable(from.url) + " -> " + printable(to.url);
    return text;
}

template <class T>
void add_rows(Rows& rows, const std::string& what, const std::optional<Differences<T>>& differences) {
    if (!differences) return;
    for (const T& one : differences->removed) rows.push_back({what, "removed", name_of(one), value_of(one)});
    for (const T& one : differences->added) rows.push_back({what, "added", name_of(one), value_of(one)});
    for (const auto& [from, to] : differences->changed)
        rows.push_back({what, "changed", name_of(to), change(from, to)});
}

std::string side(const std::string& sign, const Inspected& one) {
    std::string line = sign + " " + one.profile.absolute() + "  " + printable(one.name) + " (";
    if (one.lock) line += printable(one.lock->system) + ", ";
    return line + "closure: " + closure_text(one) + ")\n";
}

std::string as_text(const Inspected& from, const Inspected& to, const Difference& found) {
    if (found.same) return "";
    Rows rows;
    add_rows(rows, "package", found.packages);
    add_rows(rows, "item", found.references);
    add_rows(rows, "channel", found.channels);
    std::string out = side("-", from) + side("+", to) + table(rows);
    if (from.profile != to.profile && found.packages && found.packages->none()) {
        out += "the packages are the same; their order, or what Guix made around them, is not\n";
    }
    if (found.references) {
        out += "not both profiles are on this host: compared are the items that they refer to, as the locks say\n";
    }
    if (!found.channels) out += "the channels are not known: only locks name them\n";
    return out;
}

std::string json_of(const StorePath& item) {
    return item.absolute();
}

template <class T>
Json json_of(const std::optional<Differences<T>>& differences) {
    if (!differences) return nullptr;
    Json json = {{"added", Json::array()}, {"removed", Json::array()}, {"changed", Json::array()}};
    for (const T& one : differences->added) json["added"].push_back(json_of(one));
    for (const T& one : differences->removed) json["removed"].push_back(json_of(one));
    for (const auto& [from, to] : differences->changed) {
        json["changed"].push_back({{"from", json_of(from)}, {"to", json_of(to)}});
    }
    return json;
}

Json json_of(const Inspected& one) {
    return {{"profile", one.profile.absolute()}, {"closure", closure_json(one)}};
}

bool is_manifest(const std::string& name) {
    return name.ends_with(".scm");
}

Result<Inspected> look_at(const std::string& name, const CLI::App& command, const Options& options,
                          const GlobalOptions& global) {
    const Stores stores = stores_here(options.socket);
    if (!is_manifest(name)) return inspect(name, stores);
    RequestOptions resolving = options.resolving;
    resolving.request.manifests = {name};
    const Resolved resolved = SENV_TRY(resolve_request(command, resolving, global, Cache::Want::lock));
    Inspected found = SENV_TRY(inspect(resolved.known.lock_file, stores));
    found.name = name;
    return found;
}

Result<int> compare(const CLI::App& command, const Options& options, const GlobalOptions& global) {
    if (!options.resolving.request.channels.empty() && !is_manifest(options.from) && !is_manifest(options.to)) {
        return Error(Kind::usage, "cannot use --channels: neither of the two is a manifest");
    }
    const Inspected from = SENV_TRY(look_at(options.from, command, options, global));
    const Inspected to = SENV_TRY(look_at(options.to, command, options, global));
    const Difference found = SENV_TRY(difference(from, to));
    SENV_TRY(print(options.json ? dump({{"senv-diff", 1},
                                        {"same", found.same},
                                        {"from", json_of(from)},
                                        {"to", json_of(to)},
                                        {"packages", json_of(found.packages)},
                                        {"references", json_of(found.references)},
                                        {"channels", json_of(found.channels)}})
                                : as_text(from, to, found)));
    return found.same ? 0 : exit_different;
}

Result<int> diff_command(const CLI::App& command, const Options& options, const GlobalOptions& global) {
    Result<int> status = contained([&] { return compare(command, options, global); });
    if (status) return status;
    // As in diff(1), 1 says that they differ. Trouble of any kind must be 2, which is what main() makes of Kind::usage.
    return Error(Kind::usage, status.error().what()).hint(status.error().hint());
}

}  // namespace

void add_diff_command(CLI::App& app, const GlobalOptions& global, Action& action) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("diff", "Tell in what two environments differ: packages and channels");
    const std::string what = "A lock, or /gnu/store/…-profile, or a link to one, or a manifest: FILE.scm";
    command->add_option("FROM", options->from, what)->required();
    command->add_option("TO", options->to, what)->required();
    command->add_option("-C,--channels", options->resolving.request.channels, "For manifests: a channel file")
        ->type_name("FILE");
    command->add_option("--socket", options->socket, "Where this node's senvd listens, if it has one")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print it as JSON; what is not known is null");
    command->footer(
        "A manifest is resolved as by `senv resolve`; else no Guix is started. Packages are compared where both\n"
        "profiles are in /gnu/store or in the store of this node's senvd; else, of two locks, the items that the\n"
        "profiles refer to. Channels are compared of two locks.\n\n"
        "Examples:\n"
        "  senv diff paper.lock today.lock\n"
        "  senv diff paper.lock manifest.scm -C channels.scm\n"
        "  senv diff ~/.guix-profile-41-link ~/.guix-profile-42-link\n\n"
        "Exit status, as of diff(1): 0 they are the same, 1 they differ, 2 it could not be told, or the command\n"
        "line makes no sense.");
    command->callback([&global, &action, options, command] {
        action = [&global, options, command] { return diff_command(*command, *options, global); };
    });
}

}  // namespace senv
