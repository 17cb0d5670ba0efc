#include "provisioner/environment.h"

#include <algorithm>
#include <array>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr const char* profile_variable = "GUIX_ENVIRONMENT";

// What makes the dynamic linker or an MPI library look into other people's folders.
constexpr std::array host_library_variables = {
    "LD_LIBRARY_PATH",  "LD_PRELOAD",     "LD_AUDIT",   "OPAL_PREFIX",
    "PRTE_PREFIX",      "PMIX_PREFIX",    "I_MPI_ROOT", "OMPI_MCA_mca_base_component_path",
    "FI_PROVIDER_PATH", "UCX_MODULE_DIR",
};

// One thing that entering set: a name, and the separator that the value was put in front with (empty: replaced).
struct Entered {
    std::string name;
    std::string separator;
    bool operator==(const Entered&) const = default;
};

struct Record {
    std::string profile;
    std::vector<Entered> entered;
};

std::string hex(std::string_view bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        text += {digits[byte >> 4U], digits[byte & 15U]};
    }
    return text;
}

std::optional<std::string> from_hex(std::string_view text) {
    const auto digit = [](char c) { return std::string_view("0123456789abcdef").find(c); };
    if (text.empty()) return "";
    if (text.size() != 2 || digit(text[0]) == std::string_view::npos || digit(text[1]) == std::string_view::npos) {
        return std::nullopt;
    }
    return std::string(1, static_cast<char>(digit(text[0]) * 16 + digit(text[1])));
}

std::string write_record(const Record& record) {
    std::string text = record.profile;
    for (const auto& entered : record.entered) text += ' ' + entered.name + ':' + hex(entered.separator);
    return text;
}

// The record is the job's own variable: what cannot be read in it is passed over, and then nothing is taken out.
std::optional<Record> read_record(const Environment& job) {
    const auto found = job.find(entered_variable);
    if (found == job.end()) return std::nullopt;
    const auto words = split(found->second, ' ');
    Record record{std::string(words[0]), {}};
    if (!record.profile.starts_with('/')) return std::nullopt;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const auto colon = words[i].find(':');
        if (colon == std::string_view::npos) continue;
        if (auto separator = from_hex(words[i].substr(colon + 1))) {
            record.entered.push_back({std::string(words[i].substr(0, colon)), *std::move(separator)});
        }
    }
    return record;
}

bool is_below(std::string_view path, std::string_view folder) {
    return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

// The value without the elements that lie in the profile; nullopt when entering had set all of it.
std::optional<std::string> without(const std::string& value, const Entered& entered, std::string_view profile) {
    if (entered.separator.empty()) {
        if (is_below(value, profile)) return std::nullopt;
        return value;
    }
    std::vector<std::string> kept;
    for (const auto element : split(value, entered.separator[0])) {
        if (!is_below(element, profile)) kept.emplace_back(element);
    }
    if (kept.empty()) return std::nullopt;
    return join(kept, entered.separator);
}

void take_out(Environment& job, const Entered& entered, std::string_view profile) {
    const auto found = job.find(entered.name);
    if (found == job.end()) return;
    if (auto rest = without(found->second, entered, profile)) {
        found->second = *std::move(rest);
    } else {
        job.erase(found);
    }
}

// Whether `value` has what `variable` puts there: for a list, its elements side by side, anywhere.
bool has(const std::string& value, const wire::Variable& variable) {
    if (variable.separator.empty()) return value == variable.value;
    const auto elements = split(value, variable.separator[0]);
    const auto wanted = split(variable.value, variable.separator[0]);
    // Not the one of std::ranges, which clang 14 cannot compile with this library.
    return std::search(elements.begin(), elements.end(), wanted.begin(), wanted.end()) != elements.end();
}

bool has_all(const Environment& job, const wire::Plan& plan, std::string_view name) {
    const auto found = job.find(name);
    return found != job.end() && std::ranges::all_of(plan.variables, [&](const auto& variable) {
               return variable.name != name || has(found->second, variable);
           });
}

void put(Environment& job, const wire::Variable& variable) {
    const auto found = job.find(variable.name);
    if (found == job.end() && variable.name == "PATH" && !variable.separator.empty()) {
        job[variable.name] = variable.value + variable.separator + default_path;
    } else if (found == job.end() || variable.separator.empty()) {
        job[variable.name] = variable.value;
    } else {
        found->second = variable.value + variable.separator + found->second;
    }
}

std::vector<Change> difference(const Environment& before, const Environment& after) {
    std::vector<Change> changes;
    for (const auto& [name, value] : before) {
        if (!after.contains(name)) changes.push_back({name, std::nullopt});
    }
    for (const auto& [name, value] : after) {
        const auto found = before.find(name);
        if (found == before.end() || found->second != value) changes.push_back({name, value});
    }
    return changes;
}

}  // namespace

Environment environment_from(const char* const* strings) {
    Environment environment;
    for (; strings != nullptr && *strings != nullptr; ++strings) {
        const std::string_view text = *strings;
        const auto equals = text.find('=');
        if (equals == std::string_view::npos || equals == 0) continue;
        // With a name twice, getenv(3) and the shells take the first.
        environment.try_emplace(std::string(text.substr(0, equals)), text.substr(equals + 1));
    }
    return environment;
}

std::vector<Change> changes_to_enter(const wire::Plan& plan, const Environment& job) {
    const auto earlier = read_record(job);
    const auto is_settled = [&](const std::string& name) {
        return earlier && earlier->profile == plan.profile && has_all(job, plan, name);
    };
    Environment entered = job;
    if (earlier) {
        for (const auto& old : earlier->entered) {
            if (!is_settled(old.name)) take_out(entered, old, earlier->profile);
        }
    }
    for (const auto* name : host_library_variables) {
        const bool planned =
            std::ranges::any_of(plan.variables, [&](const auto& variable) { return variable.name == name; });
        if (!planned) entered.erase(name);
    }
    Record record{plan.profile, {}};
    for (const auto& variable : plan.variables) {
        if (!is_settled(variable.name)) put(entered, variable);
        const Entered now{variable.name, variable.separator};
        if (std::ranges::find(record.entered, now) == record.entered.end()) record.entered.push_back(now);
    }
    entered[profile_variable] = plan.profile;
    record.entered.push_back({profile_variable, ""});
    entered[entered_variable] = write_record(record);
    return difference(job, entered);
}

std::vector<Change> changes_to_leave(const Environment& job) {
    Environment left = job;
    if (const auto earlier = read_record(job)) {
        for (const auto& old : earlier->entered) take_out(left, old, earlier->profile);
    }
    left.erase(entered_variable);
    return difference(job, left);
}

}  // namespace senv
