// slurm_host.h: Host by Slurm's own means. slurm_host.cpp and edge.h are the only files that include <slurm/…>.
#pragma once

#include <list>
#include <span>

#include "spank/host.h"

struct spank_handle;

namespace senv {

class SlurmHost : public Host {
public:
    /// Slurm gives every callback a handle of its own; the one of the present callback counts.
    void at(struct spank_handle* handle) { handle_ = handle; }

    Program program() const override;
    uid_t real_user() const override;
    uid_t effective_user() const override;
    std::optional<std::string> own_variable(const char* name) const override;
    std::vector<std::string> own_names(std::string_view begin) const override;
    void set_own_variable(const char* name, const std::string& value) override;
    void unset_own_variable(const char* name) override;
    std::vector<std::string> command_line() const override;
    std::vector<std::string> option_words() const override;
    /// Whether `value`, as the callback of an option was given it, is part of the command line. sbatch also reads a
    /// script.
    bool is_on_command_line(const char* value) const;
    std::string working_folder() const override;
    bool is_interactive() const override;
    bool starts_shell_on_node() const override;
    std::string cluster() const override;
    std::optional<uid_t> owner_of_store() const override;
    Result<Submission> submission_of(std::uint32_t job) const override;
    void set_job_control(const char* name, const std::string& value) override;
    void unset_job_control(const char* name) override;
    std::optional<std::uint32_t> step_number() const override;
    std::string command() const override;
    void set_command(const std::string& command) override;
    bool is_debugged() const override;
    Result<Step> step() const override;
    Result<Step> prolog_job() const override;
    Environment job_environment() const override;
    std::optional<std::string> job_variable(std::string_view name) const override;
    Result<void> change(const Change& change) override;
    std::string node_name() const override;
    bool site_has_task_prolog() const override;
    void end_step(const Step& step) override;
    [[noreturn]] void end_task(int status) override;
    void error(const std::string& text) override;
    void info(const std::string& text) override;
    void note(const std::string& text) override;

private:
    std::span<char*> arguments() const;
    char** job_strings() const;  // "NAME=VALUE" each, nullptr after the last; nullptr where Slurm has none

    struct spank_handle* handle_ = nullptr;
    std::list<std::string> commands_;  // what set_command() put into arrays of Slurm, which last as long as srun
};

}  // namespace senv
