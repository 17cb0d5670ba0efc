#include "spank/slurm_host.h"

#include "spank/slurm_api.h"

extern "C" {
#include <slurm/slurmdb.h>
#include <slurm/spank.h>

// Of whoever loads the plugin. Slurm's headers have the type, its plugins know the name.
extern slurm_conf_t slurm_conf;

// What only sbatch and only salloc has: their own options (src/sbatch/opt.c, src/salloc/opt.c). Null elsewhere.
extern const char sbopt __attribute__((weak));
extern const char saopt __attribute__((weak));
// Of srun only: debuggers set it (the MPIR Process Acquisition Interface).
extern int MPIR_being_debugged __attribute__((weak));
}

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "cache/base/fd.h"
#include "cache/base/text.h"

namespace senv {

namespace {

// Slurm takes a longer value for a success and drops it (setenvf in its common/env.c).
constexpr std::size_t max_variable_bytes = 128 * 1024 - 64;

Error refused(const char* what, spank_err_t code) {
    return {Kind::bug, std::string("cannot ") + what + ": " + spank_strerror(code)};
}

template <class T>
Result<T> item(spank_t handle, spank_item which, const char* what) {
    T value = {};
    if (const auto code = spank_get_item(handle, which, &value); code != ESPANK_SUCCESS) return refused(what, code);
    return value;
}

}  // namespace

Program SlurmHost::program() const {
    switch (spank_context()) {
        case S_CTX_LOCAL: return Program::srun;
        case S_CTX_REMOTE: return Program::slurmstepd;
        case S_CTX_JOB_SCRIPT: return Program::prolog;
        case S_CTX_ALLOCATOR: break;
        default: return Program::other;
    }
    // A site may have renamed them, and the dynamic linker may have been told to start them.
    if (&sbopt != nullptr) return Program::sbatch;
    if (&saopt != nullptr) return Program::salloc;
    return Program::other;
}

uid_t SlurmHost::real_user() const {
    return ::getuid();
}
uid_t SlurmHost::effective_user() const {
    return ::geteuid();
}

std::optional<std::string> SlurmHost::own_variable(const char* name) const {
    const char* value = ::getenv(name);
    if (value == nullptr) return std::nullopt;
    return value;
}

std::vector<std::string> SlurmHost::own_names(std::string_view begin) const {
    std::vector<std::string> names;
    for (char** one = environ; one != nullptr && *one != nullptr; ++one) {
        const std::string_view text = *one;
        if (text.starts_with(begin)) names.emplace_back(text.substr(0, text.find('=')));
    }
    return names;
}

void SlurmHost::set_own_variable(const char* name, const std::string& value) {
    ::setenv(name, value.c_str(), 1);
}
void SlurmHost::unset_own_variable(const char* name) {
    ::unsetenv(name);
}

std::vector<std::string> SlurmHost::command_line() const {
    std::vector<std::string> words;
    const auto text = read_small_file("/proc/self/cmdline", std::size_t{4} * 1024 * 1024);
    if (!text) return words;
    for (const auto word : split(*text, '\0')) words.emplace_back(word);
    words.pop_back();  // a NUL ends each of them
    return words;
}

std::vector<std::string> SlurmHost::option_words() const {
    auto words = command_line();
    // Slurm has just read them with getopt(3), which leaves here where it stopped.
    if (::optind > 0 && static_cast<std::size_t>(::optind) < words.size())
        words.resize(static_cast<std::size_t>(::optind));
    return words;
}

// sbatch hands on what getopt(3) found: a pointer into the command line, or into a copy of a line of the script.
bool SlurmHost::is_on_command_line(const char* value) const {
    constexpr std::size_t arg_start = 45,
                          arg_end = 46;  // proc(5): fields 48 and 49, counted from the one after "(comm) "
    const auto text = read_small_file("/proc/self/stat", 4096);
    if (!text || text->rfind(") ") == text->npos) return true;
    const auto fields = split(std::string_view(*text).substr(text->rfind(") ") + 2), ' ');
    if (fields.size() <= arg_end) return true;
    const auto address = reinterpret_cast<std::uintptr_t>(value);
    return address >= parse_decimal(fields[arg_start]).value_or(0) &&
           address < parse_decimal(fields[arg_end]).value_or(0);
}

std::string SlurmHost::working_folder() const {
    std::array<char, PATH_MAX> path = {};
    return ::getcwd(path.data(), path.size()) == nullptr ? "" : path.data();
}

bool SlurmHost::is_interactive() const {
    return ::isatty(STDIN_FILENO) == 1;
}

bool SlurmHost::starts_shell_on_node() const {
    const char* parameters = slurm_conf.launch_params;
    return parameters != nullptr && std::string_view(parameters).find("use_interactive_step") != std::string_view::npos;
}

std::string SlurmHost::cluster() const {
    const char* other = working_cluster_rec != nullptr ? working_cluster_rec->name : nullptr;  // --clusters
    const char* name = other != nullptr ? other : slurm_conf.cluster_name;
    return name != nullptr ? name : "";
}

std::optional<uid_t> SlurmHost::owner_of_store() const {
    struct stat info {};
    if (::stat("/gnu/store", &info) != 0) return std::nullopt;
    return info.st_uid;
}

Result<Submission> SlurmHost::submission_of(std::uint32_t job) const {
    job_info_msg_t* found = nullptr;
    if (slurm::load_job(&found, job) != SLURM_SUCCESS || found == nullptr) {
        return Error(Kind::missing, "cannot ask slurmctld for job " + std::to_string(job));
    }
    std::optional<Submission> submission;
    for (std::uint32_t i = 0; i < found->record_count; ++i) {
        const slurm_job_info_t& one = found->job_array[i];
        const auto time = static_cast<std::int64_t>(one.submit_time);
        const std::int64_t earliest = one.restart_cnt == 0 ? time : 0;
        if (!submission) submission = {earliest, time, one.batch_flag != 0};
        submission->earliest = std::min(submission->earliest, earliest);
        submission->latest = std::max(submission->latest, time);
    }
    slurm_free_job_info_msg(found);
    if (!submission) return Error(Kind::missing, "slurmctld knows no job " + std::to_string(job));
    return *submission;
}

void SlurmHost::set_job_control(const char* name, const std::string& value) {
    spank_job_control_setenv(handle_, name, value.c_str(), 1);
}
void SlurmHost::unset_job_control(const char* name) {
    spank_job_control_unsetenv(handle_, name);
}

std::span<char*> SlurmHost::arguments() const {
    int count = 0;
    char** words = nullptr;
    if (spank_get_item(handle_, S_JOB_ARGV, &count, &words) != ESPANK_SUCCESS || words == nullptr) return {};
    return {words, static_cast<std::size_t>(count)};
}

std::optional<std::uint32_t> SlurmHost::step_number() const {
    const auto number = item<std::uint32_t>(handle_, S_JOB_STEPID, "ask Slurm for the step's number");
    return number ? std::optional(*number) : std::nullopt;
}

std::string SlurmHost::command() const {
    const auto words = arguments();
    return words.empty() || words[0] == nullptr ? "" : words[0];
}

void SlurmHost::set_command(const std::string& command) {
    const auto words = arguments();
    if (words.empty() || words[0] == nullptr) return;
    // In slurmstepd, which frees its words, the mark comes off: there the text only becomes shorter.
    if (command.size() <= std::strlen(words[0])) {
        std::memcpy(words[0], command.c_str(), command.size() + 1);
    } else {
        words[0] = commands_.emplace_back(command).data();
    }
}

bool SlurmHost::is_debugged() const {
    return &MPIR_being_debugged != nullptr && MPIR_being_debugged != 0;
}

Result<Step> SlurmHost::step() const {
    Step step;
    step.job = SENV_TRY(item<std::uint32_t>(handle_, S_JOB_ID, "ask Slurm for the job's number"));
    step.step = SENV_TRY(item<std::uint32_t>(handle_, S_JOB_STEPID, "ask Slurm for the step's number"));
    step.uid = SENV_TRY(item<uid_t>(handle_, S_JOB_UID, "ask Slurm for the job's user"));
    step.nodes = SENV_TRY(item<std::uint32_t>(handle_, S_JOB_NNODES, "ask Slurm for the number of nodes"));
    step.node_index = SENV_TRY(item<std::uint32_t>(handle_, S_JOB_NODEID, "ask Slurm for the node's place"));
    step.kind = step.step == SLURM_BATCH_SCRIPT       ? StepKind::batch
                : step.step == SLURM_EXTERN_CONT      ? StepKind::external
                : step.step == SLURM_INTERACTIVE_STEP ? StepKind::interactive
                                                      : StepKind::normal;
    return step;
}

Result<Step> SlurmHost::prolog_job() const {
    Step job;
    job.job = SENV_TRY(item<std::uint32_t>(handle_, S_JOB_ID, "ask Slurm for the job's number"));
    job.uid = SENV_TRY(item<uid_t>(handle_, S_JOB_UID, "ask Slurm for the job's user"));
    return job;
}

char** SlurmHost::job_strings() const {
    char** strings = nullptr;
    return spank_get_item(handle_, S_JOB_ENV, &strings) == ESPANK_SUCCESS ? strings : nullptr;
}

Environment SlurmHost::job_environment() const {
    return environment_from(job_strings());
}

std::optional<std::string> SlurmHost::job_variable(std::string_view name) const {
    for (char** one = job_strings(); one != nullptr && *one != nullptr; ++one) {
        const std::string_view text = *one;
        if (text.starts_with(name) && text.substr(name.size()).starts_with('=')) {
            return std::string(text.substr(name.size() + 1));
        }
    }
    return std::nullopt;
}

Result<void> SlurmHost::change(const Change& change) {
    const char* name = change.name.c_str();
    if (change.value && change.name.size() + change.value->size() > max_variable_bytes) {
        return Error(Kind::usage, "cannot set " + change.name + ": it would have " +
                                      std::to_string(change.value->size()) + " bytes, more than Slurm passes on")
            .hint("shorten " + change.name + " before submitting the job");
    }
    const auto code =
        change.value ? spank_setenv(handle_, name, change.value->c_str(), 1) : spank_unsetenv(handle_, name);
    if (code != ESPANK_SUCCESS) return refused(("set " + change.name).c_str(), code);
    return {};
}

std::string SlurmHost::node_name() const {
    std::array<char, 256> name = {};
    if (spank_getenv(handle_, "SLURMD_NODENAME", name.data(), name.size()) == ESPANK_SUCCESS) return name.data();
    ::gethostname(name.data(), name.size() - 1);
    return name.data();
}

bool SlurmHost::site_has_task_prolog() const {
    slurm_conf_t* conf = nullptr;
    if (slurm_load_ctl_conf(0, &conf) != SLURM_SUCCESS || conf == nullptr) return true;
    const bool has_one = conf->task_prolog != nullptr && conf->task_prolog[0] != '\0';
    slurm::free_conf(conf);
    return has_one;
}

void SlurmHost::end_step(const Step& step) {
    slurm::kill_step(step.job, step.step, SIGKILL);
}

void SlurmHost::end_task(int status) {
    ::_exit(status);
}

void SlurmHost::error(const std::string& text) {
    slurm_error("%s", text.c_str());
}
void SlurmHost::info(const std::string& text) {
    slurm_info("%s", text.c_str());
}
void SlurmHost::note(const std::string& text) {
    slurm_spank_log("%s", text.c_str());
}

}  // namespace senv
