#include "cache/daemon/items.h"

#include "cache/daemon/failures.h"
#include "cache/daemon/log.h"

namespace senv {

Result<void> Items::narinfo(NarinfoVetted& message) {
    if (message.is_large) state_.helpers->narinfo_done();
    if (message.answer) count(message);
    state_.supply.narinfo(std::move(message), state_.now.steady);
    return {};
}

void Items::count(const NarinfoVetted& message) {
    const std::string& origin = shown(message.origin);
    if (const auto* refusal = std::get_if<Refusal>(&*message.answer)) {
        state_.metrics.narinfo_refused(origin, refusal->outcome);
    } else if (std::get<Vetted>(*message.answer).doubt) {
        state_.metrics.narinfo_refused(origin, Outcome::unusable);
    } else {
        state_.metrics.narinfo_came(origin);
    }
}

Result<void> Items::nar(NarFetched& message) {
    if (!state_.supply.look(message.item)) return Error(Kind::bug, "a fetched item was not on its way");
    if (message.result.outcome != Fetched::placed) {
        state_.metrics.nar_failed(shown(message.origin), message.result.outcome);
    }
    if (message.result.outcome == Fetched::refused && !state_.fetches.wanted_by(message.item).empty()) {
        const Requester requester = state_.fetches.one_who_wants(message.item);
        log_error(Level::warning, "nar-refused", *message.result.error,
                  {{"item", message.item.absolute()},
                   {"job", requester.job},
                   {"step", requester.step},
                   {"origin", shown(message.origin)}});
    }
    state_.supply.nar(std::move(message), state_.now.steady);
    return {};
}

Result<void> Items::carry_out(const Supply::AskNarinfo& event) {
    state_.helpers->ask(event);
    return {};
}

Result<void> Items::carry_out(Supply::FetchNar& event) {
    state_.helpers->fetch(std::move(event.job));
    return {};
}

Result<void> Items::carry_out(const Supply::Withdraw& event) {
    if (state_.helpers->withdraw(event.transfer)) state_.supply.withdrawn(event.item);
    return {};
}

Result<void> Items::carry_out(const Supply::TakeBack& event) {
    state_.supply.taken_back(state_.helpers->take_back(event.origin), state_.now.steady);
    return {};
}

Result<void> Items::carry_out(const Supply::Known& event) {
    state_.fetches.known(event.item, event.narinfo);
    return {};
}

Result<void> Items::carry_out(const Supply::Soon& event) {
    state_.fetches.soon(event.item);
    return {};
}

Result<void> Items::carry_out(const Supply::Idle& event) {
    state_.fetches.idle(event.item);
    return {};
}

Result<void> Items::carry_out(const Supply::Gone& event) {
    state_.room_keeper.ended(event.item);
    return {};
}

Result<void> Items::carry_out(const Supply::Unreachable& event) {
    log_error(Level::warning, "unreachable", event.why, {{"origin", shown(event.origin)}});
    return {};
}

Result<void> Items::carry_out(const Supply::Reachable& event) {
    log(Level::info, "reachable", {{"origin", shown(event.origin)}});
    return {};
}

Result<void> Items::carry_out(const Supply::NobodyHasIt& event) {
    for (const auto& profile : state_.fetches.wanted_by(event.item)) {
        closures_.fail(profile, nobody_gives(event.item, profile, event.complaints));
    }
    return {};
}

Result<void> Items::carry_out(const Supply::NodeFailed& event) {
    lost(event.item, event.why);
    return {};
}

/// This node could not take the item.
void Items::lost(const StorePath& item, const Error& why) {
    for (const auto& profile : state_.fetches.wanted_by(item)) {
        closures_.fail(profile, why.no_room() ? ran_full(profile, why) : node_cannot_take(item, why));
    }
}

Error Items::ran_full(const StorePath& profile, const Error& why) {
    Room need;
    for (const auto& path : state_.fetches.find(profile)->open) {
        if (const auto narinfo = state_.fetches.narinfo(path)) need += guessed_room(narinfo->nar_size());
    }
    return state_.room_keeper.ran_full(profile, why, need, state_.now);
}

Result<void> Items::carry_out(const Supply::Placed& event) {
    const auto replaced = state_.store.catalog().row(event.item);
    auto recorded = replaced ? state_.store.record(*event.narinfo, event.result.room, state_.now.unix_time)
                             : Result<void>(replaced.error());
    if (!recorded) {
        lost(event.item, recorded.error());
        return {};
    }
    if (*replaced) repaired(**replaced);
    const std::uint64_t size = event.narinfo->nar_size();
    const Requester requester = state_.fetches.one_who_wants(event.item);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(event.result.took).count();
    log(Level::info, "fetched",
        {{"item", event.item.absolute()},
         {"job", requester.job},
         {"step", requester.step},
         {"bytes", size},
         {"origin", shown(event.origin)},
         {"ms", static_cast<std::uint64_t>(ms)}});
    state_.metrics.item_fetched(shown(event.origin), size, event.result.took);
    state_.durability.placed(event.item);
    state_.room_keeper.stored(size, event.result.room);
    state_.fetches.came(event.item, size);
    return {};
}

Result<void> Items::synced(Synced& synced) {
    if (!synced.result) {
        log_error(Level::warning, "sync", synced.result.error());
        state_.durability.not_synced(synced.paths, state_.now.steady);
        return {};
    }
    const auto durable = state_.durability.synced(std::move(synced.paths), state_.now.steady);
    auto marked = state_.store.catalog().mark_durable(durable);
    if (!marked) state_.durability.not_marked(durable);
    return marked;
}

/// What `before` says has come again.
void Items::repaired(const ItemRecord& before) {
    state_.room_keeper.replaced(before);
    log(Level::info, "repaired", {{"item", before.path.absolute()}});
    state_.metrics.item_repaired();
    state_.verification.repaired(before.path);
}

}  // namespace senv
