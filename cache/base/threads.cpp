#include "cache/base/threads.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "cache/base/text.h"

namespace senv {

namespace {

/// A mask with room for all CPUs that Linux can have.
using Mask = std::array<cpu_set_t, (max_cpu + 1) / CPU_SETSIZE>;

std::optional<unsigned> cpu_of(std::string_view text) {
    const auto number = parse_decimal(text);
    if (!number || *number > max_cpu) return std::nullopt;
    return static_cast<unsigned>(*number);
}

}  // namespace

Result<std::vector<unsigned>> parse_cpus(std::string_view text) {
    std::set<unsigned> cpus;
    for (const auto part : split(text, ',')) {
        const auto ends = split(part, '-');
        const auto first = cpu_of(ends.front());
        const auto last = cpu_of(ends.back());
        if (ends.size() > 2 || !first || !last || *first > *last) {
            return Error(Kind::usage, "'" + printable(part) + "' is neither a CPU nor a range of CPUs (0 to " +
                                          std::to_string(max_cpu) + ")");
        }
        for (unsigned cpu = *first; cpu <= *last; ++cpu) cpus.insert(cpu);
    }
    return std::vector<unsigned>(cpus.begin(), cpus.end());
}

std::string text_of_cpus(const std::vector<unsigned>& cpus) {
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < cpus.size();) {
        std::size_t end = i + 1;
        while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
        parts.push_back(std::to_string(cpus[i]));
        if (end - i > 1) parts.back() += "-" + std::to_string(cpus[end - 1]);
        i = end;
    }
    return join(parts, ",");
}

Result<void> use_cpus(const std::vector<unsigned>& cpus) {
    Mask mask{};
    for (const unsigned cpu : cpus) CPU_SET_S(cpu, sizeof mask, mask.data());
    // The kernel leaves out what this process may not use.
    if (::sched_setaffinity(0, sizeof mask, mask.data()) == 0) return {};
    const int err = errno;
    const std::string doing = "cannot use the CPUs " + text_of_cpus(cpus);
    if (err != EINVAL) return Error::sys(err, doing);
    const auto usable = SENV_TRY(used_cpus());
    return Error(Kind::usage, doing + ": this process may use none of them, but " + text_of_cpus(usable));
}

Result<std::vector<unsigned>> used_cpus() {
    Mask mask{};
    if (::sched_getaffinity(0, sizeof mask, mask.data()) != 0) return Error::sys(errno, "cannot ask for usable CPUs");
    std::vector<unsigned> cpus;
    for (unsigned cpu = 0; cpu <= max_cpu; ++cpu) {
        if (CPU_ISSET_S(cpu, sizeof mask, mask.data())) cpus.push_back(cpu);
    }
    return cpus;
}

void become_nicer(unsigned levels) noexcept {
    const auto self = static_cast<id_t>(::gettid());
    const int wanted = ::getpriority(PRIO_PROCESS, self) + static_cast<int>(std::min(levels, max_nice));
    // More niceness is never refused by Linux; where a sandbox does, the work is done all the same.
    (void)::setpriority(PRIO_PROCESS, self, std::min(wanted, static_cast<int>(max_nice)));
}

void name_thread(const char* name) noexcept {
    (void)::prctl(PR_SET_NAME, name, 0, 0, 0);
}

}  // namespace senv
