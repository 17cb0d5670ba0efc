// durability.h: which items the disk surely has, and when to wait for it. Pure: the time is given.
//
// Shape    Whoever waits for the disk (syncfs) waits for all that was placed before, in a thread of its own, at most
//          every sync_period. What is placed while it waits may not be among it: the next wait is for that. Without
//          anything new, the wait comes every checkpoint_period, for what the catalog did meanwhile.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <vector>

#include "cache/base/fd.h"
#include "cache/formats/store_path.h"

namespace senv {

class Durability {
public:
    static constexpr std::chrono::seconds sync_period{5};
    static constexpr std::chrono::seconds checkpoint_period{600};

    explicit Durability(Deadline start) : last_sync_(start) {}

    /// The item is in the store, perhaps in place of an earlier one.
    void placed(const StorePath& item) { waiting_.insert(item); }
    void evicted(const StorePath& item) { waiting_.erase(item); }

    /// These items are to be waited for now; synced() or not_synced() follows. nullopt: nothing is to be done yet.
    std::optional<std::vector<StorePath>> begin_sync(Deadline now);
    /// When begin_sync() has something to do, should it be there; Deadline::max() when that is not known.
    Deadline next_sync() const noexcept;

    /// The disk has `items`. Returns those of which it has the tree that is in the store now.
    std::vector<StorePath> synced(std::vector<StorePath> items, Deadline now);
    /// It is not known whether the disk has them.
    void not_synced(const std::vector<StorePath>& items, Deadline now);
    /// They could not be marked as durable.
    void not_marked(const std::vector<StorePath>& items) { waiting_.insert(items.begin(), items.end()); }

private:
    std::set<StorePath> waiting_;  // not known to be on the disk, and not being waited for
    bool syncing_ = false;
    Deadline last_sync_;
};

}  // namespace senv
