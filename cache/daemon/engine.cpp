#include "cache/daemon/engine.h"

#include <algorithm>
#include <random>
#include <thread>
#include <variant>

#include "cache/base/threads.h"
#include "cache/daemon/answers.h"
#include "cache/daemon/checkups.h"
#include "cache/daemon/clock.h"
#include "cache/daemon/closures.h"
#include "cache/daemon/engine_state.h"
#include "cache/daemon/evictions.h"
#include "cache/daemon/failures.h"
#include "cache/daemon/items.h"
#include "cache/daemon/log.h"
#include "cache/daemon/report.h"

namespace senv {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds progress_period{500};
constexpr seconds idle_period{30};  // between two looks at what else there is to do
constexpr seconds figures_period{15};

struct Provision {
    StorePath profile;
    Requester requester;
    std::optional<LeaseFor> lease_for;
};
struct Abandon {
    StorePath profile;
};
struct AskStatus {
    std::uint64_t client;
};
struct AskCollect {
    std::uint64_t client;
    bool dry_run;
};
struct AskList {
    std::uint64_t client;
    std::optional<StorePath> after;
};
struct AskPin {
    std::uint64_t client;
    StorePath profile;
    bool pinned;
};
struct AskVerify {
    std::uint64_t client;
    std::vector<StorePath> roots;
    bool repair;
};
using Message = std::variant<Provision, Abandon, AskStatus, AskCollect, AskList, AskPin, AskVerify, HelperMessage>;

/// An error here is of this node (the catalog, memory) or a mistake of ours: the daemon goes on.
template <class F>
void attempt(F&& body) {
    if (const auto done = contained(body); !done) log_error(Level::error, "internal", done.error());
}

std::function<double()> make_dice() {
    return [random = std::minstd_rand(std::random_device{}())]() mutable {
        return std::uniform_real_distribution<double>(0, 1)(random);
    };
}

}  // namespace

/// The loop: takes a message, gives it to whom it concerns, and carries out what the modules want done until they
/// want nothing more.
class Engine::Thread {
public:
    Thread(const ServerConfig& config, std::string version, Store store, AclFile& acl, NarinfoSource& narinfos,
           NarSource& nars, Planner planner, Board& board, Metrics& metrics, EngineEvents events)
        : state_(config, std::move(store), board, metrics, std::move(events), now(), make_dice()),
          answers_(config, std::move(version), state_.store, board, state_.fetches, state_.supply, state_.room_keeper,
                   state_.now.steady) {
        state_.helpers.emplace(config, state_.store, acl, narinfos, nars, std::move(planner),
                               [this](HelperMessage message) { mailbox_.push(std::move(message)); });
        main_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }

    ~Thread() {
        main_.request_stop();
        main_.join();
        state_.helpers.reset();
        state_.now = now();
        const auto closed = contained([&]() -> Result<void> {
            SENV_TRY(record_placed());
            SENV_TRY(state_.store.catalog().record_uses(state_.board.take_uses()));
            (void)tell_figures();  // closing is more important
            return state_.store.close();
        });
        if (!closed) log_error(Level::warning, "stop", closed.error());
    }
    Thread(const Thread&) = delete;
    Thread& operator=(const Thread&) = delete;

    void push(Message message) { mailbox_.push(std::move(message)); }

private:
    void run(const std::stop_token& stop) {
        name_thread("senvd-engine");
        attempt([&] {
            return state_.store.catalog().for_each([&](const ItemRecord& record) {
                state_.room_keeper.stored(record.nar_size, record.room);
                if (!record.durable) state_.durability.placed(record.path);
            });
        });
        while (!stop.stop_requested()) {
            auto message = mailbox_.pop(stop, next_deadline());
            state_.now = now();
            if (message) {
                attempt([&] { return std::visit([&](auto& one) { return take(one); }, *message); });
            }
            attempt([&] { return on_time(); });
            carry_out();
            attempt([&] { return checkups_.go_on(); });
            carry_out();
            attempt([&] { return evictions_.keep_below_marks(); });
        }
    }

    void carry_out() {
        for (;;) {
            if (auto event = state_.supply.take()) {
                attempt([&] { return std::visit([&](auto& one) { return items_.carry_out(one); }, *event); });
            } else if (auto wish = state_.fetches.take()) {
                attempt([&] { return std::visit([&](auto& one) { return closures_.carry_out(one); }, *wish); });
            } else {
                return;
            }
        }
    }

    Deadline next_deadline() const {
        const bool is_idle = state_.fetches.all().empty() && !state_.verification.is_running();
        auto next = state_.now.steady + (is_idle ? milliseconds(idle_period) : progress_period);
        next =
            std::min({next, state_.room_keeper.next_look(), state_.durability.next_sync(), state_.supply.next_tick()});
        return state_.config.metrics_file.empty() ? next : std::min(next, next_figures_);
    }

    Result<void> on_time() {
        const Deadline now = state_.now.steady;
        state_.supply.tick(now);
        if (now >= next_progress_) {
            next_progress_ = now + progress_period;
            closures_.tell_progress();
            const auto progress = state_.verification.progress(now);
            if (progress) state_.events.progress(progress->first, progress->second);
            closures_.end_late();
        }
        if (auto items = state_.durability.begin_sync(now)) state_.helpers->sync(*std::move(items));
        if (now >= next_uses_) {
            next_uses_ = now + idle_period;
            state_.room_keeper.look();
            const auto uses = state_.board.take_uses();
            if (!uses.empty()) SENV_TRY(state_.store.catalog().record_uses(uses));
        }
        if (now >= next_figures_ && !state_.config.metrics_file.empty()) {
            next_figures_ = now + figures_period;
            SENV_TRY(tell_figures());
        }
        return {};
    }

    /// Those that are looked up; all others are told when they change.
    Result<void> tell_figures() {
        state_.metrics.fetches(state_.fetches.all().size());
        state_.metrics.stored(SENV_TRY(answers_.figures()));
        return {};
    }

    /// What arrived after the last message was taken is whole and placed: the next start need not fetch it again.
    Result<void> record_placed() {
        while (auto message = mailbox_.pop(main_.get_stop_token(), state_.now.steady)) {
            auto* from_helper = std::get_if<HelperMessage>(&*message);
            auto* fetched = from_helper == nullptr ? nullptr : std::get_if<NarFetched>(from_helper);
            if (fetched != nullptr) state_.supply.nar(std::move(*fetched), state_.now.steady);
        }
        while (auto event = state_.supply.take()) {
            if (const auto* placed = std::get_if<Supply::Placed>(&*event)) {
                SENV_TRY(state_.store.record(*placed->narinfo, placed->result.room, state_.now.unix_time));
            }
        }
        return {};
    }

    // ---------------------------------------------------------------------------------------------------------
    // messages

    Result<void> take(HelperMessage& message) {
        return std::visit([&](auto& one) { return take(one); }, message);
    }
    Result<void> take(NarinfoVetted& message) { return items_.narinfo(message); }
    Result<void> take(NarFetched& message) { return items_.nar(message); }
    Result<void> take(Synced& message) { return items_.synced(message); }
    Result<void> take(Planned& message) { return closures_.planned(message); }
    Result<void> take(const Checked& message) { return checkups_.checked(message); }
    Result<void> take(const Removed& message) {
        for (const auto& profile : evictions_.removed(message)) {
            SENV_TRY(closures_.carry_out(Fetches::Closed{profile}));
        }
        return {};
    }
    Result<void> take(const Provision& message) {
        closures_.provision(message.profile, message.requester, message.lease_for);
        return {};
    }
    Result<void> take(const Abandon& message) {
        state_.fetches.abandon(message.profile, state_.now.steady);
        return {};
    }
    Result<void> take(const AskVerify& message) {
        checkups_.begin(message.client, message.roots, message.repair);
        return {};
    }
    Result<void> take(const AskCollect& message) {
        evictions_.collect(message.client, message.dry_run);
        return {};
    }
    Result<void> take(const AskStatus& message) {
        const auto text =
            contained([&]() -> Result<std::string> { return to_json(SENV_TRY(answers_.status(state_.now))); });
        state_.answer(message.client, "status", text);
        return {};
    }
    Result<void> take(const AskList& message) {
        const auto text = contained(
            [&]() -> Result<std::string> { return to_json(SENV_TRY(answers_.list(message.after, state_.now))); });
        state_.answer(message.client, "list", text);
        return {};
    }
    Result<void> take(const AskPin& message) {
        state_.answer(message.client, "pin", contained([&] { return pin(message); }));
        return {};
    }

    Result<std::string> pin(const AskPin& message) {
        const StorePath& profile = message.profile;
        if (message.pinned) {
            if (!SENV_TRY(closure_of({{profile}}, state_.find)).missing.empty()) return not_complete_to_pin(profile);
            SENV_TRY(state_.store.pin(profile));
        } else {
            if (!state_.store.pins().contains(profile)) return not_pinned(profile);
            SENV_TRY(state_.store.unpin(profile));
        }
        log(Level::info, message.pinned ? "pinned" : "unpinned", {{"profile", profile.absolute()}});
        return pin_to_json(profile, message.pinned);
    }

    EngineState state_;
    Answers answers_;
    Evictions evictions_{state_};
    Closures closures_{state_, evictions_};
    Items items_{state_, closures_};
    Checkups checkups_{state_, evictions_};
    Deadline next_progress_ = state_.now.steady;
    Deadline next_uses_ = state_.now.steady + idle_period;
    Deadline next_figures_ = state_.now.steady;

    Mailbox<Message> mailbox_;
    std::jthread main_;
};

Engine::Engine(const ServerConfig& config, std::string version, Store store, AclFile& acl, NarinfoSource& narinfos,
               NarSource& nars, Planner planner, Board& board, Metrics& metrics, EngineEvents events)
    : thread_(std::make_unique<Thread>(config, std::move(version), std::move(store), acl, narinfos, nars,
                                       std::move(planner), board, metrics, std::move(events))) {}

Engine::~Engine() = default;

void Engine::provision(const StorePath& profile, const Requester& requester, const std::optional<LeaseFor>& lease_for) {
    thread_->push(Provision{profile, requester, lease_for});
}
void Engine::abandon(const StorePath& profile) {
    thread_->push(Abandon{profile});
}
void Engine::status(std::uint64_t client) {
    thread_->push(AskStatus{client});
}
void Engine::collect(std::uint64_t client, bool dry_run) {
    thread_->push(AskCollect{client, dry_run});
}
void Engine::list(std::uint64_t client, const std::optional<StorePath>& after) {
    thread_->push(AskList{client, after});
}
void Engine::pin(std::uint64_t client, const StorePath& profile, bool pinned) {
    thread_->push(AskPin{client, profile, pinned});
}
void Engine::verify(std::uint64_t client, std::vector<StorePath> roots, bool repair) {
    thread_->push(AskVerify{client, std::move(roots), repair});
}

}  // namespace senv
