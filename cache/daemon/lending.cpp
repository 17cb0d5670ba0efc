#include "cache/daemon/lending.h"

#include "cache/daemon/failures.h"

namespace senv {

Result<Lending::Lent> Lending::lend(const StorePath& profile, const Requester& who, const LeaseFor& lease_for) {
    const bool is_known = SENV_TRY(sizes_.is_known(profile));
    if (is_known) {
        auto held = held_by(who.uid);
        if (held.insert(profile).second) SENV_TRY(check_limit(who.uid, profile, held));
    }
    auto lease = SENV_TRY(leases_.take({profile, who.uid, who.job, who.step, lease_for.details}));
    if (!is_known) unweighed_.emplace(profile, Unweighed{lease_for.client, who.uid, lease.id});
    return Lent{std::move(lease.fd), is_known};
}

Result<Lending::Weighed> Lending::weigh(const StorePath& profile) {
    Weighed weighed;
    std::map<std::uint32_t, Result<void>> by_uid;
    for (const auto& request : take_unweighed(profile)) {
        auto found = by_uid.find(request.uid);
        if (found == by_uid.end()) {
            auto held = held_by(request.uid);
            held.insert(profile);
            found = by_uid.emplace(request.uid, check_limit(request.uid, profile, held)).first;
        }
        if (found->second) {
            weighed.is_wanted = true;
        } else {
            leases_.drop(request.lease);
            weighed.refused.emplace_back(request.client, found->second.error());
        }
    }
    return weighed;
}

void Lending::withdraw(const StorePath& profile) {
    for (const auto& request : take_unweighed(profile)) leases_.drop(request.lease);
}

std::vector<Lending::Unweighed> Lending::take_unweighed(const StorePath& profile) {
    const auto [begin, end] = unweighed_.equal_range(profile);
    std::vector<Unweighed> requests;
    for (auto it = begin; it != end; ++it) requests.push_back(std::move(it->second));
    unweighed_.erase(begin, end);
    return requests;
}

/// The environments that jobs of this user hold, but for those that are weighed later.
std::set<StorePath> Lending::held_by(std::uint32_t uid) const {
    std::set<StorePath> held;
    for (auto& lease : leases_.live()) {
        if (lease.uid == uid && !sizes_.is_open(lease.profile)) held.insert(std::move(lease.profile));
    }
    return held;
}

/// `held`: with `profile`.
Result<void> Lending::check_limit(std::uint32_t uid, const StorePath& profile, const std::set<StorePath>& held) const {
    if (!limit_) return {};
    std::uint64_t own = 0;
    std::uint64_t others = 0;
    for (const auto& one : held) (one == profile ? own : others) += SENV_TRY(sizes_.of(one));
    const std::uint64_t limit = bytes_at(*limit_, SENV_TRY(sizes_.disk()));
    if (own + others <= limit) return {};
    return holds_too_much(profile, uid, own, others, limit);
}

}  // namespace senv
