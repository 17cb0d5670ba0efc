// answers.h: what senvd tells about itself: gathers what others know, changes nothing but the recorded uses.
//
// Errors   io and corrupt, of the catalog.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "cache/daemon/config.h"
#include "cache/daemon/fetches.h"
#include "cache/daemon/metrics.h"
#include "cache/daemon/now.h"
#include "cache/daemon/report.h"
#include "cache/daemon/room_keeper.h"
#include "cache/daemon/supply.h"

namespace senv {

/// How far a closure is.
wire::Progress progress_of(const Fetch& fetch, const Supply& supply, const RoomKeeper& room);

class Answers {
public:
    static constexpr std::size_t list_page =
        50;  // profiles: the engine does nothing else while it looks at their closures

    /// All must outlive this. `start`: of senvd.
    Answers(const ServerConfig& config, std::string version, Store& store, Board& board, const Fetches& fetches,
            const Supply& supply, const RoomKeeper& room, Deadline start)
        : config_(config),
          version_(std::move(version)),
          store_(store),
          board_(board),
          fetches_(fetches),
          supply_(supply),
          room_(room),
          start_(start) {}

    Result<Status> status(const Now& now) const;
    /// One page of profiles, from the first after `after`.
    Result<List> list(const std::optional<StorePath>& after, const Now& now) const;
    Result<StoreFigures> figures() const;

private:
    FetchStatus status_of(const Fetch& fetch, const Now& now) const;

    const ServerConfig& config_;
    const std::string version_;
    Store& store_;
    Board& board_;
    const Fetches& fetches_;
    const Supply& supply_;
    const RoomKeeper& room_;
    const Deadline start_;
};

}  // namespace senv
