// board.h: what the thread of the clients reads without waiting for anybody: plans of complete closures, how far fetches
// are, who waits. Every lock here is held for a few map operations and never across a call of the system.
//
// Shape    A plan is kept as the whole PLAN frame. Plans are forgotten, least recently used first, above `plan_bytes`
//          together; they are made again from the store.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/formats/store_path.h"
#include "cache/store/catalog.h"
#include "cache/wire/messages.h"

namespace senv {

/// For logs and people.
struct Requester {
    std::uint32_t uid = 0;
    std::uint32_t job = 0;
    std::uint32_t step = 0;

    bool operator==(const Requester&) const = default;
};

/// The client that is to get a lease, if its user may hold that much.
struct LeaseFor {
    std::uint64_t client = 0;
    std::string details = {};  // as in Lease
};

class Board {
public:
    using PlanFrame = std::shared_ptr<const std::string>;
    static constexpr std::size_t plan_bytes = 16UL * 1024 * 1024;

    /// The plan of a complete closure, whose use is recorded with it; null when it is not known to be complete.
    PlanFrame use(const StorePath& profile, std::int64_t now);
    /// The closure is complete from now on.
    void offer(const StorePath& profile, PlanFrame plan, std::int64_t now);
    /// Uses since the last call.
    std::vector<ProfileUse> take_uses();

    /// A point in time for retire().
    std::uint64_t moment() const;
    /// Takes the plans of these profiles away, so that the next use has to ask; but not where one was used after `moment`.
    /// Returns those that stayed.
    std::vector<StorePath> retire(std::span<const StorePath> profiles, std::uint64_t moment);

    /// Takes all plans away, so that each next use has to ask. Returns the uses since take_uses().
    std::vector<ProfileUse> forget();

    void set_progress(const StorePath& profile, wire::Progress progress);
    void clear_progress(const StorePath& profile);
    std::optional<wire::Progress> progress(const StorePath& profile) const;

    /// `client`: any number of its own.
    void add_waiting(const StorePath& profile, std::uint64_t client, const Requester& who);
    void remove_waiting(const StorePath& profile, std::uint64_t client);
    std::vector<Requester> waiting(const StorePath& profile) const;

private:
    struct Known {
        PlanFrame plan;
        std::int64_t last_use = 0;
        std::uint64_t used_at = 0;  // in moments
        bool told = true;           // by take_uses()
    };

    std::vector<ProfileUse> uses_to_tell();

    mutable std::mutex mutex_;
    std::uint64_t moment_ = 0;
    std::size_t bytes_ = 0;
    std::map<StorePath, Known> known_;
    std::map<StorePath, wire::Progress> progress_;
    std::map<StorePath, std::map<std::uint64_t, Requester>> waiting_;
};

}  // namespace senv
