#include "provisioner/senvd/config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cache/base/text.h"
#include "cache/base/threads.h"
#include "cache/formats/origin.h"
#include "provisioner/settings_table.h"

namespace senv {

namespace {

using Json = nlohmann::json;
using Setter = std::function<Result<void>(const toml::node&)>;

Setter text(std::string& into) {
    return [&into](const toml::node& node) -> Result<void> {
        const auto value = node.value_exact<std::string>();
        if (!value || !value->starts_with('/')) return wants("an absolute path in quotes");
        into = *value;
        while (into.size() > 1 && into.ends_with('/')) into.pop_back();
        return {};
    };
}

Setter prom_file(std::string& into) {
    return [&into](const toml::node& node) -> Result<void> {
        const auto value = node.value_exact<std::string>();
        // node_exporter reads no other names.
        if (!value || !value->starts_with('/') || !value->ends_with(".prom")) {
            return wants("an absolute path in quotes that ends in .prom");
        }
        into = *value;
        return {};
    };
}

Result<std::int64_t> bounded(const toml::node& node, std::int64_t least, std::int64_t most) {
    const auto value = node.value_exact<std::int64_t>();
    if (!value || *value < least || *value > most) {
        return wants("a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    return *value;
}

Setter number(unsigned& into, std::int64_t least, std::int64_t most) {
    return [&into, least, most](const toml::node& node) -> Result<void> {
        into = static_cast<unsigned>(SENV_TRY(bounded(node, least, most)));
        return {};
    };
}

Setter cpus(std::vector<unsigned>& into) {
    return [&into](const toml::node& node) -> Result<void> {
        const auto value = node.value_exact<std::string>();
        if (!value) return wants("CPUs in quotes, like \"0-3,8\"");
        auto parsed = parse_cpus(*value);
        if (!parsed) return wants("CPUs in quotes, like \"0-3,8\": " + parsed.error().what());
        into = *std::move(parsed);
        return {};
    };
}

Setter seconds(std::chrono::seconds& into, std::int64_t least, std::int64_t most) {
    return [&into, least, most](const toml::node& node) -> Result<void> {
        into = std::chrono::seconds(SENV_TRY(bounded(node, least, most)));
        return {};
    };
}

Result<std::string> origin(const toml::node& node) {
    const auto value = node.value_exact<std::string>();
    if (!value) return wants("URLs like \"http://host:port/path\"");
    return parse_origin(*value);
}

Setter origins(std::vector<std::string>& into) {
    return [&into](const toml::node& node) -> Result<void> {
        const toml::array* array = node.as_array();
        if (array == nullptr || array->empty()) return wants("a list of at least one URL");
        for (const toml::node& entry : *array) into.push_back(SENV_TRY(origin(entry)));
        const auto is_store = [](const std::string& one) { return kind_of(one) == OriginKind::store; };
        if (std::ranges::all_of(into, is_store)) {
            return wants(
                "an origin besides store:///…, which gives bytes only: one whose narinfos say what they must be");
        }
        return {};
    };
}

Setter store(bool& cover) {
    return [&cover](const toml::node& node) -> Result<void> {
        if (node.value_exact<std::string>() != "node") return wants("\"node\", or no such key");
        cover = true;
        return {};
    };
}

Setter mark(Mark& into) {
    return [&into](const toml::node& node) -> Result<void> {
        const auto value = node.value_exact<std::string>();
        if (!value) return wants("a share like \"90%\" or an amount like \"200 GiB\"");
        into = SENV_TRY(Mark::parse(*value, into.percent));
        return {};
    };
}

Setter limit(std::optional<Mark>& into) {
    return [&into](const toml::node& node) -> Result<void> {
        into.emplace();
        return mark(*into)(node);
    };
}

Setter group(std::string& into) {
    return [&into](const toml::node& node) -> Result<void> {
        const auto value = node.value_exact<std::string>();
        if (!value) return wants("the name of a group in quotes");
        into = *value;
        return {};
    };
}

template <class T>
Json json_of(const T& value) {
    return value;
}
Json json_of(std::chrono::seconds value) {
    return value.count();
}
Json json_of(const std::vector<unsigned>& value) {
    return value.empty() ? Json() : Json(text_of_cpus(value));
}
Json json_of(const Mark& value) {
    return value.bytes ? text_of_amount(*value.bytes) : value.text();
}
Json json_of(const std::optional<Mark>& value) {
    return value ? json_of(*value) : Json();
}

template <class T>
Setting setting(const std::string& key, const T& member, Setter set) {
    return {key, std::move(set), [&member] { return json_of(member).dump(); }};
}

// The keys of senvd.toml, in its order.
std::vector<Setting> settings_of(ServerConfig& config) {
    return {
        setting("origins", config.origins, origins(config.origins)),
        setting("acl", config.acl, text(config.acl)),
        setting("state_dir", config.state_dir, text(config.state_dir)),
        setting("socket", config.socket, text(config.socket)),
        {"lease_dir", text(config.lease_dir), [&] { return Json(config.lease_folder()).dump(); }},
        setting("downloads", config.downloads, number(config.downloads, 1, 64)),
        setting("nice", config.nice, number(config.nice, 0, max_nice)),
        setting("cpus", config.cpus, cpus(config.cpus)),
        setting("fetch_limit", config.fetch_limit, seconds(config.fetch_limit, 1, 86'400)),
        setting("stall_limit", config.stall_limit, seconds(config.stall_limit, 1, 3'600)),
        setting("high_water", config.high_water, mark(config.high_water)),
        setting("low_water", config.low_water, mark(config.low_water)),
        setting("grace", config.grace, seconds(config.grace, 0, 31'536'000)),
        setting("user_requests", config.user_requests, number(config.user_requests, 1, 100'000)),
        setting("user_leased", config.user_leased, limit(config.user_leased)),
        setting("admin_group", config.admin_group, group(config.admin_group)),
        setting("metrics_file", config.metrics_file, prom_file(config.metrics_file)),
        {"store", store(config.cover_gnu_store),
         [&] { return (config.cover_gnu_store ? Json("node") : Json()).dump(); }},
    };
}

Result<void> check_marks(const ServerConfig& config, const std::string& file) {
    const Mark& high = config.high_water;
    const Mark& low = config.low_water;
    const bool same_kind = high.bytes.has_value() == low.bytes.has_value();
    if (!same_kind || (high.bytes ? *low.bytes >= *high.bytes : low.percent >= high.percent)) {
        return Error(Kind::usage, "cannot use '" + file + "': low_water (" + low.text() + ") is not below high_water (" +
                                      high.text() + ")")
            .hint("give both as shares or both as amounts, low_water the smaller one");
    }
    return {};
}

Result<void> check_origins(const ServerConfig& config, const std::string& file) {
    if (!config.origins.empty()) return {};
    return Error(Kind::usage, "cannot use '" + file + "': the key 'origins' is missing, and it has no default")
        .hint("name the servers or folders of this site, as in: origins = [\"http://server:8080\"]");
}

}  // namespace

Result<ServerConfig> parse_config(std::string_view text_of_file, const std::string& file) {
    ServerConfig config;
    SENV_TRY(read_settings(text_of_file, file, settings_of(config)));
    SENV_TRY(check_marks(config, file));
    SENV_TRY(check_origins(config, file));
    return config;
}

Result<std::vector<InForce>> config_in_force(std::string_view text_of_file, const std::string& file) {
    ServerConfig config;
    std::vector<InForce> all = SENV_TRY(read_settings(text_of_file, file, settings_of(config)));
    SENV_TRY(check_marks(config, file));
    return all;
}

}  // namespace senv
