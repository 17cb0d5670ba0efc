// evictions.h: takes what has to go out of the store and has it removed: for a closure, for the marks, for `senv gc`,
// and what is damaged and cannot be had.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cache/daemon/engine_state.h"

namespace senv {

class Evictions {
public:
    explicit Evictions(EngineState& state) : state_(state) {}

    /// Removes what was evicted, in the background; `then` follows on the engine's thread.
    void remove(Collector::Round round, const std::string& why, std::function<void()> then = nullptr);
    /// Removed: returns the profiles that waited for room.
    std::vector<StorePath> removed(const Removed& message);
    Result<void> keep_below_marks();
    void collect(std::uint64_t client, bool dry_run);
    /// What cannot be repaired goes, unless a job or an administrator needs it.
    Result<void> remove_damaged(const std::vector<Verified::Flaw>& flaws);

private:
    EngineState& state_;
};

}  // namespace senv
