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

// %precious-variables of guix/profiles.scm.
constexpr std::array precious_variables = {
    "HOME",  "USER",        "LOGNAME",  "DISPLAY",      "XAUTHORITY", "TERM",     "TZ",
    "PAGER", "HISTCONTROL", "HISTFILE", "HISTFILESIZE", "HISTIGNORE", "HISTSIZE", "HISTTIMEFORMAT",
};
constexpr std::array device_variables = {
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES",   "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",   "ZE_AFFINITY_MASK",  "ZE_FLAT_DEVICE_HIERARCHY", "ONEAPI_DEVICE_SELECTOR",
};
constexpr std::array<std::string_view, 11> batch_prefixes = {
    "SLURM", "PMI", "OMPI_MCA_", "OMPI_COMM_", "UCX_", "FI_", "CUDA_MPS_", "ROCR_", "OMP_", "GOMP_", "KMP_",
};

// One thing that entering set: a name, and the separator that the value was put in front with (empty: replaced).
struct Entered {
    std::string name;
    std::string separator;
    bool operator==(const Entered&) const = default;
};

struct Record {
    std::string profile;
    std::optional<std::string> pure;  // the folder of Slurm's commands
    std::vector<Entered> entered;
};
constexpr std::string_view pure_word = "pure=";

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
    if (record.pure) text.append(" ").append(pure_word).append(*record.pure);
    for (const auto& entered : record.entered) text += ' ' + entered.name + ':' + hex(entered.separator);
    return text;
}

// The record is the job's own variable: what cannot be read in it is passed over, and then nothing is taken out.
std::optional<Record> read_record(const Environment& job) {
    const auto found = job.find(entered_variable);
    if (found == job.end()) return std::nullopt;
    const auto words = split(found->second, ' ');
    Record record{std::string(words[0]), std::nullopt, {}};
    if (!record.profile.starts_with('/')) return std::nullopt;
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (words[i].starts_with(pure_word)) record.pure = words[i].substr(pure_word.size());
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

// What entering a pure environment did beside the profile's own entries.
void leave_pure(Environment& job, const std::string& slurm_commands) {
    std::vector<std::string> kept;
    if (const auto path = job.find("PATH"); path != job.end()) {
        for (const auto folder : split(path->second, ':')) {
            if (folder != slurm_commands) kept.emplace_back(folder);
        }
    }
    job["PATH"] = kept.empty() ? default_path : join(kept, ":");
}

bool is_library_variable(std::string_view name) {
    return std::ranges::find(host_library_variables, name) != host_library_variables.end();
}

bool survives_pure(std::string_view name) {
    const auto begins_name = [&](std::string_view prefix) { return name.starts_with(prefix); };
    return std::ranges::find(precious_variables, name) != precious_variables.end() ||
           std::ranges::find(device_variables, name) != device_variables.end() ||
           std::ranges::any_of(batch_prefixes, begins_name);
}

// `purify`: else only what makes binaries load other people's libraries is removed.
void remove_from(Environment& job, bool purify, const wire::Plan& plan, const std::optional<Pattern>& preserve) {
    const auto is_planned = [&](const std::string& name) {
        return std::ranges::any_of(plan.variables, [&](const auto& variable) { return variable.name == name; });
    };
    std::erase_if(job, [&](const auto& entry) {
        const std::string& name = entry.first;
        const bool goes = is_library_variable(name) ? !is_planned(name) : purify && !survives_pure(name);
        return goes && !(preserve && preserve->matches(name));
    });
}

void put(Environment& job, const wire::Variable& variable, const Manner& manner) {
    const auto found = job.find(variable.name);
    const bool is_path = variable.name == "PATH" && !variable.separator.empty();
    if (is_path && (manner.pure || found == job.end())) {
        const std::string rest = manner.pure ? manner.slurm_commands : default_path;
        job[variable.name] = rest.empty() ? variable.value : variable.value + variable.separator + rest;
    } else if (manner.pure || found == job.end() || variable.separator.empty()) {
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

std::string value_of(const Environment& environment, std::string_view name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
}

Result<Manner> Manner::make(bool pure, std::string slurm_commands, const std::string& preserve) {
    Manner manner{pure, std::move(slurm_commands), std::nullopt};
    if (!preserve.empty()) manner.preserve = SENV_TRY(Pattern::compile(preserve));
    return manner;
}

std::vector<Change> changes_to_enter(const wire::Plan& plan, const Environment& job, const Manner& manner) {
    const auto earlier = read_record(job);
    const bool is_again = earlier && earlier->profile == plan.profile && earlier->pure.has_value() == manner.pure;
    const auto is_settled = [&](const std::string& name) { return is_again && has_all(job, plan, name); };
    Environment entered = job;
    if (earlier) {
        for (const auto& old : earlier->entered) {
            if (!is_settled(old.name)) take_out(entered, old, earlier->profile);
        }
        if (earlier->pure && !is_again) leave_pure(entered, *earlier->pure);
    }
    remove_from(entered, manner.pure && !is_again, plan, manner.preserve);
    Record record{plan.profile, std::nullopt, {}};
    if (manner.pure) {
        record.pure = manner.slurm_commands;
        if (!entered.contains("PATH")) entered["PATH"] = manner.slurm_commands;
    }
    for (const auto& variable : plan.variables) {
        if (!is_settled(variable.name)) put(entered, variable, manner);
        const Entered now{variable.name, variable.separator};
        if (std::ranges::find(record.entered, now) == record.entered.end()) record.entered.push_back(now);
    }
    for (const char* name : {profile_variable, inside_variable}) {
        entered[name] = plan.profile;
        record.entered.push_back({name, ""});
    }
    entered[entered_variable] = write_record(record);
    return difference(job, entered);
}

std::vector<Change> changes_to_leave(const Environment& job) {
    Environment left = job;
    if (const auto earlier = read_record(job)) {
        for (const auto& old : earlier->entered) take_out(left, old, earlier->profile);
        if (earlier->pure) leave_pure(left, *earlier->pure);
    }
    left.erase(entered_variable);
    return difference(job, left);
}

}  // namespace senv
