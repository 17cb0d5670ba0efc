#include "spank/submit.h"

#include <unistd.h>

#include <algorithm>

#include "cache/base/text.h"
#include "provisioner/close_names.h"
#include "provisioner/jobs.h"
#include "provisioner/resolution.h"
#include "provisioner/trust.h"
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

// An option as the words of a command line may have it. glibc also takes the beginning of a name that no other option has:
// of `least` letters, dashes included.
struct OptionWord {
    std::string_view name;
    std::size_t least;
    char letter = '\0';
};
constexpr OptionWord quiet_word = {"--quiet", 6, 'Q'};
constexpr OptionWord verbose_word = {"--verbose", 6, 'v'};
constexpr OptionWord jobid_word = {"--jobid", 6};
constexpr OptionWord debugger_test_word = {"--debugger-test", 4};
constexpr OptionWord multi_prog_word = {"--multi-prog", 4};
constexpr OptionWord no_shell_word = {"--no-shell", 6};
constexpr OptionWord bcast_word = {"--bcast", 7};
constexpr OptionWord async_word = {"--async", 4};
constexpr OptionWord task_prolog_word = {"--task-prolog", 8};
constexpr OptionWord het_group_word = {"--het-group", 5};
constexpr OptionWord pack_group_word = {"--pack-group", 6};
constexpr OptionWord partition_word = {"--partition", 6, 'p'};
constexpr OptionWord constraint_word = {"--constraint", 6, 'C'};

// All options that begin with --env are ours.
OptionWord word_of(const std::string& name) {
    std::size_t least = std::string_view("--env-").size();
    const auto is_meant = [&](const OptionText& text) {
        return std::string_view(text.name).starts_with(std::string_view(name).substr(2, least - 2));
    };
    while (least < name.size() && std::ranges::count_if(option_texts, is_meant) != 1) ++least;
    return {name, least};
}

// What stands behind the option in `word`, "" when nothing does; nullopt: it is another word.
std::optional<std::string_view> behind(std::string_view word, const OptionWord& option) {
    if (word.starts_with("--")) {
        const auto end = std::min(word.find('='), word.size());
        if (end < option.least || !option.name.starts_with(word.substr(0, end))) return std::nullopt;
        return word.substr(std::min(end + 1, word.size()));
    }
    // Letters of Slurm's that take no value can stand in front of it.
    const auto at = word.find_first_not_of("EHOQXZhklsuvV", 1);
    const auto letter = option.letter != '\0' && word.starts_with('-') ? word.find(option.letter, 1) : word.npos;
    if (letter == word.npos || letter > at) return std::nullopt;
    return word.substr(letter + 1);
}

bool is_there(const std::vector<std::string>& words, const OptionWord& option) {
    return std::ranges::any_of(words, [&](const auto& word) { return behind(word, option).has_value(); });
}

// The value of an option that takes one: the last counts.
std::optional<std::string> value_in(const std::vector<std::string>& words, const OptionWord& option) {
    std::optional<std::string> value;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const auto found = behind(words[i], option);
        if (!found) continue;
        if (!found->empty()) {
            value = *found;
        } else if (i + 1 < words.size()) {
            value = words[++i];
        }
    }
    return value;
}

// Slurm has one for each of its own options, we for some of ours.
std::string variables_begin(const Host& host) {
    return host.program() == Program::sbatch ? "SBATCH_" : host.program() == Program::salloc ? "SALLOC_" : "SLURM_";
}

std::string variable_of(std::string name, const OptionText& option) {
    for (const char c : std::string_view(option.name)) {
        name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return name;
}

std::string variable_of(const Host& host, const OptionText& option) {
    return variable_of(variables_begin(host), option);
}

// The job whose number the shell has: srun makes a step of it. Of SLURM_JOBID alone it makes a new job (Slurm 22.05).
std::optional<std::string> job_of_shell(const Host& host) {
    auto number = host.own_variable("SLURM_JOB_ID");
    return number && !number->empty() ? number : std::nullopt;
}

// Whether Slurm started the shell, in a job's script, in a task or from salloc: then it has the job's variables.
bool is_started_by_slurm(const Host& host) {
    for (const char* name : {"SLURM_JOB_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST_HET_GROUP_0"}) {
        if (!host.own_variable(name).value_or("").empty()) return true;
    }
    return false;
}

// The job that srun joins from outside, of which the shell has a number at most: that of --jobid, or of a shell that
// somebody else started in the job (pam_slurm_adopt, an editor, a program with variables of its own choice).
std::optional<std::string> other_job(const Host& host) {
    if (host.program() != Program::srun) return std::nullopt;
    auto named = value_in(host.option_words(), jobid_word);
    const auto own = job_of_shell(host);
    if (!named) named = own;
    const bool is_own = named && named == own;
    if (is_own && (is_started_by_slurm(host) || host.own_variable(resolution_variable))) return std::nullopt;
    return named;
}

bool is_inside_job(const Host& host) {
    return job_of_shell(host) && !other_job(host);
}

std::string_view words_for(Place place) {
    switch (place) {
        case Place::command_line: return "command-line";
        case Place::variable: return "environment";
        case Place::batch_script: return "batch-script";
        case Place::nowhere: break;
    }
    return "";
}

Place place_of(const Host& host, Option option, const Given::Value& value) {
    if (value.place != Place::nowhere) return value.place;
    const std::string name = std::string("--") + text_of(option).name;
    const OptionWord flag = word_of(name);
    const auto words = host.option_words();
    const auto stands_alone = [&](const std::string& word) {
        return behind(word, flag) && word.find('=') == word.npos;
    };
    return std::ranges::any_of(words, stands_alone) ? Place::command_line : Place::batch_script;
}

bool is_nested_step(const Host& host) {
    const auto inherited = host.own_variable(resolution_variable);
    return host.program() == Program::srun && is_inside_job(host) && inherited && inherited != leaving;
}

std::string absolute(const Host& host, std::string_view file) {
    return file.starts_with('/') ? std::string(file) : host.working_folder() + "/" + std::string(file);
}

// A comma separates names, also where a file has one in its name.
Result<void> check_commas(const Host& host, Option option, const std::string& value) {
    if (text_of(option).form != Form::files || value.find(',') == value.npos) return {};
    const auto is_there = [&](std::string_view name) { return ::access(absolute(host, name).c_str(), F_OK) == 0; };
    const auto parts = split(value, ',');
    if (!is_there(value) || std::ranges::all_of(parts, is_there)) return {};
    return Error(Kind::usage, std::string("cannot use --") + text_of(option).name + "=" + printable(value) +
                                  ": there is a file of that name, but a comma separates two names")
        .hint("give the file a name without a comma, or a link with such a name");
}

Result<Choice> choose(const Host& host, Option option, std::span<const Given::Value> given, bool is_nested) {
    Choice choice;
    for (const auto& value : given) {
        const Place place = place_of(host, option, value);
        if (place < choice.place) continue;
        if (place > choice.place) choice = {{}, place};
        choice.values.push_back(value.text);
    }
    const OptionText& text = text_of(option);
    const bool may_have_leaked = is_nested && option != Option::passthrough;
    if (choice.place != Place::command_line && !may_have_leaked) {
        const std::string name = variable_of(host, text);
        if (const auto value = host.own_variable(name.c_str()); value && !value->empty()) {
            SENV_TRY(check_value(option, *value, name));
            choice = {{*value}, Place::variable};
        }
    }
    choice.values = SENV_TRY(together(option, std::move(choice.values), choice.place));
    for (const auto& value : choice.values) SENV_TRY(check_commas(host, option, value));
    return choice.values.empty() ? Choice() : choice;
}

Result<Request> choose(const Host& host, const Given& given) {
    Request request;
    const bool is_nested = is_nested_step(host);
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        const auto option = Option{static_cast<unsigned char>(i)};
        request[option] = SENV_TRY(choose(host, option, given[option], is_nested));
    }
    return request;
}

// Variables can be defaults for commands that ask for nothing: channels, say. They alone are no request.
bool asks(const Request& request, Role role) {
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        const Place place = request.choices[i].place;
        if (option_texts[i].role == role && place != Place::nowhere &&
            (role == Role::names || place != Place::variable)) {
            return true;
        }
    }
    return false;
}

bool is_resolved(const OptionText& option) {
    return option.role == Role::names || option.role == Role::details;
}

std::string options_of(const Request& request) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        if (is_resolved(option_texts[i]) && request.choices[i].place != Place::nowhere) {
            names.push_back(std::string("--") + option_texts[i].name);
        }
    }
    return join(names, ",");
}

// For the log, and for the messages of tasks: where the request stood, and which options it was.
std::string source_of(const Request& request) {
    Place place = Place::nowhere;
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        if (is_resolved(option_texts[i])) place = std::max(place, request.choices[i].place);
    }
    return std::string(words_for(place)) + ":" + options_of(request);
}

enum class Loudness : unsigned char { quiet, normal, verbose };

// Slurm knows, but srun not yet at this time.
Loudness loudness(const Host& host) {
    Loudness found = Loudness::normal;
    for (const std::string_view word : host.option_words()) {
        if (behind(word, quiet_word)) found = Loudness::quiet;
        if (behind(word, verbose_word)) found = Loudness::verbose;
    }
    return found;
}

// Where the job is to run, as far as can be known here: what Slurm reads from #SBATCH lines it shows to no plugin.
void add_destination(const Host& host, std::vector<std::string>& question) {
    const auto find = [&](const OptionWord& option, const char* variable) {
        const auto value = value_in(host.option_words(), option);
        return value ? *value : host.own_variable((variables_begin(host) + variable).c_str()).value_or("");
    };
    std::string partition = find(partition_word, "PARTITION");
    const bool is_step = host.program() == Program::srun && is_inside_job(host);
    if (is_step) partition = host.own_variable("SLURM_JOB_PARTITION").value_or(partition);
    if (!partition.empty()) question.push_back("--partition=" + partition);
    const std::string constraint = find(constraint_word, "CONSTRAINT");
    if (!constraint.empty()) question.push_back("--constraint=" + constraint);
}

void add_words(const Host& host, const OptionText& option, const std::string& value,
               std::vector<std::string>& question) {
    const std::string name = "--" + std::string(option.name).substr(std::string_view("env-").size());
    switch (option.form) {
        case Form::flag: question.push_back(name); break;
        case Form::text: question.push_back(name + "=" + value); break;
        case Form::file: question.push_back(name + "=" + absolute(host, value)); break;
        case Form::list:
        case Form::files:
            for (const auto part : split(value, ',')) {
                const bool is_file = option.form == Form::files;
                question.push_back(name + "=" + (is_file ? absolute(host, part) : std::string(part)));
            }
    }
}

std::vector<std::string> question(const Host& host, const Settings& settings, const Request& request) {
    std::vector<std::string> words = {settings.senv, "resolve", "--for-slurm"};
    const auto how = loudness(host);
    if (how == Loudness::quiet) words.emplace_back("--quiet");
    if (how == Loudness::verbose) words.emplace_back("--verbose");
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        if (!is_resolved(option_texts[i])) continue;
        for (const auto& value : request.choices[i].values) add_words(host, option_texts[i], value, words);
    }
    if (request[Option::tune].value() == site_cpu) add_destination(host, words);
    words.push_back("--source=" + source_of(request));
    return words;
}

// -v: which source won.
void tell(Host& host, const Request& request) {
    if (loudness(host) != Loudness::verbose) return;
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        const auto& [values, place] = request.choices[i];
        if (place == Place::nowhere) continue;
        const std::string from = place == Place::command_line ? "the command line"
                                 : place == Place::variable   ? variable_of(host, option_texts[i])
                                                              : "an #SBATCH line";
        for (const auto& value : values) {
            host.info("senv: --" + std::string(option_texts[i].name) + "=" + printable(value) + ", from " + from);
        }
    }
    if (!is_nested_step(host)) return;
    for (const auto& text : option_texts) {
        const std::string name = variable_of(host, text);
        if (text.role != Role::passing && host.own_variable(name.c_str())) {
            host.info("senv: " + name + " does not count: this job has an environment");
        }
    }
}

// A name of ours that does not exist, most likely a mistake in typing one that does.
void warn_of_unknown_variables(Host& host, bool is_nested) {
    if (is_nested) return;  // where none counts
    for (const char* begin : {"SLURM_", "SBATCH_", "SALLOC_"}) {
        // In a job, what is meant for its submission has been looked at there.
        if (is_inside_job(host) && begin != variables_begin(host)) continue;
        std::vector<std::string> names;
        for (const auto& option : option_texts) names.push_back(variable_of(begin, option));
        for (const auto& name : host.own_names(std::string(begin) + "ENV_")) {
            if (std::ranges::find(names, name) != names.end()) continue;
            const auto close = close_names(name, names);
            host.info("senv: warning: the variable " + printable(name) + " is not one of senv's" +
                      (close.empty() ? "; senv-options(7) lists them" : ": did you mean " + join(close, " or ") + "?"));
        }
    }
}

// Slurm hands what stands after the command on to it.
void warn_of_options_after_command(Host& host, const Given& given) {
    const auto is_of_line = [&](const Given::Value& value) { return value.place != Place::batch_script; };
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        if (std::ranges::any_of(given[Option{static_cast<unsigned char>(i)}], is_of_line)) return;
    }
    auto words = host.command_line();
    words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(host.option_words().size()));
    words.erase(std::ranges::find(words, ":"), words.end());  // the next component
    const auto is_ours = [](const std::string& word) {
        return std::ranges::any_of(option_texts, [&](const auto& option) {
            return word.starts_with("--") && word.substr(2, word.find('=') - 2) == option.name;
        });
    };
    const auto word = std::ranges::find_if(words, is_ours);
    if (word == words.end()) return;
    host.info("senv: warning: " + printable(*word) + " stands after '" + printable(words.front()) +
              "', which gets it; options of senv stand in front of that");
}

bool excludes(Option one, Option other) {
    const auto is_whole = [](Option option) { return option == Option::lock || option == Option::profile; };
    return one != other && is_resolved(text_of(one)) && is_resolved(text_of(other)) &&
           (is_whole(one) || is_whole(other));
}

// Whether `other` was said in a weaker place than the environment that `one` names there. What a variable says about
// environments in general is weaker than the name of a whole one, also on an #SBATCH line.
bool is_weaker(const Request& request, Option other, Place one) {
    const Place place = request[other].place;
    if (place == Place::nowhere) return false;
    const bool is_general = place == Place::variable && text_of(other).role == Role::details;
    return place < one || (is_general && one == Place::batch_script);
}

// A lock or a profile is a whole environment. What excludes it, or is excluded by it, gives way where it is weaker; what is
// left of such contradictions senv explains.
void let_the_weaker_give_way(Host& host, Request& request) {
    for (const Place place : {Place::command_line, Place::variable, Place::batch_script}) {
        for (std::size_t i = 0; i < option_texts.size(); ++i) {
            const auto one = Option{static_cast<unsigned char>(i)};
            if (request[one].place != place || text_of(one).role != Role::names) continue;
            for (std::size_t j = 0; j < option_texts.size(); ++j) {
                const auto other = Option{static_cast<unsigned char>(j)};
                if (!excludes(one, other) || !is_weaker(request, other, place)) continue;
                request[other] = Choice();
                if (loudness(host) != Loudness::verbose) continue;
                host.info(std::string("senv: --") + text_of(other).name + " gives way to --" + text_of(one).name);
            }
        }
    }
}

void pass_loudness_on(Host& host) {
    const auto how = loudness(host);
    if (how == Loudness::quiet) host.set_own_variable(quiet_variable, "yes");
    if (how == Loudness::verbose) host.set_own_variable(verbose_variable, "yes");
}

void pass_task_prolog_on(Host& host) {
    const bool has_prolog = host.own_variable("SLURM_TASK_PROLOG") || is_there(host.option_words(), task_prolog_word);
    if (has_prolog) host.set_own_variable(task_prolog_variable, "yes");
}

void hide_from_nodes_without_plugin(Host& host) {
    for (const auto& hidden : hidden_variables) {
        const auto value = host.own_variable(hidden.name);
        if (value == hidden.decoy) continue;
        if (value) host.set_own_variable(hidden.kept, *value);
        host.set_own_variable(hidden.name, hidden.decoy);
    }
}

void show_hidden(Host& host) {
    for (const auto& hidden : hidden_variables) {
        if (host.own_variable(hidden.name) != hidden.decoy) continue;
        const auto kept = host.own_variable(hidden.kept);
        host.unset_own_variable(hidden.kept);
        if (kept) {
            host.set_own_variable(hidden.name, *kept);
        } else {
            host.unset_own_variable(hidden.name);
        }
    }
}

// The shell of salloc runs on this host. Who types there what is only in the environment gets "command not found".
void tell_where_the_shell_is(Host& host) {
    const auto options = host.option_words();
    const bool gets_shell = host.command_line().size() == options.size() && !is_there(options, no_shell_word);
    if (host.program() != Program::salloc || !gets_shell || !host.is_interactive()) return;
    if (host.starts_shell_on_node() || loudness(host) == Loudness::quiet) return;
    host.info("senv: the shell of this job runs on this host, outside of the environment: start programs with srun");
}

const char* command_name(const Host& host) {
    return host.program() == Program::sbatch ? "sbatch" : host.program() == Program::salloc ? "salloc" : "srun";
}

Error no_environment_of_its_own(const Host& host) {
    return Error(Kind::usage, std::string("cannot make a job with '") + command_name(host) +
                                  "': it names no environment of its own, and this shell is inside one")
        .hint(
            "name one with --env-manifest, take this one along with --env-passthrough=use, or leave it with "
            "--env-passthrough=ignore; for a tool that calls " +
            std::string(command_name(host)) + ", set " + variable_of(host, text_of(Option::passthrough)) +
            " to one of them");
}

Error entering_alone(const Request& request) {
    const bool is_pure = request[Option::pure].place != Place::nowhere;
    return Error(Kind::usage, std::string("cannot use '--") + text_of(is_pure ? Option::pure : Option::preserve).name +
                                  "' alone: it says how an environment is entered, not which")
        .hint("name one with --env-manifest, --env-packages, --env-lock or --env-profile");
}

Error step_may_not_inherit() {
    return Error(
               Kind::usage,
               "cannot run this step: it would inherit the job's environment, and --env-passthrough=error forbids that")
        .hint("name an environment with --env-manifest, or give --env-passthrough=ignore to run without one");
}

// The profile that the shell is in, "" where it cannot be told which; nullopt: it is in none.
std::optional<std::string> inside(const Host& host, const Result<Settings>& settings) {
    Environment shell;
    for (const char* name : {entered_variable, inside_variable, "PATH"}) {
        if (auto value = host.own_variable(name)) shell[name] = *std::move(value);
    }
    if (auto profile = profile_inside(shell)) return profile;
    // What a program started with variables of its own choice still sees: senvd's store, where a host has an empty folder.
    const auto owner = host.owner_of_store();
    if (!owner || *owner == 0 || !settings) return std::nullopt;
    const auto senvd = settings->senvd_uid();
    return senvd && *senvd == *owner ? std::optional<std::string>("") : std::nullopt;
}

Error lost_environment(const Host& host, const std::string& profile) {
    const std::string name = profile.empty() ? "--env-profile" : "--env-profile=" + printable(profile);
    return Error(Kind::usage, std::string("cannot run '") + command_name(host) +
                                  "' here: this shell is inside an environment, but " + resolution_variable +
                                  " is not set, so nothing tells which environment the job is to have")
        .hint("name it with " + name + ", or leave it behind with --env-passthrough=ignore (a tool: " +
              variables_begin(host) + "ENV_PASSTHROUGH=ignore)");
}

enum class After : unsigned char { nothing, leaving };

void forget_environment(Host& host, After after) {
    if (after == After::leaving) {
        host.set_own_variable(resolution_variable, std::string(leaving));
    } else {
        host.unset_own_variable(resolution_variable);
    }
    if (!host.own_variable(job_control_copy)) return;
    host.unset_own_variable(job_control_copy);
    host.unset_job_control(job_control_resolution);
}

/// What was remembered of a job, if it is the one that Slurm has now under that number.
std::optional<Resolution> remembered(const Host& host, std::uint32_t number, const Submission& submitted) {
    const auto folder =
        cache_folder(with_own_folders({{"HOME", host.own_variable("HOME").value_or("")},
                                       {"XDG_CACHE_HOME", host.own_variable("XDG_CACHE_HOME").value_or("")}},
                                      host.effective_user()));
    if (!folder) return std::nullopt;
    const auto jobs = jobs_called(*folder, number);
    if (!jobs) return std::nullopt;
    const std::string cluster = host.cluster();
    const auto latest = std::ranges::find(*jobs, cluster, &SubmittedJob::cluster);
    if (latest == jobs->end()) return std::nullopt;
    // Numbers begin anew where a cluster was set up again.
    if (latest->time < utc_time(submitted.earliest - clock_difference) ||
        latest->time > utc_time(submitted.latest + clock_difference)) {
        return std::nullopt;
    }
    Resolution resolution = latest->resolution;
    resolution.source = "job:--jobid";
    return resolution;
}

/// What is known of the environment of a job that srun joins from outside.
struct Joined {
    std::optional<Resolution> resolution;
    bool has_one = false;    // also where it is not known which
    bool has_script = true;  // the batch script holds it, on its node
};

Result<Joined> join_in(const Host& host, const std::string& job, const std::string& passthrough, bool is_inside) {
    Joined joined;
    if (passthrough == "ignore") return joined;
    joined.has_one = is_inside && job == job_of_shell(host);
    if (const auto number = job_number(job)) {
        if (const auto submitted = host.submission_of(*number)) {
            joined.resolution = remembered(host, *number, *submitted);
            joined.has_one = joined.has_one || joined.resolution;
            joined.has_script = submitted->has_script;
        }
    }
    if (joined.has_one && passthrough == "error") return step_may_not_inherit();
    return joined;
}

const char* how_to_join(const Joined& joined) {
    return joined.has_one ? joining_must : joined.has_script ? "use" : joining_tell;
}

/// What of the inherited environment, if any, counts. `profile`: the one that the shell is in.
Result<std::optional<Resolution>> inherit(const Host& host, const std::string& passthrough,
                                          const std::optional<std::string>& profile) {
    const auto inherited = host.own_variable(resolution_variable);
    if (inherited == leaving || passthrough == "ignore") return std::optional<Resolution>();
    if (!inherited && profile) return lost_environment(host, *profile);
    if (!inherited) return std::optional<Resolution>();
    const bool is_step = is_nested_step(host);
    if (passthrough == "error" || (passthrough.empty() && !is_step)) {
        return is_step ? step_may_not_inherit() : no_environment_of_its_own(host);
    }
    return std::optional(SENV_TRY(Resolution::parse(*inherited)));
}

// The job's user evaluates, never whoever types the command for him: what root resolves names a profile, and holds no code.
Result<void> check_caller(const Host& host, const Request& request) {
    const std::string doing = "cannot resolve the environment of " + options_of(request);
    if (host.real_user() != host.effective_user()) {
        return Error(Kind::denied, doing + ": real and effective user differ (" + std::to_string(host.real_user()) +
                                       " and " + std::to_string(host.effective_user()) + ")")
            .hint("run the command as the user who shall own the job, without a set-user-id program");
    }
    if (host.effective_user() != 0) return {};
    const auto is_code = [&](std::size_t i) {
        const auto option = Option{static_cast<unsigned char>(i)};
        if (!is_resolved(option_texts[i]) || request[option].place == Place::nowhere) return false;
        return option != Option::lock &&
               (option != Option::profile || !StorePath::parse_absolute(request[option].value()));
    };
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        if (!is_code(i)) continue;
        return Error(Kind::denied, doing +
                                       " as root: root takes --env-lock and --env-profile=/gnu/store/... only, and --" +
                                       option_texts[i].name + " may lead to code that root would run")
            .hint(std::string("type `runuser -u USER -- ") + command_name(host) +
                  " ...`, or give --env-lock=FILE, a lock that the user made with `senv lock`");
    }
    return {};
}

Result<std::optional<Resolution>> resolve(const Host& host, const Result<Settings>& settings, const Request& request) {
    if (!settings) return settings.error();
    SENV_TRY(check_caller(host, request));
    const std::string doing = "cannot resolve the environment of " + options_of(request);
    const auto answer = SENV_TRY(run_to_end(question(host, *settings, request), max_answer).in(doing));
    if (answer.status != 0) return std::optional<Resolution>();
    std::string_view line = answer.output;
    if (line.ends_with('\n')) line.remove_suffix(1);
    return std::optional(SENV_TRY(Resolution::parse(line).in(doing)));
}

Result<void> pass_on(Host& host, Resolution resolution, const Request& request) {
    if (request[Option::pure].place != Place::nowhere) resolution.keeping.pure = true;
    if (const auto names = request[Option::preserve].value(); !names.empty()) resolution.keeping.preserve = names;
    const std::string text = resolution.encode();
    if (!Resolution::parse(text)) {
        return Error(Kind::usage,
                     "cannot use the value of --env-preserve: with all that travels with the job it is too long");
    }
    if (is_nested_step(host) && text == host.own_variable(resolution_variable)) return {};
    host.set_own_variable(resolution_variable, text);
    host.set_job_control(job_control_resolution, text);
    if (host.program() == Program::sbatch) {
        hide_from_nodes_without_plugin(host);
        pass_loudness_on(host);
    }
    return {};
}

}  // namespace

void Given::add(Option option, Value value) {
    const auto i = static_cast<std::size_t>(option);
    if (is_earlier_[i]) values_[i].clear();
    is_earlier_[i] = false;
    values_[i].push_back(std::move(value));
}

bool makes_a_job(const Host& host) {
    if (host.program() == Program::srun) return !is_inside_job(host) && !other_job(host);
    return host.program() == Program::sbatch || host.program() == Program::salloc;
}

bool has_components(const Host& host) {
    return is_there(host.option_words(), het_group_word) || is_there(host.option_words(), pack_group_word);
}

void before_options(Host& host) {
    for (const auto& option : option_texts) host.unset_own_variable(default_name(option).c_str());
}

Result<Outcome> after_options(Host& host, const Result<Settings>& settings, const Given& given) {
    forget_forwarded_values(host);
    show_hidden(host);  // by an earlier component of a heterogeneous job
    Request request = SENV_TRY(choose(host, given));
    if (given.is_of_first_component() && loudness(host) != Loudness::quiet) {
        warn_of_unknown_variables(host, is_nested_step(host));
        warn_of_options_after_command(host, given);
    }
    tell(host, request);
    let_the_weaker_give_way(host, request);
    const std::string passthrough(request[Option::passthrough].value());
    const auto other = other_job(host);
    const auto inherited = host.own_variable(resolution_variable);
    std::optional<std::string> profile;
    std::optional<Resolution> resolution;
    Joined joined;
    if (asks(request, Role::names) || asks(request, Role::details)) {
        resolution = SENV_TRY(resolve(host, settings, request));
        if (!resolution) return Outcome::refused;
    } else {
        profile = inherited ? std::nullopt : inside(host, settings);
        if (other) {
            joined = SENV_TRY(join_in(host, *other, passthrough, profile.has_value()));
            resolution = joined.resolution;
        } else {
            resolution = SENV_TRY(inherit(host, passthrough, profile));
        }
    }
    if (!resolution) {
        if (asks(request, Role::entering)) return entering_alone(request);
        if (other && passthrough != "ignore") {
            forget_environment(host, After::nothing);
            host.set_own_variable(joining_variable, passthrough == "error" ? "error" : how_to_join(joined));
            return Outcome::joining;
        }
        const bool leaves = inherited || profile || host.own_variable(job_control_copy);
        forget_environment(host, leaves ? After::leaving : After::nothing);
        return Outcome::plain;
    }
    SENV_TRY(pass_on(host, *std::move(resolution), request));
    tell_where_the_shell_is(host);
    return Outcome::environment;
}

Result<void> agree_with_first(const Host& host, const Given& given, std::optional<std::string>& first) {
    const auto is_site_cpu = [](const auto& value) { return value.text == site_cpu; };
    if (first && std::ranges::any_of(given[Option::tune], is_site_cpu)) {
        return Error(Kind::usage, "cannot use --env-tune=auto in a heterogeneous job: its components may run anywhere")
            .hint("give --env-tune=CPU, one that all components run on");
    }
    std::string entered;
    const auto text = host.own_variable(resolution_variable);
    if (text && text != leaving) {
        Resolution resolution = SENV_TRY(Resolution::parse(*text));
        resolution.source = "any";
        entered = resolution.encode();
    }
    if (!first) first = entered;
    if (entered == *first) return {};
    return Error(Kind::usage, "cannot give the components of a heterogeneous job different environments")
        .hint("give all --env options to the first component: they count for all");
}

bool has_lost_path(const Host& host) {
    const auto inherited = host.own_variable(resolution_variable);
    if (!is_nested_step(host) || !host.own_variable(entered_variable)) return false;
    const auto resolution = Resolution::parse(*inherited);
    if (!resolution) return false;
    const std::string begin = resolution->profile.absolute() + "/";
    const auto path = host.own_variable("PATH").value_or("");
    return std::ranges::none_of(split(path, ':'), [&](auto folder) { return folder.starts_with(begin); });
}

void tell_lost_path(Host& host) {
    if (host.step_number() != 0U || loudness(host) == Loudness::quiet) return;
    host.info(
        "senv: PATH was set anew in this script, as a login shell does (#!/bin/bash -l): what it runs without srun is "
        "the "
        "node's own software");
}

void mark_components(Host& host) {
    pass_loudness_on(host);
    if (!host.own_variable(joining_variable)) hide_from_nodes_without_plugin(host);
    if (!is_there(host.command_line(), multi_prog_word)) host.set_own_variable(command_variable, "yes");
}

Result<void> mark_async(Host& host) {
    const auto words = host.option_words();
    if (!is_there(words, async_word)) return {};
    const auto all = host.command_line();
    const std::string command = words.size() < all.size() ? all[words.size()] : "";
    if (!host.own_variable(joining_variable)) {
        if (command.find('/') != std::string::npos) {
            return Error(Kind::usage, "cannot start '" + command +
                                          "' with --async in an environment: a node without senv would run it on its "
                                          "own software")
                .hint("name the command without a path, or leave --async out");
        }
        hide_from_nodes_without_plugin(host);
    }
    pass_loudness_on(host);
    pass_task_prolog_on(host);
    if (!is_there(words, multi_prog_word)) host.set_own_variable(command_variable, "yes");
    return {};
}

void mark_command(Host& host) {
    pass_loudness_on(host);
    // What it joins may be a plain job, on nodes without the plugin.
    const bool is_joining = host.own_variable(joining_variable).has_value();
    const auto command = host.command();
    // Slurm reads a multi-prog file on the node before any plugin: the commands in it are out of reach. With --bcast it
    // launches the copy, and frees the name of the command as its own.
    const bool is_copied = is_there(host.option_words(), bcast_word) || host.own_variable("SLURM_BCAST");
    if (is_copied || is_there(host.command_line(), multi_prog_word)) {
        if (!is_joining) hide_from_nodes_without_plugin(host);
        return;
    }
    if (command.empty()) return;
    const bool is_shown = host.is_debugged() || is_there(host.option_words(), debugger_test_word);
    if (is_joining) {
        host.set_own_variable(command_variable, "yes");
    } else if (is_shown) {
        hide_from_nodes_without_plugin(host);
        host.set_own_variable(command_variable, "yes");
    } else {
        host.set_command(std::string(absent_mark) + command);
    }
    pass_task_prolog_on(host);
}

}  // namespace senv
