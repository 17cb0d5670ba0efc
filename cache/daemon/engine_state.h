// engine_state.h: all that the engine's thread owns: modules that do not know each other, and the way to the outside.
// Those who carry outcomes from one module to another (evictions, closures, items, checkups) share it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "cache/daemon/board.h"
#include "cache/daemon/collector.h"
#include "cache/daemon/config.h"
#include "cache/daemon/durability.h"
#include "cache/daemon/engine_events.h"
#include "cache/daemon/fetches.h"
#include "cache/daemon/helpers.h"
#include "cache/daemon/lending.h"
#include "cache/daemon/metrics.h"
#include "cache/daemon/now.h"
#include "cache/daemon/room_keeper.h"
#include "cache/daemon/supply.h"
#include "cache/daemon/verification.h"
#include "cache/store/store.h"

namespace senv {

struct EngineState {
    EngineState(const ServerConfig& settings, Store opened, Board& shared, Metrics& figures, EngineEvents outside,
                Now start, std::function<double()> dice);
    EngineState(const EngineState&) = delete;
    EngineState& operator=(const EngineState&) = delete;

    /// What running fetches hold.
    Running running() const;
    /// To a client that asked for something other than an environment. An Error of `text` is logged, unless it says
    /// that something is not there.
    void answer(std::uint64_t client, std::string_view request, const Result<std::string>& text) const;

    const ServerConfig& config;
    Store store;
    Board& board;
    Metrics& metrics;
    EngineEvents events;
    Now now;  // when the message was taken that is being worked on
    const FindItem find = [this](const StorePath& path) { return store.catalog().find(path); };  // whole ones
    const FindItem row = [this](const StorePath& path) { return store.catalog().row(path); };    // damaged ones too

    Fetches fetches;
    Supply supply;
    Collector collector;
    RoomKeeper room_keeper;
    Lending lending;
    Verification verification;
    Durability durability;
    std::optional<Helpers> helpers;  // while the thread runs

private:
    Sizes sizes();
    bool is_open(const StorePath& profile) const;
    Result<std::uint64_t> size_of(const StorePath& profile) const;
};

}  // namespace senv
