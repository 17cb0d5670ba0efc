#include "cache/daemon/engine_state.h"

#include "cache/daemon/log.h"

namespace senv {

namespace {

constexpr std::chrono::seconds nar_slack{5};  // a closure's limit ends its nars before their own does

}  // namespace

EngineState::EngineState(const ServerConfig& settings, Store opened, Board& shared, Metrics& figures,
                         EngineEvents outside, Now start, std::function<double()> dice)
    : config(settings),
      store(std::move(opened)),
      board(shared),
      metrics(figures),
      events(std::move(outside)),
      now(start),
      fetches(find, settings.fetch_limit),
      supply(settings.origins, settings.fetch_limit + nar_slack, std::move(dice)),
      collector(store, board, settings.grace),
      room_keeper(collector, {settings.high_water, settings.low_water},
                  {[this] { return store.disk(); }, [this] { return running(); },
                   [this](const StorePath& item) { return supply.room_to_come(item); }}),
      lending(store.leases(), settings.user_leased, sizes()),
      durability(start.steady) {}

Running EngineState::running() const {
    Running all;
    for (const auto& [profile, fetch] : fetches.all()) {
        all.profiles.push_back(profile);
        all.items.insert(fetch.seen.begin(), fetch.seen.end());
    }
    return all;
}

void EngineState::answer(std::uint64_t client, std::string_view request, const Result<std::string>& text) const {
    if (!text && text.error().kind() != Kind::missing) {
        log_error(Level::warning, "not-answered", text.error(), {{"request", request}});
    }
    events.answer(client, text ? wire::encode_text(*text) : wire::encode_error(text.error()));
}

Sizes EngineState::sizes() {
    return {[this](const StorePath& profile) { return is_open(profile); },
            [this](const StorePath& profile) -> Result<bool> {
                if (fetches.find(profile) != nullptr) return !is_open(profile);
                return SENV_TRY(closure_of({{profile}}, find)).missing.empty();
            },
            [this](const StorePath& profile) { return size_of(profile); },
            [this]() -> Result<std::uint64_t> { return SENV_TRY(store.disk()).all.bytes; }};
}

/// It is not known yet what the environment takes.
bool EngineState::is_open(const StorePath& profile) const {
    const Fetch* fetch = fetches.find(profile);
    return fetch != nullptr && fetch->unsettled > 0;
}

/// What the environment takes on the disk, or will take, as far as known.
Result<std::uint64_t> EngineState::size_of(const StorePath& profile) const {
    const auto closure =
        SENV_TRY(closure_of({{profile}}, [&](const StorePath& path) -> Result<std::optional<ItemRecord>> {
            auto record = SENV_TRY(find(path));
            const auto narinfo = fetches.narinfo(path);
            if (record || !narinfo) return record;
            return std::optional(ItemRecord{path, narinfo->nar_hash(), narinfo->nar_size(), narinfo->references(), 0,
                                            false, guessed_room(narinfo->nar_size())});
        }));
    return closure.room.bytes;
}

}  // namespace senv
