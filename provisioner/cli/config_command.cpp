// config_command.cpp: `senv config`.
#include <memory>
#include <nlohmann/json.hpp>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/output.h"
#include "provisioner/resolve/config.h"
#include "provisioner/senvd/config.h"

namespace senv {

namespace {

using Json = nlohmann::ordered_json;
using Read = Result<std::vector<InForce>> (*)(std::string_view text, const std::string& file);

struct Options {
    std::string senvd_config = default_config;
    bool json = false;
};

struct Settings {
    std::string file;
    bool found = false;
    std::vector<InForce> all;  // none where the file has to be there and is not
};

enum class Absent : unsigned char { has_defaults, says_nothing };

Result<Settings> settings_in(const std::string& file, Read read, Absent absent) {
    const auto text = read_small_file(file, max_settings_bytes);
    if (text) return Settings{file, true, SENV_TRY(read(*text, file))};
    if (text.error().kind() != Kind::missing) return text.error();
    if (absent == Absent::says_nothing) return Settings{file, false, {}};
    return Settings{file, false, SENV_TRY(read("", file))};
}

std::string as_text(const Settings& settings) {
    std::vector<std::vector<std::string>> rows;
    for (const InForce& one : settings.all) {
        rows.push_back({one.key, one.line ? printable(settings.file) + ":" + std::to_string(*one.line) : "default",
                        one.value == "null" ? "-" : printable(one.value, one.value.size() * 4)});
    }
    return printable(settings.file) + (settings.found ? "" : " is not there") + "\n" + table(rows);
}

Json as_json(const Settings& settings) {
    Json all = Json::array();
    for (const InForce& one : settings.all) {
        all.push_back(
            {{"key", one.key}, {"value", Json::parse(one.value)}, {"line", one.line ? Json(*one.line) : Json()}});
    }
    return {{"file", settings.file}, {"found", settings.found}, {"settings", all}};
}

Result<int> config_command(const Options& options, const GlobalOptions& global) {
    const Settings ours = SENV_TRY(settings_in(global.config, &Config::in_force, Absent::has_defaults));
    const Settings daemon = SENV_TRY(settings_in(options.senvd_config, &config_in_force, Absent::says_nothing));
    if (!options.json) return print(as_text(ours) + "\n" + as_text(daemon));
    const Json json = {{"senv-config", 1}, {"files", {as_json(ours), as_json(daemon)}}};
    return print(json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

void add_config_command(CLI::App& app, const GlobalOptions& global, Action& action) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("config", "Show the site's settings in force, and where each comes from");
    command->add_option("--senvd-config", options->senvd_config, "The settings of senvd, on compute nodes")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print them as JSON; line is null where it is the default");
    command->footer(
        "Each line has a key, the file and line that sets it or \"default\", and the value; \"-\" is no value. A file\n"
        "with a wrong value is refused. senvd reads its file when it starts, so a running one may have older values;\n"
        "without origins it does not start.\n\n"
        "Examples:\n"
        "  senv config\n"
        "  senv --config new.toml config --senvd-config new-senvd.toml     before they are installed");
    command->callback(
        [&global, &action, options] { action = [&global, options] { return config_command(*options, global); }; });
}

}  // namespace senv
