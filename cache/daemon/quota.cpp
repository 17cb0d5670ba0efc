#include "cache/daemon/quota.h"

#include <string>

namespace senv {

bool Quota::connect(uid_t uid) {
    if (connections_of(uid) >= max_connections) return false;
    ++connections_of(uid);
    return true;
}

std::optional<Error> Quota::refuse(std::uint32_t uid) const {
    const auto found = open_.find(uid);
    if (uid == 0 || found == open_.end() || found->second < user_requests_) return std::nullopt;
    return Error(Kind::busy, "senvd has " + std::to_string(user_requests_) + " requests of uid " + std::to_string(uid) +
                                 " waiting on this node, which is the limit for one user")
        .hint("try again when some have been answered; the administrator can raise user_requests in senvd.toml");
}

void Quota::end(std::uint32_t uid) {
    const auto found = open_.find(uid);
    if (--found->second == 0) open_.erase(found);
}

void Quota::begin_prefetch(const StorePath& profile, std::uint32_t uid) {
    if (prefetches_.emplace(profile, uid).second) begin(uid);
}

void Quota::end_prefetches(const StorePath& profile) {
    for (auto it = prefetches_.lower_bound({profile, 0}); it != prefetches_.end() && it->first == profile;
         it = prefetches_.erase(it)) {
        end(it->second);
    }
}

bool Quota::is_prefetched(const StorePath& profile) const {
    const auto found = prefetches_.lower_bound({profile, 0});
    return found != prefetches_.end() && found->first == profile;
}

}  // namespace senv
