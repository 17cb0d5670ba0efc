#include "cache/daemon/origins.h"

#include <algorithm>
#include <utility>

#include "cache/fetch/transport.h"
#include "cache/formats/origin.h"

namespace senv {

void Origins::configure(const std::vector<std::string>& urls) {
    order_.clear();
    for (const auto& url : urls) {
        auto known = std::ranges::find_if(origins_, [&](const auto& entry) {
            return entry.second.url == url && std::ranges::find(order_, entry.first) == order_.end();
        });
        if (known == origins_.end()) {
            const OriginId id{static_cast<std::uint32_t>(origins_.size())};
            known = origins_.emplace(id, Origin{url, shown_url(url)}).first;
        }
        order_.push_back(known->first);
    }
}

std::vector<Walk::Candidate> Origins::candidates(const StorePath& item) const {
    std::vector<Walk::Candidate> all;
    for (const auto id : order_) {
        all.push_back({id});
        const std::string& url = at(id).url;
        if (kind_of(url) == OriginKind::store) all.back().store = {url_in_store(url, item), Compression::none};
    }
    return all;
}

Deadline Origins::next_opening(Deadline now) const {
    auto next = Deadline::max();
    for (const auto& [id, origin] : origins_) {
        if (origin.state.opens() > now) next = std::min(next, origin.state.opens());
    }
    return next;
}

}  // namespace senv
