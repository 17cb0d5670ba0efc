#include "provisioner/doctor/doctor.h"

#include <algorithm>

#include "provisioner/doctor/commands.h"
#include "provisioner/doctor/guix.h"
#include "provisioner/doctor/node.h"
#include "provisioner/doctor/slurm.h"

namespace senv {

namespace {

constexpr std::chrono::seconds all_of_it{27};  // what is cut off then has half a second to end

void append(std::vector<Check>& into, std::vector<Check> more) {
    std::ranges::move(more, std::back_inserter(into));
}

Check look_at_kind(const Findings& host) {
    const std::string name = "host";
    if (host.is_submit_host && host.is_compute_node) return {name, State::ok, "a submit host and a compute node", ""};
    if (host.is_submit_host) return {name, State::ok, "a submit host", ""};
    if (host.is_compute_node) return {name, State::ok, "a compute node", ""};
    return {name, State::warning,
            "neither a submit host (no srun) nor a compute node (no senvd, and not in Slurm's list)",
            "look on a host of the cluster, or install Slurm's commands here"};
}

std::vector<Check> not_here(std::initializer_list<const char*> names, const std::string& what) {
    std::vector<Check> all;
    for (const char* name : names) all.push_back({name, State::not_here, what, ""});
    return all;
}

std::vector<Check> node_checks(ComputeNode& node, const Findings& host, const Commands& commands) {
    if (host.is_compute_node) return node.checks(commands);
    return not_here({"senvd.toml", "senvd", "disk", "keys", "origin"}, "only on compute nodes");
}

}  // namespace

std::string_view name_of(State state) noexcept {
    switch (state) {
        case State::ok: return "ok";
        case State::warning: return "warning";
        case State::problem: return "problem";
        case State::not_here: break;
    }
    return "not here";
}

bool Findings::has_problem() const {
    return std::ranges::any_of(checks, [](const Check& one) { return one.state == State::problem; });
}

Result<Findings> examine(const Installation& installation, const Signals& signals) {
    const Commands commands(installation.environment, signals, Clock::now() + all_of_it);
    const Slurm slurm = look_at_slurm(installation, commands);
    const SubmitSide submit(installation, commands);
    ComputeNode node(installation);

    Findings found;
    found.is_compute_node = node.has_socket() || slurm.is_compute_node.value_or(node.has_settings());
    found.is_submit_host = slurm.has_srun && (submit.has_guix() || !found.is_compute_node);
    const Plugstack plugstack = look_at_plugstack(slurm);
    const std::vector<Check> of_node = node_checks(node, found, commands);

    found.checks = {look_at_kind(found), slurm.check, plugstack.check};
    for (const PluginLine& line : plugstack.lines) {
        found.checks.push_back(look_at_plugin(line, slurm, installation.administrator));
        found.checks.push_back(node.agrees_with(line, found, commands));
    }
    if (plugstack.lines.empty())
        append(found.checks, not_here({"plugin", "plugin-words"}, "Slurm does not load it here"));
    found.checks.push_back(look_at_prolog(slurm, plugstack.lines));
    found.checks.push_back(look_at_task_prolog(slurm));
    found.checks.push_back(look_at_cli_filter(slurm, installation.administrator));
    append(found.checks, found.is_submit_host
                             ? submit.checks()
                             : not_here({"senv.toml", "guix", "guix-daemon", "gc-roots"}, "only on submit hosts"));
    found.checks.push_back(node.gnu_store(found));
    append(found.checks, of_node);
    if (signals.pending()) return interrupted();
    return found;
}

}  // namespace senv
