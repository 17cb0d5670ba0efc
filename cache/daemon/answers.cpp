#include "cache/daemon/answers.h"

#include <algorithm>
#include <map>

namespace senv {

namespace {

std::uint64_t seconds_between(Deadline begin, Deadline end) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(end - begin).count());
}

/// The item that is shown: the largest of those that move, else any.
std::uint64_t weight(const Supply::Sight& sight) {
    return 1 + (sight.transfer != nullptr ? sight.nar_size : 0);
}

}  // namespace

wire::Progress progress_of(const Fetch& fetch, const Supply& supply, const RoomKeeper& room) {
    wire::Progress progress;
    progress.items_done = fetch.items_done;
    progress.items_total = static_cast<std::uint32_t>(fetch.seen.size());
    progress.bytes_done = fetch.bytes_done;
    progress.bytes_total = fetch.bytes_total;
    const StorePath* shown = nullptr;
    std::optional<Supply::Sight> shown_sight;
    for (const auto& path : fetch.open) {
        const auto sight = supply.look(path);
        if (!sight) continue;
        if (sight->transfer != nullptr) {
            progress.bytes_done += sight->transfer->bytes.load(std::memory_order_relaxed);
        }
        if (shown != nullptr && weight(*sight) <= weight(*shown_sight)) continue;
        shown = &path;
        shown_sight = sight;
    }
    if (room.waits(fetch.profile)) {
        progress.what = "room on the disk, which evicting makes";
    } else if (shown != nullptr) {
        progress.what = shown->base() + " from " + supply.origins().at(shown_sight->origin).shown;
        if (shown_sight->why != nullptr) progress.what += " (" + *shown_sight->why + ")";
    }
    return progress;
}

Result<Status> Answers::status(const Now& now) const {
    Status status;
    status.version = version_;
    status.uptime_s = seconds_between(start_, now.steady);
    status.store = store_.state().store_path();
    status.items = room_.totals().items;
    status.bytes = room_.totals().bytes;
    status.profiles = SENV_TRY(store_.catalog().profiles()).size();
    status.leases = store_.leases().live();
    for (const auto& [profile, fetch] : fetches_.all()) status.fetches.push_back(status_of(fetch, now));
    const auto disk = SENV_TRY(store_.disk());
    status.space = {{disk.free, disk.all, room_.room()},
                    config_.high_water.text(),
                    config_.low_water.text(),
                    room_.is_removing(),
                    store_.pins().size()};
    for (const auto id : supply_.origins().order()) {
        const Origin& origin = supply_.origins().at(id);
        status.origins.push_back(origin.shown);
        if (!origin.trouble.empty()) status.troubles.push_back({origin.shown, origin.trouble});
    }
    return status;
}

FetchStatus Answers::status_of(const Fetch& fetch, const Now& now) const {
    FetchStatus status{fetch.profile, progress_of(fetch, supply_, room_)};
    status.seconds = seconds_between(fetch.begun, now.steady);
    status.waiting = board_.waiting(fetch.profile);
    for (const auto& path : fetch.open) {
        const auto sight = supply_.look(path);
        if (!sight || sight->transfer == nullptr || !sight->transfer->begun) continue;
        status.transfers.push_back({path, supply_.origins().at(sight->origin).shown,
                                    sight->transfer->bytes.load(std::memory_order_relaxed), sight->nar_size});
    }
    return status;
}

Result<List> Answers::list(const std::optional<StorePath>& after, const Now& now) const {
    SENV_TRY(store_.catalog().record_uses(board_.take_uses()));
    std::map<StorePath, Listed> all;
    const auto add = [&](const StorePath& profile) -> Listed& {
        return all.try_emplace(profile, Listed{profile}).first->second;
    };
    for (const auto& use : SENV_TRY(store_.catalog().profiles())) {
        add(use.profile).last_use = std::min(use.last_use, now.unix_time);
    }
    for (const auto& profile : store_.pins()) add(profile).pinned = true;
    for (const auto& lease : store_.leases().live()) ++add(lease.profile).leases;

    List list;
    for (auto one = after ? all.upper_bound(*after) : all.begin(); one != all.end(); ++one) {
        if (list.profiles.size() == list_page) {
            list.next = list.profiles.back().profile;
            break;
        }
        const auto closure =
            SENV_TRY(closure_of({{one->first}}, [&](const StorePath& path) { return store_.catalog().find(path); }));
        one->second.items = closure.valid.size();
        one->second.bytes = closure.bytes;
        one->second.disk_bytes = closure.room.bytes;
        one->second.complete = closure.missing.empty();
        list.profiles.push_back(one->second);
    }
    return list;
}

Result<StoreFigures> Answers::figures() const {
    const auto disk = SENV_TRY(store_.disk());
    return StoreFigures{room_.totals().items,
                        room_.totals().bytes,
                        room_.room(),
                        SENV_TRY(store_.catalog().profiles()).size(),
                        store_.leases().live().size(),
                        disk.all,
                        disk.free};
}

}  // namespace senv
