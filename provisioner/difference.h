// difference.h: in what two environments differ. Pure.
//
// Shape    Two environments are the same when they have the same profile and, as far as that is known, the same channels.
//          Packages are compared by their profiles where both are on this host, else what both locks say that the profiles
//          refer to; channels by locks. What is equal on both sides is left out; of the rest, entries of the same name are
//          paired (changed), first those of the same output, then those of the same version; what stays alone was added or
//          removed.
// Errors   missing, with a hint: there is nothing that both sides are known by.
#pragma once

#include <optional>
#include <vector>

#include "provisioner/inspect.h"

namespace senv {

template <class T>
struct Differences {
    struct Changed {
        T from;
        T to;
    };

    std::vector<T> added;
    std::vector<T> removed;
    std::vector<Changed> changed;

    bool none() const noexcept { return added.empty() && removed.empty() && changed.empty(); }
};

struct Difference {
    bool same = false;
    std::optional<Differences<Package>> packages;        // both profiles are here, or are the same one
    std::optional<Differences<StorePath>> references;    // when there are no packages; by the items' names
    std::optional<Differences<LockedChannel>> channels;  // both have locks
};

Result<Difference> difference(const Inspected& from, const Inspected& to);

}  // namespace senv
