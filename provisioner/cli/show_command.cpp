// show_command.cpp: `senv show`.
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "cache/base/text.h"
#include "cache/wire/client.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/inspected.h"
#include "provisioner/cli/node_commands.h"
#include "provisioner/cli/output.h"
#include "provisioner/doctor/commands.h"
#include "provisioner/jobs.h"
#include "provisioner/resolve/cache.h"
#include "provisioner/trust.h"

namespace senv {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds slurm_limit{5};  // where slurmctld does not answer, squeue takes a minute to say so
constexpr std::size_t max_shown_value = 65536;  // a plan has no longer ones
constexpr std::string_view running = "RUNNING";

struct Options {
    std::string name;
    std::string socket = wire::default_socket;
    bool json = false;
};

/// What is shown.
struct Subject {
    std::string name;                 // of a lock or a profile
    std::optional<SubmittedJob> job;  // that it was found by
};

/// Of a job whose lock is not here, their names and commits are known.
std::vector<LockedChannel> channels_of(const Inspected& found, const std::optional<SubmittedJob>& job) {
    if (found.lock) return found.lock->channels;
    std::vector<LockedChannel> channels;
    if (!job) return channels;
    for (const auto& [name, commit] : job->resolution.channels) {
        LockedChannel& channel = channels.emplace_back();
        channel.name = name;
        channel.commit = commit;
    }
    return channels;
}

std::string channels_text(const Inspected& found, const std::optional<SubmittedJob>& job) {
    const auto channels = channels_of(found, job);
    if (channels.empty()) {
        return found.lock ? "channels  not known: the Guix that answered did not record them\n"
                          : "channels  not known: only its lock names them\n";
    }
    std::vector<std::vector<std::string>> rows = {{"CHANNEL", "COMMIT", "URL"}};
    for (const LockedChannel& channel : channels) {
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
    std::string out = "\nThe profile is not on this host, so its packages and variables are not known.";
    if (!found.lock) return out + "\n";
    out +=
        " The lock names what it refers to,\n"
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

std::string job_text(const SubmittedJob& job) {
    std::string out = "job       " + std::to_string(job.number);
    if (!job.cluster.empty()) out += " of cluster " + printable(job.cluster);
    out += ", submitted " + printable(job.time);
    if (job.resolution.keeping.pure) out += ", pure";
    return out + "\n";
}

/// What keeps it on this host.
std::string kept_text(const Inspected& found) {
    if (found.node) {
        if (found.node->pinned) return "on this node: it is pinned";
        if (found.node->leases > 0) return "on this node by " + count(found.node->leases, "lease");
        return "by nothing: senvd may evict it from this node when the disk is full";
    }
    if (const auto root = standing_root(found.profile, environment_from(environ))) {
        const auto days = std::chrono::duration_cast<std::chrono::days>(root->unused).count();
        return "by the GC root " + printable(root->link) + ", last used " +
               (days <= 0 ? "today" : count(static_cast<std::uint64_t>(days), "day") + " ago");
    }
    return "by no GC root of senv's for you on this host";
}

std::string as_text(const Inspected& found, const std::optional<SubmittedJob>& job) {
    std::string out = job ? job_text(*job) : "";
    out += "profile   " + found.profile.absolute() + "\n";
    if (found.lock) {
        out += "system    " + printable(found.lock->system) + "\n";
        out += "guix      " + printable(found.lock->guix_version) + "\n";
    }
    return out + "closure   " + closure_text(found) + "\nkept      " + kept_text(found) + "\n" +
           channels_text(found, job) + packages_of(found) + variables_of(found);
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

Json job_json(const SubmittedJob& job) {
    return {{"id", job.number},
            {"cluster", job.cluster.empty() ? Json() : Json(job.cluster)},
            {"submitted", job.time},
            {"pure", job.resolution.keeping.pure}};
}

Json kept_json(const Inspected& found) {
    const auto root = standing_root(found.profile, environment_from(environ));
    return {{"root", root ? Json(root->link) : Json()},
            {"pinned", found.node ? Json(found.node->pinned) : Json()},
            {"leases", found.node ? Json(found.node->leases) : Json()}};
}

std::string as_json(const Inspected& found, const std::optional<SubmittedJob>& job) {
    const auto channels = channels_of(found, job);
    Json references;
    if (found.lock) {
        references = Json::array();
        for (const StorePath& item : direct_references(*found.lock)) references.push_back(item.absolute());
    }
    return dump({{"senv-show", 1},
                 {"job", job ? job_json(*job) : Json()},
                 {"profile", found.profile.absolute()},
                 {"store", found.contents ? Json(found.contents->store) : Json()},
                 {"system", found.lock ? Json(found.lock->system) : Json()},
                 {"guix", found.lock ? Json({{"version", found.lock->guix_version}}) : Json()},
                 {"closure", closure_json(found)},
                 {"kept", kept_json(found)},
                 {"channels", found.lock || !channels.empty() ? json_of(channels) : Json()},
                 {"references", references},
                 {"packages", found.contents ? json_of(found.contents->packages) : Json()},
                 {"variables", found.contents ? variables_json(found) : Json()}});
}

/// What Slurm says of a job.
struct InSlurm {
    std::uint32_t number = 0;  // of the array or the heterogeneous job's first component, if it is a part of one
    std::string state;
    std::string nodes;  // those it has
    std::string cluster;
    std::optional<std::uint64_t> submitted;  // in seconds since 1970; not of one that was requeued, which changes it
};

constexpr const char* squeue_format =
    "--Format=ArrayJobID:20|,HetJobID:20|,State:20|,NodeList:1000|,Cluster:100|,SubmitTime:30|,RestartCnt:20|";

std::optional<InSlurm> job_in(std::string_view squeue_line) {
    std::vector<std::string_view> fields = split(squeue_line, '|');
    if (fields.size() < 7) return std::nullopt;
    for (std::string_view& field : fields) field = field.substr(0, field.find(' '));
    const auto array = parse_decimal(fields[0]);
    if (!array) return std::nullopt;
    const std::uint64_t leader = parse_decimal(fields[1]).value_or(0);  // "N/A", or 0
    return InSlurm{static_cast<std::uint32_t>(leader != 0 ? leader : *array), std::string(fields[2]),
                   std::string(fields[3]), std::string(fields[4]),
                   fields[6] == "0" ? parse_decimal(fields[5]) : std::nullopt};
}

/// nullopt: it knows no such job. Errors: it could not be asked.
Result<std::optional<InSlurm>> find_in_slurm(std::uint32_t job) {
    Environment environment = environment_from(environ);
    std::erase_if(environment, [](const auto& variable) { return variable.first.starts_with("SQUEUE_"); });
    environment["SLURM_TIME_FORMAT"] = "%s";
    const Signals signals = SENV_TRY(Signals::hold());
    const Commands commands(environment, signals, Clock::now() + slurm_limit);
    const auto said = commands.output(
        {"squeue", "--noheader", "--all", "--jobs=" + std::to_string(job), "--states=all", squeue_format}, slurm_limit);
    std::optional<InSlurm> found;
    if (!said) {
        if (said.error().what().find("Invalid job id") != std::string::npos) return found;
        return said.error();
    }
    for (const std::string_view line : split(*said, '\n')) {
        auto one = job_in(line);
        // Of several tasks, one that runs.
        if (one && (!found || (one->state == running && found->state != running))) found = std::move(one);
    }
    return found;
}

/// Whether SLURM_CLUSTERS, which Slurm's own commands read, lets it be a job of that cluster: "NAME,NAME…" or "all".
bool may_be_of(const std::string& cluster, const Environment& environment) {
    const auto named = environment.find("SLURM_CLUSTERS");
    if (named == environment.end() || ::strcasecmp(named->second.c_str(), "all") == 0) return true;
    return std::ranges::count(split(named->second, ','), cluster) != 0;
}

/// Whether it is an earlier job with the number of the one in Slurm, whose numbers began anew.
bool is_earlier(const SubmittedJob& job, const Result<std::optional<InSlurm>>& in_slurm) {
    if (!in_slurm || !*in_slurm || !(*in_slurm)->submitted || (*in_slurm)->cluster != job.cluster) return false;
    return job.time < utc_time(static_cast<std::int64_t>(*(*in_slurm)->submitted) - clock_difference);
}

/// Of the jobs with one number, that of one cluster.
Result<std::optional<SubmittedJob>> choose(const std::vector<SubmittedJob>& jobs, const Environment& environment,
                                           const Result<std::optional<InSlurm>>& in_slurm) {
    std::optional<SubmittedJob> chosen;
    for (const SubmittedJob& job : jobs) {
        if (!may_be_of(job.cluster, environment) || is_earlier(job, in_slurm)) continue;
        if (chosen && chosen->cluster != job.cluster) {
            return Error(Kind::usage, "cannot show job " + std::to_string(job.number) + ": it is one of cluster " +
                                          printable(chosen->cluster) + " and one of cluster " + printable(job.cluster))
                .hint("name the cluster in the variable SLURM_CLUSTERS");
        }
        if (!chosen) chosen = job;
    }
    return chosen;
}

Error unknown(std::uint32_t job, const std::string& why_not_here, const Result<std::optional<InSlurm>>& in_slurm) {
    const std::string number = std::to_string(job);
    const bool is_unknown = in_slurm && !*in_slurm;
    std::string cause = "it is not among those remembered in this home, ";
    cause += is_unknown ? why_not_here + ", and Slurm knows no such job" : "and " + why_not_here;
    if (in_slurm && *in_slurm) {
        cause += "; it is " + printable((*in_slurm)->state);
        if (!(*in_slurm)->nodes.empty()) cause += " on " + printable((*in_slurm)->nodes);
    }
    Error error(Kind::missing, "cannot show job " + number + ": " + cause);
    if (is_unknown || (in_slurm && (*in_slurm)->state != running)) return error;
    return std::move(error).hint("while it runs, look on one of its nodes: srun --jobid=" + number +
                                 " --overlap -N1 -n1 --env-passthrough=ignore senv show " + number);
}

Result<Subject> subject_of(std::uint32_t job, const std::string& socket) {
    const Environment environment = with_own_folders(environment_from(environ), ::geteuid());
    const auto folder = cache_folder(environment);
    const auto jobs = [&](std::uint32_t number) -> Result<std::vector<SubmittedJob>> {
        if (!folder) return std::vector<SubmittedJob>();
        return jobs_called(*folder, number);
    };
    const auto of = [&](const SubmittedJob& one) -> Subject {
        const auto lock = kept_lock(*folder, one.resolution.lock_digest);
        return {lock ? *lock : one.resolution.profile.absolute(), one};
    };
    const auto remembered = jobs(job);
    const auto profile = profile_of_job(socket, job);
    if (profile && !profile->empty()) {
        if (!remembered) return Subject{*profile, std::nullopt};
        const auto same = std::ranges::find_if(
            *remembered, [&](const SubmittedJob& one) { return one.resolution.profile.absolute() == *profile; });
        return same == remembered->end() ? Subject{*profile, std::nullopt} : of(*same);
    }
    if (!remembered) return remembered.error();
    const auto in_slurm = find_in_slurm(job);
    if (const auto chosen = SENV_TRY(choose(*remembered, environment, in_slurm))) return of(*chosen);
    if (in_slurm && *in_slurm && (*in_slurm)->number != job) {
        const auto chosen = SENV_TRY(choose(SENV_TRY(jobs((*in_slurm)->number)), environment, in_slurm));
        if (chosen) return of(*chosen);
    }
    return unknown(job,
                   profile ? "no step of it that is yours is in an environment on this host" : profile.error().what(),
                   in_slurm);
}

Result<int> show_command(const Options& options) {
    const auto number = job_number(options.name);  // a file that is called so is ./123
    const Subject subject =
        number ? SENV_TRY(subject_of(*number, options.socket)) : Subject{options.name, std::nullopt};
    const Inspected found = SENV_TRY(inspect(subject.name, stores_here(options.socket)));
    if (!found.contents && !found.lock && !subject.job) {
        return Error(Kind::missing, "cannot look into '" + found.profile.absolute() + "': " + found.absence)
            .hint("name its lock instead, or look at it on a host that has it");
    }
    return print(options.json ? as_json(found, subject.job) : as_text(found, subject.job));
}

}  // namespace

void add_show_command(CLI::App& app, Action& action) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("show", "Tell what is in an environment: packages, size, variables, channels");
    command
        ->add_option("FILE|PROFILE|JOBID", options->name,
                     "A lock; or /gnu/store/…-profile, or a link to one; or a job of yours")
        ->required();
    command->add_option("--socket", options->socket, "Where this node's senvd listens, if it has one")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print it as JSON; what is not known is null");
    command->footer(
        "Starts no Guix, and does not count as a use. A lock says what the environment takes and which channels made\n"
        "it; packages and variables are read from the profile, which must be in /gnu/store or in the store of this\n"
        "node's senvd.\n\n"
        "Of a job that runs on this node, that is the profile which its script, or else its latest step, is in. Of "
        "any\n"
        "other job, waiting, running or ended, it is what it was submitted with, if that was done from this home, and "
        "if\n"
        "the site lets submitted jobs be remembered (CliFilterPlugins=senv in slurm.conf). A job of srun is known "
        "once\n"
        "it runs.\n\n"
        "Examples:\n"
        "  senv show environment.lock\n"
        "  senv show ~/.guix-profile\n"
        "  senv show 42                           a job; ./42 is a file\n"
        "  senv show --json $GUIX_ENVIRONMENT     in a job\n"
        "  srun --jobid=42 --overlap -N1 -n1 --env-passthrough=ignore senv show 42");
    command->callback([&action, options] { action = [options] { return show_command(*options); }; });
}

}  // namespace senv
