// items.h: carries what becomes of items: from the helpers to their supply, from there to the helpers, the store and
// the closures that want them.
#pragma once

#include <string>

#include "cache/daemon/closures.h"

namespace senv {

class Items {
public:
    Items(EngineState& state, Closures& closures) : state_(state), closures_(closures) {}

    Result<void> narinfo(NarinfoVetted& message);
    Result<void> nar(NarFetched& message);
    Result<void> synced(Synced& message);

    Result<void> carry_out(const Supply::AskNarinfo& event);
    Result<void> carry_out(Supply::FetchNar& event);
    Result<void> carry_out(const Supply::Withdraw& event);
    Result<void> carry_out(const Supply::TakeBack& event);
    Result<void> carry_out(const Supply::Known& event);
    Result<void> carry_out(const Supply::Soon& event);
    Result<void> carry_out(const Supply::Idle& event);
    Result<void> carry_out(const Supply::Placed& event);
    Result<void> carry_out(const Supply::NobodyHasIt& event);
    Result<void> carry_out(const Supply::NodeFailed& event);
    Result<void> carry_out(const Supply::Gone& event);
    Result<void> carry_out(const Supply::Unreachable& event);
    Result<void> carry_out(const Supply::Reachable& event);

private:
    void count(const NarinfoVetted& message);
    const std::string& shown(OriginId origin) const { return state_.supply.origins().at(origin).shown; }
    void repaired(const ItemRecord& before);
    void lost(const StorePath& item, const Error& why);
    Error ran_full(const StorePath& profile, const Error& why);

    EngineState& state_;
    Closures& closures_;
};

}  // namespace senv
