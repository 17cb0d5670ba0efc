#include "provisioner/difference.h"

#include <algorithm>
#include <functional>

namespace senv {

namespace {

template <class T>
using Alike = std::function<bool(const T&, const T&)>;

// Takes out of both lists what is alike, each with one of the other, and gives the pairs to `found`.
template <class T, class Found>
void pair_up(std::vector<T>& from, std::vector<T>& to, const Alike<T>& alike, Found found) {
    std::erase_if(from, [&](const T& one) {
        const auto other = std::ranges::find_if(to, [&](const T& candidate) { return alike(one, candidate); });
        if (other == to.end()) return false;
        found(one, *other);
        to.erase(other);
        return true;
    });
}

// `alike`: first what makes two of them equal, then, in order of preference, what makes them a pair.
template <class T>
Differences<T> compare(std::vector<T> from, std::vector<T> to, const std::vector<Alike<T>>& alike) {
    Differences<T> all;
    pair_up(from, to, alike.front(), [](const T&, const T&) {});
    for (std::size_t i = 1; i < alike.size(); ++i) {
        pair_up(from, to, alike[i], [&](const T& a, const T& b) { all.changed.push_back({a, b}); });
    }
    all.removed = std::move(from);
    all.added = std::move(to);
    return all;
}

Differences<Package> compare_packages(const Contents& from, const Contents& to) {
    const auto same_name = [](const Package& a, const Package& b) { return a.name == b.name; };
    return compare<Package>(
        from.packages, to.packages,
        {std::equal_to<Package>(),
         [&](const Package& a, const Package& b) { return same_name(a, b) && a.output == b.output; },
         [&](const Package& a, const Package& b) { return same_name(a, b) && a.version == b.version; }, same_name});
}

Differences<StorePath> compare_references(const Lock& from, const Lock& to) {
    return compare<StorePath>(
        direct_references(from), direct_references(to),
        {std::equal_to<StorePath>(), [](const StorePath& a, const StorePath& b) { return a.name() == b.name(); }});
}

Differences<LockedChannel> compare_channels(const Lock& from, const Lock& to) {
    const auto same_name = [](const LockedChannel& a, const LockedChannel& b) { return a.name == b.name; };
    return compare<LockedChannel>(from.channels, to.channels,
                                  {[&](const LockedChannel& a, const LockedChannel& b) {
                                       return same_name(a, b) && a.url == b.url && a.commit == b.commit;
                                   },
                                   same_name});
}

}  // namespace

Result<Difference> difference(const Inspected& from, const Inspected& to) {
    Difference found;
    const bool same_profile = from.profile == to.profile;
    if (same_profile) {
        found.packages.emplace();
    } else if (from.contents && to.contents) {
        found.packages = compare_packages(*from.contents, *to.contents);
    } else if (from.lock && to.lock) {
        found.references = compare_references(*from.lock, *to.lock);
    } else {
        const Inspected& unknown = from.contents ? to : from;
        return Error(Kind::missing, "cannot look into '" + unknown.profile.absolute() + "': " + unknown.absence)
            .hint("compare two locks, or compare on a host that has both profiles");
    }
    if (from.lock && to.lock) found.channels = compare_channels(*from.lock, *to.lock);
    found.same = same_profile && (!found.channels || found.channels->none());
    return found;
}

}  // namespace senv
