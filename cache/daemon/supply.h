// supply.h: how items that are wanted come from the origins: which origin is asked next, for what, and when again.
// Pure: the time and the dice are given; others ask, check signatures and fetch.
//
// Shape    An item goes from origin to origin (walk.h, origin_state.h) until its narinfo is known; it is fetched when
//          fetch() says so, and goes on from origin to origin until one gives all of it, or none is left. When nobody
//          wants it any more, what was begun for it ends, and its result is thrown away, unless somebody wants it
//          again.
// Events   Each call may add some; take() gives them in their order. Carry each out before the next one is taken.
// Limits   max_asks narinfos are asked for at the same time; the others wait for their turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cache/base/room.h"
#include "cache/daemon/fetch_item.h"
#include "cache/daemon/origins.h"
#include "cache/daemon/vetting.h"

namespace senv {

/// What an origin said about an item, after its signature was checked.
struct NarinfoVetted {
    StorePath item;
    OriginId origin;
    std::optional<std::variant<Vetted, Refusal>> answer;  // none: it could not be kept, and is to be asked for again
    bool is_large = false;
};
struct NarFetched {
    StorePath item;
    OriginId origin;
    FetchResult result;
};

class Supply {
public:
    // What a source does at once, twice. No more wait for their signatures to be checked.
    static constexpr std::size_t max_asks = 128;
    static constexpr std::chrono::seconds retry_within{
        2};  // then an origin that is down is not tried again for the item

    /// Ask the origin for the item's narinfo, and check it; then narinfo().
    struct AskNarinfo {
        OriginId origin;
        std::string url;
        StorePath item;
    };
    /// Then nar().
    struct FetchNar {
        FetchJob job;
    };
    /// Stop the transfer; withdrawn() where it had not begun, else nar() follows.
    struct Withdraw {
        StorePath item;
        std::shared_ptr<Transfer> transfer;
    };
    /// Jobs for this origin that have not begun may be done elsewhere sooner; then taken_back().
    struct TakeBack {
        OriginId origin;
    };
    /// The narinfo is known; the item waits for fetch().
    struct Known {
        StorePath item;
        std::shared_ptr<const Narinfo> narinfo;
    };
    /// Some origin prepares it.
    struct Soon {
        StorePath item;
    };
    /// It waits for fetch() again: its transfer was stopped before somebody wanted it again.
    struct Idle {
        StorePath item;
    };
    /// It is in the store, whether or not somebody wants it, and is to be recorded.
    struct Placed {
        StorePath item;
        std::shared_ptr<const Narinfo> narinfo;
        OriginId origin;
        FetchResult result;
    };
    struct NobodyHasIt {
        StorePath item;
        std::vector<Error> complaints;
    };
    /// This node could not take it.
    struct NodeFailed {
        StorePath item;
        Error why;
    };
    /// Nothing more is to come of the item.
    struct Gone {
        StorePath item;
    };
    struct Unreachable {
        OriginId origin;
        Error why;
    };
    struct Reachable {
        OriginId origin;
    };
    using Event = std::variant<AskNarinfo, FetchNar, Withdraw, TakeBack, Known, Soon, Idle, Placed, NobodyHasIt,
                               NodeFailed, Gone, Unreachable, Reachable>;

    /// `nar_limit`: for one transfer. `dice`: numbers in [0, 1).
    Supply(const std::vector<std::string>& origins, std::chrono::seconds nar_limit, std::function<double()> dice)
        : origins_(origins), nar_limit_(nar_limit), dice_(std::move(dice)) {}

    /// The item is wanted.
    void start(const StorePath& item, Deadline now);
    /// Nobody wants it any more.
    void withdraw(const StorePath& item);
    /// There is room for it.
    void fetch(const StorePath& item, Deadline now);
    void narinfo(NarinfoVetted message, Deadline now);
    void nar(NarFetched message, Deadline now);
    void withdrawn(const StorePath& item);
    void taken_back(const std::vector<StorePath>& items, Deadline now);
    void tick(Deadline now);
    /// When tick() has something to do.
    Deadline next_tick() const noexcept { return next_retry_; }

    std::optional<Event> take();

    /// How far an item is.
    struct Sight {
        OriginId origin;                     // whose turn it is
        std::uint64_t nar_size = 0;          // 0: not known yet
        const Transfer* transfer = nullptr;  // while it is fetched
        const std::string* why = nullptr;    // it is tried again
    };
    std::optional<Sight> look(const StorePath& item) const;
    /// Its narinfo is known, and it waits for fetch().
    bool is_idle(const StorePath& item) const;
    /// What it will still take while it is unpacked; nullopt: not known yet, or nothing.
    std::optional<Room> room_to_come(const StorePath& item) const;
    const Origins& origins() const noexcept { return origins_; }

private:
    struct Item {
        enum class State : unsigned char {
            queued,    // to be asked for its narinfo
            asking,    // for its narinfo
            retrying,  // at `retry_at`
            idle,      // its narinfo is known
            fetching,
            ended,  // nobody can give it: it goes when that is taken
        };
        Item(StorePath item_path, Walk item_walk) : path(std::move(item_path)), walk(std::move(item_walk)) {}

        StorePath path;
        Walk walk;
        State state = State::queued;
        bool is_wanted = true;
        bool is_soon = false;  // some origin prepared it
        OriginId origin{};     // whose turn it is
        Deadline first_try{};  // of this origin
        unsigned rests = 0;
        Deadline retry_at{};
        std::string why{};                         // it is retrying
        std::shared_ptr<const Narinfo> narinfo{};  // that is believed
        std::shared_ptr<Transfer> transfer{};
    };

    Item* find(const StorePath& path);
    void forget(const StorePath& path);
    Walk::Step next_step(Item& item, Deadline now);
    void advance(Item& item, Deadline now);
    void ask(Item& item, Deadline now);
    void wait_to_ask(Item& item);
    void fetch_from(Item& item, Deadline now);
    void rest(Item& item, Deadline now);
    void end(Item& item);
    void try_again_at(Item& item, Deadline when, std::string why);
    void give_time(OriginId origin, const Error& error, std::chrono::seconds wished, Deadline now);
    void failed(Item& item, Outcome outcome, Error error, std::optional<std::chrono::seconds> wished, Deadline now);
    bool may_try_again(Item& item, Outcome outcome, Deadline now);
    void answered(OriginId origin);
    void note_trouble(const NarinfoVetted& message);
    void heard(Item& item, NarinfoVetted message, Deadline now);
    void judge(Item& item, FetchResult result, Deadline now);

    Origins origins_;
    std::chrono::seconds nar_limit_;
    std::function<double()> dice_;
    Absences absences_;
    std::map<StorePath, Item> items_;
    std::size_t asks_ = 0;          // narinfos that are being asked for
    std::deque<StorePath> to_ask_;  // items that are queued, or were
    Deadline next_retry_ = Deadline::max();
    std::deque<Event> events_;
};

}  // namespace senv
