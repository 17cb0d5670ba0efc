#include "provisioner/environment.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "cache/base/text.h"
#include "cache/formats/store_path.h"

namespace senv {

namespace {

// What has the profile for its value.
constexpr std::array<const char*, 2> naming_variables = {"GUIX_ENVIRONMENT", inside_variable};
constexpr std::size_t max_variables = 10000;  // of a job that enters or leaves

// %precious-variables of guix/profiles.scm.
constexpr std::array precious_variables = {
    "HOME",  "USER",        "LOGNAME",  "DISPLAY",      "XAUTHORITY", "TERM",     "TZ",
    "PAGER", "HISTCONTROL", "HISTFILE", "HISTFILESIZE", "HISTIGNORE", "HISTSIZE", "HISTTIMEFORMAT",
};
constexpr std::array device_variables = {
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES",   "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",   "ZE_AFFINITY_MASK",  "ZE_FLAT_DEVICE_HIERARCHY", "ONEAPI_DEVICE_SELECTOR",
};
// Where this job may write on this node, and with what it shows who it is: not software.
constexpr std::array job_variables = {
    "TMPDIR", "TMP", "TEMP", "TEMPDIR", "KRB5CCNAME", "X509_USER_PROXY", "BEARER_TOKEN_FILE", "SSH_AUTH_SOCK",
};
// Settings of Slurm, OpenMP, devices, MPI and what MPI talks through. What of these leads to other people's libraries is in
// foreign_variables.cpp.
constexpr std::array<std::string_view, 25> batch_prefixes = {
    "SLURM", "PMI",      "PRTE_MCA_", "OMPI_MCA_", "OMPI_COMM_", "MPICH_", "MPIR_CVAR_", "I_MPI_", "MV2_",
    "MVP_",  "UCX_",     "UCC_",      "FI_",       "PSM2_",      "PSM3_",  "HCOLL_",     "SHARP_", "NCCL_",
    "RCCL_", "NVSHMEM_", "CUDA_MPS_", "ROCR_",     "OMP_",       "GOMP_",  "KMP_",
};

// What a plan does to one variable, however often it has it.
struct Planned {
    std::string_view name;
    std::string front;           // the plan's values, the last of them first
    std::string rest_separator;  // between `front` and what the job has; empty: that is replaced
    std::string separators;      // all that the plan has for this variable, each once
};

// In the plan's order.
std::vector<Planned> by_variable(const wire::Plan& plan, bool pure) {
    std::map<std::string_view, std::vector<const wire::Variable*>> parts;
    std::vector<Planned> all;
    for (const auto& variable : plan.variables) {
        auto& of_name = parts[variable.name];
        if (of_name.empty()) all.push_back({variable.name, {}, {}, {}});
        of_name.push_back(&variable);
    }
    for (auto& planned : all) {
        const auto& of_name = parts[planned.name];
        for (const auto* part : of_name) {
            if (planned.separators.find(part->separator) == std::string::npos) planned.separators += part->separator;
        }
        for (auto part = of_name.rbegin(); part != of_name.rend(); ++part) {
            planned.front += planned.rest_separator + (*part)->value;
            planned.rest_separator = (*part)->separator;
            if (pure || planned.rest_separator.empty()) break;
        }
    }
    return all;
}

// Bytes that part a list.
class Separators {
public:
    explicit Separators(std::string_view bytes) {
        for (const char c : bytes) is_one_[static_cast<unsigned char>(c)] = true;
    }
    bool has(char c) const { return is_one_[static_cast<unsigned char>(c)]; }
    std::size_t find_in(std::string_view text, std::size_t from) const {
        while (from < text.size() && !has(text[from])) ++from;
        return from;
    }

private:
    std::array<bool, 256> is_one_ = {};
};

bool is_below(std::string_view path, std::string_view folder) {
    return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

// The list without the elements that `goes` says, each kept one with the separator that was in front of it; nullopt when
// nothing is left.
template <class Goes>
std::optional<std::string> without(std::string_view value, const Separators& separators, Goes goes) {
    std::optional<std::string> kept;
    for (std::size_t begin = 0;;) {
        const auto end = separators.find_in(value, begin);
        const auto element = value.substr(begin, end - begin);
        if (!goes(element)) {
            if (kept) *kept += value[begin - 1];
            if (!kept) kept.emplace();
            *kept += element;
        }
        if (end == value.size()) return kept;
        begin = end + 1;
    }
}

// What lies in the profile; the variable itself when entering had set all of it.
void take_out(Environment& job, const Record::Entered& entered, std::string_view profile) {
    const auto found = job.find(entered.name);
    if (found == job.end()) return;
    auto rest = without(found->second, Separators(entered.separators),
                        [&](std::string_view element) { return is_below(element, profile); });
    if (rest) {
        found->second = *std::move(rest);
    } else {
        job.erase(found);
    }
}

// Where in `value` the elements stand, side by side, that the plan puts there.
std::optional<std::size_t> position_in(const std::string& value, const Planned& planned) {
    if (planned.separators.empty()) return value == planned.front ? std::optional<std::size_t>(0) : std::nullopt;
    const Separators separators(planned.separators);
    // A NUL byte is in no variable.
    const auto in_nuls = [&](const std::string& list) {
        std::string text = '\0' + list + '\0';
        std::ranges::replace_if(
            text, [&](char c) { return separators.has(c); }, '\0');
        return text;
    };
    const std::string all = in_nuls(value);
    const std::string wanted = in_nuls(planned.front);
    // Linear, which std::string::find() is not.
    const void* found = ::memmem(all.data(), all.size(), wanted.data(), wanted.size());
    if (found == nullptr) return std::nullopt;
    return static_cast<const char*>(found) - all.data();
}

// Whether the element of a list is the user's own, or of no folder of this node.
bool is_own(std::string_view element, const Surroundings& around) {
    const auto folder = folder_of_element(element);
    if (!folder.starts_with('/') || folder.starts_with(store_prefix)) return true;
    const auto is_here = [&](const std::string& own) { return own.size() > 1 && is_below(folder, own); };
    if (folder.find("/..") == std::string_view::npos && std::ranges::any_of(around.own_folders, is_here)) return true;
    return around.is_users && around.is_users(std::string(folder));
}

// Whether programs are still looked for in the profile first, but for folders of the user.
bool is_in_front(const Environment& job, const std::vector<Planned>& plan, const Surroundings& around) {
    const auto planned = std::ranges::find(plan, std::string_view("PATH"), &Planned::name);
    if (planned == plan.end()) return true;
    const auto path = job.find("PATH");
    if (path == job.end()) return false;
    const auto position = position_in(path->second, *planned);
    if (!position) return false;
    if (*position == 0) return true;
    const auto before = split(std::string_view(path->second).substr(0, *position - 1), ':');
    return std::ranges::all_of(before, [&](std::string_view folder) { return is_own(folder, around); });
}

// Whether a job that is in the profile keeps the variable as it has it: all that the plan puts there, or what it has set in
// place of that.
bool is_settled(const Environment& job, const Planned& planned) {
    const auto found = job.find(planned.name);
    return found != job.end() && (planned.separators.empty() || position_in(found->second, planned));
}

// What entering a pure environment did beside the profile's own entries.
void leave_pure(Environment& job, const std::string& slurm_commands) {
    std::optional<std::string> kept;
    if (const auto path = job.find("PATH"); path != job.end()) {
        kept =
            without(path->second, Separators(":"), [&](std::string_view folder) { return folder == slurm_commands; });
    }
    job["PATH"] = kept.value_or(default_path);
}

bool survives_pure(std::string_view name) {
    const auto begins_name = [&](std::string_view prefix) { return name.starts_with(prefix); };
    return std::ranges::find(precious_variables, name) != precious_variables.end() ||
           std::ranges::find(device_variables, name) != device_variables.end() ||
           std::ranges::find(job_variables, name) != job_variables.end() ||
           std::ranges::any_of(batch_prefixes, begins_name);
}

void purify(Environment& job, const std::optional<Pattern>& preserve) {
    std::erase_if(job, [&](const auto& entry) {
        return !survives_pure(entry.first) && !(preserve && preserve->matches(entry.first));
    });
}

// What the row says of a value: what is left of it, and which parts of it lead where.
struct Judged {
    std::optional<std::string> rest;
    std::vector<std::string> foreign;
    std::vector<std::string> own;
};

Judged judge(const std::string& value, const ForeignVariables& row, const Surroundings& around) {
    if (row.how == Leads::list) {
        Judged judged;
        judged.rest = without(value, Separators(std::string_view(&row.separator, 1)), [&](std::string_view element) {
            const bool goes = !is_own(element, around);
            if (goes) judged.foreign.emplace_back(element);
            if (!goes && element.starts_with('/')) judged.own.emplace_back(element);
            return goes;
        });
        return judged;
    }
    if (row.how == Leads::location && !names_folder_outside_store(value)) return {value, {}, {}};
    return {std::nullopt, {value}, {}};
}

// Takes out what leads programs of the environment elsewhere, and says so in `entering`.
void drop_foreign(Environment& job, const std::vector<Planned>& plan, const Manner& manner, const Surroundings& around,
                  Entering& entering) {
    const auto is_replaced = [&](std::string_view name) {
        const auto planned = std::ranges::find(plan, name, &Planned::name);
        return planned != plan.end() && (manner.pure || planned->rest_separator.empty());
    };
    for (auto at = job.begin(); at != job.end();) {
        const auto one = at++;
        const auto& [name, value] = *one;
        const ForeignVariables* row = foreign_variable(name);
        if (row == nullptr || is_replaced(name) || (manner.preserve && manner.preserve->matches(name))) continue;
        if (around.submitted) {
            const auto was = around.submitted->find(name);
            if (was == around.submitted->end() || was->second != value) continue;
        }
        Judged judged = judge(value, *row, around);
        if (!judged.own.empty()) entering.staying.push_back({name, std::move(judged.own), row->separator});
        if (judged.foreign.empty()) continue;
        entering.dropped.push_back({name, std::move(judged.foreign), row->separator});
        if (judged.rest) {
            one->second = *std::move(judged.rest);
        } else {
            job.erase(one);
        }
    }
}

void put(Environment& job, const Planned& planned, const Manner& manner) {
    const std::string name(planned.name);
    const auto found = job.find(name);
    const bool is_path = name == "PATH" && !planned.rest_separator.empty();
    std::string rest;
    bool has_rest = false;
    if (is_path && (manner.pure || found == job.end())) {
        rest = manner.pure ? manner.slurm_commands : default_path;
        has_rest = !rest.empty();
    } else if (!manner.pure && found != job.end() && !planned.rest_separator.empty()) {
        rest = std::move(found->second);
        has_rest = true;
    }
    job[name] = has_rest ? planned.front + planned.rest_separator + rest : planned.front;
}

Record record_of(const std::string& profile, const std::vector<Planned>& plan, const Manner& manner) {
    Record record{profile, std::nullopt, {}};
    if (manner.pure) record.pure = manner.slurm_commands;
    for (const auto& planned : plan) {
        if (std::ranges::find(naming_variables, planned.name) != naming_variables.end()) continue;
        record.entered.push_back({std::string(planned.name), planned.separators});
    }
    for (const auto name : naming_variables) record.entered.push_back({std::string(name), ""});
    return record;
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

Result<std::optional<Record>> record_in(const Environment& job) {
    const auto found = job.find(entered_variable);
    if (found == job.end()) return std::optional<Record>();
    return std::optional(SENV_TRY(Record::parse(found->second)));
}

// Slurm goes through all variables for each that is changed, and clears 256 KiB for each that is set.
Result<void> check_size(const Environment& job) {
    if (job.size() <= max_variables) return {};
    return Error(Kind::usage, "the job has " + std::to_string(job.size()) + " variables, the limit is " +
                                  std::to_string(max_variables))
        .hint("submit the job with fewer variables, with --export for instance");
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

void Surroundings::add_own(std::string folder) {
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    if (folder.starts_with('/')) own_folders.push_back(std::move(folder));
}

Result<Manner> Manner::make(bool pure, std::string slurm_commands, const std::string& preserve) {
    Manner manner{pure, std::move(slurm_commands), std::nullopt};
    if (!preserve.empty()) manner.preserve = SENV_TRY(Pattern::compile(preserve));
    return manner;
}

Result<void> check_record_of(const wire::Plan& plan) {
    const Manner pure{true, default_slurm_commands, std::nullopt};
    SENV_TRY(record_of(plan.profile, by_variable(plan, true), pure).encode());
    return {};
}

Result<Entering> changes_to_enter(const wire::Plan& plan, const Environment& job, const Manner& manner,
                                  const Surroundings& around) {
    SENV_TRY(check_size(job).in("cannot enter the environment"));
    const auto earlier = SENV_TRY(record_in(job));
    const auto planned = by_variable(plan, manner.pure);
    const bool is_inside = earlier && earlier->profile == plan.profile && earlier->pure.has_value() == manner.pure &&
                           is_in_front(job, planned, around);
    std::set<std::string_view> settled;
    for (const auto& one : planned) {
        if (is_inside && is_settled(job, one)) settled.insert(one.name);
    }
    Entering entering;
    Environment entered = job;
    if (earlier) {
        for (const auto& old : earlier->entered) {
            if (!settled.contains(old.name)) take_out(entered, old, earlier->profile);
        }
        if (earlier->pure && !is_inside) leave_pure(entered, *earlier->pure);
    }
    if (!is_inside) {
        if (manner.pure) purify(entered, manner.preserve);
        drop_foreign(entered, planned, manner, around, entering);
    }
    if (manner.pure && !entered.contains("PATH")) entered["PATH"] = manner.slurm_commands;
    for (const auto& one : planned) {
        if (!settled.contains(one.name)) put(entered, one, manner);
    }
    for (const char* name : naming_variables) entered[name] = plan.profile;
    entered[entered_variable] = SENV_TRY(record_of(plan.profile, planned, manner).encode());
    entering.changes = difference(job, entered);
    return entering;
}

std::optional<std::string> profile_inside(const Environment& job) {
    const auto record = record_in(job);
    if (!record) return "";
    if (*record) return (*record)->profile;
    const std::string named = value_of(job, inside_variable);
    if (!StorePath::parse_absolute(named)) return std::nullopt;
    const std::string path = value_of(job, "PATH");
    for (const auto folder : split(path, ':')) {
        if (is_below(folder, named)) return named;
    }
    return std::nullopt;
}

Result<std::vector<Change>> changes_to_leave(const Environment& job, std::string_view slurm_commands) {
    const auto earlier = SENV_TRY(record_in(job));
    const std::string named = value_of(job, inside_variable);
    if (!earlier && named.empty()) return std::vector<Change>();
    SENV_TRY(check_size(job).in("cannot leave the environment"));
    Environment left = job;
    if (earlier) {
        for (const auto& old : earlier->entered) take_out(left, old, earlier->profile);
        if (earlier->pure) leave_pure(left, *earlier->pure);
    } else if (StorePath::parse_absolute(named)) {
        for (const auto& entry : job) take_out(left, {entry.first, ":"}, named);
        const std::string path = value_of(left, "PATH");
        if (path.empty() || path == slurm_commands) left["PATH"] = default_path;
    }
    left.erase(entered_variable);
    left.erase(inside_variable);
    return difference(job, left);
}

}  // namespace senv
