// catalog.h: what is known about the items in the store.
//
// Shape    SQLite, two tables: items (one row per item: hash, size, references, when it came, whether the disk surely has it,
//          what it takes there, whether it was found damaged) and profiles (when a closure was last used). A row in items is
//          what makes an item valid, unless it says that the item is damaged: then what is in store/ stays there, but counts
//          as missing. Version 2; a database of version 1, which lacks what items take, becomes one when it is opened.
// Durable  A commit survives the death of the process, not a loss of power (WAL, synchronous=NORMAL), except for remove() and
//          mark_damaged(): the answer never waits for the disk. What was lost then is found at the start (store.h).
// Threads  One thread at a time.
// Errors   corrupt when the file is no database of ours: it can be made anew from store/ and narinfo/. io.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/base/result.h"
#include "cache/base/room.h"
#include "cache/formats/hash.h"
#include "cache/formats/store_path.h"

namespace senv {

struct ItemRecord {
    StorePath path;
    Sha256 nar_hash;
    std::uint64_t nar_size = 0;
    std::vector<StorePath> references;
    std::int64_t added = 0;  // seconds since 1970
    bool durable = false;
    Room room{};  // with its narinfo; guessed where it was not counted
    bool damaged = false;
};

struct ProfileUse {
    StorePath profile;
    std::int64_t last_use = 0;  // seconds since 1970
};

struct Totals {
    std::uint64_t items = 0;
    std::uint64_t bytes = 0;  // of nar
};

class Catalog {
public:
    static Result<Catalog> open(const std::string& file);
    ~Catalog();
    Catalog(Catalog&&) noexcept;
    Catalog& operator=(Catalog&&) noexcept;

    /// None as well when it is damaged.
    Result<std::optional<ItemRecord>> find(const StorePath& path);
    Result<std::optional<ItemRecord>> row(const StorePath& path);
    Result<void> add(const ItemRecord& item);
    /// In one transaction. Waits for the disk: a row that came back after a loss of power would vouch for whatever has been
    /// placed under its name since.
    Result<void> remove(std::span<const StorePath> paths);
    Result<void> mark_durable(std::span<const StorePath> paths);
    /// Until it is added again. Waits for the disk: a row that came back without the mark would vouch for the tree that took
    /// the damaged one's place.
    Result<void> mark_damaged(const StorePath& path);
    /// In the order of their paths. `visit` must not use the catalog.
    Result<void> for_each(const std::function<void(ItemRecord)>& visit);
    Result<Totals> totals();

    /// Only ever moves forward. In one transaction.
    Result<void> record_uses(std::span<const ProfileUse> uses);
    Result<std::vector<ProfileUse>> profiles();
    /// Times later than that were written while the node's clock ran ahead: they become `now`, so that they age from here on.
    Result<void> leave_the_future(std::int64_t now);
    Result<void> forget_profiles(std::span<const StorePath> profiles);

    /// Moves what was committed from the log into the database, and waits for the disk. From a thread with a Catalog of
    /// its own on the same file.
    Result<void> checkpoint();

private:
    struct State;
    explicit Catalog(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace senv
