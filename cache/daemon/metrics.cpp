#include "cache/daemon/metrics.h"

#include <algorithm>

namespace senv {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Duration = Histogram::Duration;

constexpr std::array<Duration, 11> warm_bounds = {
    microseconds(50), microseconds(100), microseconds(250), microseconds(500), milliseconds(1), microseconds(2500),
    milliseconds(5),  milliseconds(10),  milliseconds(50),  milliseconds(250), seconds(1)};
constexpr std::array<Duration, 10> item_bounds = {
    milliseconds(10), milliseconds(50), milliseconds(100), milliseconds(500), seconds(1),
    seconds(5),       seconds(10),      seconds(30),       seconds(60),       seconds(300)};
constexpr std::array<Duration, 11> closure_bounds = {milliseconds(100), milliseconds(500), seconds(1),   seconds(5),
                                                     seconds(10),       seconds(30),       seconds(60),  seconds(120),
                                                     seconds(300),      seconds(600),      seconds(1800)};
static_assert(warm_bounds.size() <= Histogram::most_bounds && closure_bounds.size() <= Histogram::most_bounds);

// In the order of the enumerators.
constexpr std::array<std::string_view, 5> request_end_names = {"hit", "miss", "failed", "refused", "gone"};
constexpr std::array<std::string_view, 6> outcome_names = {"absent",      "soon",     "again",
                                                           "unreachable", "unusable", "stopped"};
constexpr std::array<std::string_view, 8> fetched_names = {"placed",      "absent",  "soon",   "again",
                                                           "unreachable", "refused", "failed", "stopped"};

/// 2500 us as "0.0025", 3 s as "3".
std::string seconds_text(std::uint64_t us) {
    constexpr std::uint64_t per_second = 1'000'000;
    std::string text = std::to_string(us / per_second);
    std::string fraction = std::to_string(per_second + us % per_second).substr(1);
    while (fraction.ends_with('0')) fraction.pop_back();
    if (!fraction.empty()) text += "." + fraction;
    return text;
}

std::uint64_t count_of(Duration duration) {
    return static_cast<std::uint64_t>(std::max<Duration::rep>(duration.count(), 0));
}

std::string label(std::string_view name, std::string_view value) {
    std::string text = std::string(name) + "=\"";
    for (const char c : value) {
        if (c == '\n') {
            text += "\\n";
            continue;
        }
        if (c == '"' || c == '\\') text += '\\';
        text += c;
    }
    return text + '"';
}

}  // namespace

/// A document in the making.
class Metrics::Page {
public:
    void metric(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        text_ += "# HELP " + name_ + " " + std::string(help) + "\n# TYPE " + name_ + " " + std::string(type) + "\n";
    }
    /// A line of that metric. `labels`: without the braces, may be empty.
    void value(std::uint64_t number, const std::string& labels = {}) {
        text_ += name_ + (labels.empty() ? "" : "{" + labels + "}") + " " + std::to_string(number) + "\n";
    }
    void single(std::string_view name, std::string_view type, std::uint64_t number, std::string_view help) {
        metric(name, type, help);
        value(number);
    }
    void histogram(std::string_view name, const Histogram& histogram, std::string_view help) {
        metric(name, "histogram", help);
        text_ += histogram.text(name);
    }
    std::string text() && { return std::move(text_); }

private:
    std::string name_;
    std::string text_;
};

void Histogram::observe(Duration took) noexcept {
    const auto found = std::ranges::lower_bound(bounds_, took);
    counts_[static_cast<std::size_t>(found - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(count_of(took), std::memory_order_relaxed);
}

std::string Histogram::text(std::string_view name) const {
    const std::string base(name);
    std::string text;
    std::uint64_t count = 0;
    for (std::size_t i = 0; i <= bounds_.size(); ++i) {
        count += counts_[i].load(std::memory_order_relaxed);
        const std::string bound = i < bounds_.size() ? seconds_text(count_of(bounds_[i])) : "+Inf";
        text += base + "_bucket{" + label("le", bound) + "} " + std::to_string(count) + "\n";
    }
    text += base + "_sum " + seconds_text(sum_.load(std::memory_order_relaxed)) + "\n";
    text += base + "_count " + std::to_string(count) + "\n";
    return text;
}

Metrics::Metrics(std::string version, std::int64_t start, std::vector<std::string> origins)
    : version_(std::move(version)), start_(start), warm_(warm_bounds), closures_(closure_bounds), items_(item_bounds) {
    for (auto& shown : origins) {
        const auto same = std::ranges::find_if(origins_, [&](const auto& origin) { return origin->label == shown; });
        if (same == origins_.end()) origins_.push_back(std::make_unique<Origin>(std::move(shown)));
    }
}

Metrics::Origin* Metrics::find(std::string_view origin) noexcept {
    const auto found = std::ranges::find_if(origins_, [&](const auto& one) { return one->label == origin; });
    return found == origins_.end() ? nullptr : found->get();
}

void Metrics::narinfo_came(std::string_view origin) noexcept {
    if (Origin* of = find(origin)) add(of->narinfos_found);
}

void Metrics::narinfo_refused(std::string_view origin, Outcome why) noexcept {
    if (Origin* of = find(origin)) add(of->narinfos_refused, why);
}

void Metrics::nar_failed(std::string_view origin, Fetched how) noexcept {
    if (Origin* of = find(origin)) add(of->nars, how);
}

void Metrics::item_fetched(std::string_view origin, std::uint64_t bytes, std::chrono::microseconds took) noexcept {
    items_.observe(took);
    Origin* of = find(origin);
    if (of == nullptr) return;
    add(of->items);
    add(of->bytes, bytes);
}

void Metrics::evicted(std::uint64_t items, std::uint64_t bytes) noexcept {
    add(evicted_items_, items);
    add(evicted_bytes_, bytes);
}

void Metrics::stored(const StoreFigures& figures) {
    {
        const std::lock_guard lock(stored_mutex_);
        stored_ = figures;
        ++times_stored_;
    }
    stored_again_.notify_all();
}

void Metrics::await_stored(const std::stop_token& stop, std::chrono::milliseconds limit) {
    std::unique_lock lock(stored_mutex_);
    stored_again_.wait_for(lock, stop, limit, [&] { return times_stored_ != times_awaited_; });
    times_awaited_ = times_stored_;
}

std::string Metrics::text() const {
    Page page;
    tell_requests(page);
    tell_origins(page);
    tell_store(page);
    return std::move(page).text();
}

void Metrics::tell_requests(Page& page) const {
    page.metric("senvd_build_info", "gauge", "The version that runs.");
    page.value(1, label("version", version_));
    page.single("senvd_start_time_seconds", "gauge", static_cast<std::uint64_t>(start_),
                "When senvd was started, in seconds since 1970.");

    page.metric("senvd_requests_total", "counter",
                "Requests for an environment: hit (it was complete), miss (it was fetched), failed, refused, gone (the "
                "client did not wait).");
    for (std::size_t i = 0; i < requests_.size(); ++i)
        page.value(read(requests_[i]), label("result", request_end_names[i]));
    page.histogram("senvd_warm_answer_seconds", warm_,
                   "From a client's connection to the answer, for environments that were complete.");
    page.single("senvd_connections", "gauge", read(connections_), "Open connections of clients.");

    page.single("senvd_fetches", "gauge", read(fetches_), "Environments being fetched.");
    page.histogram("senvd_fetch_seconds", closures_,
                   "From the first request for an environment to its being complete, where something was fetched.");
    page.metric("senvd_fetch_failures_total", "counter",
                "Environments that could not be fetched, by the kind of error.");
    for (std::size_t i = 0; i < failures_.size(); ++i) {
        page.value(read(failures_[i]), label("kind", name_of(static_cast<Kind>(i))));
    }
    page.histogram("senvd_item_fetch_seconds", items_,
                   "From the start of an item's transfer to its place in the store.");
}

void Metrics::tell_origins(Page& page) const {
    page.metric("senvd_fetched_items_total", "counter", "Items that came into the store, by where they came from.");
    for (const auto& origin : origins_) page.value(read(origin->items), label("origin", origin->label));
    page.metric("senvd_fetched_nar_bytes_total", "counter", "Their bytes, uncompressed.");
    for (const auto& origin : origins_) page.value(read(origin->bytes), label("origin", origin->label));
    page.metric("senvd_narinfo_requests_total", "counter",
                "Answers to the question for an item: found (and authorised), or why it was of no use.");
    for (const auto& origin : origins_) {
        const std::string from = label("origin", origin->label) + ",";
        page.value(read(origin->narinfos_found), from + label("outcome", "found"));
        for (std::size_t i = 0; i < outcome_names.size(); ++i) {
            page.value(read(origin->narinfos_refused[i]), from + label("outcome", outcome_names[i]));
        }
    }
    page.metric(
        "senvd_nar_failures_total", "counter",
        "Transfers of items that brought nothing: absent, soon, again (may pass), unreachable, refused (of no use), "
        "failed (by this node), stopped (by senvd).");
    for (const auto& origin : origins_) {
        const std::string from = label("origin", origin->label) + ",";
        for (std::size_t i = 1; i < fetched_names.size(); ++i) {
            page.value(read(origin->nars[i]), from + label("outcome", fetched_names[i]));
        }
    }
}

void Metrics::tell_store(Page& page) const {
    page.single("senvd_evicted_items_total", "counter", read(evicted_items_), "Items that were evicted.");
    page.single("senvd_evicted_nar_bytes_total", "counter", read(evicted_bytes_), "Their bytes, as nar.");
    page.single("senvd_damaged_items_total", "counter", read(damaged_items_), "Items that were found damaged.");
    page.single("senvd_repaired_items_total", "counter", read(repaired_items_), "Damaged items that came anew.");
    const auto there = [&] {
        const std::lock_guard lock(stored_mutex_);
        return stored_;
    }();
    if (!there) return;
    page.single("senvd_store_items", "gauge", there->items, "Items in the store.");
    page.single("senvd_store_nar_bytes", "gauge", there->bytes, "Their bytes, as nar.");
    page.single("senvd_store_disk_bytes", "gauge", there->room.bytes, "What they take on the disk.");
    page.single("senvd_store_inodes", "gauge", there->room.inodes, "Their inodes.");
    page.single("senvd_profiles", "gauge", there->profiles, "Environments in the store.");
    page.single("senvd_leases", "gauge", there->leases, "Leases that steps hold.");
    page.single("senvd_filesystem_size_bytes", "gauge", there->disk.bytes,
                "Size of the store's file system, without what is root's.");
    page.single("senvd_filesystem_avail_bytes", "gauge", there->free.bytes, "What senvd may still use of it.");
    if (there->disk.inodes != UINT64_MAX) {
        page.single("senvd_filesystem_inodes", "gauge", there->disk.inodes, "Inodes of the store's file system.");
        page.single("senvd_filesystem_avail_inodes", "gauge", there->free.inodes, "What senvd may still use of them.");
    }
}

}  // namespace senv
