// quota.h: how much of senvd one user may take: connections, and requests that wait. Pure.
//
// Shape    Jobs ask as root, through the plugin: root has connections of its own, so that nobody else can take the
//          last one from them. A request counts from begin() to end(); a prefetch, whose client does not wait, until
//          the profile's end.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cache/base/result.h"
#include "cache/formats/store_path.h"

namespace senv {

class Quota {
public:
    static constexpr std::size_t max_connections = 1024;  // of root, and of all others together

    /// `user_requests`: of one user that may wait at once.
    explicit Quota(unsigned user_requests) : user_requests_(user_requests) {}

    /// False: there are too many. Else disconnected() follows.
    bool connect(uid_t uid);
    void disconnected(uid_t uid) { --connections_of(uid); }

    /// The Error for a user who has too many requests; root never has.
    std::optional<Error> refuse(std::uint32_t uid) const;
    void begin(std::uint32_t uid) { ++open_[uid]; }
    void end(std::uint32_t uid);

    /// Counts once for each profile and user.
    void begin_prefetch(const StorePath& profile, std::uint32_t uid);
    void end_prefetches(const StorePath& profile);
    bool is_prefetched(const StorePath& profile) const;

private:
    std::size_t& connections_of(uid_t uid) noexcept { return uid == 0 ? of_root_ : of_users_; }

    unsigned user_requests_;
    std::size_t of_root_ = 0;
    std::size_t of_users_ = 0;
    std::set<std::pair<StorePath, std::uint32_t>> prefetches_;  // under way, and for which uid
    std::map<std::uint32_t, std::size_t> open_;                 // requests and prefetches, by uid
};

}  // namespace senv
