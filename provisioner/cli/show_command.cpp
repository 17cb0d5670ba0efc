// show_command.cpp: `senv show`.
#include <unistd.h>

#include <limits>
#include <memory>

#include "cache/base/text.h"
#include "cache/wire/client.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/inspected.h"
#include "provisioner/cli/node_commands.h"
#include "provisioner/cli/output.h"
#include "provisioner/doctor/commands.h"

namespace senv {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds slurm_limit{10};
constexpr std::size_t max_shown_value = 65536;  // a plan has no longer ones

struct Options {
    std::string name;
    std::string socket = wire::default_socket;
    bool json = false;
};

std::string channels_of(const Inspected& found) {
    if (!found.lock) return "channels  not known: only its lock names them\n";
    if (found.lock->channels.empty()) return "channels  not known: the Guix that answered did not record them\n";
    std::vector<std::vector<std::string>> rows = {{"CHANNEL", "COMMIT", "URL"}};
    for (const LockedChannel& channel : found.lock->channels) {
        rows.push_back({printable(channel.name), printable(channel.commit), printable(channel.url)});
    }
    return "\n" + table(rows);
}

std::string packages_of(const Inspected& found) {
    if (found.contents) {
        std::vector<std::vector<std::string>> rows = {{"PACKAGE", "VERSION", "OUTPUT"}};
        for (const Package& package : found.contents->packages) {
            rows.push_back({printable(package.name), printable(package.version), printable(package.output)});
        }
        return "\n" + table(rows);
    }
    std::string out =
        "\nThe profile is not on this host, so its packages and variables are not known. The lock names what it refers "
        "to,\n"
        "which is its packages, what they propagate, and what Guix made for it:\n";
    for (const StorePath& item : direct_references(*found.lock)) out += "  " + std::string(item.name()) + "\n";
    return out;
}

/// As a shell would be told, with GUIX_ENVIRONMENT for the profile's own name.
std::string value_of(const wire::Variable& variable, const std::string& profile) {
    std::string value = variable.value;
    for (std::size_t at = 0; (at = value.find(profile, at)) != std::string::npos;) {
        value.replace(at, profile.size(), "$GUIX_ENVIRONMENT");
    }
    if (!variable.separator.empty()) value += variable.separator + "$" + variable.name;
    return printable(value, max_shown_value);
}

std::string variables_of(const Inspected& found) {
    if (!found.contents) return "";
    std::vector<std::vector<std::string>> rows = {{"VARIABLE", "VALUE"},
                                                  {"GUIX_ENVIRONMENT", found.profile.absolute()}};
    for (const wire::Variable& variable : found.contents->variables) {
        rows.push_back({variable.name, value_of(variable, found.profile.absolute())});
    }
    return "\n" + table(rows);
}

std::string as_text(const Inspected& found) {
    std::string out = "profile   " + found.profile.absolute() + "\n";
    if (found.lock) {
        out += "system    " + printable(found.lock->system) + "\n";
        out += "guix      " + printable(found.lock->guix_version) + "\n";
    }
    return out + "closure   " + closure_text(found) + "\n" + channels_of(found) + packages_of(found) +
           variables_of(found);
}

template <class T>
Json json_of(const std::vector<T>& list) {
    Json all = Json::array();
    for (const T& one : list) all.push_back(senv::json_of(one));
    return all;
}

Json variables_json(const Inspected& found) {
    Json variables =
        Json::array({{{"name", "GUIX_ENVIRONMENT"}, {"value", found.profile.absolute()}, {"separator", nullptr}}});
    for (const wire::Variable& variable : found.contents->variables) {
        variables.push_back({{"name", variable.name},
                             {"value", variable.value},
                             {"separator", variable.separator.empty() ? Json() : Json(variable.separator)}});
    }
    return variables;
}

std::string as_json(const Inspected& found) {
    Json references;
    if (found.lock) {
        references = Json::array();
        for (const StorePath& item : direct_references(*found.lock)) references.push_back(item.absolute());
    }
    return dump({{"senv-show", 1},
                 {"profile", found.profile.absolute()},
                 {"store", found.contents ? Json(found.contents->store) : Json()},
                 {"system", found.lock ? Json(found.lock->system) : Json()},
                 {"guix", found.lock ? Json({{"version", found.lock->guix_version}}) : Json()},
                 {"closure", closure_json(found)},
                 {"channels", found.lock ? json_of(found.lock->channels) : Json()},
                 {"references", references},
                 {"packages", found.contents ? json_of(found.contents->packages) : Json()},
                 {"variables", found.contents ? variables_json(found) : Json()}});
}

// What Slurm says of it, for who looks on the wrong host: "; it is RUNNING on n1". Empty when Slurm says nothing.
Result<std::string> whereabouts(const std::string& job) {
    const Signals signals = SENV_TRY(Signals::hold());
    const Commands commands(environment_from(environ), signals, Clock::now() + slurm_limit);
    const auto said =
        commands.output({"squeue", "--noheader", "--jobs=" + job, "--states=all", "--format=%T %N"}, slurm_limit);
    if (!said) return std::string();
    const auto words = split(split(*said, '\n')[0], ' ');
    if (words[0].empty()) return std::string();
    const std::string nodes = words.size() > 1 ? printable(words[1]) : "";
    return "; it is " + printable(words[0]) + (nodes.empty() ? "" : " on " + nodes);
}

// A number; a file that is called so is ./NUMBER.
std::optional<std::uint32_t> job_in(const std::string& name) {
    const auto number = parse_decimal(name);
    if (!number || *number > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
    if (std::to_string(*number) != name) return std::nullopt;  // 007
    return static_cast<std::uint32_t>(*number);
}

Result<std::string> profile_in_use(const std::string& socket, std::uint32_t job) {
    auto profile = profile_of_job(socket, job);
    if (profile && !profile->empty()) return profile;
    const std::string number = std::to_string(job);
    const std::string cause =
        profile ? "no step of it that is yours is in an environment on this host" : profile.error().what();
    return Error(Kind::missing, "cannot show job " + number + ": " + cause + SENV_TRY(whereabouts(number)))
        .hint("while it runs, look on one of its nodes: srun --jobid=" + number +
              " --overlap -N1 -n1 --env-passthrough=ignore senv show " + number);
}

Result<int> show_command(const Options& options) {
    const auto job = job_in(options.name);
    const std::string name = job ? SENV_TRY(profile_in_use(options.socket, *job)) : options.name;
    const Inspected found = SENV_TRY(inspect(name, stores_here(options.socket)));
    if (!found.contents && !found.lock) {
        return Error(Kind::missing, "cannot look into '" + found.profile.absolute() + "': " + found.absence)
            .hint("name its lock instead, or look at it on a host that has it");
    }
    return print(options.json ? as_json(found) : as_text(found));
}

}  // namespace

void add_show_command(CLI::App& app, Action& action) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("show", "Tell what is in an environment: packages, size, variables, channels");
    command
        ->add_option("FILE|PROFILE|JOBID", options->name,
                     "A lock; or /gnu/store/…-profile, or a link to one; or a job of yours that runs on this node")
        ->required();
    command->add_option("--socket", options->socket, "Where this node's senvd listens, if it has one")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print it as JSON; what is not known is null");
    command->footer(
        "Starts no Guix. A lock says what the environment takes and which channels made it; packages and variables "
        "are\n"
        "read from the profile, which must be in /gnu/store or in the store of this node's senvd. Of a job, that is "
        "the\n"
        "profile which its script, or else its latest step, is in on this node.\n\n"
        "Examples:\n"
        "  senv show environment.lock\n"
        "  senv show ~/.guix-profile\n"
        "  senv show --json $GUIX_ENVIRONMENT     in a job\n"
        "  srun --jobid=123 --overlap -N1 -n1 --env-passthrough=ignore senv show 123");
    command->callback([&action, options] { action = [options] { return show_command(*options); }; });
}

}  // namespace senv
