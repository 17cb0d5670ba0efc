// closure.h: what belongs together. Pure: what is known about an item is asked through `find`.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cache/store/catalog.h"

namespace senv {

using FindItem = std::function<Result<std::optional<ItemRecord>>(const StorePath&)>;

struct Closure {
    std::set<StorePath> valid;    // reached, and known to `find`
    std::set<StorePath> missing;  // reached, and not
    std::uint64_t bytes = 0;      // of nar, of the valid ones
    Room room{};                  // that these take
};

/// Everything that `roots` reach by references, themselves included. An item may refer to itself.
Result<Closure> closure_of(std::span<const StorePath> roots, const FindItem& find);

}  // namespace senv
