#include "provisioner/resolve/config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "provisioner/settings_table.h"

namespace senv {

namespace {

using Json = nlohmann::json;

constexpr double most_seconds = 3600.0 * 24 * 7;
constexpr double most_days = 3650;

Result<void> read_command(const toml::node& node, Config& config) {
    const std::string command = "a command, or a list of a command and its arguments";
    if (const auto* name = node.as_string(); name != nullptr && !name->get().empty()) {
        config.guix = {name->get()};
        return {};
    }
    const auto* list = node.as_array();
    if (list == nullptr || list->empty()) return wants(command);
    config.guix.clear();
    config.guix_is_remote = true;
    for (const toml::node& word : *list) {
        if (!word.is_string() || word.as_string()->get().empty()) return wants(command);
        config.guix.push_back(word.as_string()->get());
    }
    return {};
}

// A number of units, which may be a fraction. `Duration` keeps the smallest part of a unit that counts.
template <class Unit, class Duration>
Setting duration(const std::string& key, Duration& into, double most) {
    constexpr auto parts = Duration(Unit(1)).count();
    return {key,
            [&into, most](const toml::node& node) -> Result<void> {
                const auto value = node.value<double>();
                if (!node.is_number() || !value || !(*value > 0) || *value > most) {
                    return wants("a number above 0, at most " + std::to_string(static_cast<int>(most)));
                }
                into = Duration(static_cast<std::int64_t>(*value * parts));
                return {};
            },
            [&into] {
                const auto count = into.count();
                return (count % parts == 0 ? Json(count / parts) : Json(static_cast<double>(count) / parts)).dump();
            }};
}

Setting build_setting(Build& build) {
    return {"build",
            [&build](const toml::node& node) -> Result<void> {
                build = SENV_TRY(parse_build(node.value<std::string>().value_or("")));
                return {};
            },
            [&build] { return std::string(build == Build::here ? R"("here")" : R"("never")"); }};
}

Result<std::string> read_cpu(const toml::node& node) {
    const auto cpu = node.value<std::string>().value_or("");
    if (cpu.empty()) return wants("the name of a CPU");
    return cpu;
}

Result<void> read_cpus(const toml::node& node, std::map<std::string, std::string>& into) {
    const auto* table = node.as_table();
    if (table == nullptr) return wants("a table of names and CPUs");
    for (const auto& [name, cpu] : *table) into[std::string(name.str())] = SENV_TRY(read_cpu(cpu));
    return {};
}

Result<void> read_tuning(const toml::node& node, Tuning& tuning) {
    const auto* table = node.as_table();
    if (table == nullptr) return wants("a table with default, partition or constraint");
    for (const auto& [key, value] : *table) {
        if (key.str() == "default") {
            tuning.otherwise = SENV_TRY(read_cpu(value));
        } else if (key.str() == "partition") {
            SENV_TRY(read_cpus(value, tuning.partition));
        } else if (key.str() == "constraint") {
            SENV_TRY(read_cpus(value, tuning.constraint));
        } else {
            return wants("default, partition or constraint, not '" + printable(key.str()) + "'");
        }
    }
    return {};
}

Setting tuning_setting(Tuning& tuning) {
    return {"tune", [&tuning](const toml::node& node) { return read_tuning(node, tuning); },
            [&tuning] {
                Json json = Json::object();
                if (!tuning.otherwise.empty()) json["default"] = tuning.otherwise;
                if (!tuning.partition.empty()) json["partition"] = tuning.partition;
                if (!tuning.constraint.empty()) json["constraint"] = tuning.constraint;
                return json.dump();
            }};
}

// "a&b|c*2" holds a, b, c and 2: a number names no CPU.
std::vector<std::string> features_in(std::string_view constraint) {
    std::vector<std::string> names(1);
    for (const char c : constraint) {
        if (std::string_view("&|,*()[]! ").find(c) == std::string_view::npos) {
            names.back() += c;
        } else if (!names.back().empty()) {
            names.emplace_back();
        }
    }
    return names;
}

// The keys of senv.toml, in its order.
std::vector<Setting> settings_of(Config& config) {
    return {{"guix", [&](const toml::node& node) { return read_command(node, config); },
             [&] { return (config.guix_is_remote ? Json(config.guix) : Json(config.guix.front())).dump(); }},
            build_setting(config.build),
            tuning_setting(config.tuning),
            duration<std::chrono::seconds>("resolve_limit", config.time_limit, most_seconds),
            duration<std::chrono::seconds>("silence_limit", config.silence_limit, most_seconds),
            duration<std::chrono::days>("unused_days", config.unused_limit, most_days)};
}

}  // namespace

Result<Build> parse_build(std::string_view text) {
    if (text == "here") return Build::here;
    if (text == "never") return Build::never;
    return wants("never or here");
}

namespace {

Error no_cpu_for(const Destination& destination, const std::string& partition) {
    if (!partition.empty())
        return {Kind::missing, "the site names no CPU for partition '" + printable(partition) + "'"};
    if (destination.constraint.empty()) return {Kind::usage, "no partition and no constraint is named"};
    return {Kind::missing, "the site names no CPU for constraint '" + printable(destination.constraint) + "'"};
}

}  // namespace

Result<Tuning::Found> Tuning::cpu_for(const Destination& destination) const {
    std::vector<Found> found;
    for (const auto& name : features_in(destination.constraint)) {
        const auto one = constraint.find(name);
        if (one != constraint.end()) found.push_back({one->second, "constraint '" + printable(name) + "'"});
    }
    const bool is_constrained = !found.empty();
    for (const auto part : split(destination.partition, ',')) {
        const std::string name(part);
        const auto one = partition.find(name);
        if (one != partition.end()) {
            found.push_back({one->second, "partition '" + printable(name) + "'"});
        } else if (!is_constrained) {
            if (otherwise.empty()) return no_cpu_for(destination, name);
            found.push_back({otherwise, "the site's default"});
        }
    }
    const auto differs = [&](const Found& one) { return one.cpu != found.front().cpu; };
    if (const auto other = std::ranges::find_if(found, differs); other != found.end()) {
        return Error(Kind::usage, "for " + found.front().reason + " the site names " + found.front().cpu + ", for " +
                                      other->reason + " " + other->cpu);
    }
    return found.front();
}

Result<Config> Config::parse(std::string_view text, const std::string& path) {
    Config config;
    SENV_TRY(read_settings(text, path, settings_of(config)));
    return config;
}

Result<std::vector<InForce>> Config::in_force(std::string_view text, const std::string& path) {
    Config config;
    return read_settings(text, path, settings_of(config));
}

Result<Config> Config::load(const std::string& path) {
    const auto text = read_small_file(path, max_settings_bytes);
    if (text) return parse(text.value(), path);
    if (text.error().kind() == Kind::missing) return Config();
    return text.error();
}

}  // namespace senv
