// slurm.h: Slurm on this host, and senv's plugins in it.
//
// Source   Slurm, src/common/plugstack.c; scontrol(1): "show config", "show daemons".
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "provisioner/doctor/check.h"
#include "provisioner/doctor/commands.h"
#include "provisioner/doctor/doctor.h"
#include "provisioner/doctor/plugstack.h"

namespace senv {

/// The value of "KEY=VALUE" or "KEY = VALUE" in slurm.conf or `scontrol show config`; keys are of any case. nullopt also where
/// scontrol says "(null)".
std::optional<std::string> slurm_setting(std::string_view text, std::string_view key);

struct Slurm {
    Check check;
    std::string config;                   // text with its settings; empty when there is none to be had
    std::string plugstack;                // the file, where there should be one; empty when that is not known
    bool is_sent = false;                 // slurmctld sends its configuration to this host
    std::string version;                  // "22.05.8", or empty
    std::optional<bool> is_compute_node;  // by its list
    bool has_srun = false;
};

Slurm look_at_slurm(const Installation& installation, const Commands& commands);

/// What the words behind a plugin's name in plugstack.conf say. spank/options.h has the same, for the plugin.
struct PluginSettings {
    std::string senv = "/usr/bin/senv";
    std::string socket = "/run/senv/senvd.sock";
    std::string user = "senv";
    std::string store = "/var/lib/senv/store";
    std::string slurm_commands = default_slurm_commands;
    std::chrono::seconds fetch_limit{1800};

    /// Errors: usage.
    static Result<PluginSettings> parse(const std::vector<std::string>& words);

private:
    std::string* path_named(std::string_view key);  // null when there is none
};

struct Plugstack {
    Check check;
    std::vector<PluginLine> lines;
};

Plugstack look_at_plugstack(const Slurm& slurm);
/// The file that a line names: who may change it, and which Slurm it is for.
Check look_at_plugin(const PluginLine& line, const Slurm& slurm, uid_t owner);
/// Whether Slurm calls the plugin that lets nodes begin to fetch when a job begins.
Check look_at_prolog(const Slurm& slurm, const std::vector<PluginLine>& lines);
Check look_at_task_prolog(const Slurm& slurm);
/// The plugin that remembers submitted jobs, and its file likewise.
Check look_at_cli_filter(const Slurm& slurm, uid_t owner);

}  // namespace senv
