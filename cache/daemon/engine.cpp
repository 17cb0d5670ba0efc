#include "cache/daemon/engine.h"

#include <algorithm>
#include <ctime>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <variant>

#include "cache/base/text.h"
#include "cache/base/threads.h"
#include "cache/daemon/collector.h"
#include "cache/daemon/durability.h"
#include "cache/daemon/failures.h"
#include "cache/daemon/log.h"
#include "cache/daemon/mailbox.h"
#include "cache/daemon/nar_pool.h"
#include "cache/daemon/origin_state.h"
#include "cache/daemon/planning.h"
#include "cache/daemon/report.h"
#include "cache/daemon/vetting.h"
#include "cache/daemon/vetting_queue.h"
#include "cache/daemon/walk.h"
#include "cache/daemon/workers.h"
#include "cache/fetch/retry.h"
#include "cache/formats/origin.h"
#include "cache/store/closure.h"

namespace senv {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned vetting_threads = 2;
constexpr std::size_t list_page = 50;  // profiles: the engine does nothing else while it looks at their closures
constexpr milliseconds progress_period{500};
constexpr seconds vain_period{5};   // between two tries to make room, when all is held
constexpr seconds idle_period{30};  // between two looks at what else there is to do
constexpr seconds figures_period{15};
constexpr seconds retry_within{2};      // after that an origin that cannot be reached is not tried again for the item
constexpr seconds abandoned_limit{15};  // a fetch that nobody waits for goes on for so long, should somebody come
constexpr seconds nar_slack{5};         // a closure's limit ends its nars before their own does
// Narinfos asked for at the same time: what a source does at once, twice. No more wait for their signatures to be checked.
constexpr std::size_t most_asks = 128;
// Of one closure, far above what environments have: who signs for one cannot take all memory.
constexpr std::size_t most_items = 20'000;
constexpr std::size_t most_narinfo_bytes = 32UL * 1024 * 1024;

std::int64_t now_seconds() {
    return std::time(nullptr);
}

// ------------------------------------------------------------------------------------------------------------- messages

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
struct Checked {
    StorePath item;
    Result<void> result;
};
struct NarinfoVetted {
    StorePath item;
    std::size_t origin;
    std::optional<std::variant<Vetted, Refusal>> answer;  // none: it could not be kept, and is to be asked for again
    bool is_large = false;
};
struct NarFetched {
    StorePath item;
    FetchResult result;
};
struct Planned {
    StorePath profile;
    Result<Board::PlanFrame> frame;
};
struct Synced {
    std::vector<StorePath> paths;
    Result<void> result;
};
struct Removed {};
using Message = std::variant<Provision, Abandon, AskStatus, AskCollect, AskList, AskPin, AskVerify, Checked,
                             NarinfoVetted, NarFetched, Planned, Synced, Removed>;

struct SyncJob {
    std::vector<StorePath> paths;
};
struct RemoveJob {
    Staging grave;
    std::function<void()> then;
};
using KeeperJob = std::variant<SyncJob, RemoveJob>;

// ---------------------------------------------------------------------------------------------------------------- state

struct Origin {
    std::string url;
    OriginState state{};
    std::string wish{};     // what it said when it asked for time
    std::string trouble{};  // why it was of no use when it was asked last; none when it gave what is believed
};

/// One item on its way, however many closures want it.
struct Item {
    enum class State : unsigned char {
        queued,    // to be asked for its narinfo
        asking,    // for its narinfo
        retrying,  // at `retry_at`
        known,     // its narinfo is; the closures that want it still wait for others'
        fetching,
        ended,  // nobody can give it: it goes at the end of this message
    };
    Item(StorePath item_path, Walk item_walk) : path(std::move(item_path)), walk(std::move(item_walk)) {}

    StorePath path;
    Walk walk;
    State state = State::queued;
    std::set<StorePath> wanted_by;  // profiles
    bool settled = false;    // its narinfo was known once, or is said to come soon: closures need not wait for it
    std::size_t origin = 0;  // whose turn it is
    Deadline first_try{};    // there
    unsigned rests = 0;
    Deadline retry_at{};
    std::string why;               // it is retrying
    std::optional<Vetted> vetted;  // a narinfo that is believed
    std::shared_ptr<Transfer> transfer;
    bool promised = false;       // the room that it will take
    std::optional<Error> fatal;  // this node could not take it
};

/// One closure on its way.
struct Fetch {
    Fetch(StorePath path, Requester asker, Deadline start, Deadline end)
        : profile(std::move(path)), requester(asker), begun(start), deadline(end) {}

    StorePath profile;
    Requester requester;
    Deadline begun;
    Deadline deadline;
    std::optional<Deadline> abandoned;  // nobody has waited since then
    std::set<StorePath> seen;           // everything the profile reaches, as far as known
    std::set<StorePath> open;           // of these, what is on its way
    std::size_t unsettled = 0;
    bool waits_for_room = false;
    bool planning = false;
    std::size_t narinfo_bytes = 0;
    bool is_sure = false;    // somebody wants it who may hold it
    bool is_repair = false;  // of this item alone, which is damaged: no plan follows
    std::uint32_t items_done = 0;
    std::uint64_t bytes_done = 0;
    std::uint64_t bytes_total = 0;
    std::uint32_t fetched = 0;
    std::uint64_t fetched_bytes = 0;
};

/// What verify() is at.
struct Verification {
    std::uint64_t client;
    bool repair;
    std::vector<StorePath> to_check{};
    std::optional<StorePath> checking{};
    bool disturbed = false;  // what is being checked was evicted or replaced meanwhile
    std::set<StorePath> repairing{};
    std::uint32_t items = 0;
    std::uint64_t bytes = 0;  // of all these
    Deadline next_progress{};
    Verified result{};
};

/// A request whose lease may have to go, once it is known what the environment takes.
struct Unweighed {
    std::uint64_t client;
    std::uint32_t uid;
    std::string lease;
};

/// What the item will still take while it is unpacked.
Room room_to_come(const Item& item) {
    const std::uint64_t size = item.vetted->narinfo->nar_size();
    const Room whole = guessed_room(size);
    const std::uint64_t written =
        item.transfer ? std::min(size, item.transfer->bytes.load(std::memory_order_relaxed)) : 0;
    if (written == 0) return whole;
    const double left = 1 - static_cast<double>(written) / static_cast<double>(size);
    return {static_cast<std::uint64_t>(static_cast<double>(whole.bytes) * left),
            static_cast<std::uint64_t>(static_cast<double>(whole.inodes) * left)};
}

}  // namespace

// --------------------------------------------------------------------------------------------------------------- thread

class Engine::Thread {
public:
    Thread(const ServerConfig& config, std::string version, Store store, AclFile& acl, NarinfoSource& narinfos,
           NarSource& nars, Planner planner, Board& board, Metrics& metrics, EngineEvents events)
        : config_(config),
          version_(std::move(version)),
          store_(std::move(store)),
          acl_(acl),
          narinfos_(narinfos),
          board_(board),
          metrics_(metrics),
          events_(std::move(events)),
          collector_(store_, board_, config_.grace) {
        for (const auto& origin : config_.origins) origins_.push_back({origin});
        start_helpers(nars, std::move(planner));
        main_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }

    ~Thread() {
        main_.request_stop();
        main_.join();
        pool_.reset();
        stop_helpers();
        const auto closed = contained([&]() -> Result<void> {
            // What arrived after the last message was taken is whole and placed: the next start need not fetch it again.
            while (auto message = mailbox_.pop(main_.get_stop_token(), Clock::now())) {
                if (const auto* fetched = std::get_if<NarFetched>(&*message)) {
                    if (fetched->result.outcome == Fetched::placed) {
                        SENV_TRY(store_.record(*items_.at(fetched->item).vetted->narinfo, fetched->result.room,
                                               now_seconds()));
                    }
                }
            }
            SENV_TRY(store_.catalog().record_uses(board_.take_uses()));
            (void)tell_figures();  // closing is more important
            return store_.close();
        });
        if (!closed) log_error(Level::warning, "stop", closed.error());
    }
    Thread(const Thread&) = delete;
    Thread& operator=(const Thread&) = delete;

    void push(Message message) { mailbox_.push(std::move(message)); }

private:
    // ------------------------------------------------------------------------------------------------- helper threads

    void start_helpers(NarSource& nars, Planner planner) {
        planning_.emplace(store_.state(), std::move(planner), [this](const StorePath& profile, auto plan) {
            mailbox_.push(Planned{profile, std::move(plan)});
        });
        nicer(config_.nice, [&] {
            vetters_.emplace("senvd-vetting", vetting_threads,
                             [this](const VetJob& job, const std::stop_token&) { judge(job); });
            keeper_.emplace("senvd-keeper", 1U,
                            [this](KeeperJob job, const std::stop_token&) { keep(std::move(job)); });
            verifier_.emplace("senvd-verifier", 1U, [this](const ItemRecord& item, const std::stop_token& stop) {
                auto result = contained([&] { return store_.check(item, stop); });
                mailbox_.push(Checked{item.path, std::move(result)});
            });
            pool_.emplace(config_.downloads, store_, nars, [this](const StorePath& item, FetchResult r) {
                mailbox_.push(NarFetched{item, std::move(r)});
            });
        });
    }

    void stop_helpers() {
        planning_->request_stop();
        vetters_->request_stop();
        keeper_->request_stop();
        verifier_->request_stop();
        planning_.reset();
        vetters_.reset();
        keeper_.reset();
        keeper_catalog_.reset();
        verifier_.reset();
    }

    void judge(const VetJob& job) {
        auto answer = [&]() -> std::optional<std::variant<Vetted, Refusal>> {
            if (!job.answer) return std::nullopt;
            if (const auto* refusal = std::get_if<Refusal>(&*job.answer)) return *refusal;
            auto acl = acl_.current();
            if (!acl) return Refusal{Outcome::unusable, std::move(acl).error(), std::nullopt};
            try {
                return vet(job.url, job.item, std::get<std::string>(*job.answer), **acl);
            } catch (const std::exception& e) {
                return Refusal{Outcome::unusable, Error(Kind::bug, e.what()), std::nullopt};
            }
        }();
        mailbox_.push(NarinfoVetted{job.item, job.origin, std::move(answer), job.is_large});
    }

    void keep(KeeperJob job) {
        if (auto* removal = std::get_if<RemoveJob>(&job)) {
            { const Staging gone = std::move(removal->grave); }
            (void)contained([&]() -> Result<void> {
                removal->then();
                return {};
            });
            return;
        }
        auto result = contained([&]() -> Result<void> {
            SENV_TRY(store_.sync());
            if (!keeper_catalog_) keeper_catalog_ = SENV_TRY(Catalog::open(store_.state().path + "/db"));
            return keeper_catalog_->checkpoint();
        });
        mailbox_.push(Synced{std::move(std::get<SyncJob>(job).paths), std::move(result)});
    }

    // --------------------------------------------------------------------------------------------------------- the loop

    void run(const std::stop_token& stop) {
        name_thread("senvd-engine");
        (void)contained([&]() -> Result<void> {
            SENV_TRY(store_.catalog().for_each([&](const ItemRecord& record) {
                ++totals_.items;
                totals_.bytes += record.nar_size;
                stored_ += record.room;
                if (!record.durable) durability_.placed(record.path);
            }));
            return {};
        });
        while (!stop.stop_requested()) {
            auto message = mailbox_.pop(stop, next_deadline());
            attempt([&]() -> Result<void> {
                if (message) return std::visit([&](auto& one) { return take(one); }, *message);
                return {};
            });
            attempt([&] { return on_time(); });
            attempt([&] { return admit_released(); });
            attempt([&]() -> Result<void> {
                end_exhausted();
                return {};
            });
            attempt([&] { return end_verification(); });
            attempt([&] { return keep_below_marks(); });
        }
    }

    /// An error here is of this node (the catalog, memory) or a mistake of ours: the daemon goes on.
    template <class F>
    static void attempt(F&& body) {
        if (const auto done = contained(body); !done) log_error(Level::error, "internal", done.error());
    }

    Deadline next_deadline() const {
        auto next = Clock::now() + (fetches_.empty() && !verification_ ? milliseconds(idle_period) : progress_period);
        if (look_at_marks_ && removals_ == 0) next = std::min(next, next_marks_);
        next = std::min(next, durability_.next_sync());
        if (!config_.metrics_file.empty()) next = std::min(next, next_figures_);
        return std::min(next, next_retry_);
    }

    Result<void> on_time() {
        const auto now = Clock::now();
        if (now >= next_retry_) {
            next_retry_ = Deadline::max();
            for (auto& [path, item] : items_) {
                if (item.state != Item::State::retrying) continue;
                if (item.retry_at > now) {
                    next_retry_ = std::min(next_retry_, item.retry_at);
                } else {
                    advance(item);
                }
            }
        }
        if (now >= next_progress_) {
            next_progress_ = now + progress_period;
            tell_progress();
            tell_verifying(now);
            end_overdue(now);
            end_abandoned(now);
        }
        if (auto items = durability_.begin_sync(now)) keeper_->push(SyncJob{*std::move(items)});
        if (now >= next_uses_) {
            next_uses_ = now + idle_period;
            look_at_marks_ = true;
            const auto uses = board_.take_uses();
            if (!uses.empty()) SENV_TRY(store_.catalog().record_uses(uses));
        }
        if (now >= next_figures_ && !config_.metrics_file.empty()) {
            next_figures_ = now + figures_period;
            SENV_TRY(tell_figures());
        }
        return {};
    }

    /// Those that are looked up; all others are told when they change.
    Result<void> tell_figures() {
        metrics_.fetches(fetches_.size());
        const auto disk = SENV_TRY(store_.disk());
        metrics_.stored({totals_.items, totals_.bytes, stored_, SENV_TRY(store_.catalog().profiles()).size(),
                         store_.leases().live().size(), disk.all, disk.free});
        return {};
    }

    Result<void> take(Synced& synced) {
        const auto now = Clock::now();
        if (!synced.result) {
            log_error(Level::warning, "sync", synced.result.error());
            durability_.not_synced(synced.paths, now);
            return {};
        }
        const auto durable = durability_.synced(std::move(synced.paths), now);
        auto marked = store_.catalog().mark_durable(durable);
        if (!marked) durability_.not_marked(durable);
        return marked;
    }

    // --------------------------------------------------------------------------------------------------------- closures

    Result<void> take(Provision& message) {
        const StorePath& profile = message.profile;
        bool is_sure = true;
        if (message.lease_for) {
            auto weighed = contained([&] { return lend(message); });
            if (!weighed) {
                events_.refused(message.lease_for->client, weighed.error());
                return {};
            }
            is_sure = *weighed;
        }
        // Meanwhile somebody else's request may have completed it.
        if (auto plan = board_.use(profile, now_seconds())) {
            events_.complete(profile, std::move(plan));
            return {};
        }
        const auto [entry, fresh] =
            fetches_.try_emplace(profile, profile, message.requester, Clock::now(), Clock::now() + config_.fetch_limit);
        Fetch& fetch = entry->second;
        fetch.abandoned.reset();
        if (is_sure) fetch.is_sure = true;
        if (fetch.is_repair) extend_repair(fetch, message.requester);
        if (fresh) expand(fetch, {profile});
        if (!fetch.open.empty()) events_.pending(profile);
        return {};
    }

    Result<void> take(const Abandon& message) {
        const auto fetch = fetches_.find(message.profile);
        if (fetch != fetches_.end() && !fetch->second.is_repair) fetch->second.abandoned = Clock::now();
        return {};
    }

    /// Makes `paths` and all they reach part of the closure, as far as it is known.
    void expand(Fetch& fetch, std::vector<StorePath> paths) {
        while (!paths.empty()) {
            if (fetch.narinfo_bytes > most_narinfo_bytes) {
                return refuse(fetch, "narinfos of more than " + human_bytes(most_narinfo_bytes));
            }
            const StorePath path = std::move(paths.back());
            paths.pop_back();
            if (!fetch.seen.insert(path).second) continue;
            if (fetch.seen.size() > most_items)
                return refuse(fetch, "more than " + std::to_string(most_items) + " items");
            if (const auto found = items_.find(path); found != items_.end()) {
                join(fetch, found->second, paths);
                continue;
            }
            auto record = store_.catalog().find(path);
            if (!record) {
                // The item cannot be had, so the closure cannot.
                Item& item = new_item(path);
                item.fatal = std::move(record).error();
                join(fetch, item, paths);
                end(item);
            } else if (*record) {
                fetch.items_done += 1;
                fetch.bytes_done += (*record)->nar_size;
                fetch.bytes_total += (*record)->nar_size;
                for (auto& reference : (*record)->references) paths.push_back(std::move(reference));
            } else {
                Item& item = new_item(path);
                join(fetch, item, paths);
                advance(item);
            }
        }
        if (fetch.open.empty()) {
            plan(fetch);
        } else if (fetch.unsettled == 0) {
            release(fetch);
        }
    }

    /// Ends it at the end of this message.
    void refuse(const Fetch& fetch, const std::string& what) {
        refused_.emplace(fetch.profile, claims_too_much(fetch.profile, what));
    }

    Item& new_item(const StorePath& path) {
        std::vector<std::optional<Place>> stores;
        for (const auto& origin : origins_) {
            stores.emplace_back();
            if (kind_of(origin.url) == OriginKind::store) {
                stores.back() = {url_in_store(origin.url, path), Compression::none};
            }
        }
        return items_.try_emplace(path, path, Walk(std::move(stores))).first->second;
    }

    static void join(Fetch& fetch, Item& item, std::vector<StorePath>& paths) {
        item.wanted_by.insert(fetch.profile);
        fetch.open.insert(item.path);
        if (!item.settled) ++fetch.unsettled;
        if (item.vetted) {
            fetch.bytes_total += item.vetted->narinfo->nar_size();
            fetch.narinfo_bytes += item.vetted->narinfo->text().size();
            const auto& references = item.vetted->narinfo->references();
            if (!fetch.is_repair) paths.insert(paths.end(), references.begin(), references.end());
        }
    }

    /// All narinfos of the closure are known or will come: what is known is fetched, at the end of this message.
    void release(const Fetch& fetch) { released_.insert(fetch.profile); }

    void plan(Fetch& fetch) {
        if (fetch.planning) return;
        fetch.planning = true;
        planning_->push(fetch.profile, fetch.requester.uid);
    }

    Result<void> take(Planned& planned) {
        const auto found = fetches_.find(planned.profile);
        if (found == fetches_.end()) return {};
        found->second.planning = false;
        if (!found->second.open.empty()) return {};  // an item was found damaged meanwhile
        if (!planned.frame) {
            fail(planned.profile, no_plan(planned.profile, std::move(planned.frame).error()));
            return {};
        }
        const Fetch& fetch = found->second;
        const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - fetch.begun);
        log(Level::info, "complete",
            {{"profile", fetch.profile.absolute()},
             {"job", fetch.requester.job},
             {"step", fetch.requester.step},
             {"items", fetch.items_done},
             {"bytes", fetch.bytes_done},
             {"fetched_items", fetch.fetched},
             {"fetched_bytes", fetch.fetched_bytes},
             {"ms", static_cast<std::uint64_t>(took.count())}});
        if (fetch.fetched > 0) metrics_.fetch_complete(took);
        board_.offer(planned.profile, *planned.frame, now_seconds());
        board_.clear_progress(planned.profile);
        events_.complete(planned.profile, *planned.frame);
        fetches_.erase(found);
        look_at_marks_ = true;
        const ProfileUse use{planned.profile, now_seconds()};
        return store_.catalog().record_uses({&use, 1});
    }

    /// Nobody is told.
    std::optional<Fetch> give_up(const StorePath& profile) {
        const auto found = fetches_.find(profile);
        if (found == fetches_.end()) return std::nullopt;
        Fetch fetch = std::move(found->second);
        fetches_.erase(found);
        for (const auto& request : take_unweighed(profile)) store_.leases().drop(request.lease);
        look_at_marks_ = true;
        for (const auto& path : fetch.open) {
            const auto item = items_.find(path);
            item->second.wanted_by.erase(profile);
            if (item->second.wanted_by.empty()) abandon(item);
        }
        board_.clear_progress(profile);
        return fetch;
    }

    void fail(const StorePath& profile_reference, Error error) {
        const StorePath profile = profile_reference;  // it may be part of what is erased here
        const auto fetch = give_up(profile);
        if (!fetch) return;
        if (verification_ && verification_->repairing.erase(profile) > 0) {
            log_error(Level::warning, "not-repaired", error, {{"item", profile.absolute()}});
            verification_->result.not_repaired.push_back({profile, error.what()});
        }
        if (fetch->is_repair) return;
        log_error(Level::error, "failed", error,
                  {{"profile", profile.absolute()}, {"job", fetch->requester.job}, {"step", fetch->requester.step}});
        metrics_.fetch_failed(error.kind());
        events_.failed(profile, error);
    }

    void end_overdue(Deadline now) {
        std::vector<StorePath> overdue;
        for (const auto& [profile, fetch] : fetches_) {
            if (now >= fetch.deadline) overdue.push_back(profile);
        }
        for (const auto& profile : overdue) {
            tell_progress();
            const auto progress = board_.progress(profile).value_or(wire::Progress{});
            fail(profile, not_complete_in_time(profile, config_.fetch_limit, progress));
        }
    }

    void end_abandoned(Deadline now) {
        std::vector<StorePath> abandoned;
        for (const auto& [profile, fetch] : fetches_) {
            if (fetch.abandoned && now >= *fetch.abandoned + abandoned_limit) abandoned.push_back(profile);
        }
        for (const auto& profile : abandoned) {
            const auto fetch = give_up(profile);
            log(Level::info, "abandoned",
                {{"profile", profile.absolute()}, {"job", fetch->requester.job}, {"step", fetch->requester.step}});
        }
    }

    void tell_progress() {
        for (const auto& [profile, fetch] : fetches_) {
            wire::Progress progress;
            progress.items_done = fetch.items_done;
            progress.items_total = static_cast<std::uint32_t>(fetch.seen.size());
            progress.bytes_done = fetch.bytes_done;
            progress.bytes_total = fetch.bytes_total;
            const Item* shown = nullptr;  // the largest of those that move, else any
            for (const auto& path : fetch.open) {
                const Item& item = items_.at(path);
                if (item.transfer) progress.bytes_done += item.transfer->bytes.load(std::memory_order_relaxed);
                const auto weight = [](const Item* one) {
                    if (one == nullptr) return std::uint64_t{0};
                    return 1 + (one->transfer ? one->vetted->narinfo->nar_size() : 0);
                };
                if (weight(&item) > weight(shown)) shown = &item;
            }
            if (fetch.waits_for_room) {
                progress.what = "room on the disk, which evicting makes";
            } else if (shown != nullptr) {
                progress.what = shown->path.base() + " from " + shown_url(origins_[shown->origin].url);
                if (shown->state == Item::State::retrying) progress.what += " (" + shown->why + ")";
            }
            board_.set_progress(profile, std::move(progress));
        }
    }

    // ----------------------------------------------------------------------------------------------------- users' limits

    /// It is not known yet what the environment takes.
    bool is_unsized(const StorePath& profile) const {
        const auto fetch = fetches_.find(profile);
        return fetch != fetches_.end() && fetch->second.unsettled > 0;
    }

    /// Gives the client its lease; an Error if its user may not hold it. False: what the environment takes is not known
    /// yet, weigh() follows.
    Result<bool> lend(const Provision& message) {
        const StorePath& profile = message.profile;
        const Requester& who = message.requester;
        const bool known =
            fetches_.contains(profile) ? !is_unsized(profile) : SENV_TRY(closure_here({{profile}})).missing.empty();
        if (known) {
            auto held = SENV_TRY(held_by(who.uid));
            if (held.insert(profile).second) SENV_TRY(check_limit(who.uid, profile, held));
        }
        const auto& [client, details] = *message.lease_for;
        auto lease = SENV_TRY(store_.leases().take({profile, who.uid, who.job, who.step, details}));
        if (!known) unweighed_.emplace(profile, Unweighed{client, who.uid, lease.id});
        events_.lease(client, std::move(lease.fd));
        return known;
    }

    /// Now it is known what the environment takes. False: nobody is left who may hold it.
    Result<bool> weigh(Fetch& fetch) {
        std::map<std::uint32_t, Result<void>> weighed;  // by uid
        for (const auto& request : take_unweighed(fetch.profile)) {
            auto found = weighed.find(request.uid);
            if (found == weighed.end()) {
                auto held = SENV_TRY(held_by(request.uid));
                held.insert(fetch.profile);
                found = weighed.emplace(request.uid, check_limit(request.uid, fetch.profile, held)).first;
            }
            if (found->second) {
                fetch.is_sure = true;
            } else {
                store_.leases().drop(request.lease);
                events_.refused(request.client, found->second.error());
            }
        }
        return fetch.is_sure;
    }

    std::vector<Unweighed> take_unweighed(const StorePath& profile) {
        const auto [begin, end] = unweighed_.equal_range(profile);
        std::vector<Unweighed> requests;
        for (auto it = begin; it != end; ++it) requests.push_back(std::move(it->second));
        unweighed_.erase(begin, end);
        return requests;
    }

    /// The environments that jobs of this user hold, but for those that are weighed later.
    Result<std::set<StorePath>> held_by(std::uint32_t uid) const {
        std::set<StorePath> held;
        for (auto& lease : store_.leases().live()) {
            if (lease.uid == uid && !is_unsized(lease.profile)) held.insert(std::move(lease.profile));
        }
        return held;
    }

    /// `held`: with `profile`.
    Result<void> check_limit(std::uint32_t uid, const StorePath& profile, const std::set<StorePath>& held) {
        std::uint64_t own = 0;
        std::uint64_t others = 0;
        for (const auto& one : held) (one == profile ? own : others) += SENV_TRY(size_of(one));
        const std::uint64_t limit = bytes_at(*config_.user_leased, SENV_TRY(store_.disk()).all.bytes);
        if (own + others <= limit) return {};
        return holds_too_much(profile, uid, own, others, limit);
    }

    /// What the environment takes on the disk, or will take, as far as known.
    Result<std::uint64_t> size_of(const StorePath& profile) {
        const auto closure =
            SENV_TRY(closure_of({{profile}}, [&](const StorePath& path) -> Result<std::optional<ItemRecord>> {
                auto record = SENV_TRY(store_.catalog().find(path));
                const auto item = items_.find(path);
                if (record || item == items_.end() || !item->second.vetted) return record;
                const Narinfo& narinfo = *item->second.vetted->narinfo;
                return std::optional(ItemRecord{path, narinfo.nar_hash(), narinfo.nar_size(), narinfo.references(), 0,
                                                false, guessed_room(narinfo.nar_size())});
            }));
        return closure.room.bytes;
    }

    // ------------------------------------------------------------------------------------------------------------ items

    /// Nobody wants the item any more.
    void abandon(std::map<StorePath, Item>::iterator item) {
        switch (item->second.state) {
            case Item::State::asking: return;  // ends with the answer
            case Item::State::fetching:
                if (!pool_->withdraw(item->second.transfer)) return;  // ends with its result
                break;
            case Item::State::queued:
            case Item::State::retrying:
            case Item::State::known: break;
            case Item::State::ended: return;
        }
        items_.erase(item);
    }

    /// The closures that want the item need not wait for its narinfo any more.
    void settle(Item& item) {
        if (std::exchange(item.settled, true)) return;
        for (const auto& profile : item.wanted_by) {
            Fetch& fetch = fetches_.at(profile);
            if (--fetch.unsettled == 0) release(fetch);
        }
    }

    Walk::Step next_step(Item& item, Deadline now) {
        return item.walk.next([&](std::size_t i) { return origins_[i].state.access(now); });
    }

    /// Does the next thing to be done for the item, whatever it is.
    void advance(Item& item) {
        const auto now = Clock::now();
        const auto step = next_step(item, now);
        if (step.what == Walk::Step::What::end) return end(item);
        item.origin = step.origin;
        if (item.walk.tries(step.origin) == 0) item.first_try = now;
        switch (step.what) {
            case Walk::Step::What::ask: return ask(item);
            case Walk::Step::What::fetch: return fetch_from(item);
            case Walk::Step::What::rest: return rest(item);
            case Walk::Step::What::wait: return try_again_at(item, next_opening(now), origins_[step.origin].wish);
            case Walk::Step::What::end: break;
        }
    }

    void ask(Item& item) {
        if (const auto age = absences_.age(item.origin, item.path, Clock::now())) {
            item.walk.failed(item.origin, still_absent(shown_url(origins_[item.origin].url), *age),
                             Walk::Failure::passing);
            return advance(item);
        }
        if (asks_ == most_asks) return wait_to_ask(item);
        ++asks_;
        item.state = Item::State::asking;
        const std::string& url = origins_[item.origin].url;
        // The answer may come when the engine is gone: it goes into a box of its own.
        narinfos_.ask(url, item.path,
                      [box = vetters_->box(), origin = item.origin, url, path = item.path](auto answer) {
                          box->push(VetJob{origin, url, path, std::move(answer)});
                      });
    }

    void wait_to_ask(Item& item) {
        item.state = Item::State::queued;
        to_ask_.push_back(item.path);
    }

    void fetch_from(Item& item) {
        item.state = Item::State::fetching;
        item.transfer = std::make_shared<Transfer>();
        const auto& narinfo = item.vetted->narinfo;
        const Place& place = item.walk.place(item.origin);
        pool_->add({narinfo,
                    {place.url, place.compression, narinfo->nar_size(), Clock::now() + config_.fetch_limit + nar_slack},
                    item.transfer,
                    item.origin});
    }

    /// Some origin prepares it: all are asked again later, until the limit of the closure.
    void rest(Item& item) {
        const auto delay = retry_delay(soon_rule, ++item.rests, random());
        try_again_at(item, Clock::now() + *delay, item.walk.complaint(item.origin).what());
        item.walk.begin_round();
        settle(item);
    }

    void end(Item& item) {
        item.state = Item::State::ended;
        exhausted_.insert(item.path);
    }

    void try_again_at(Item& item, Deadline when, std::string why) {
        item.state = Item::State::retrying;
        item.retry_at = when;
        item.why = std::move(why);
        next_retry_ = std::min(next_retry_, when);
    }

    Deadline next_opening(Deadline now) const {
        auto next = Deadline::max();
        for (const auto& origin : origins_) {
            if (origin.state.opens() > now) next = std::min(next, origin.state.opens());
        }
        return next;
    }

    void give_time(std::size_t origin, const Error& error, seconds wished) {
        origins_[origin].state.asked_for_time(Clock::now(), wished, random());
        origins_[origin].wish = error.what() + ", and asked to wait";
        relieve(origin);
    }

    /// The item's origin did not give what it was asked for; `wished`, if it asked for time.
    void failed(Item& item, Outcome outcome, Error error, std::optional<seconds> wished) {
        const auto now = Clock::now();
        Origin& origin = origins_[item.origin];
        auto failure = Walk::Failure::passing;
        switch (outcome) {
            case Outcome::absent: break;
            case Outcome::soon: failure = Walk::Failure::soon; break;
            case Outcome::unusable:
            case Outcome::stopped: failure = Walk::Failure::lasting; break;
            case Outcome::again:
            case Outcome::unreachable:
                if (may_try_again(item, outcome, now)) {
                    if (wished) return advance(item);  // at another origin, or later
                    const auto delay = retry_delay(transient_rule, item.walk.tries(item.origin), random());
                    return try_again_at(item, now + *delay, error.what());
                }
                if (origin.state.failed(now, random())) {
                    log_error(Level::warning, "unreachable", error, {{"origin", shown_url(origin.url)}});
                    relieve(item.origin);
                }
                break;
        }
        item.walk.failed(item.origin, std::move(error), failure);
        advance(item);
    }

    bool may_try_again(Item& item, Outcome outcome, Deadline now) {
        if (outcome == Outcome::unreachable) {
            // Once the first item has given up it is known to be down.
            const bool is_down = origins_[item.origin].state.access(now) == Walk::Access::unwise;
            if (is_down || now >= item.first_try + retry_within) return false;
        }
        return item.walk.count_try(item.origin) < transient_rule.attempts;
    }

    /// What waits for its turn at this origin goes where it can be had sooner.
    void relieve(std::size_t origin) {
        for (const auto& path : pool_->take_back(origin)) {
            Item& item = items_.at(path);
            item.transfer.reset();
            advance(item);
        }
    }

    void answered(std::size_t origin) {
        if (origins_[origin].state.answered()) {
            log(Level::info, "reachable", {{"origin", shown_url(origins_[origin].url)}});
        }
    }

    Result<void> take(NarinfoVetted& message) {
        --asks_;
        if (message.is_large) vetters_->box()->done();
        const auto found = items_.find(message.item);
        if (found != items_.end()) heard(found, message);
        while (!to_ask_.empty() && asks_ < most_asks) {
            const StorePath path = std::move(to_ask_.front());
            to_ask_.pop_front();
            const auto next = items_.find(path);
            if (next != items_.end() && next->second.state == Item::State::queued) advance(next->second);
        }
        return {};
    }

    void heard(std::map<StorePath, Item>::iterator found, NarinfoVetted& message) {
        Item& item = found->second;
        if (!message.answer) {
            if (item.wanted_by.empty())
                items_.erase(found);
            else
                wait_to_ask(item);
            return;
        }
        auto* refusal = std::get_if<Refusal>(&*message.answer);
        count_narinfo(message);
        note_trouble(message);
        if (refusal == nullptr || is_answer(refusal->outcome)) answered(message.origin);
        if (refusal != nullptr && refusal->wished) give_time(message.origin, refusal->error, *refusal->wished);
        if (refusal != nullptr && refusal->outcome == Outcome::absent) {
            absences_.add(message.origin, message.item, Clock::now());
        }
        if (item.wanted_by.empty()) {
            items_.erase(found);
            return;
        }
        if (refusal != nullptr) return failed(item, refusal->outcome, std::move(refusal->error), refusal->wished);
        auto& vetted = std::get<Vetted>(*message.answer);
        if (vetted.doubt) {
            item.walk.claimed(item.origin, vetted.contents(), *std::move(vetted.place), *std::move(vetted.doubt));
            return advance(item);
        }
        item.walk.signed_for(item.origin, vetted.contents(), vetted.place, vetted.no_place);
        // When nobody can have the bytes, what it refers to need not be asked for.
        if (next_step(item, Clock::now()).what == Walk::Step::What::end) return end(item);
        believe(item, std::move(vetted));
    }

    /// That it does not have an item, or not yet, is none.
    void note_trouble(const NarinfoVetted& message) {
        std::string& trouble = origins_[message.origin].trouble;
        if (const auto* refusal = std::get_if<Refusal>(&*message.answer)) {
            const bool is_none = refusal->outcome == Outcome::absent || refusal->outcome == Outcome::soon ||
                                 refusal->outcome == Outcome::stopped;
            if (!is_none) trouble = refusal->error.what();
        } else {
            const auto& doubt = std::get<Vetted>(*message.answer).doubt;
            trouble = doubt ? doubt->what() : "";
        }
    }

    void count_narinfo(const NarinfoVetted& message) {
        if (const auto* refusal = std::get_if<Refusal>(&*message.answer)) {
            metrics_.narinfo_refused(message.origin, refusal->outcome);
        } else if (std::get<Vetted>(*message.answer).doubt) {
            metrics_.narinfo_refused(message.origin, Outcome::unusable);
        } else {
            metrics_.narinfo_came(message.origin);
        }
    }

    static bool is_answer(Outcome outcome) {
        return outcome == Outcome::absent || outcome == Outcome::soon || outcome == Outcome::unusable;
    }

    static bool is_answer(Fetched outcome) {
        return outcome == Fetched::placed || outcome == Fetched::absent || outcome == Fetched::soon ||
               outcome == Fetched::refused;
    }

    /// The narinfo says what the item is, in place of an earlier one.
    void believe(Item& item, Vetted vetted) {
        const std::uint64_t before = item.vetted ? item.vetted->narinfo->nar_size() : 0;
        item.vetted = std::move(vetted);
        // Its references are unsettled before it is settled, so that no closure is released too early.
        for (const auto& profile : std::set<StorePath>(item.wanted_by)) {
            Fetch& fetch = fetches_.at(profile);
            fetch.bytes_total += item.vetted->narinfo->nar_size() - before;
            fetch.narinfo_bytes += item.vetted->narinfo->text().size();
            if (!fetch.is_repair) expand(fetch, item.vetted->narinfo->references());
        }
        settle(item);
        await_release(item);
    }

    /// It is fetched when all that one of its closures needs is known, and there is room for it.
    void await_release(Item& item) {
        item.state = Item::State::known;
        for (const auto& profile : item.wanted_by) {
            const Fetch& fetch = fetches_.at(profile);
            if (fetch.unsettled == 0) release(fetch);
        }
    }

    Result<void> take(NarFetched& message) {
        const auto found = items_.find(message.item);
        if (found == items_.end()) return Error(Kind::bug, "a fetched item was not on its way");
        Item& item = found->second;
        FetchResult& result = message.result;
        item.transfer.reset();
        if (is_answer(result.outcome)) answered(item.origin);
        if (result.wished) give_time(item.origin, *result.error, *result.wished);
        if (result.outcome == Fetched::placed) return placed(found, result);
        metrics_.nar_failed(item.origin, result.outcome);
        if (item.wanted_by.empty()) {
            items_.erase(found);
            return {};
        }
        switch (result.outcome) {
            case Fetched::absent: failed(item, Outcome::absent, *std::move(result.error), {}); break;
            case Fetched::soon: failed(item, Outcome::soon, *std::move(result.error), {}); break;
            case Fetched::again: failed(item, Outcome::again, *std::move(result.error), result.wished); break;
            case Fetched::unreachable:
                failed(item, Outcome::unreachable, *std::move(result.error), result.wished);
                break;
            case Fetched::refused:
                log_error(Level::warning, "nar-refused", *result.error,
                          {{"item", item.path.absolute()},
                           {"job", one_who_wants(item).job},
                           {"step", one_who_wants(item).step},
                           {"origin", shown_url(origins_[item.origin].url)}});
                failed(item, Outcome::unusable, *std::move(result.error), {});
                break;
            case Fetched::stopped:  // by a closure that was given up, before another one came to want the item
                await_release(item);
                break;
            case Fetched::failed:
            case Fetched::placed:
                item.fatal = std::move(result.error);
                end(item);
                break;
        }
        return {};
    }

    /// For the log: who asked first for one of the closures that want the item; nobody when they were given up.
    Requester one_who_wants(const Item& item) const {
        return item.wanted_by.empty() ? Requester() : fetches_.at(*item.wanted_by.begin()).requester;
    }

    Result<void> placed(std::map<StorePath, Item>::iterator found, const FetchResult& result) {
        Item& item = found->second;
        const Narinfo& narinfo = *item.vetted->narinfo;
        const auto replaced = store_.catalog().row(item.path);
        auto recorded = replaced ? store_.record(narinfo, result.room, now_seconds()) : Result<void>(replaced.error());
        if (!recorded) {
            item.fatal = std::move(recorded).error();
            end(item);
            return {};
        }
        if (*replaced) repaired(**replaced);
        const Requester requester = one_who_wants(item);
        log(Level::info, "fetched",
            {{"item", item.path.absolute()},
             {"job", requester.job},
             {"step", requester.step},
             {"bytes", narinfo.nar_size()},
             {"origin", shown_url(origins_[item.origin].url)},
             {"ms", static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(result.took).count())}});
        metrics_.item_fetched(item.origin, narinfo.nar_size(), result.took);
        durability_.placed(item.path);
        ++totals_.items;
        totals_.bytes += narinfo.nar_size();
        stored_ += result.room;
        look_at_marks_ = true;
        for (const auto& profile : item.wanted_by) {
            Fetch& fetch = fetches_.at(profile);
            fetch.open.erase(item.path);
            fetch.items_done += 1;
            fetch.bytes_done += narinfo.nar_size();
            fetch.fetched += 1;
            fetch.fetched_bytes += narinfo.nar_size();
            if (!fetch.open.empty()) continue;
            if (fetch.is_repair) {
                board_.clear_progress(profile);
                fetches_.erase(profile);
            } else {
                plan(fetch);
            }
        }
        items_.erase(found);
        return {};
    }

    /// Ends the closures whose items nobody could give. Apart from where that is found out, since it takes items away.
    void end_exhausted() {
        while (!exhausted_.empty()) {
            const StorePath path = *exhausted_.begin();
            const auto found = items_.find(path);
            const std::set<StorePath> wanted_by = found->second.wanted_by;
            for (const auto& profile : wanted_by) {
                const Item& item = found->second;
                if (!item.fatal) {
                    fail(profile, nobody_gives(path, profile, item.walk.complaints()));
                } else if (item.fatal->no_room()) {
                    fail(profile, ran_full(fetches_.at(profile), *item.fatal));
                } else {
                    fail(profile, node_cannot_take(path, *item.fatal));
                }
            }
            items_.erase(found);
            exhausted_.erase(path);
        }
        for (auto& [profile, error] : std::exchange(refused_, {})) fail(profile, std::move(error));
    }

    // ------------------------------------------------------------------------------------------------------------ space

    Running running() const {
        Running all;
        for (const auto& [profile, fetch] : fetches_) {
            all.profiles.push_back(profile);
            all.items.insert(fetch.seen.begin(), fetch.seen.end());
        }
        return all;
    }

    /// What is free and promised to nobody but this closure, and what it needs of it.
    struct Claim {
        std::vector<Item*> items;  // to be fetched
        Room need;
        Room free;
    };
    Result<Claim> claim_of(const Fetch& fetch) {
        Claim claim;
        claim.free = SENV_TRY(store_.disk()).free;
        for (auto& [path, item] : items_) {
            if (item.state == Item::State::known && fetch.open.contains(path)) {
                claim.items.push_back(&item);
                claim.need += room_to_come(item);
            } else if (item.promised && item.vetted) {
                claim.free -= room_to_come(item);
            }
        }
        return claim;
    }

    /// Lets closures fetch what they need, as far as there is room for it. Apart from where they are released, since it
    /// may take items and closures away.
    Result<void> admit_released() {
        for (const auto& profile : std::exchange(released_, {})) {
            const auto found = fetches_.find(profile);
            if (found == fetches_.end() || found->second.unsettled > 0 || found->second.waits_for_room) continue;
            const auto wanted = weigh(found->second);
            if (wanted && !*wanted) {
                (void)give_up(profile);
            } else if (auto admitted = wanted ? admit(found->second) : Result<void>(wanted.error()); !admitted) {
                refused_.emplace(profile, not_admitted(profile, std::move(admitted).error()));
            }
        }
        return {};
    }

    Result<void> admit(Fetch& fetch) {
        const Claim claim = SENV_TRY(claim_of(fetch));
        if (claim.items.empty()) return {};
        look_at_marks_ = true;
        for (Item* item : claim.items) item->promised = true;
        if (claim.free.covers(claim.need)) {
            for (Item* item : claim.items) advance(*item);
            return {};
        }
        fetch.waits_for_room = true;  // until something was removed
        if (removals_ > 0) return {};
        const Room missing = claim.need - claim.free;
        auto round = SENV_TRY(collector_.collect({missing, missing, true}, running(), Collector::How::all_or_nothing));
        if (round.grave) {
            bury(std::move(round), "for '" + fetch.profile.absolute() + "'", nullptr);
        } else {
            refused_.emplace(fetch.profile, does_not_fit(fetch.profile, claim.need, claim.free, round.eviction));
        }
        return {};
    }

    /// Removes what was evicted, in the background; then whoever waits for room looks again.
    void bury(Collector::Round round, const std::string& why, std::function<void()> then) {
        const Eviction& gone = round.eviction;
        log(Level::info, "evicted",
            {{"profiles", gone.profiles.size()},
             {"items", gone.items.size()},
             {"bytes", gone.nar_bytes},
             {"disk_bytes", gone.room.bytes},
             {"why", why}});
        metrics_.evicted(gone.items.size(), gone.nar_bytes);
        totals_.items -= gone.items.size();
        totals_.bytes -= gone.nar_bytes;
        stored_ -= gone.room;
        const std::set<StorePath> paths(gone.items.begin(), gone.items.end());
        for (const auto& path : paths) durability_.evicted(path);
        if (verification_ && verification_->checking && paths.contains(*verification_->checking)) {
            verification_->disturbed = true;
        }
        ++removals_;
        keeper_->push(RemoveJob{*std::move(round.grave), [this, then = std::move(then)] {
                                    mailbox_.push(Removed{});
                                    if (then) then();
                                }});
    }

    Result<void> take(const Removed&) {
        --removals_;
        store_.keep_reserve();
        look_at_marks_ = true;
        for (auto& [profile, fetch] : fetches_) {
            if (std::exchange(fetch.waits_for_room, false)) release(fetch);
        }
        return {};
    }

    /// Evicts down to the low mark when the disk is fuller than the high mark. What was used lately goes only as far as
    /// needed to be below the high mark.
    Result<void> keep_below_marks() {
        const auto now = Clock::now();
        if (!look_at_marks_ || removals_ > 0 || now < next_marks_) return {};
        look_at_marks_ = false;
        (void)store_.leases().live();  // files of an older senvd that nobody holds are not what fills the disk
        const auto disk = SENV_TRY(store_.disk());
        store_.keep_reserve();
        const Usage usage{disk.free, disk.all, stored_};
        const Room over = above(config_.high_water, usage);
        if (!ran_full_ && over == Room{}) return {};
        ran_full_ = false;
        auto round =
            collector_.collect({above(config_.low_water, usage), over}, running(), Collector::How::as_far_as_possible);
        if (!round) {
            log_error(Level::warning, "not-evicted", round.error());
            next_marks_ = now + vain_period;
        } else if (round->grave) {
            bury(*std::move(round), "the disk is above its high water mark", nullptr);
        } else {
            next_marks_ = now + vain_period;
        }
        return {};
    }

    /// The disk was full before what had been promised was there: others use it too, or a guess was too low.
    Error ran_full(const Fetch& fetch, const Error& cause) {
        ran_full_ = true;
        look_at_marks_ = true;
        Room need;
        for (const auto& path : fetch.open) {
            const Item& item = items_.at(path);
            if (item.vetted) need += guessed_room(item.vetted->narinfo->nar_size());
        }
        const auto disk = store_.disk();
        const auto round =
            collector_.collect({Wish::everything, Wish::everything, true}, running(), Collector::How::dry_run);
        if (!disk || !round) return became_full(fetch.profile, cause);
        return became_full(fetch.profile, cause, need, disk->free, round->eviction);
    }

    // ------------------------------------------------------------------------------------------------------------ verify

    Result<void> take(const AskVerify& message) {
        Verification verification{message.client, message.repair};
        const auto add = [&](const ItemRecord& record) {
            verification.to_check.push_back(record.path);
            verification.items += 1;
            verification.bytes += record.nar_size;
        };
        const auto begun = contained([&]() -> Result<void> {
            if (verification_) {
                return verifies_already();
            }
            if (message.roots.empty()) return store_.catalog().for_each(add);
            const auto reached =
                SENV_TRY(closure_of(message.roots, [&](const StorePath& path) { return store_.catalog().row(path); }));
            for (const auto& root : message.roots) {
                if (reached.valid.contains(root)) continue;
                return nothing_to_verify(root);
            }
            for (const auto& path : reached.valid) add(*SENV_TRY(store_.catalog().row(path)));
            return {};
        });
        if (!begun) {
            answer(message.client, "verify", [&]() -> Result<std::string> { return begun.error(); });
            return {};
        }
        verification_ = std::move(verification);
        check_next();
        return {};
    }

    void check_next() {
        Verification& verification = *verification_;
        while (!verification.checking && !verification.to_check.empty()) {
            const StorePath path = std::move(verification.to_check.back());
            verification.to_check.pop_back();
            const auto record = store_.catalog().row(path);
            if (!record) {
                verification.result.not_repaired.push_back({path, record.error().what()});
            } else if (*record && (*record)->damaged) {
                found_damaged(path, Error(Kind::corrupt, "it was found damaged before"));
            } else if (*record) {
                verification.checking = path;
                verifier_->push(**record);
            }
        }
    }

    Result<void> take(const Checked& message) {
        if (!verification_) return Error(Kind::bug, "an item was checked that nobody asked for");
        verification_->checking.reset();
        const bool disturbed = std::exchange(verification_->disturbed, false);
        const auto judged = contained([&]() -> Result<void> {
            const auto record = SENV_TRY(store_.catalog().row(message.item));
            if (!record) return {};  // evicted
            if (disturbed) {
                verification_->to_check.push_back(message.item);
                return {};
            }
            if (!message.result && !is_damage(message.result.error())) {
                log_error(Level::warning, "unreadable", message.result.error(), {{"item", message.item.absolute()}});
                verification_->result.unreadable.push_back({message.item, message.result.error().what()});
                return {};
            }
            verification_->result.checked += 1;
            verification_->result.bytes += record->nar_size;
            if (message.result) return {};
            log_error(Level::warning, "damaged", message.result.error(), {{"item", message.item.absolute()}});
            metrics_.item_damaged();
            SENV_TRY(condemn(*record));
            found_damaged(message.item, message.result.error());
            return {};
        });
        if (!judged) verification_->result.not_repaired.push_back({message.item, judged.error().what()});
        check_next();
        return {};
    }

    /// Else it says nothing about the item: this node could not read it, now.
    static bool is_damage(const Error& error) { return error.kind() == Kind::corrupt || error.kind() == Kind::missing; }

    /// From here on nobody gets the item as complete.
    Result<void> condemn(const ItemRecord& record) {
        SENV_TRY(store_.mark_damaged(record.path));
        SENV_TRY(store_.catalog().record_uses(board_.forget()));  // which plans stand on it takes longer to find out
        for (auto& [profile, fetch] : fetches_) {
            if (fetch.open.contains(record.path) || fetch.seen.erase(record.path) == 0) continue;
            fetch.items_done -= 1;
            fetch.bytes_done -= record.nar_size;
            fetch.bytes_total -= record.nar_size;
            expand(fetch, {record.path});
        }
        return {};
    }

    void found_damaged(const StorePath& path, const Error& why) {
        Verification& verification = *verification_;
        verification.result.damaged.push_back({path, why.what()});
        if (!verification.repair) return;
        verification.repairing.insert(path);
        const auto now = Clock::now();
        const auto [entry, fresh] = fetches_.try_emplace(path, path, Requester(), now, now + config_.fetch_limit);
        entry->second.is_sure = true;
        if (!fresh) return;  // a job wants the item, and more
        entry->second.is_repair = true;
        expand(entry->second, {path});
    }

    /// A job wants all that the item reaches.
    void extend_repair(Fetch& fetch, const Requester& requester) {
        fetch.is_repair = false;
        fetch.requester = requester;
        fetch.begun = Clock::now();
        fetch.deadline = fetch.begun + config_.fetch_limit;
        const Item& item = items_.at(fetch.profile);
        if (item.vetted) expand(fetch, item.vetted->narinfo->references());
    }

    /// What `before` says has come anew.
    void repaired(const ItemRecord& before) {
        totals_.items -= 1;
        totals_.bytes -= before.nar_size;
        stored_ -= before.room;
        log(Level::info, "repaired", {{"item", before.path.absolute()}});
        metrics_.item_repaired();
        if (!verification_) return;
        if (verification_->checking == before.path) verification_->disturbed = true;
        if (verification_->repairing.erase(before.path) > 0) verification_->result.repaired.push_back(before.path);
    }

    void tell_verifying(Deadline now) {
        if (!verification_ || now < verification_->next_progress) return;
        verification_->next_progress = now + seconds(1);
        wire::Progress progress;
        progress.items_done = static_cast<std::uint32_t>(verification_->result.checked);
        progress.items_total = verification_->items;
        progress.bytes_done = verification_->result.bytes;
        progress.bytes_total = verification_->bytes;
        if (verification_->checking) {
            progress.what = "checking " + verification_->checking->base();
        } else {
            progress.what = "fetching what is damaged: " + std::to_string(verification_->repairing.size()) + " to come";
        }
        events_.progress(verification_->client, progress);
    }

    Result<void> end_verification() {
        if (!verification_ || verification_->checking || !verification_->to_check.empty() ||
            !verification_->repairing.empty()) {
            return {};
        }
        const Verification ended = *std::exchange(verification_, std::nullopt);
        const Verified& result = ended.result;
        log(Level::info, "verified",
            {{"checked", result.checked},
             {"bytes", result.bytes},
             {"damaged", result.damaged.size()},
             {"repaired", result.repaired.size()},
             {"unreadable", result.unreadable.size()}});
        answer(ended.client, "verify", [&]() -> Result<std::string> { return to_json(result); });
        return ended.repair ? evict_damaged(result.not_repaired) : Result<void>();
    }

    /// The store holds what was verified; what cannot be repaired stays only where a job or an administrator needs it.
    Result<void> evict_damaged(const std::vector<Verified::Flaw>& flaws) {
        if (flaws.empty()) return {};
        std::vector<StorePath> roots(store_.pins().begin(), store_.pins().end());
        for (auto& lease : SENV_TRY(store_.leases().to_keep())) roots.push_back(std::move(lease.profile));
        const auto row = [&](const StorePath& path) { return store_.catalog().row(path); };
        const auto needed = SENV_TRY(closure_of(roots, row)).valid;
        const auto fetching = running().items;
        Collector::Round round;
        for (const auto& flaw : flaws) {
            if (needed.contains(flaw.item) || fetching.contains(flaw.item)) continue;
            const auto record = SENV_TRY(row(flaw.item));
            if (!record || !record->damaged) continue;
            round.eviction.items.push_back(flaw.item);
            round.eviction.nar_bytes += record->nar_size;
            round.eviction.room += record->room;
        }
        if (round.eviction.items.empty()) return {};
        round.grave.emplace(SENV_TRY(store_.evict(round.eviction.items)));
        bury(std::move(round), "damaged, and no origin gives it", nullptr);
        return {};
    }

    // --------------------------------------------------------------------------------------------------- other requests

    template <class F>
    void answer(std::uint64_t client, std::string_view request, F&& make_text) {
        const Result<std::string> text = contained(make_text);
        if (!text && text.error().kind() != Kind::missing) {
            log_error(Level::warning, "not-answered", text.error(), {{"request", request}});
        }
        events_.answer(client, text ? wire::encode_text(*text) : wire::encode_error(text.error()));
    }

    Result<void> take(const AskStatus& message) {
        answer(message.client, "status", [&]() -> Result<std::string> {
            Status status;
            status.version = version_;
            status.uptime_s =
                static_cast<std::uint64_t>(std::chrono::duration_cast<seconds>(Clock::now() - begun_).count());
            status.store = store_.state().store_path();
            status.items = totals_.items;
            status.bytes = totals_.bytes;
            status.profiles = SENV_TRY(store_.catalog().profiles()).size();
            status.leases = store_.leases().live();
            tell_progress();
            for (const auto& [profile, fetch] : fetches_) status.fetches.push_back(status_of(fetch));
            const auto disk = SENV_TRY(store_.disk());
            status.space = {{disk.free, disk.all, stored_},
                            config_.high_water.text(),
                            config_.low_water.text(),
                            removals_ > 0,
                            store_.pins().size()};
            for (const auto& origin : origins_) {
                status.origins.push_back(shown_url(origin.url));
                if (!origin.trouble.empty()) status.troubles.push_back({status.origins.back(), origin.trouble});
            }
            return to_json(status);
        });
        return {};
    }

    FetchStatus status_of(const Fetch& fetch) const {
        FetchStatus status{fetch.profile, board_.progress(fetch.profile).value_or(wire::Progress{})};
        status.seconds =
            static_cast<std::uint64_t>(std::chrono::duration_cast<seconds>(Clock::now() - fetch.begun).count());
        status.waiting = board_.waiting(fetch.profile);
        for (const auto& path : fetch.open) {
            const Item& item = items_.at(path);
            if (!item.transfer || !item.transfer->begun) continue;
            status.transfers.push_back({path, shown_url(origins_[item.origin].url),
                                        item.transfer->bytes.load(std::memory_order_relaxed),
                                        item.vetted->narinfo->nar_size()});
        }
        return status;
    }

    Result<void> take(const AskCollect& message) {
        auto round = contained([&] {
            return collector_.collect({Wish::everything, {}}, running(),
                                      message.dry_run ? Collector::How::dry_run : Collector::How::as_far_as_possible);
        });
        if (!round || !round->grave) {
            answer(message.client, "gc", [&]() -> Result<std::string> {
                if (!round) return round.error();
                return to_json(round->eviction, message.dry_run);
            });
            return {};
        }
        auto frame = wire::encode_text(to_json(round->eviction, false));
        bury(*std::move(round), "senv gc",
             [this, client = message.client, frame = std::move(frame)] { events_.answer(client, frame); });
        return {};
    }

    Result<void> take(const AskPin& message) {
        answer(message.client, "pin", [&]() -> Result<std::string> {
            const StorePath& profile = message.profile;
            if (message.pinned) {
                const auto closure = SENV_TRY(closure_here({{profile}}));
                if (!closure.missing.empty()) {
                    return not_complete_to_pin(profile);
                }
                SENV_TRY(store_.pin(profile));
            } else {
                if (!store_.pins().contains(profile)) {
                    return not_pinned(profile);
                }
                SENV_TRY(store_.unpin(profile));
            }
            log(Level::info, message.pinned ? "pinned" : "unpinned", {{"profile", profile.absolute()}});
            return pin_to_json(profile, message.pinned);
        });
        return {};
    }

    Result<void> take(const AskList& message) {
        answer(message.client, "list", [&]() -> Result<std::string> {
            SENV_TRY(store_.catalog().record_uses(board_.take_uses()));
            std::map<StorePath, Listed> all;
            const auto add = [&](const StorePath& profile) -> Listed& {
                return all.try_emplace(profile, Listed{profile}).first->second;
            };
            for (const auto& use : SENV_TRY(store_.catalog().profiles()))
                add(use.profile).last_use = std::min(use.last_use, now_seconds());
            for (const auto& profile : store_.pins()) add(profile).pinned = true;
            for (const auto& lease : store_.leases().live()) ++add(lease.profile).leases;

            List list;
            for (auto one = message.after ? all.upper_bound(*message.after) : all.begin(); one != all.end(); ++one) {
                if (list.profiles.size() == list_page) {
                    list.next = list.profiles.back().profile;
                    break;
                }
                const auto closure = SENV_TRY(closure_here({{one->first}}));
                one->second.items = closure.valid.size();
                one->second.bytes = closure.bytes;
                one->second.disk_bytes = closure.room.bytes;
                one->second.complete = closure.missing.empty();
                list.profiles.push_back(one->second);
            }
            return to_json(list);
        });
        return {};
    }

    /// What is on this node of it.
    Result<Closure> closure_here(std::span<const StorePath> roots) {
        return closure_of(roots, [&](const StorePath& path) { return store_.catalog().find(path); });
    }

    double random() { return std::uniform_real_distribution<double>(0, 1)(random_); }

    const ServerConfig& config_;
    const std::string version_;
    Store store_;
    AclFile& acl_;
    NarinfoSource& narinfos_;
    Board& board_;
    Metrics& metrics_;
    EngineEvents events_;

    // Of the thread:
    std::vector<Origin> origins_;
    Absences absences_;
    std::size_t asks_ = 0;          // narinfos that are being asked for
    std::deque<StorePath> to_ask_;  // items that are queued, or were
    std::map<StorePath, Item> items_;
    std::map<StorePath, Fetch> fetches_;
    std::multimap<StorePath, Unweighed> unweighed_;  // by profile
    std::set<StorePath> exhausted_;                  // items that end at the end of this message
    std::set<StorePath> released_;                   // closures that may fetch, at the end of this message
    std::map<StorePath, Error> refused_;             // closures that end at the end of this message
    std::optional<Verification> verification_;
    Collector collector_;
    Room stored_;                // what the items take
    unsigned removals_ = 0;      // under way
    bool look_at_marks_ = true;  // at the end of this message
    bool ran_full_ = false;      // room has to be made, whatever the marks say
    Deadline next_marks_{};      // not before that: it was in vain
    Totals totals_;
    Deadline begun_ = Clock::now();
    Durability durability_{begun_};
    Deadline next_progress_ = begun_;
    Deadline next_retry_ = Deadline::max();
    Deadline next_uses_ = begun_ + idle_period;
    Deadline next_figures_ = begun_;
    std::minstd_rand random_{std::random_device{}()};

    Mailbox<Message> mailbox_;
    std::optional<Catalog> keeper_catalog_;  // the keeper's own
    std::optional<Planning> planning_;
    std::optional<Workers<VetJob, VettingQueue>> vetters_;
    std::optional<Workers<KeeperJob>> keeper_;
    std::optional<Workers<ItemRecord>> verifier_;
    std::optional<NarPool> pool_;
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
