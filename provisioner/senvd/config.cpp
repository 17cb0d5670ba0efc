#include "provisioner/senvd/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <map>

#include "cache/base/text.h"
#include "cache/base/threads.h"
#include "cache/formats/origin.h"

namespace senv {

namespace {

using Setter = std::function<Result<void>(const toml::node&)>;

Error wants(const std::string& what) {
    return {Kind::usage, "want " + what};
}

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

std::string place(const std::string& file, const toml::source_region& where) {
    return "cannot use '" + file + "': line " + std::to_string(where.begin.line);
}

}  // namespace

Result<ServerConfig> parse_config(std::string_view text_of_file, const std::string& file) {
    toml::table table;
    try {
        table = toml::parse(text_of_file);
    } catch (const toml::parse_error& e) {
        return Error(Kind::usage, place(file, e.source()) + ": " + std::string(e.description()));
    }
    ServerConfig config;
    const std::map<std::string, Setter, std::less<>> keys = {
        {"origins", origins(config.origins)},
        {"acl", text(config.acl)},
        {"state_dir", text(config.state_dir)},
        {"socket", text(config.socket)},
        {"downloads", number(config.downloads, 1, 64)},
        {"nice", number(config.nice, 0, max_nice)},
        {"cpus", cpus(config.cpus)},
        {"metrics_file", prom_file(config.metrics_file)},
        {"fetch_limit", seconds(config.fetch_limit, 1, 86'400)},
        {"stall_limit", seconds(config.stall_limit, 1, 3'600)},
        {"grace", seconds(config.grace, 0, 31'536'000)},
        {"high_water", mark(config.high_water)},
        {"low_water", mark(config.low_water)},
        {"user_requests", number(config.user_requests, 1, 100'000)},
        {"user_leased", limit(config.user_leased)},
        {"admin_group", group(config.admin_group)},
        {"store", store(config.cover_gnu_store)},
    };
    for (const auto& [key, node] : table) {
        const auto found = keys.find(key.str());
        if (found == keys.end()) {
            std::vector<std::string> known;
            for (const auto& [name, setter] : keys) known.push_back(name);
            return Error(Kind::usage, place(file, key.source()) + ": unknown key '" + printable(key.str()) + "'")
                .hint("the keys are " + join(known, ", "));
        }
        SENV_TRY(found->second(node).in(place(file, key.source()) + ": " + found->first));
    }
    const Mark& high = config.high_water;
    const Mark& low = config.low_water;
    const bool same_kind = high.bytes.has_value() == low.bytes.has_value();
    if (!same_kind || (high.bytes ? *low.bytes >= *high.bytes : low.percent >= high.percent)) {
        return Error(Kind::usage, "cannot use '" + file + "': low_water (" + low.text() + ") is not below high_water (" +
                                      high.text() + ")")
            .hint("give both as shares or both as amounts, low_water the smaller one");
    }
    if (config.origins.empty()) {
        return Error(Kind::usage, "cannot use '" + file + "': it names no origins")
            .hint("add a line like: origins = [\"http://substitutes.example.org\"]");
    }
    return config;
}

}  // namespace senv
