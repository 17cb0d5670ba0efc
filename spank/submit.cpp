#include "spank/submit.h"

#include <algorithm>

#include "cache/base/text.h"
#include "provisioner/resolution.h"
#include "spank/child.h"

namespace senv {

namespace {

constexpr std::size_t max_answer = 8192;

// Slurm's own names of an option's value: in the environment of srun, sbatch and salloc and, with SLURM_SPANK_ in front,
// of everything in the job.
std::string forwarded_name(const OptionText& option) {
    std::string name = std::string("_SLURM_SPANK_OPTION_senv_") + option.name;
    std::ranges::replace(name, '-', '_');
    return name;
}
std::string default_name(const OptionText& option) {
    return "SLURM_SPANK_" + forwarded_name(option);
}

void forget_forwarded_values(Host& host) {
    for (const auto& option : option_texts) {
        host.unset_own_variable(forwarded_name(option).c_str());
        host.unset_own_variable(default_name(option).c_str());
        host.unset_job_control(forwarded_name(option).c_str());
    }
}

bool is_inside_job(const Host& host) {
    return !host.own_variable("SLURM_JOB_ID").value_or("").empty();
}

bool on_command_line(const Host& host, std::string_view prefix) {
    return std::ranges::any_of(host.command_line(), [&](const auto& word) { return word.starts_with(prefix); });
}

std::string options_of(const Request& request) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        if (!request.values[i].empty()) names.push_back(std::string("--") + option_texts[i].name);
    }
    return join(names, ",");
}

// For the log, and for the messages of tasks: where the request stood, and which options it was.
std::string source_of(const Host& host, const Request& request, bool by_default) {
    std::string place = "command-line";
    if (!on_command_line(host, "--env-")) {
        place = by_default || host.program() != Program::sbatch ? "environment" : "batch-script";
    }
    return place + ":" + options_of(request);
}

std::string absolute(const Host& host, const std::string& file) {
    return file.starts_with('/') ? file : host.working_folder() + "/" + file;
}

std::vector<std::string> question(const Host& host, const Settings& settings, const Request& request,
                                  const std::string& source) {
    std::vector<std::string> words = {settings.senv, "resolve", "--for-slurm"};
    const auto add = [&](const char* option, const std::string& value) {
        words.emplace_back(option);
        words.push_back(value);
    };
    if (const auto& file = request.value(Option::manifest); !file.empty()) add("--manifest", absolute(host, file));
    if (const auto& specs = request.value(Option::packages); !specs.empty()) add("--packages", specs);
    if (const auto& file = request.value(Option::channels); !file.empty()) add("--channels", absolute(host, file));
    add("--source", source);
    return words;
}

void hide_from_nodes_without_plugin(Host& host) {
    for (const auto& hidden : hidden_variables) {
        if (const auto value = host.own_variable(hidden.name)) host.set_own_variable(hidden.kept, *value);
        host.set_own_variable(hidden.name, hidden.decoy);
    }
}

Error no_environment_of_its_own(const Host& host) {
    const char* command = host.program() == Program::sbatch   ? "sbatch"
                          : host.program() == Program::salloc ? "salloc"
                                                              : "srun";
    return Error(Kind::usage, std::string("cannot make a job with '") + command +
                                  "': it names no environment of its own, and this shell is inside one")
        .hint(std::string("name one with --env-manifest, or leave this one behind: env -u ") + resolution_variable +
              " " + command + " …");
}

}  // namespace

void before_options(Host& host) {
    if (!is_inside_job(host) || !host.own_variable(resolution_variable)) return;
    for (const auto& option : option_texts) host.unset_own_variable(default_name(option).c_str());
}

Result<Outcome> after_options(Host& host, const Result<Settings>& settings, const Request& request) {
    const auto inherited = host.own_variable(resolution_variable);
    if (request.empty()) {
        if (!request.value(Option::channels).empty()) {
            return Error(Kind::usage, "cannot use '--env-channels' alone: it says where packages come from, not which")
                .hint("name packages with --env-manifest or --env-packages");
        }
        if (!inherited) {
            // A shell of salloc that left its environment behind still has Slurm's copy for prologs.
            if (host.own_variable(job_control_copy)) {
                host.unset_own_variable(job_control_copy);
                host.unset_job_control(job_control_resolution);
            }
            return Outcome::plain;
        }
        if (host.program() != Program::srun || !is_inside_job(host)) return no_environment_of_its_own(host);
        SENV_TRY(Resolution::parse(*inherited));
        return Outcome::environment;
    }
    if (!settings) return settings.error();
    bool by_default = false;
    for (const auto& option : option_texts) {
        by_default = by_default || host.own_variable(default_name(option).c_str());
    }
    const std::string source = source_of(host, request, by_default);
    const std::string doing = "cannot resolve the environment of " + options_of(request);
    forget_forwarded_values(host);
    const auto answer = SENV_TRY(run_to_end(question(host, *settings, request, source), max_answer).in(doing));
    if (answer.status != 0) return Outcome::refused;
    std::string_view line = answer.output;
    if (line.ends_with('\n')) line.remove_suffix(1);
    const auto resolution = SENV_TRY(Resolution::parse(line).in(doing));
    host.set_own_variable(resolution_variable, resolution.encode());
    host.set_job_control(job_control_resolution, resolution.encode());
    if (host.program() == Program::sbatch) hide_from_nodes_without_plugin(host);
    return Outcome::environment;
}

void mark_command(Host& host) {
    // A multi-prog file is read by Slurm on the node before any plugin: the commands in it are out of reach.
    if (on_command_line(host, "--mu")) {
        hide_from_nodes_without_plugin(host);
    } else if (const auto command = host.command(); !command.empty()) {
        host.set_command(std::string(absent_mark) + command);
    }
}

}  // namespace senv
