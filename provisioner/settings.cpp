#include <algorithm>

#include "cache/base/text.h"
#include "provisioner/settings_table.h"

namespace senv {

namespace {

std::string place(const std::string& file, const toml::source_region& where) {
    return "cannot use '" + file + "': line " + std::to_string(where.begin.line);
}

Error unknown_key(const std::string& place, std::string_view key, const std::vector<Setting>& table) {
    std::vector<std::string> known;
    for (const Setting& setting : table) known.push_back(setting.key);
    return Error(Kind::usage, place + ": unknown key '" + printable(key) + "'")
        .hint("the keys are " + join(known, ", "));
}

}  // namespace

Error wants(const std::string& what) {
    return {Kind::usage, "want " + what};
}

Result<std::vector<InForce>> read_settings(std::string_view text, const std::string& file,
                                           const std::vector<Setting>& table) {
    toml::table found;
    try {
        found = toml::parse(text);
    } catch (const toml::parse_error& e) {
        return Error(Kind::usage, place(file, e.source()) + ": " + std::string(e.description()));
    }
    for (const auto& [key, node] : found) {
        const auto setting = std::ranges::find(table, key.str(), &Setting::key);
        if (setting == table.end()) return unknown_key(place(file, key.source()), key.str(), table);
        SENV_TRY(setting->set(node).in(place(file, key.source()) + ": " + setting->key));
    }
    std::vector<InForce> all;
    for (const Setting& setting : table) {
        const auto given = found.find(setting.key);
        const bool is_given = given != found.end();
        all.push_back(
            {setting.key, setting.value(), is_given ? std::optional(given->first.source().begin.line) : std::nullopt});
    }
    return all;
}

}  // namespace senv
