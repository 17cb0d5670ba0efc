// metrics.h: senvd's figures for Prometheus.
//
// Shape    Counted while senvd works, rendered as the text exposition format (version 0.0.4): each metric has HELP and TYPE,
//          each name its unit. Counters begin with the process, as Prometheus expects.
// Limits   Label values come from the code and the configuration only, so that no user and no server makes new series.
// Threads  Everything may be called from any. Counting takes no lock (but for stored()), so what is rendered while senvd
//          works may lack a part of what is being counted; the buckets and the count of a histogram always agree.
// Units    bytes are of nar, not of what was transferred, which may be compressed; times are seconds.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/base/room.h"
#include "cache/daemon/fetch_item.h"
#include "cache/fetch/transport.h"

namespace senv {

/// How often something took how long.
class Histogram {
public:
    using Duration = std::chrono::microseconds;
    static constexpr std::size_t most_bounds = 12;

    /// `bounds`: of the buckets, ascending, at most most_bounds; must live as long as this.
    explicit Histogram(std::span<const Duration> bounds) : bounds_(bounds) {}

    void observe(Duration took) noexcept;
    /// All lines of the metric `name` but HELP and TYPE.
    std::string text(std::string_view name) const;

private:
    std::span<const Duration> bounds_;
    std::array<std::atomic<std::uint64_t>, most_bounds + 1> counts_{};  // of each bucket alone; the last is "+Inf"
    std::atomic<std::uint64_t> sum_{0};                                 // microseconds
};

/// What becomes of a request for an environment.
enum class RequestEnd : unsigned char {
    hit,      // it was complete
    miss,     // it is complete now
    failed,   // it was not to be had
    refused,  // not tried
    gone,     // the client went away while it waited
};

/// What is there.
struct StoreFigures {
    std::uint64_t items = 0;
    std::uint64_t bytes = 0;
    Room room;  // what they take
    std::uint64_t profiles = 0;
    std::uint64_t leases = 0;
    Room disk;  // all of it; inodes UINT64_MAX, as in `free`, where they are not counted
    Room free;  // for senvd
};

class Metrics {
public:
    /// `origins`: as shown_url() shows them. `start`: seconds since 1970.
    Metrics(std::string version, std::int64_t start, std::vector<std::string> origins);

    void answered(RequestEnd how) noexcept { add(requests_, how); }
    void answered_warm(std::chrono::microseconds took) noexcept {
        answered(RequestEnd::hit);
        warm_.observe(took);
    }
    void connections(std::uint64_t open) noexcept { connections_.store(open, relaxed); }

    /// `origin`: one of those that were given at the start; others are not counted.
    void narinfo_came(std::string_view origin) noexcept;
    void narinfo_refused(std::string_view origin, Outcome why) noexcept;
    void item_fetched(std::string_view origin, std::uint64_t bytes, std::chrono::microseconds took) noexcept;
    void nar_failed(std::string_view origin, Fetched how) noexcept;

    void fetches(std::uint64_t running) noexcept { fetches_.store(running, relaxed); }
    void fetch_complete(std::chrono::microseconds took) noexcept { closures_.observe(took); }
    void fetch_failed(Kind why) noexcept { add(failures_, why); }

    void evicted(std::uint64_t items, std::uint64_t bytes) noexcept;
    void item_damaged() noexcept { add(damaged_items_); }
    void item_repaired() noexcept { add(repaired_items_); }
    /// Not for the warm path: it takes a lock, for as long as it takes to copy them.
    void stored(const StoreFigures& figures);

    /// Until stored() is called the next time, at most that long: what is counted and what is looked up are then of one moment.
    void await_stored(const std::stop_token& stop, std::chrono::milliseconds limit);

    /// What is in the store is left out until stored() was called.
    std::string text() const;

private:
    using Counter = std::atomic<std::uint64_t>;
    static constexpr auto relaxed = std::memory_order_relaxed;

    struct Origin {
        explicit Origin(std::string shown) : label(std::move(shown)) {}
        std::string label;
        Counter narinfos_found{0};
        std::array<Counter, 6> narinfos_refused{};  // by Outcome
        Counter items{0};
        Counter bytes{0};
        std::array<Counter, 8> nars{};  // by Fetched; those placed are `items`
    };

    static void add(Counter& counter, std::uint64_t count = 1) noexcept { counter.fetch_add(count, relaxed); }
    template <std::size_t n, class Value>
    static void add(std::array<Counter, n>& counters, Value value) noexcept {
        const auto place = static_cast<std::size_t>(value);
        if (place < n) add(counters[place]);
    }
    Origin* find(std::string_view origin) noexcept;
    static std::uint64_t read(const Counter& counter) noexcept { return counter.load(relaxed); }

    class Page;
    void tell_requests(Page& page) const;
    void tell_origins(Page& page) const;
    void tell_store(Page& page) const;

    const std::string version_;
    const std::int64_t start_;
    std::vector<std::unique_ptr<Origin>> origins_;  // each label once

    std::array<Counter, 5> requests_{};  // by RequestEnd
    std::array<Counter, 8> failures_{};  // by Kind
    Histogram warm_;
    Histogram closures_;
    Histogram items_;
    Counter connections_{0};
    Counter fetches_{0};
    Counter evicted_items_{0};
    Counter evicted_bytes_{0};
    Counter damaged_items_{0};
    Counter repaired_items_{0};
    mutable std::mutex stored_mutex_;
    std::condition_variable_any stored_again_;
    std::uint64_t times_stored_ = 0;
    std::uint64_t times_awaited_ = 0;
    std::optional<StoreFigures> stored_;
};

}  // namespace senv
