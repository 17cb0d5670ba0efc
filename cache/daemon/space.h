// space.h: what goes from a node's disk when room is needed. Pure.
//
// Shape    A closure is what its profile reaches in the store. What several closures share goes with the last of them.
// Order    First what no closure needs; then closures, least recently used first. Last, and only for what must be had: closures
//          used within the grace period, and before them, where the wish allows it, young items without a closure: they are
//          of a fetch that failed and will be tried again. Never: what is leased, pinned or needed by a fetch that runs.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/base/room.h"
#include "cache/formats/store_path.h"

namespace senv {

/// "200 GiB", "1.5 TiB", "4096 B": a number and one of B, KiB, MiB, GiB, TiB. Errors: usage.
Result<std::uint64_t> parse_amount(std::string_view text);
/// The other way, in the largest unit that needs no rounding: "1536 GiB".
std::string text_of_amount(std::uint64_t bytes);

/// How full it may be: a share of the file system (bytes and inodes), or an amount of what the store takes (then the share
/// still counts for inodes).
struct Mark {
    unsigned percent = 0;  // 1 to 99
    std::optional<std::uint64_t> bytes{};

    /// "90%" or an amount. `percent`: for inodes when it is an amount. Errors: usage.
    static Result<Mark> parse(std::string_view text, unsigned percent);
    std::string text() const;
};

struct Usage {
    Room free;   // on the file system
    Room all;    // there; inodes UINT64_MAX, as in `free`, where they are not counted
    Room store;  // what the items take
};

/// What the mark allows on a file system that has `all` bytes.
std::uint64_t bytes_at(const Mark& mark, std::uint64_t all) noexcept;
/// What would have to go to be at the mark; nothing when it is not above.
Room above(const Mark& mark, const Usage& usage);

/// What is in the store, by index. References to what is not there are left out.
struct Stock {
    struct Item {
        StorePath path;
        Room room;
        std::uint64_t nar_size = 0;
        std::int64_t added = 0;  // seconds since 1970
        std::vector<std::uint32_t> references{};
    };
    std::vector<Item> items;  // sorted by path

    std::optional<std::uint32_t> find(const StorePath& path) const;
};

struct StoredProfile {
    enum class Hold : unsigned char { nothing, grace, fetching, pinned, leased };

    StorePath profile;
    std::int64_t last_use = 0;  // seconds since 1970
    Hold hold = Hold::nothing;
    std::string why{};  // of the hold, for people: "leased by job 12 step 0"
};

struct Wish {
    static constexpr Room everything = {UINT64_MAX, UINT64_MAX};

    Room want;  // to be made free from what nobody holds
    Room must;  // also from what is in its grace period
    bool young = false;  // for the latter, young items without a closure may go too
};

struct Eviction {
    struct Kept {
        StorePath profile;
        Room room;  // of the closure; shared items count for each
        std::string why;
    };

    std::vector<StorePath> profiles;  // in the order in which they go
    std::vector<StorePath> items;
    Room room;                    // of the items
    std::uint64_t nar_bytes = 0;  // of the items
    std::vector<Kept> kept;       // all that is held and stays, largest first
};

/// `needed`: what running fetches need, in the store or not. `young_since`: items added later are young.
Eviction plan_eviction(const Stock& stock, std::span<const StoredProfile> profiles, const std::set<StorePath>& needed,
                       std::int64_t young_since, const Wish& wish);

/// "2.0 GiB '/gnu/store/…-p' (leased by job 12 step 0), …, and 3 more".
std::string text_of(std::span<const Eviction::Kept> kept, std::size_t most);

}  // namespace senv
