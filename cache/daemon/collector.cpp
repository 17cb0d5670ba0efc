#include "cache/daemon/collector.h"

#include <algorithm>
#include <map>

namespace senv {

namespace {

using Hold = StoredProfile::Hold;

std::string since(std::int64_t seconds_ago) {
    return "used " + std::to_string(seconds_ago) + " s ago";
}

}  // namespace

Result<std::vector<StoredProfile>> Collector::profiles(const Running& running, std::int64_t now) {
    Catalog& catalog = store_.catalog();
    SENV_TRY(catalog.record_uses(board_.take_uses()));
    SENV_TRY(catalog.leave_the_future(now));
    std::map<StorePath, StoredProfile> known;
    for (auto& use : SENV_TRY(catalog.profiles())) {
        StoredProfile one{use.profile, use.last_use};
        if (use.last_use > now - grace_.count()) {
            one.hold = Hold::grace;
            one.why = since(now - use.last_use);
        }
        known.emplace(std::move(use.profile), std::move(one));
    }
    const auto hold = [&](const StorePath& profile, Hold kind, std::string why) {
        StoredProfile& one = known.try_emplace(profile, StoredProfile{profile}).first->second;
        if (one.hold >= kind) return;
        one.hold = kind;
        one.why = std::move(why);
    };
    for (const auto& profile : running.profiles) hold(profile, Hold::fetching, "being fetched");
    for (const auto& profile : store_.pins()) hold(profile, Hold::pinned, "pinned");
    for (const auto& lease : SENV_TRY(store_.leases().to_keep())) {
        hold(lease.profile, Hold::leased,
             "leased by job " + std::to_string(lease.job) + " step " + std::to_string(lease.step));
    }
    std::vector<StoredProfile> all;
    for (auto& [profile, one] : known) all.push_back(std::move(one));
    return all;
}

/// In two passes, so that no more than one record with its references' names is in memory at a time.
Result<Stock> Collector::stock() {
    Stock stock;
    SENV_TRY(store_.catalog().for_each([&](const ItemRecord& record) {
        stock.items.push_back({record.path, record.room, record.nar_size, record.added});
    }));
    std::size_t at = 0;
    SENV_TRY(store_.catalog().for_each([&](const ItemRecord& record) {
        for (const auto& reference : record.references) {
            if (const auto index = stock.find(reference)) stock.items[at].references.push_back(*index);
        }
        ++at;
    }));
    return stock;
}

Result<Collector::Round> Collector::collect(const Wish& wish, const Running& running, How how, std::int64_t now) {
    const auto moment = board_.moment();  // whoever uses a plan or takes a lease from here on is kept
    auto profiles = SENV_TRY(this->profiles(running, now));
    const Stock stock = SENV_TRY(this->stock());
    for (;;) {
        Round round{plan_eviction(stock, profiles, running.items, now - grace_.count(), wish)};
        Eviction& eviction = round.eviction;
        const bool enough = how != How::all_or_nothing || eviction.room.covers(wish.must);
        if (how == How::dry_run || !enough || (eviction.items.empty() && eviction.profiles.empty())) return round;
        const auto used = board_.retire(eviction.profiles, moment);
        if (used.empty()) {
            round.grave.emplace(SENV_TRY(store_.evict(eviction.items, eviction.profiles)));
            return round;
        }
        for (auto& one : profiles) {
            if (std::ranges::find(used, one.profile) == used.end()) continue;
            one.hold = Hold::leased;  // whoever just used it may have a lease that was not there before
            one.why = since(0);
        }
    }
}

}  // namespace senv
