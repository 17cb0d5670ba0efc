// closures.h: carries what becomes of closures: from who asks to the fetches, from there to supply, room and plans,
// and from their end to who waits.
#pragma once

#include <optional>

#include "cache/daemon/evictions.h"

namespace senv {

class Closures {
public:
    Closures(EngineState& state, Evictions& evictions) : state_(state), evictions_(evictions) {}

    void provision(const StorePath& profile, const Requester& requester, const std::optional<LeaseFor>& lease_for);
    Result<void> planned(Planned& message);
    /// Ends the closure, if there is one, and tells who waits.
    void fail(const StorePath& profile, const Error& error);
    /// Ends those that took too long, and those that nobody has waited for for a while.
    void end_late();
    void tell_progress();

    Result<void> carry_out(const Fetches::Wanted& event);
    Result<void> carry_out(const Fetches::Unwanted& event);
    Result<void> carry_out(const Fetches::Closed& event);
    Result<void> carry_out(const Fetches::Complete& event);
    Result<void> carry_out(const Fetches::Repaired& event);
    Result<void> carry_out(const Fetches::Failed& event);

private:
    Result<bool> weigh(const StorePath& profile);
    Result<void> admit(const StorePath& profile);
    std::optional<Fetch> give_up(const StorePath& profile);

    EngineState& state_;
    Evictions& evictions_;
};

}  // namespace senv
