// origins.h: the servers and mounted stores that items come from, in the order of preference, and what is remembered
// of each. Pure.
//
// Identity An origin keeps its number, and what is remembered of it, when the list changes and its URL stays. One
//          that left the list is asked no more, but what is on its way from it may go on.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cache/daemon/origin_id.h"
#include "cache/daemon/origin_state.h"
#include "cache/daemon/walk.h"

namespace senv {

struct Origin {
    std::string url;
    std::string shown;  // without credentials: for logs, metrics and people
    OriginState state{};
    std::string wish{};     // what it said when it asked for time
    std::string trouble{};  // why it was of no use when it was asked last; none when it gave what is believed
};

class Origins {
public:
    explicit Origins(const std::vector<std::string>& urls) { configure(urls); }

    /// From now on these, in this order.
    void configure(const std::vector<std::string>& urls);
    /// Where the item may come from.
    std::vector<Walk::Candidate> candidates(const StorePath& item) const;
    /// Any that was ever in the list.
    Origin& at(OriginId id) { return origins_.at(id); }
    const Origin& at(OriginId id) const { return origins_.at(id); }
    /// In the order of preference.
    const std::vector<OriginId>& order() const noexcept { return order_; }
    /// When the next one that asked for time may be asked again; Deadline::max() when none did.
    Deadline next_opening(Deadline now) const;

private:
    std::map<OriginId, Origin> origins_;
    std::vector<OriginId> order_;
};

}  // namespace senv
