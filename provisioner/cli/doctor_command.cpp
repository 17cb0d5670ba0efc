// doctor_command.cpp: `senv doctor`.
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cache/base/text.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/inspected.h"
#include "provisioner/cli/output.h"
#include "provisioner/doctor/doctor.h"
#include "provisioner/senvd/config.h"
#include "provisioner/trust.h"

namespace senv {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t max_shown = 1000;  // bytes of what was found

struct Options {
    std::string senvd_config = default_config;
    bool json = false;
};

std::string as_text(const Findings& findings) {
    std::vector<std::vector<std::string>> rows;
    for (const Check& one : findings.checks) {
        rows.push_back({one.name, std::string(name_of(one.state)), printable(one.what, max_shown)});
        if (!one.hint.empty()) rows.push_back({"", "", "hint: " + printable(one.hint, max_shown)});
    }
    return table(rows);
}

std::string as_json(const Findings& findings) {
    Json checks = Json::array();
    for (const Check& one : findings.checks) {
        checks.push_back({{"name", one.name},
                          {"state", name_of(one.state)},
                          {"what", one.what},
                          {"hint", one.hint.empty() ? Json() : Json(one.hint)}});
    }
    return dump({{"senv-doctor", 1},
                 {"submit_host", findings.is_submit_host},
                 {"compute_node", findings.is_compute_node},
                 {"checks", checks}});
}

Result<int> doctor_command(const Options& options, const GlobalOptions& global) {
    const Signals signals = SENV_TRY(Signals::hold());
    Installation installation;
    installation.environment = with_own_folders(environment_from(environ), ::geteuid());
    installation.version = SENV_VERSION;
    installation.senv_config = global.config;
    installation.senvd_config = options.senvd_config;
    const Findings findings = SENV_TRY(examine(installation, signals));
    SENV_TRY(print(options.json ? as_json(findings) : as_text(findings)));
    return findings.has_problem() ? 1 : 0;
}

}  // namespace

void add_doctor_command(CLI::App& app, const GlobalOptions& global, Action& action) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("doctor", "Check what of an installation can be seen from this host");
    command->add_option("--senvd-config", options->senvd_config, "The settings of senvd, on compute nodes")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print it as JSON");
    command->footer(
        "A line for each part: ok, warning, problem, or \"not here\" for what belongs to other hosts; and what to do.\n"
        "Run it as a user on a submit host, and on a compute node. It changes nothing, and takes half a minute at "
        "most.\n\n"
        "Examples:\n"
        "  senv doctor\n"
        "  senv doctor --json | jq -r '.checks[] | select(.state == \"problem\")'\n\n"
        "Exit status: 0 there is no problem, perhaps warnings; 1 there is one.");
    command->callback(
        [&global, &action, options] { action = [&global, options] { return doctor_command(*options, global); }; });
}

}  // namespace senv
