// report.h: what senvd tells about itself, as JSON. Pure.
//
// Shape    STATUS: {version, uptime_s, store, items, bytes, profiles, leases: [{profile, job, step, uid, file}], fetches:
//          [{profile, seconds, items_done, items_total, bytes_done, bytes_total, what, transfers: [{item, origin, bytes_done,
//          bytes_total}], waiting, waiters: [{uid, job, step}]}], origins: [URL], troubles: [{origin,
//          why}] (of those that were of no use when they were asked last), space: {disk: {bytes, free, inodes,
//          inodes_free} (the last two only where they are counted), store: {bytes, inodes}, high_water, low_water, evicting,
//          pins}}.
//          LIST: {profiles: [{profile, items, bytes, disk_bytes, last_use, pinned, leases, complete}], next: PROFILE or null}.
//          GC: {dry_run, evicted: [PROFILE], items, bytes, disk_bytes, inodes, kept: [{profile, why, disk_bytes}]}, the largest
//          kept first. PIN: {profile, pinned}.
//          RELEASE: {released: [{profile, job, step, uid, file}]}.
//          VERIFY: {checked, bytes, damaged: [{item, why}], repaired: [ITEM], not_repaired: [{item, why}]}.
// Limits   A list ends after `most_listed` entries or `most_list_bytes`, so that a reply stays within the protocol's limit;
//          then a field "more_NAME" counts the rest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cache/daemon/board.h"
#include "cache/daemon/space.h"
#include "cache/store/leases.h"
#include "cache/wire/messages.h"

namespace senv {

inline constexpr std::size_t most_listed = 1000;
inline constexpr std::size_t most_list_bytes = 150UL * 1024;

struct FetchStatus {
    struct Transfer {
        StorePath item;
        std::string origin;            // without credentials
        std::uint64_t bytes_done = 0;  // of nar
        std::uint64_t bytes_total = 0;
    };

    StorePath profile;
    wire::Progress progress;
    std::uint64_t seconds = 0;  // for which it has been going on
    std::vector<Transfer> transfers{};
    std::vector<Requester> waiting{};
};

struct SpaceStatus {
    Usage usage;
    std::string high_water;
    std::string low_water;
    bool evicting = false;
    std::uint64_t pins = 0;
};

struct OriginTrouble {
    std::string origin;  // without credentials
    std::string why;
};

struct Status {
    std::string version;
    std::uint64_t uptime_s = 0;
    std::string store;
    std::uint64_t items = 0;
    std::uint64_t bytes = 0;  // of nar
    std::uint64_t profiles = 0;
    std::vector<HeldLease> leases;
    std::vector<FetchStatus> fetches;
    std::vector<std::string> origins;  // without credentials
    std::vector<OriginTrouble> troubles{};
    SpaceStatus space;
};

struct Listed {
    StorePath profile;
    std::uint64_t items = 0;
    std::uint64_t bytes = 0;  // of nar
    std::uint64_t disk_bytes = 0;
    std::int64_t last_use = 0;  // seconds since 1970; 0: never
    bool pinned = false;
    std::uint64_t leases = 0;
    bool complete = false;
};

/// One page.
struct List {
    std::vector<Listed> profiles;
    std::optional<StorePath> next;  // ask for what comes after it
};

/// Of the items that were looked at, as far as repairs were asked for.
struct Verified {
    struct Flaw {
        StorePath item;
        std::string why;
    };
    std::uint64_t checked = 0;
    std::uint64_t bytes = 0;  // of nar
    std::vector<Flaw> damaged;
    std::vector<StorePath> repaired;
    std::vector<Flaw> not_repaired;
    std::vector<Flaw> unreadable;  // not checked: whether they are damaged is not known
};

std::string to_json(const Status& status);
std::string to_json(const Eviction& eviction, bool dry_run);
std::string to_json(const List& list);
std::string to_json(const Verified& verified);
std::string released_to_json(const std::vector<HeldLease>& leases);
std::string pin_to_json(const StorePath& profile, bool pinned);

}  // namespace senv
