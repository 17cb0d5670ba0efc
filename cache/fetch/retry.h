// retry.h: whether to ask a server again, and when. Pure: no clock, no socket, no random source of its own.
//
// Units    attempt counts from 1: the attempt that has just failed. `random` is in [0, 1).
// Shape    The delay doubles from `first` up to `most`; half of it is fixed and half random, so that the nodes of a job,
//          which fail together, do not come back together.
#pragma once

#include <chrono>
#include <optional>

namespace senv {

struct RetryRule {
    unsigned attempts;  // how often to try in all; 0: without end
    std::chrono::milliseconds first;
    std::chrono::milliseconds most;
};

/// For errors of the network and 5xx: about two seconds in all, so that a server that is down is known soon.
inline constexpr RetryRule transient_rule{4, std::chrono::milliseconds(200), std::chrono::milliseconds(2000)};
/// For "soon" (guix publish bakes the item): until the fetch limit.
inline constexpr RetryRule soon_rule{0, std::chrono::milliseconds(1000), std::chrono::milliseconds(30'000)};

/// How long to wait before attempt + 1; nullopt: give up.
std::optional<std::chrono::milliseconds> retry_delay(const RetryRule& rule, unsigned attempt, double random);

}  // namespace senv
