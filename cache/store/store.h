// store.h: the store on this node's disk. An item is valid when the catalog has it; then it is whole, verified, and its
// narinfo is kept beside it.
//
// Life     staging/ID/HASH-NAME  made by a TreeWriter, top directory 0755
//          narinfo/HASH-NAME     written
//          store/HASH-NAME       one rename, then the top directory gets 0555   (place)
//          a row in the catalog                                                 (record)
//          Evicting goes the other way: the row, then a rename into staging/, then the narinfo; then the tree is removed.
//          On a full disk that needs room itself: a file of 2 MiB is given up for it, and made again when there is room.
// Crash    open() brings back order from a stop at any of these points: what has no row is removed, a row without its tree
//          or narinfo is dropped. After a reboot that was no clean stop, items not known to be on the disk are hashed, and
//          dropped when they or their narinfos differ. A lost or damaged catalog is made anew: every item whose narinfo is
//          still vouched for and whose hash is right stays. That is what narinfos are kept for. One that is lost while the
//          catalog has the item is no trace of a crash: the item counts as damaged, and a job's files stay.
// Threads  new_staging(), place(), check() and sync() from any thread; everything else from one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/formats/narinfo.h"
#include "cache/store/catalog.h"
#include "cache/store/leases.h"
#include "cache/store/pins.h"
#include "cache/store/state_dir.h"

namespace senv {

/// A private folder in staging/; removed with all in it at the end of its life, or, where that fails, at the next start.
class Staging {
public:
    static Result<Staging> make(const Fd& staging);
    Staging(Staging&&) noexcept = default;
    Staging& operator=(Staging&&) = delete;
    ~Staging();

    const Fd& dir() const noexcept { return dir_; }

private:
    Staging(Fd staging, std::string name, Fd dir)
        : staging_(std::move(staging)), name_(std::move(name)), dir_(std::move(dir)) {}
    Fd staging_;  // none: moved away
    std::string name_;
    Fd dir_;
};

/// What open() had to put right.
struct Repairs {
    bool catalog_rebuilt = false;
    std::size_t checked = 0;           // items hashed
    std::vector<std::string> removed;  // names in store/ that were not valid, or not any more
    std::vector<StorePath> damaged;    // whose narinfo was lost
    std::size_t lost_pins = 0;         // that could not be read
};

class Store {
public:
    /// `boot_id` tells this boot of the node from others. `vouch` says whether a kept narinfo is still to be believed; only
    /// asked when the catalog is made anew.
    static Result<Store> open(StateDir state, std::string boot_id,
                              const std::function<Result<void>(const Narinfo&)>& vouch, Repairs& repairs);

    /// Unpacks go here.
    Result<Staging> new_staging() const { return Staging::make(state_.staging); }
    /// Makes the verified tree `staging`/HASH-NAME visible in the store, in place of what stands there: then the name is never
    /// missing, and what stood there goes with `staging`. Not valid yet: record() follows.
    Result<void> place(const Staging& staging, const Narinfo& narinfo) const;
    /// `room`: what its tree and its narinfo take.
    Result<void> record(const Narinfo& narinfo, const Room& room, std::int64_t now);

    /// Whether its tree, with the modes of the store, and its narinfo are what was signed. corrupt or missing: they are not;
    /// busy: stopped; any other: it could not be found out.
    Result<void> check(const ItemRecord& record, const std::stop_token& stop) const;
    /// The item counts as missing until it is recorded again. Works on a full disk.
    Result<void> mark_damaged(const StorePath& path);

    /// Makes these items invalid and takes them out of store/, and forgets the uses of these profiles. The files go with the
    /// returned folder. Works on a full disk.
    Result<Staging> evict(std::span<const StorePath> paths, std::span<const StorePath> profiles = {});

    const std::set<StorePath>& pins() const noexcept { return pins_; }
    /// On the disk when it returns. Works on a full disk.
    Result<void> pin(const StorePath& profile);
    Result<void> unpin(const StorePath& profile);

    /// What is free for us on the file system of the store, and what there is in all (for us). Without inode counts,
    /// `inodes` is as large as it gets in both.
    struct Disk {
        Room free;
        Room all;
    };
    Result<Disk> disk() const;
    /// Makes the reserve, if it is not there and there is room.
    void keep_reserve() noexcept;

    /// Waits until the disk has everything placed so far.
    Result<void> sync() const;
    /// A clean end: after this, the next open() has nothing to check.
    Result<void> close();

    Catalog& catalog() noexcept { return catalog_; }
    const StateDir& state() const noexcept { return state_; }
    Leases& leases() const noexcept { return *state_.leases; }

private:
    Store(StateDir state, Catalog catalog, std::string boot_id, std::set<StorePath> pins)
        : state_(std::move(state)),
          catalog_(std::move(catalog)),
          boot_id_(std::move(boot_id)),
          pins_(std::move(pins)) {}
    Result<void> repair(bool check_hashes, Repairs& repairs);
    Result<void> check_narinfo(const ItemRecord& record) const;
    Result<void> rebuild(const std::function<Result<void>(const Narinfo&)>& vouch, Repairs& repairs);
    Result<void> write_session(std::string_view end) const;
    Result<void> replace_pins(std::set<StorePath> pins);
    template <class F>
    auto with_reserve(F&& body) -> decltype(body());

    StateDir state_;
    Catalog catalog_;
    std::string boot_id_;
    std::set<StorePath> pins_;
    bool reserve_there_ = false;
};

}  // namespace senv
