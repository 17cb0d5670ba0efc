// collector.h: makes room in the store: gathers what space.h decides about, and carries out what it decided.
//
// Threads  The engine's.
// Errors   io and corrupt, of the catalog and the folders. Nothing has gone then, or what has gone is not valid any more.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "cache/daemon/board.h"
#include "cache/daemon/space.h"
#include "cache/store/store.h"

namespace senv {

/// What running fetches hold.
struct Running {
    std::vector<StorePath> profiles;
    std::set<StorePath> items;  // all that they need, in the store or not
};

class Collector {
public:
    enum class How : unsigned char {
        dry_run,
        as_far_as_possible,
        all_or_nothing,  // nothing goes when `must` cannot be had
    };
    struct Round {
        Eviction eviction;
        std::optional<Staging> grave{};  // what went, to be removed; none when nothing was to go
    };

    /// All must outlive this.
    Collector(Store& store, Board& board, std::chrono::seconds grace) : store_(store), board_(board), grace_(grace) {}

    /// `now`: seconds since 1970.
    Result<Round> collect(const Wish& wish, const Running& running, How how, std::int64_t now);

private:
    Result<std::vector<StoredProfile>> profiles(const Running& running, std::int64_t now);
    Result<Stock> stock();

    Store& store_;
    Board& board_;
    std::chrono::seconds grace_;
};

}  // namespace senv
