#include "provisioner/doctor/slurm.h"

#include <strings.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "cache/base/text.h"
#include "provisioner/doctor/plugin_file.h"

namespace senv {

namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr std::size_t max_config_bytes = std::size_t{8} << 20U;
constexpr seconds config_limit{5};
constexpr seconds version_limit{3};
constexpr std::uint64_t longest_fetch = 604'800;  // seconds, of the plugin

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

bool same_word(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

/// Where slurm.conf is when slurmctld does not say.
std::string config_file(const Installation& installation, const Commands& commands) {
    if (std::string file = commands.variable("SLURM_CONF"); !file.empty()) return file;
    std::error_code ignored;
    for (const std::string& file : installation.slurm_confs) {
        if (fs::exists(file, ignored)) return file;
    }
    return {};
}

/// What slurmctld names is its own slurm.conf; this host may have got its text, and have another of that name from before.
std::string config_in_force(const Installation& installation, const Commands& commands, Slurm& slurm) {
    if (std::string file = commands.variable("SLURM_CONF"); !file.empty()) return file;
    std::error_code ignored;
    slurm.is_sent = fs::exists(installation.sent_slurm_conf, ignored);
    return slurm.is_sent ? installation.sent_slurm_conf : slurm_setting(slurm.config, "SLURM_CONF").value_or("");
}

/// Without slurmctld: out of the file itself, and without what that includes.
void read_config_file(Slurm& slurm, const std::string& file, const Error& silence) {
    const bool no_command = silence.kind() == Kind::missing;
    if (file.empty()) {
        const auto state = no_command ? State::not_here : State::problem;
        slurm.check = {"slurm", state, silence.what() + ", and no slurm.conf",
                       no_command ? "" : "put slurm.conf into its place on this host, or name it in SLURM_CONF"};
        return;
    }
    auto text = read_small_file(file, max_config_bytes);
    if (!text) {
        slurm.check = {"slurm", State::problem, silence.what() + "; " + text.error().what(),
                       "put slurm.conf there, readable for all users"};
        return;
    }
    slurm.config = *std::move(text);
    slurm.plugstack = (fs::path(file).parent_path() / "plugstack.conf").string();
    slurm.check = {"slurm", no_command ? State::ok : State::warning, silence.what() + "; read " + file + " instead",
                   no_command ? "" : "see that slurmctld runs and that this host reaches it: `scontrol ping`"};
}

std::string version_in(const std::string& said) {
    const std::string_view line = trimmed(std::string_view(said).substr(0, said.find('\n')));
    return std::string(line.substr(line.rfind(' ') + 1));
}

bool has_word(std::string_view text, std::string_view word) {
    return std::ranges::any_of(split(text, '\n'), [&](std::string_view line) {
        return std::ranges::any_of(split(line, ' '), [&](std::string_view one) { return trimmed(one) == word; });
    });
}

/// As Slurm does: a name without a slash is looked for in PluginDir.
std::string path_of(const std::string& plugin, const Slurm& slurm) {
    if (plugin.find('/') != std::string::npos) return plugin;
    std::error_code ignored;
    const std::string dirs = slurm_setting(slurm.config, "PluginDir").value_or("");
    for (const std::string_view dir : split(dirs, ':')) {
        std::string path = std::string(dir) + "/" + plugin;
        if (fs::exists(path, ignored)) return path;
    }
    return plugin;
}

/// Errors: denied, with what may be changed by whom it should not.
Result<void> check_owner(const std::string& path, uid_t owner) {
    for (const std::string& one : {path, fs::path(path).parent_path().string()}) {
        struct stat info {};
        if (::stat(one.c_str(), &info) != 0) return Error::sys(errno, "cannot look at '" + one + "'");
        if ((info.st_mode & 022U) != 0) return Error(Kind::denied, "others may write to '" + one + "'");
        if (info.st_uid != owner) {
            return Error(Kind::denied, "'" + one + "' belongs to user " + std::to_string(info.st_uid));
        }
    }
    return {};
}

/// The file of a plugin: whether it is there, who may change it, and which Slurm it is for. `when_absent`: the hint then.
Check look_at_file(const std::string& name, const std::string& plugin, const Slurm& slurm, uid_t owner,
                   const std::string& when_absent) {
    const std::string path = path_of(plugin, slurm);
    struct stat info {};
    if (path.find('/') == std::string::npos) {
        const auto dirs = slurm_setting(slurm.config, "PluginDir");
        if (dirs) return {name, State::problem, path + " is in no folder of PluginDir=" + *dirs, when_absent};
        return {name, State::not_here, path + " is in Slurm's PluginDir, and only slurmctld says where that is", ""};
    }
    if (::stat(path.c_str(), &info) != 0) {
        return {name, State::problem, Error::sys(errno, path).what(), when_absent};
    }
    if (const auto owned = check_owner(path, owner); !owned) {
        return {name, State::problem, owned.error().what() + ", and Slurm runs the plugin as root",
                "give it to root, writable for nobody else"};
    }
    const auto series = slurm_series_of(path);
    if (!series) return {name, State::problem, series.error().what(), "install senv's plugin again"};
    const std::string built = path + " is built for Slurm " + *series;
    if (slurm.version.empty()) return {name, State::ok, built, ""};
    if (!slurm.version.starts_with(*series + ".")) {
        return {name, State::problem, built + ", and this is " + slurm.version,
                "build senv against the headers of this Slurm, and install it on all hosts"};
    }
    return {name, State::ok, built, ""};
}

}  // namespace

std::optional<std::string> slurm_setting(std::string_view text, std::string_view key) {
    for (std::string_view line : split(text, '\n')) {
        line = line.substr(0, line.find('#'));
        const auto equals = line.find('=');
        if (equals == std::string_view::npos || !same_word(trimmed(line.substr(0, equals)), key)) continue;
        const std::string_view value = trimmed(line.substr(equals + 1));
        if (value.empty() || value == "(null)") return std::nullopt;
        return std::string(value);
    }
    return std::nullopt;
}

Slurm look_at_slurm(const Installation& installation, const Commands& commands) {
    Slurm slurm;
    slurm.has_srun = !commands.find("srun").empty();
    auto config = commands.output({"scontrol", "show", "config"}, config_limit);
    if (config) {
        slurm.config = *std::move(config);
        const std::string file = config_in_force(installation, commands, slurm);
        slurm.check = {"slurm", State::ok,
                       "slurmctld answers; " + file + (slurm.is_sent ? ", which slurmctld sent here" : ""), ""};
        slurm.plugstack = (fs::path(file).parent_path() / "plugstack.conf").string();
    } else {
        read_config_file(slurm, config_file(installation, commands), config.error());
    }
    if (auto named = slurm_setting(slurm.config, "PlugStackConfig")) slurm.plugstack = *std::move(named);
    if (slurm.config.empty()) return slurm;
    if (const auto daemons = commands.output({"scontrol", "show", "daemons"}, version_limit)) {
        slurm.is_compute_node = has_word(*daemons, "slurmd");
    }
    // srun loads CliFilterPlugins even for this, and says nothing where one cannot be loaded.
    auto said = commands.output({"srun", "--version"}, version_limit);
    if (!said) said = commands.output({"scontrol", "--version"}, version_limit);
    if (said) {
        slurm.version = version_in(*said);
        slurm.check.what = "Slurm " + slurm.version + ": " + slurm.check.what;
    }
    return slurm;
}

std::string* PluginSettings::path_named(std::string_view key) {
    if (key == "senv") return &senv;
    if (key == "socket") return &socket;
    if (key == "store") return &store;
    return key == "slurm_commands" ? &slurm_commands : nullptr;
}

Result<PluginSettings> PluginSettings::parse(const std::vector<std::string>& words) {
    PluginSettings settings;
    for (const std::string& word : words) {
        const auto equals = word.find('=');
        const std::string key = word.substr(0, equals);
        const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
        const auto bad = [&](const std::string& want) {
            return Error(Kind::usage, "the plugin does not take '" + word + "': want " + want);
        };
        if (std::string* path = settings.path_named(key)) {
            if (!value.starts_with('/')) return bad("an absolute path");
            if (path == &settings.slurm_commands && value.find(':') != std::string::npos) return bad("one folder");
            *path = value;
        } else if (key == "user") {
            if (value.empty()) return bad("the name or number of a user");
            settings.user = value;
        } else if (key == "fetch_limit") {
            const auto number = parse_decimal(value);
            if (!number || *number == 0 || *number > longest_fetch) {
                return bad("seconds from 1 to " + std::to_string(longest_fetch));
            };
            settings.fetch_limit = seconds(*number);
        } else {
            return bad("one of senv=, socket=, user=, store=, slurm_commands=, fetch_limit=");
        }
    }
    return settings;
}

Plugstack look_at_plugstack(const Slurm& slurm) {
    const std::string name = "plugstack";
    if (slurm.plugstack.empty()) return {{name, State::not_here, "there is no configuration of Slurm here", ""}, {}};
    const std::string hint = slurm.is_sent
                                 ? "put senv's line into the plugstack.conf of slurmctld's host itself: of files that "
                                   "it includes, none is sent"
                                 : "copy senv's plugstack.conf to plugstack.conf.d/senv.conf beside it, and "
                                   "include that";
    auto lines = senv_plugins(slurm.plugstack);
    if (!lines) return {{name, State::problem, lines.error().what(), hint}, {}};
    const auto is_main = [](const PluginLine& line) { return fs::path(line.plugin).filename() == "spank_senv.so"; };
    const auto first = std::ranges::find_if(*lines, is_main);
    if (first == lines->end()) {
        return {{name, State::problem,
                 "no line of " + slurm.plugstack + ", or of what it includes, names spank_senv.so", hint},
                *lines};
    }
    const auto second = std::find_if(first + 1, lines->end(), is_main);
    if (second != lines->end()) {
        return {{name, State::problem, "both " + first->place() + " and " + second->place() + " load spank_senv.so",
                 "remove one of the two lines"},
                *lines};
    }
    const std::string found = first->place() + ": " + (first->required ? "required " : "optional ") + first->plugin;
    return {{name, State::ok, found, ""}, *lines};
}

Check look_at_plugin(const PluginLine& line, const Slurm& slurm, uid_t owner) {
    return look_at_file("plugin", line.plugin, slurm, owner, "install senv's plugin there, or correct " + line.place());
}

Check look_at_prolog(const Slurm& slurm, const std::vector<PluginLine>& lines) {
    const std::string name = "prolog";
    const auto is_prolog = [](const PluginLine& line) {
        return fs::path(line.plugin).filename() == "spank_senv_prolog.so";
    };
    const auto line = std::ranges::find_if(lines, is_prolog);
    if (line == lines.end()) return {name, State::not_here, "plugstack.conf does not name spank_senv_prolog.so", ""};
    if (slurm.config.empty()) return {name, State::not_here, "there is no configuration of Slurm here", ""};
    const std::string value = slurm_setting(slurm.config, "PrologFlags").value_or("");
    const auto flags = split(value, ',');
    const auto has = [&](std::string_view flag) {
        return std::ranges::any_of(flags, [&](std::string_view one) { return same_word(one, flag); });
    };
    if (has("RunInJob")) {
        return {name, State::warning,
                "PrologFlags=" + value + ": with RunInJob Slurm never calls " + line->plugin +
                    ", so nodes fetch only when the first step begins",
                "take RunInJob out of PrologFlags, or remove " + line->place()};
    }
    if (!has("Alloc") && !has("Contain")) {
        return {name, State::warning,
                "PrologFlags has no Alloc: Slurm calls " + line->plugin + " only when the first step begins",
                "add Alloc to PrologFlags, or remove " + line->place()};
    }
    return {name, State::ok, "PrologFlags=" + value + ": nodes begin to fetch when a job begins", ""};
}

Check look_at_task_prolog(const Slurm& slurm) {
    const std::string name = "task-prolog";
    if (slurm.config.empty()) return {name, State::not_here, "there is no configuration of Slurm here", ""};
    const auto prolog = slurm_setting(slurm.config, "TaskProlog");
    if (!prolog) return {name, State::ok, "Slurm has no TaskProlog", ""};
    return {
        name, State::warning,
        "TaskProlog=" + *prolog + " runs after senv: what it exports, like LD_LIBRARY_PATH, reaches the job's programs",
        "let it export nothing that names host libraries where GUIX_ENVIRONMENT is set"};
}

Check look_at_cli_filter(const Slurm& slurm, uid_t owner) {
    const std::string name = "jobs";
    if (slurm.config.empty()) return {name, State::not_here, "there is no configuration of Slurm here", ""};
    const std::string plugins = slurm_setting(slurm.config, "CliFilterPlugins").value_or("");
    const bool has_ours = std::ranges::any_of(
        split(plugins, ','), [](std::string_view one) { return one == "senv" || one == "cli_filter/senv"; });
    if (!has_ours) {
        return {name, State::not_here,
                "CliFilterPlugins has no senv, so `senv show JOBID` knows only jobs that run on the same node", ""};
    }
    Check check = look_at_file(name, "cli_filter_senv.so", slurm, owner,
                               "add its folder to PluginDir, or take senv out of CliFilterPlugins");
    const std::string effect = check.state == State::problem ? ", and without that plugin Slurm submits nothing: "
                                                             : ": `senv show JOBID` knows submitted jobs; ";
    check.what = "CliFilterPlugins=" + plugins + effect + check.what;
    return check;
}

}  // namespace senv
