// fetches.h: the closures that are being fetched: what each reaches, what of that is still to come, who wants which
// item. Pure: the time is given; the catalog is asked through a function.
//
// Shape    A closure grows as its narinfos become known. An item is wanted by as many closures as reach it, and is on
//          its way once. As long as a narinfo is to be known, a closure is open; when it is closed it may ask for
//          room. A repair is a closure of one item, which nothing is made of afterwards.
// Events   Each call may add some; take() gives them in their order. Carry each out before the next one is taken.
// Limits   max_items, max_narinfo_bytes for a closure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cache/base/fd.h"
#include "cache/daemon/board.h"
#include "cache/formats/narinfo.h"
#include "cache/formats/store_path.h"
#include "cache/store/closure.h"

namespace senv {

/// One closure on its way.
struct Fetch {
    StorePath profile;
    Requester requester;  // the first
    Deadline begun;
    Deadline deadline;
    std::optional<Deadline> abandoned{};  // nobody has waited since then
    std::set<StorePath> seen{};           // everything the profile reaches, as far as known
    std::set<StorePath> open{};           // of these, what is on its way
    std::size_t unsettled = 0;            // of these, whose narinfo is neither known nor said to come soon
    bool is_planning = false;
    bool is_sure = false;    // somebody wants it who may hold it
    bool is_repair = false;  // of this item alone, which is damaged: no plan follows
    std::size_t narinfo_bytes = 0;
    std::uint32_t items_done = 0;
    std::uint64_t bytes_done = 0;  // of nar
    std::uint64_t bytes_total = 0;
    std::uint32_t fetched = 0;
    std::uint64_t fetched_bytes = 0;
};

class Fetches {
public:
    // Far above what environments have: who signs for one cannot take all memory.
    static constexpr std::size_t max_items = 20'000;
    static constexpr std::size_t max_narinfo_bytes = 32UL * 1024 * 1024;
    static constexpr std::chrono::seconds abandoned_limit{15};  // should somebody come for it

    /// The item is to be supplied.
    struct Wanted {
        StorePath item;
    };
    /// Nobody wants the item any more.
    struct Unwanted {
        StorePath item;
    };
    /// All narinfos of the closure are known or will come: what is known may be fetched, if there is room.
    struct Closed {
        StorePath profile;
    };
    /// All items are in the store: a plan is to be made; then planned().
    struct Complete {
        StorePath profile;
    };
    /// A repair has come to its end.
    struct Repaired {
        StorePath profile;
    };
    /// The closure cannot be had.
    struct Failed {
        StorePath profile;
        Error why;
    };
    using Event = std::variant<Wanted, Unwanted, Closed, Complete, Repaired, Failed>;

    /// `find`: what is in the store and whole. `limit`: for a closure.
    Fetches(FindItem find, std::chrono::seconds limit) : find_(std::move(find)), limit_(limit) {}

    /// A requester wants the profile; `is_sure`: one who may hold it.
    void want(const StorePath& profile, const Requester& requester, bool is_sure, Deadline now);
    /// The item is damaged and to be fetched again, unless some closure does that already.
    void repair(const StorePath& item, Deadline now);
    /// Nobody waits for the profile any more.
    void abandon(const StorePath& profile, Deadline now);
    void make_sure(const StorePath& profile);

    // What becomes of items that are wanted.
    /// An authorised narinfo of it came, perhaps another one than before.
    void known(const StorePath& item, const std::shared_ptr<const Narinfo>& narinfo);
    /// Its narinfo is said to come soon.
    void soon(const StorePath& item);
    /// It can be fetched, if there is room: what was done for it before was given up.
    void idle(const StorePath& item);
    /// It is in the store.
    void came(const StorePath& item, std::uint64_t nar_size);
    /// It can not be had: its closures are to be given up, then it is forgotten.
    std::vector<StorePath> wanted_by(const StorePath& item) const;
    /// It was found damaged: whoever counted it as there needs it again.
    void damaged(const ItemRecord& item);

    /// The plan was made, or not. True: the closure is still complete.
    bool planned(const StorePath& profile);
    /// Forgets the closure; nullopt: there is none.
    std::optional<Fetch> give_up(const StorePath& profile);

    std::vector<StorePath> overdue(Deadline now) const;
    std::vector<StorePath> abandoned(Deadline now) const;

    std::optional<Event> take();

    const Fetch* find(const StorePath& profile) const;
    const std::map<StorePath, Fetch>& all() const noexcept { return fetches_; }
    /// The narinfo of an item that is wanted, if it is known.
    std::shared_ptr<const Narinfo> narinfo(const StorePath& item) const;
    /// For the log: who asked first for one of the closures that want the item; nobody when there is none.
    Requester one_who_wants(const StorePath& item) const;

private:
    struct Item {
        std::set<StorePath> wanted_by{};  // profiles
        bool is_settled = false;          // its narinfo was known once, or is said to come soon
        std::shared_ptr<const Narinfo> narinfo{};
    };

    void expand(Fetch& fetch, std::vector<StorePath> paths);
    bool is_too_large(const Fetch& fetch);
    void join(Fetch& fetch, const StorePath& path, Item& item, std::vector<StorePath>& paths);
    void extend_repair(Fetch& fetch, const Requester& requester, Deadline now);
    void settle(Item& item);
    void plan(Fetch& fetch);
    void close(const Fetch& fetch);

    FindItem find_;
    std::chrono::seconds limit_;
    std::map<StorePath, Fetch> fetches_;
    std::map<StorePath, Item> items_;  // that are wanted
    std::deque<Event> events_;
    std::set<StorePath> closed_;  // of the events
};

}  // namespace senv
