#include "cache/daemon/durability.h"

#include <utility>

namespace senv {

std::optional<std::vector<StorePath>> Durability::begin_sync(Deadline now) {
    if (syncing_ || now < last_sync_ + (waiting_.empty() ? checkpoint_period : sync_period)) return std::nullopt;
    syncing_ = true;
    const auto waiting = std::exchange(waiting_, {});
    return std::vector<StorePath>(waiting.begin(), waiting.end());
}

Deadline Durability::next_sync() const noexcept {
    return waiting_.empty() || syncing_ ? Deadline::max() : last_sync_ + sync_period;
}

std::vector<StorePath> Durability::synced(std::vector<StorePath> items, Deadline now) {
    syncing_ = false;
    last_sync_ = now;
    // What was evicted and has come again since the disk was asked is another tree.
    std::erase_if(items, [&](const StorePath& item) { return waiting_.contains(item); });
    return items;
}

void Durability::not_synced(const std::vector<StorePath>& items, Deadline now) {
    syncing_ = false;
    last_sync_ = now;
    waiting_.insert(items.begin(), items.end());
}

}  // namespace senv
