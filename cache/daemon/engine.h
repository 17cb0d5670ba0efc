// engine.h: decides what is fetched, from where, and what is evicted.
//
// Shape    One thread owns all of it and takes one message after the other; so nothing in it needs a lock, an item is
//          asked for and fetched once however many closures want it, and evicting cannot meet a fetch halfway. What
//          takes long is done elsewhere (helpers.h) and answers by a message. What is decided is decided in modules
//          that do not know each other (engine_state.h); each says what it wants done, and the engine carries that to
//          the others:
//
//            fetches       what each closure reaches, and what of that is still to come
//            supply        which origin an item comes from, and when it is tried again
//            room_keeper   who may fetch how much, and what has to go for it
//            lending       which leases a user may have
//            verification  what `senv verify` still has to check
//            durability    which items the disk has
//
// Life     A closure: fetches wants an item -> supply asks for its narinfo -> known -> fetches wants what it refers
//          to, until all narinfos are known or said to come soon: closed. Then lending weighs it and room_keeper
//          admits it, perhaps after evicting others -> supply fetches its items, largest first -> placed, recorded ->
//          fetches: complete -> a plan is made -> those who wait are told. The first item that nobody can give ends
//          it; what was placed stays. An item that verify() finds damaged counts as missing from then on, and is
//          fetched again.
// Threads  The public functions may be called from any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/daemon/acl_file.h"
#include "cache/daemon/board.h"
#include "cache/daemon/config.h"
#include "cache/daemon/engine_events.h"
#include "cache/daemon/metrics.h"
#include "cache/fetch/transport.h"
#include "cache/store/store.h"

namespace senv {

class Engine {
public:
    Engine(const ServerConfig& config, std::string version, Store store, AclFile& acl, NarinfoSource& narinfos,
           NarSource& nars, Planner planner, Board& board, Metrics& metrics, EngineEvents events);
    /// Stops what runs, and waits for it. Then the state folder is clean.
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Ends in exactly one complete() or failed() for the profile, unless it is abandoned; several calls may share
    /// it. The leases of `lease_for`'s user are weighed (user_leased): at once or, where it is not known yet what the
    /// environment takes, later, it may be refused() instead; then the lease is void.
    void provision(const StorePath& profile, const Requester& requester, const std::optional<LeaseFor>& lease_for = {});
    /// Nobody waits for it any more, and nobody has asked for it for later: if that stays so, it is given up after a
    /// while.
    void abandon(const StorePath& profile);
    void status(std::uint64_t client);
    void collect(std::uint64_t client, bool dry_run);
    /// One page of profiles, from the first after `after`.
    void list(std::uint64_t client, const std::optional<StorePath>& after);
    void pin(std::uint64_t client, const StorePath& profile, bool pinned);
    /// Hashes all that `roots` reach, or everything when there are none. `repair`: fetches what is damaged again; what
    /// nobody can give and no lease or pin needs goes. One at a time.
    void verify(std::uint64_t client, std::vector<StorePath> roots, bool repair);

private:
    class Thread;
    std::unique_ptr<Thread> thread_;
};

}  // namespace senv
