// Any lines as a job's variables, its record of what entering changed among them. Whatever the record says, leaving is
// done at once, entering twice is as good as once, and then the job has what the plan says. What cannot be read is an error
// both of entering and of leaving.
//
// Clock    Each variable that entering reads is then blown up to 128 KiB, Slurm's limit, by repeating what the input has.
//          Leaving and entering have 50 ms each as they are compiled for nodes (environment_test.cpp measures that). Here
//          they are compiled with -O1, libFuzzer's counters, ASan and UBSan, and have 600 ms of this thread's CPU time.
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "cache/base/text.h"
#include "provisioner/environment.h"
#include "tests/fuzz/require.h"

namespace {

using senv::Change;
using senv::Environment;

constexpr std::size_t max_variable_bytes = 128 * 1024 - 64;
constexpr double most_seconds = 0.6;

double cpu_seconds() {
    struct timespec now = {};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

template <class Act>
void in_time(Act act) {
    const double begin = cpu_seconds();
    static_cast<void>(act());
    const double took = cpu_seconds() - begin;
    if (took > most_seconds) std::fprintf(stderr, "took %.3f s\n", took);
    REQUIRE(took <= most_seconds);
}

Environment carried_out(Environment job, const std::vector<Change>& changes) {
    for (const Change& change : changes) {
        // What Slurm refuses, and what getenv(3) would take for another name.
        REQUIRE(!change.name.empty() && change.name.find('=') == std::string::npos);
        if (change.value) {
            job[change.name] = *change.value;
        } else {
            job.erase(change.name);
        }
    }
    return job;
}

const std::string profile = "/gnu/store/88888888888888888888888888888888-profile";
const std::array<senv::Manner, 2> manners = {senv::Manner{}, senv::Manner{true, "/commands", std::nullopt}};

void leave_and_enter(const Environment& job) {
    const auto leaving = senv::changes_to_leave(job);
    const senv::wire::Plan plan{
        profile, {{"PATH", profile + "/bin", ":"}, {"MANPATH", profile + "/man", ":"}, {"CERTS", profile + "/c", ""}}};
    for (const senv::Manner& manner : manners) {
        const auto entering = senv::changes_to_enter(plan, job, manner);
        REQUIRE(static_cast<bool>(leaving) == static_cast<bool>(entering));
        if (!entering) continue;
        const Environment entered = carried_out(job, entering->changes);
        const auto again = senv::changes_to_enter(plan, entered, manner);
        REQUIRE(again && again->changes.empty());
        const std::string& certs = entered.find("CERTS")->second;
        REQUIRE(certs == plan.variables[2].value || job.contains(senv::entered_variable));  // or set since
        for (const char* name : {"PATH", "MANPATH"}) {
            const auto parts = senv::split(entered.find(name)->second, ':');
            REQUIRE(std::ranges::any_of(parts, [&](std::string_view part) { return part.starts_with(profile); }));
        }
    }
    if (!leaving) return;
    const Environment left = carried_out(job, *leaving);
    REQUIRE(!left.contains(senv::entered_variable));
    REQUIRE(senv::changes_to_leave(left).value().empty());
    for (const auto& [name, value] : left) {
        const bool is_given_back = name == "PATH" && value == senv::default_path;  // after a pure environment
        REQUIRE(is_given_back || (job.contains(name) && value.size() <= job.find(name)->second.size()));
    }
}

std::string blown_up(const std::string& text) {
    std::string all;
    while (!text.empty() && all.size() + text.size() <= max_variable_bytes) all += text;
    return all;
}

// A plan of as many bytes as there may be, made of what the job has, and a job of as large variables.
void leave_and_enter_much(const Environment& job) {
    senv::wire::Plan plan{profile, {}};
    Environment large = job;
    std::size_t left = senv::wire::max_plan_bytes;
    for (const auto& [name, value] : job) {
        if (name == senv::entered_variable || plan.variables.size() == 16) continue;
        large[name] = blown_up(value);
        std::string planned = large[name].substr(0, std::min(senv::wire::max_value_bytes, left));
        left -= planned.size();
        plan.variables.push_back({name, std::move(planned), ":"});
    }
    for (std::size_t i = plan.variables.size(); i > 0 && i < senv::wire::max_list && left > 4; ++i, left -= 4) {
        plan.variables.push_back({plan.variables[0].name, "/a:b", ":"});
    }
    in_time([&] { return senv::changes_to_leave(large); });
    for (const senv::Manner& manner : manners) {
        in_time([&] { return senv::changes_to_enter(plan, large, manner); });
    }
    large[senv::entered_variable] = blown_up(large[senv::entered_variable]);
    in_time([&] { return senv::changes_to_leave(large); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string text(reinterpret_cast<const char*>(data), size);
    std::ranges::replace(text, '\0', '?');  // no variable holds one
    std::vector<std::string> lines;
    for (const auto line : senv::split(text, '\n')) lines.emplace_back(line);
    std::vector<const char*> strings;
    for (const std::string& line : lines) strings.push_back(line.c_str());
    strings.push_back(nullptr);
    const Environment job = senv::environment_from(strings.data());

    leave_and_enter(job);
    leave_and_enter_much(job);
    return 0;
}
