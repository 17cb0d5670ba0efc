// checkups.h: carries what `senv verify` needs: from who asks to the verification, from there to the helpers and the
// fetches, and the result back.
#pragma once

#include <cstdint>
#include <vector>

#include "cache/daemon/evictions.h"

namespace senv {

class Checkups {
public:
    Checkups(EngineState& state, Evictions& evictions) : state_(state), evictions_(evictions) {}

    /// `roots`: all that these reach, or everything when there are none.
    void begin(std::uint64_t client, const std::vector<StorePath>& roots, bool repair);
    Result<void> checked(const Checked& message);
    /// Does what is to be done next; answers at the end.
    Result<void> go_on();

private:
    void condemn(const ItemRecord& record, const Error& why);

    EngineState& state_;
    Evictions& evictions_;
};

}  // namespace senv
