#include "cache/daemon/evictions.h"

#include "cache/daemon/log.h"
#include "cache/daemon/report.h"

namespace senv {

void Evictions::remove(Collector::Round round, const std::string& why, std::function<void()> then) {
    const Eviction& gone = round.eviction;
    log(Level::info, "evicted",
        {{"profiles", gone.profiles.size()},
         {"items", gone.items.size()},
         {"bytes", gone.nar_bytes},
         {"disk_bytes", gone.room.bytes},
         {"why", why}});
    state_.metrics.evicted(gone.items.size(), gone.nar_bytes);
    state_.room_keeper.removing(gone);
    for (const auto& path : gone.items) {
        state_.durability.evicted(path);
        state_.verification.evicted(path);
    }
    state_.helpers->remove(*std::move(round.grave), std::move(then));
}

std::vector<StorePath> Evictions::removed(const Removed& message) {
    auto waiting = state_.room_keeper.removed();
    state_.store.keep_reserve();
    if (message.then) message.then();
    return waiting;
}

Result<void> Evictions::keep_below_marks() {
    if (state_.now.steady >= state_.room_keeper.next_look()) {
        (void)state_.store.leases().live();  // files of an older senvd that nobody holds are not what fills the disk
        state_.store.keep_reserve();
    }
    auto round = SENV_TRY(state_.room_keeper.keep_below_marks(state_.now));
    if (round) remove(*std::move(round), "the disk is above its high water mark");
    return {};
}

void Evictions::collect(std::uint64_t client, bool dry_run) {
    auto round = contained([&] {
        return state_.collector.collect({Wish::everything, {}}, state_.running(),
                                        dry_run ? Collector::How::dry_run : Collector::How::as_far_as_possible,
                                        state_.now.unix_time);
    });
    if (!round) return state_.answer(client, "gc", round.error());
    if (!round->grave) return state_.answer(client, "gc", to_json(round->eviction, dry_run));
    remove(*std::move(round), "senv gc",
           [this, client, text = to_json(round->eviction, false)] { state_.answer(client, "gc", text); });
}

Result<void> Evictions::remove_damaged(const std::vector<Verified::Flaw>& flaws) {
    if (flaws.empty()) return {};
    std::vector<StorePath> roots(state_.store.pins().begin(), state_.store.pins().end());
    for (auto& lease : SENV_TRY(state_.store.leases().to_keep())) roots.push_back(std::move(lease.profile));
    const auto needed = SENV_TRY(closure_of(roots, state_.row)).valid;
    const auto fetching = state_.running().items;
    Collector::Round round;
    for (const auto& flaw : flaws) {
        if (needed.contains(flaw.item) || fetching.contains(flaw.item)) continue;
        const auto record = SENV_TRY(state_.row(flaw.item));
        if (!record || !record->damaged) continue;
        round.eviction.items.push_back(flaw.item);
        round.eviction.nar_bytes += record->nar_size;
        round.eviction.room += record->room;
    }
    if (round.eviction.items.empty()) return {};
    round.grave.emplace(SENV_TRY(state_.store.evict(round.eviction.items)));
    remove(std::move(round), "damaged, and no origin gives it");
    return {};
}

}  // namespace senv
