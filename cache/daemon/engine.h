// engine.h: decides what is fetched, from where, and what is evicted.
//
// Shape    One thread owns all of it (the catalog, the closures being fetched, their items) and takes one message after the
//          other; so nothing in it needs a lock, an item is asked for and fetched once however many closures want it, and
//          evicting cannot meet a fetch halfway. What takes long is done elsewhere and answers by a message: narinfos and
//          nars (cache/fetch), checking signatures, making plans, removing trees, hashing them, waiting for the disk.
// Life     A closure: its narinfos are asked for, breadth-first. When all are known, or said to come soon, its items are
//          fetched, largest first, as soon as there is room for them, perhaps after evicting others; else it ends before
//          anything was fetched. When all are valid, the plan is made. The first item that nobody can give ends it; what was
//          placed stays. An item that verify() finds damaged counts as missing from then on, and is fetched anew.
//          How an item goes from origin to origin until one gives all of it: walk.h, origin_state.h.
// Threads  The public functions may be called from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/daemon/acl_file.h"
#include "cache/daemon/board.h"
#include "cache/daemon/config.h"
#include "cache/daemon/metrics.h"
#include "cache/fetch/transport.h"
#include "cache/store/store.h"

namespace senv {

/// What the engine tells; called on its thread, must not block.
struct EngineEvents {
    std::function<void(const StorePath&)> pending;                     // is not complete, is being fetched
    std::function<void(const StorePath&, Board::PlanFrame)> complete;  // a PLAN frame
    std::function<void(const StorePath&, const Error&)> failed;
    std::function<void(std::uint64_t client, std::string frame)> answer;  // to all the others
    // To a client that waits for an environment and was to get a lease; it is told either before anything else.
    std::function<void(std::uint64_t client, Fd lease)> lease;
    std::function<void(std::uint64_t client, const Error&)> refused;
    std::function<void(std::uint64_t client, const wire::Progress&)> progress;  // of verify(), at most one a second
};

class Engine {
public:
    Engine(const ServerConfig& config, std::string version, Store store, AclFile& acl, NarinfoSource& narinfos,
           NarSource& nars, Planner planner, Board& board, Metrics& metrics, EngineEvents events);
    /// Stops what runs, and waits for it. Then the state folder is clean.
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Ends in exactly one complete() or failed() for the profile, unless it is abandoned; several calls may share it. The
    /// leases of `lease_for`'s user are weighed (user_leased): at once or, where it is not known yet what the environment
    /// takes, later, it may be refused() instead; then the lease is void.
    void provision(const StorePath& profile, const Requester& requester, const std::optional<LeaseFor>& lease_for = {});
    /// Nobody waits for it any more, and nobody has asked for it for later: if that stays so, it is given up after a while.
    void abandon(const StorePath& profile);
    void status(std::uint64_t client);
    void collect(std::uint64_t client, bool dry_run);
    /// One page of profiles, from the first after `after`.
    void list(std::uint64_t client, const std::optional<StorePath>& after);
    void pin(std::uint64_t client, const StorePath& profile, bool pinned);
    /// Hashes all that `roots` reach, or everything when there are none. `repair`: fetches anew what is damaged; what nobody
    /// can give and no lease or pin needs goes. One at a time.
    void verify(std::uint64_t client, std::vector<StorePath> roots, bool repair);

private:
    class Thread;
    std::unique_ptr<Thread> thread_;
};

}  // namespace senv
