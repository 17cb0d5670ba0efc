// helpers.h: what the engine gives to other threads, since it takes long: asking, checking signatures, fetching,
// making plans, waiting for the disk, removing and hashing trees.
//
// Shape    Each job ends in one message to the engine.
// Threads  Everything may be called from the engine's thread only. The destructor stops what runs and waits for it;
//          transfers are stopped, what is to be removed is removed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cache/daemon/acl_file.h"
#include "cache/daemon/board.h"
#include "cache/daemon/config.h"
#include "cache/daemon/mailbox.h"
#include "cache/daemon/nar_pool.h"
#include "cache/daemon/planning.h"
#include "cache/daemon/supply.h"
#include "cache/daemon/vetting_queue.h"
#include "cache/daemon/workers.h"
#include "cache/store/store.h"

namespace senv {

struct Planned {
    StorePath profile;
    Result<Board::PlanFrame> frame;
};
struct Synced {
    std::vector<StorePath> paths;
    Result<void> result;
};
struct Removed {
    std::function<void()> then;
};
struct Checked {
    StorePath item;
    Result<void> result;
};
using HelperMessage = std::variant<NarinfoVetted, NarFetched, Planned, Synced, Removed, Checked>;

class Helpers {
public:
    /// All must outlive this. `post`: from any thread.
    Helpers(const ServerConfig& config, Store& store, AclFile& acl, NarinfoSource& narinfos, NarSource& nars,
            Planner planner, std::function<void(HelperMessage)> post);
    ~Helpers();
    Helpers(const Helpers&) = delete;
    Helpers& operator=(const Helpers&) = delete;

    /// NarinfoVetted.
    void ask(const Supply::AskNarinfo& question);
    /// Nothing is kept any more of a NarinfoVetted that is_large.
    void narinfo_done() { vetters_->box()->done(); }
    /// NarFetched, unless it is withdrawn or taken back.
    void fetch(FetchJob job) { pool_->add(std::move(job)); }
    bool withdraw(const std::shared_ptr<Transfer>& transfer) { return pool_->withdraw(transfer); }
    std::vector<StorePath> take_back(OriginId origin) { return pool_->take_back(origin); }
    /// Planned. `uid`: of the user that it is made for.
    void plan(const StorePath& profile, std::uint32_t uid) { planning_->push(profile, uid); }
    /// Synced.
    void sync(std::vector<StorePath> paths) { keeper_->push(SyncJob{std::move(paths)}); }
    /// Removed.
    void remove(Staging grave, std::function<void()> then) {
        keeper_->push(RemoveJob{std::move(grave), std::move(then)});
    }
    /// Checked.
    void check(ItemRecord item) { verifier_->push(std::move(item)); }

private:
    struct SyncJob {
        std::vector<StorePath> paths;
    };
    struct RemoveJob {
        Staging grave;
        std::function<void()> then;
    };
    using KeeperJob = std::variant<SyncJob, RemoveJob>;

    void judge(const VetJob& job);
    void keep(KeeperJob job);

    Store& store_;
    AclFile& acl_;
    NarinfoSource& narinfos_;
    std::function<void(HelperMessage)> post_;
    std::optional<Catalog> keeper_catalog_;  // the keeper's own
    std::optional<Planning> planning_;
    std::optional<Workers<VetJob, VettingQueue>> vetters_;
    std::optional<Workers<KeeperJob>> keeper_;
    std::optional<Workers<ItemRecord>> verifier_;
    std::optional<NarPool> pool_;
};

}  // namespace senv
