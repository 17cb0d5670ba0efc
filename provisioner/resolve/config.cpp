#include "provisioner/resolve/config.h"

#include <nlohmann/json.hpp>

#include "cache/base/fd.h"
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

// The keys of senv.toml, in its order.
std::vector<Setting> settings_of(Config& config) {
    return {{"guix", [&](const toml::node& node) { return read_command(node, config); },
             [&] { return (config.guix_is_remote ? Json(config.guix) : Json(config.guix.front())).dump(); }},
            build_setting(config.build),
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
