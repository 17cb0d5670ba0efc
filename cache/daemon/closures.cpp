#include "cache/daemon/closures.h"

#include <map>

#include "cache/daemon/answers.h"
#include "cache/daemon/failures.h"
#include "cache/daemon/log.h"

namespace senv {

void Closures::provision(const StorePath& profile, const Requester& requester,
                         const std::optional<LeaseFor>& lease_for) {
    bool is_sure = true;
    if (lease_for) {
        auto lent = contained([&] { return state_.lending.lend(profile, requester, *lease_for); });
        if (!lent) return state_.events.refused(lease_for->client, lent.error());
        is_sure = lent->is_weighed;
        state_.events.lease(lease_for->client, std::move(lent->lease));
    }
    // Meanwhile somebody else's request may have completed it.
    if (auto plan = state_.board.use(profile, state_.now.unix_time)) {
        return state_.events.complete(profile, std::move(plan));
    }
    state_.fetches.want(profile, requester, is_sure, state_.now.steady);
    const Fetch* fetch = state_.fetches.find(profile);
    if (fetch != nullptr && !fetch->open.empty()) state_.events.pending(profile);
}

Result<void> Closures::carry_out(const Fetches::Wanted& event) {
    state_.supply.start(event.item, state_.now.steady);
    return {};
}

Result<void> Closures::carry_out(const Fetches::Unwanted& event) {
    state_.supply.withdraw(event.item);
    return {};
}

Result<void> Closures::carry_out(const Fetches::Complete& event) {
    const Fetch* fetch = state_.fetches.find(event.profile);
    if (fetch != nullptr) state_.helpers->plan(event.profile, fetch->requester.uid);
    return {};
}

Result<void> Closures::carry_out(const Fetches::Repaired& event) {
    state_.board.clear_progress(event.profile);
    return {};
}

Result<void> Closures::carry_out(const Fetches::Failed& event) {
    fail(event.profile, event.why);
    return {};
}

Result<void> Closures::carry_out(const Fetches::Closed& event) {
    const Fetch* fetch = state_.fetches.find(event.profile);
    if (fetch == nullptr || fetch->unsettled > 0 || state_.room_keeper.waits(event.profile)) return {};
    auto admitted = contained([&]() -> Result<void> {
        if (SENV_TRY(weigh(event.profile))) return admit(event.profile);
        (void)give_up(event.profile);
        return {};
    });
    if (!admitted) fail(event.profile, not_admitted(event.profile, std::move(admitted).error()));
    return {};
}

/// False: nobody is left who may hold it.
Result<bool> Closures::weigh(const StorePath& profile) {
    const auto weighed = SENV_TRY(state_.lending.weigh(profile));
    if (weighed.is_wanted) state_.fetches.make_sure(profile);
    for (const auto& [client, error] : weighed.refused) state_.events.refused(client, error);
    return state_.fetches.find(profile)->is_sure;
}

/// Lets the closure fetch what it needs, as far as there is room for it.
Result<void> Closures::admit(const StorePath& profile) {
    std::map<StorePath, Room> items;
    for (const auto& path : state_.fetches.find(profile)->open) {
        if (state_.supply.is_idle(path)) items.emplace(path, state_.supply.room_to_come(path).value_or(Room{}));
    }
    auto admission = SENV_TRY(state_.room_keeper.admit(profile, items, state_.now));
    if (const auto* refused = std::get_if<RoomKeeper::Refused>(&admission)) {
        fail(profile, refused->why);
    } else if (auto* wait = std::get_if<RoomKeeper::Wait>(&admission)) {
        if (wait->round) evictions_.remove(*std::move(wait->round), "for '" + profile.absolute() + "'");
    } else {
        for (const auto& [path, room] : items) state_.supply.fetch(path, state_.now.steady);
    }
    return {};
}

Result<void> Closures::planned(Planned& message) {
    if (!state_.fetches.planned(message.profile)) return {};
    if (!message.frame) {
        fail(message.profile, no_plan(message.profile, std::move(message.frame).error()));
        return {};
    }
    const Fetch fetch = *state_.fetches.give_up(message.profile);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(state_.now.steady - fetch.begun);
    log(Level::info, "complete",
        {{"profile", fetch.profile.absolute()},
         {"job", fetch.requester.job},
         {"step", fetch.requester.step},
         {"items", fetch.items_done},
         {"bytes", fetch.bytes_done},
         {"fetched_items", fetch.fetched},
         {"fetched_bytes", fetch.fetched_bytes},
         {"ms", static_cast<std::uint64_t>(took.count())}});
    if (fetch.fetched > 0) state_.metrics.fetch_complete(took);
    state_.board.offer(fetch.profile, *message.frame, state_.now.unix_time);
    state_.board.clear_progress(fetch.profile);
    state_.events.complete(fetch.profile, *message.frame);
    state_.room_keeper.look();
    const ProfileUse use{fetch.profile, state_.now.unix_time};
    return state_.store.catalog().record_uses({&use, 1});
}

/// Nobody is told.
std::optional<Fetch> Closures::give_up(const StorePath& profile) {
    auto fetch = state_.fetches.give_up(profile);
    if (!fetch) return fetch;
    state_.lending.withdraw(fetch->profile);
    state_.room_keeper.forget(fetch->profile);
    state_.room_keeper.look();
    state_.board.clear_progress(fetch->profile);
    return fetch;
}

void Closures::fail(const StorePath& profile, const Error& error) {
    const auto fetch = give_up(profile);
    if (!fetch) return;
    if (state_.verification.not_repaired(fetch->profile, error)) {
        log_error(Level::warning, "not-repaired", error, {{"item", fetch->profile.absolute()}});
    }
    if (fetch->is_repair) return;
    log_error(Level::error, "failed", error,
              {{"profile", fetch->profile.absolute()}, {"job", fetch->requester.job}, {"step", fetch->requester.step}});
    state_.metrics.fetch_failed(error.kind());
    state_.events.failed(fetch->profile, error);
}

void Closures::end_late() {
    for (const auto& profile : state_.fetches.overdue(state_.now.steady)) {
        const auto progress = progress_of(*state_.fetches.find(profile), state_.supply, state_.room_keeper);
        fail(profile, not_complete_in_time(profile, state_.config.fetch_limit, progress));
    }
    for (const auto& profile : state_.fetches.abandoned(state_.now.steady)) {
        const auto fetch = give_up(profile);
        log(Level::info, "abandoned",
            {{"profile", profile.absolute()}, {"job", fetch->requester.job}, {"step", fetch->requester.step}});
    }
}

void Closures::tell_progress() {
    for (const auto& [profile, fetch] : state_.fetches.all()) {
        state_.board.set_progress(profile, progress_of(fetch, state_.supply, state_.room_keeper));
    }
}

}  // namespace senv
