// room_keeper.h: who may fetch how much: keeps what is promised apart from what is free, makes room where a closure
// needs it, and keeps the disk below the marks.
//
// Shape    A closure demands room for all that it is going to fetch, at once; it gets it, waits for what is being
//          removed, or is refused. What it got stays promised, item by item, until ended(). A Round that is returned
//          has left the store already; its files are to be removed, then removed().
// Errors   io and corrupt, of the catalog and the folders; busy, of a demand that cannot be met.
// Threads  One.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "cache/base/fd.h"
#include "cache/daemon/collector.h"
#include "cache/daemon/now.h"
#include "cache/daemon/space.h"
#include "cache/store/store.h"

namespace senv {

class RoomKeeper {
public:
    static constexpr std::chrono::seconds vain_period{5};  // between two tries to make room, when all is held

    struct Marks {
        Mark high;  // above it, closures are evicted
        Mark low;   // down to here
    };
    /// What others know.
    struct Facts {
        std::function<Result<Store::Disk>()> disk;
        std::function<Running()> running;
        /// What an item that room is promised for will still take; nullopt: not known yet.
        std::function<std::optional<Room>(const StorePath& item)> to_come;
    };
    struct Granted {};
    /// Until released() gives the profile. `round`: what was evicted for it.
    struct Wait {
        std::optional<Collector::Round> round{};
    };
    struct Refused {
        Error why;
    };
    using Admission = std::variant<Granted, Wait, Refused>;

    /// `collector` must outlive this.
    RoomKeeper(Collector& collector, Marks marks, Facts facts)
        : collector_(collector), marks_(marks), facts_(std::move(facts)) {}

    /// At the start, and from then on for each item that comes.
    void stored(std::uint64_t nar_size, const Room& room);
    /// What `before` says is not there any more: another tree has taken its place.
    void replaced(const ItemRecord& before);
    /// There is nothing more to come of the item, whether it is in the store or not.
    void ended(const StorePath& item) { promised_.erase(item); }

    /// May the profile's items be fetched, which take so much?
    Result<Admission> admit(const StorePath& profile, const std::map<StorePath, Room>& items, const Now& now);
    bool waits(const StorePath& profile) const { return waiting_.contains(profile); }
    void forget(const StorePath& profile) { waiting_.erase(profile); }

    /// Counts what goes. For each Round, wherever it comes from.
    void removing(const Eviction& gone);
    /// Its files have gone. Returns the profiles that waited for that.
    std::vector<StorePath> removed();
    bool is_removing() const noexcept { return removals_ > 0; }

    /// Look at the marks soon: something has changed.
    void look() noexcept { look_at_marks_ = true; }
    /// Evicts down to the low mark when the disk is fuller than the high mark. What was used lately goes only as far
    /// as needed to be below the high mark. When evicting fails, that is logged and tried again after vain_period.
    Result<std::optional<Collector::Round>> keep_below_marks(const Now& now);
    /// When keep_below_marks() has something to do.
    Deadline next_look() const noexcept;

    /// The disk was full before what had been promised was there: others use it too, or a guess was too low.
    /// `need`: what the profile still needs.
    Error ran_full(const StorePath& profile, const Error& cause, const Room& need, const Now& now);

    const Totals& totals() const noexcept { return totals_; }
    const Room& room() const noexcept { return stored_; }

private:
    Collector& collector_;
    Marks marks_;
    Facts facts_;
    Totals totals_;
    Room stored_;                   // what the items take
    std::set<StorePath> promised_;  // items
    std::set<StorePath> waiting_;   // profiles
    unsigned removals_ = 0;         // under way
    bool look_at_marks_ = true;
    bool ran_full_ = false;  // room has to be made, whatever the marks say
    Deadline next_marks_{};  // not before that: it was in vain
};

}  // namespace senv
