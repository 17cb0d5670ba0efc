// fake_host.h: Slurm as a few maps. What a stage does to it can be looked at.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "spank/host.h"

namespace senv::test {

class FakeHost : public Host {
public:
    /// What end_task() throws, since it may not return.
    struct TaskEnded {
        int status;
    };

    Program program_is = Program::srun;
    uid_t real = 1001, effective = 1001;
    std::map<std::string, std::string> own, control;
    std::vector<std::string> words = {"srun"};
    std::optional<std::size_t> options_end;  // how many of them stand in front of the command; all of them
    std::string folder = "/home/u";
    std::optional<uid_t> store_owner;
    std::optional<Submission> submission;
    std::string command_is;
    bool debugged = false;
    Step step_is;
    Environment job;
    int steps_ended = 0;
    bool task_prolog = false;
    bool interactive = false;
    bool shell_on_node = false;
    std::vector<std::string> errors, infos, notes;

    Program program() const override { return program_is; }
    uid_t real_user() const override { return real; }
    uid_t effective_user() const override { return effective; }
    std::optional<std::string> own_variable(const char* name) const override {
        const auto found = own.find(name);
        if (found == own.end()) return std::nullopt;
        return found->second;
    }
    std::vector<std::string> own_names(std::string_view begin) const override {
        std::vector<std::string> names;
        for (const auto& [name, value] : own) {
            if (name.starts_with(begin)) names.push_back(name);
        }
        return names;
    }
    void set_own_variable(const char* name, const std::string& value) override { own[name] = value; }
    void unset_own_variable(const char* name) override { own.erase(name); }
    std::vector<std::string> command_line() const override { return words; }
    std::vector<std::string> option_words() const override {
        auto in_front = words;
        if (options_end) in_front.resize(*options_end);
        return in_front;
    }
    std::string working_folder() const override { return folder; }
    bool is_interactive() const override { return interactive; }
    bool starts_shell_on_node() const override { return shell_on_node; }
    std::string cluster() const override { return "c"; }
    std::optional<uid_t> owner_of_store() const override { return store_owner; }
    Result<Submission> submission_of(std::uint32_t) const override {
        if (!submission) return Error(Kind::missing, "slurmctld does not answer");
        return *submission;
    }
    void set_job_control(const char* name, const std::string& value) override { control[name] = value; }
    void unset_job_control(const char* name) override { control.erase(name); }
    std::optional<std::uint32_t> step_number() const override { return step_is.step; }
    std::string command() const override { return command_is; }
    void set_command(const std::string& command) override { command_is = command; }
    bool is_debugged() const override { return debugged; }
    Result<Step> step() const override { return step_is; }
    Result<Step> prolog_job() const override { return step_is; }
    Environment job_environment() const override { return job; }
    std::optional<std::string> job_variable(std::string_view name) const override {
        const auto found = job.find(std::string(name));
        return found == job.end() ? std::nullopt : std::optional(found->second);
    }
    Result<void> change(const Change& change) override {
        if (change.value) {
            job[change.name] = *change.value;
        } else {
            job.erase(change.name);
        }
        return {};
    }
    std::string node_name() const override { return "n7"; }
    bool site_has_task_prolog() const override { return task_prolog; }
    void end_step(const Step&) override { ++steps_ended; }
    [[noreturn]] void end_task(int status) override { throw TaskEnded{status}; }
    void error(const std::string& text) override { errors.push_back(text); }
    void info(const std::string& text) override { infos.push_back(text); }
    void note(const std::string& text) override { notes.push_back(text); }
};

}  // namespace senv::test
