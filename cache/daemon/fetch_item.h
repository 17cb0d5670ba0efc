// fetch_item.h: one item from a server into the store, as one pass: bytes as they arrive are hashed, unpacked into a
// private folder, compared with what was signed, and placed.
//
// Limits   Not one byte more than the signed NarSize is hashed or written.
// Effects  Success: the item is in store/, to be recorded. Anything else: nothing of it is left.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "cache/daemon/origin_id.h"
#include "cache/fetch/transport.h"
#include "cache/formats/narinfo.h"
#include "cache/store/store.h"

namespace senv {

/// What others may see of a running transfer, and how they end it.
struct Transfer {
    std::atomic<bool> begun{false};       // its turn has come
    std::atomic<std::uint64_t> bytes{0};  // of nar
    std::stop_source stop;
};

struct FetchJob {
    std::shared_ptr<const Narinfo> narinfo;
    NarRequest request;
    std::shared_ptr<Transfer> transfer;
    OriginId origin{};  // for whoever gave the job
};

enum class Fetched : unsigned char {
    placed,       // in the store
    absent,       // the origin does not have it
    soon,         // the origin is preparing it
    again,        // the origin failed in a manner that may pass
    unreachable,  // nobody answers there
    refused,      // this origin's nar is of no use: try another one
    failed,       // this node failed: the disk, a limit, a bug. No other origin would help
    stopped,      // somebody asked for it
};

struct FetchResult {
    Fetched outcome;
    std::optional<Error> error;  // none when placed
    std::optional<std::chrono::seconds> wished;
    Room room{};                       // what it takes with its narinfo, when placed
    std::chrono::microseconds took{};  // told by the pool
};

FetchResult fetch_item(const Store& store, NarSource& source, const FetchJob& job);

}  // namespace senv
