// engine_events.h: what the engine tells those who asked.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cache/base/fd.h"
#include "cache/daemon/board.h"
#include "cache/formats/store_path.h"
#include "cache/wire/messages.h"

namespace senv {

/// Called on the engine's thread; must not block.
struct EngineEvents {
    std::function<void(const StorePath&)> pending;                     // is not complete, is being fetched
    std::function<void(const StorePath&, Board::PlanFrame)> complete;  // a PLAN frame
    std::function<void(const StorePath&, const Error&)> failed;
    std::function<void(std::uint64_t client, std::string frame)> answer;  // to all the others
    // To a client that waits for an environment and was to get a lease; it is told either before anything else.
    std::function<void(std::uint64_t client, Fd lease)> lease;
    std::function<void(std::uint64_t client, const Error&)> refused;
    std::function<void(std::uint64_t client, const wire::Progress&)> progress;  // of verify(), at most one a second
};

}  // namespace senv
