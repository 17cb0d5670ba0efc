// Any lines as a job's variables, its record of what entering changed among them. Whatever the record says, leaving is
// done at once, entering twice is as good as once, and then the job has what the plan says.
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

    const Environment left = carried_out(job, senv::changes_to_leave(job));
    REQUIRE(!left.contains(senv::entered_variable));
    REQUIRE(senv::changes_to_leave(left).empty());
    for (const auto& [name, value] : left) {
        const bool is_given_back = name == "PATH" && value == senv::default_path;  // after a pure environment
        REQUIRE(is_given_back || (job.contains(name) && value.size() <= job.find(name)->second.size()));
    }

    const std::string profile = "/gnu/store/88888888888888888888888888888888-profile";
    const senv::wire::Plan plan{
        profile, {{"PATH", profile + "/bin", ":"}, {"MANPATH", profile + "/man", ":"}, {"CERTS", profile + "/c", ""}}};
    for (const senv::Manner& manner : {senv::Manner{}, senv::Manner{true, "/commands", std::nullopt}}) {
        const Environment entered = carried_out(job, senv::changes_to_enter(plan, job, manner));
        REQUIRE(senv::changes_to_enter(plan, entered, manner).empty());
        REQUIRE(entered.at("CERTS") == plan.variables[2].value);
        for (const char* name : {"PATH", "MANPATH"}) {
            const auto parts = senv::split(entered.find(name)->second, ':');
            REQUIRE(std::ranges::any_of(parts, [&](std::string_view part) { return part.starts_with(profile); }));
        }
    }
    return 0;
}
