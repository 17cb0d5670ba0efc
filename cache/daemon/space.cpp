#include "cache/daemon/space.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <tuple>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::array<std::string_view, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};  // each 1024 of the one before

Error wants(std::string_view text, const std::string& what) {
    return {Kind::usage, "want " + what + ", got '" + printable(text) + "'"};
}

using Hold = StoredProfile::Hold;

/// Who needs which item, while closures go one after the other.
class Users {
public:
    explicit Users(const Stock& stock) : stock_(stock), users_(stock.items.size()), seen_(stock.items.size()) {}

    /// Calls visit(index) for each item that `roots` reach.
    template <class F>
    void walk(std::vector<std::uint32_t> roots, F&& visit) {
        ++round_;
        while (!roots.empty()) {
            const std::uint32_t index = roots.back();
            roots.pop_back();
            if (std::exchange(seen_[index], round_) == round_) continue;
            visit(index);
            const auto& references = stock_.items[index].references;
            roots.insert(roots.end(), references.begin(), references.end());
        }
    }
    void add(std::vector<std::uint32_t> roots) {
        walk(std::move(roots), [&](std::uint32_t index) { ++users_[index]; });
    }
    bool none(std::uint32_t index) const { return users_[index] == 0; }
    /// True when that was the last one.
    bool remove(std::uint32_t index) { return --users_[index] == 0; }

private:
    const Stock& stock_;
    std::vector<std::uint32_t> users_;
    std::vector<std::uint32_t> seen_;  // in which round
    std::uint32_t round_ = 0;
};

std::vector<std::uint32_t> roots_of(const Stock& stock, const StorePath& profile) {
    if (const auto index = stock.find(profile)) return {*index};
    return {};
}

std::uint64_t share(const Mark& mark, std::uint64_t all) noexcept {
    return all / 100 * mark.percent + all % 100 * mark.percent / 100;
}

}  // namespace

Result<std::uint64_t> parse_amount(std::string_view text) {
    const auto refuse = [&] { return wants(text, "an amount like \"200 GiB\""); };
    double number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (failed != std::errc() || !(number >= 0)) return refuse();
    std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    while (unit.starts_with(' ')) unit.remove_prefix(1);
    const auto found = std::ranges::find(units, unit);
    if (found == units.end()) return refuse();
    const double bytes = std::ldexp(number, static_cast<int>(10 * (found - units.begin())));
    if (bytes > 0x1p60) return refuse();
    return static_cast<std::uint64_t>(bytes);
}

std::string text_of_amount(std::uint64_t bytes) {
    std::size_t unit = 0;
    for (; unit + 1 < units.size() && bytes != 0 && bytes % 1024 == 0; ++unit) bytes /= 1024;
    return std::to_string(bytes) + " " + std::string(units[unit]);
}

Result<Mark> Mark::parse(std::string_view text, unsigned percent) {
    if (text.ends_with('%')) {
        const auto number = parse_decimal(text.substr(0, text.size() - 1));
        if (!number || *number < 1 || *number > 99) return wants(text, "a share from \"1%\" to \"99%\"");
        return Mark{static_cast<unsigned>(*number), {}};
    }
    auto bytes = parse_amount(text);
    if (!bytes) return wants(text, "a share like \"90%\" or an amount like \"200 GiB\"");
    return Mark{percent, *bytes};
}

std::string Mark::text() const {
    return bytes ? human_bytes(*bytes) : std::to_string(percent) + "%";
}

std::uint64_t bytes_at(const Mark& mark, std::uint64_t all) noexcept {
    return mark.bytes ? *mark.bytes : share(mark, all);
}

Room above(const Mark& mark, const Usage& usage) {
    const Room used = usage.all - usage.free;
    const Room most = {share(mark, usage.all.bytes), share(mark, usage.all.inodes)};
    Room over = used - most;
    if (mark.bytes) over.bytes = usage.store.bytes - std::min(usage.store.bytes, *mark.bytes);
    return over;
}

std::optional<std::uint32_t> Stock::find(const StorePath& path) const {
    const auto found = std::ranges::lower_bound(items, path, {}, &Item::path);
    if (found == items.end() || found->path != path) return std::nullopt;
    return static_cast<std::uint32_t>(found - items.begin());
}

Eviction plan_eviction(const Stock& stock, std::span<const StoredProfile> profiles, const std::set<StorePath>& needed,
                       std::int64_t young_since, const Wish& wish) {
    Users users(stock);
    for (const auto& one : profiles) users.add(roots_of(stock, one.profile));
    std::vector<std::uint32_t> needed_roots;
    for (const auto& path : needed) {
        if (const auto index = stock.find(path)) needed_roots.push_back(*index);
    }
    users.add(std::move(needed_roots));

    Eviction eviction;
    const auto take = [&](std::uint32_t index) {
        const Stock::Item& item = stock.items[index];
        eviction.items.push_back(item.path);
        eviction.room += item.room;
        eviction.nar_bytes += item.nar_size;
    };
    std::vector<std::uint32_t> orphans;
    for (std::uint32_t index = 0; index < stock.items.size(); ++index) {
        if (users.none(index)) orphans.push_back(index);
    }
    std::vector<const StoredProfile*> order;
    for (const auto& one : profiles) order.push_back(&one);
    std::ranges::sort(order, [](const auto* a, const auto* b) {
        return std::tie(a->last_use, a->profile) < std::tie(b->last_use, b->profile);
    });
    std::set<const StoredProfile*> gone;
    const auto take_orphans = [&](bool young, const Room& goal) {
        for (const auto index : orphans) {
            if ((stock.items[index].added > young_since) == young && !eviction.room.covers(goal)) take(index);
        }
    };
    const auto evict = [&](Hold hold, const Room& goal) {
        for (const auto* one : order) {
            if (one->hold != hold || eviction.room.covers(goal)) continue;
            users.walk(roots_of(stock, one->profile), [&](std::uint32_t index) {
                if (users.remove(index)) take(index);
            });
            eviction.profiles.push_back(one->profile);
            gone.insert(one);
        }
    };
    take_orphans(false, wish.want);
    evict(Hold::nothing, wish.want);
    if (wish.young) take_orphans(true, wish.must);
    evict(Hold::grace, wish.must);

    for (const auto& one : profiles) {
        if (one.hold == Hold::nothing || gone.contains(&one)) continue;
        Room room;
        users.walk(roots_of(stock, one.profile), [&](std::uint32_t index) { room += stock.items[index].room; });
        eviction.kept.push_back({one.profile, room, one.why});
    }
    std::ranges::sort(eviction.kept, [](const auto& a, const auto& b) {
        return std::tie(b.room.bytes, a.profile) < std::tie(a.room.bytes, b.profile);
    });
    return eviction;
}

std::string text_of(std::span<const Eviction::Kept> kept, std::size_t most) {
    std::string text;
    for (const auto& one : kept.first(std::min(most, kept.size()))) {
        if (!text.empty()) text += ", ";
        text += human_bytes(one.room.bytes) + " '" + one.profile.absolute() + "' (" + one.why + ")";
    }
    if (kept.size() > most) text += ", and " + std::to_string(kept.size() - most) + " more";
    return text;
}

}  // namespace senv
