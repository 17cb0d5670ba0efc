#include "cache/daemon/board.h"

#include <algorithm>

namespace senv {

Board::PlanFrame Board::use(const StorePath& profile, std::int64_t now) {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(profile);
    if (found == known_.end()) return nullptr;
    Known& known = found->second;
    known.last_use = now;
    known.used_at = ++moment_;
    known.told = false;
    return known.plan;
}

void Board::offer(const StorePath& profile, PlanFrame plan, std::int64_t now) {
    const std::lock_guard lock(mutex_);
    Known& known = known_[profile];
    if (known.plan) bytes_ -= known.plan->size();
    bytes_ += plan->size();
    known = {std::move(plan), now, ++moment_, false};
    while (bytes_ > plan_bytes && known_.size() > 1) {
        const auto oldest = std::min_element(known_.begin(), known_.end(), [](const auto& a, const auto& b) {
            return a.second.used_at < b.second.used_at;
        });
        bytes_ -= oldest->second.plan->size();
        known_.erase(oldest);
    }
}

std::vector<ProfileUse> Board::take_uses() {
    const std::lock_guard lock(mutex_);
    return uses_to_tell();
}

std::vector<ProfileUse> Board::forget() {
    const std::lock_guard lock(mutex_);
    auto uses = uses_to_tell();
    known_.clear();
    bytes_ = 0;
    return uses;
}

std::vector<ProfileUse> Board::uses_to_tell() {
    std::vector<ProfileUse> uses;
    for (auto& [profile, known] : known_) {
        if (known.told) continue;
        uses.push_back({profile, known.last_use});
        known.told = true;
    }
    return uses;
}

std::uint64_t Board::moment() const {
    const std::lock_guard lock(mutex_);
    return moment_;
}

std::vector<StorePath> Board::retire(std::span<const StorePath> profiles, std::uint64_t moment) {
    const std::lock_guard lock(mutex_);
    std::vector<StorePath> stayed;
    for (const auto& profile : profiles) {
        const auto found = known_.find(profile);
        if (found == known_.end()) continue;
        if (found->second.used_at > moment) {
            stayed.push_back(profile);
        } else {
            bytes_ -= found->second.plan->size();
            known_.erase(found);
        }
    }
    return stayed;
}

void Board::set_progress(const StorePath& profile, wire::Progress progress) {
    const std::lock_guard lock(mutex_);
    progress_[profile] = std::move(progress);
}

void Board::clear_progress(const StorePath& profile) {
    const std::lock_guard lock(mutex_);
    progress_.erase(profile);
}

std::optional<wire::Progress> Board::progress(const StorePath& profile) const {
    const std::lock_guard lock(mutex_);
    const auto found = progress_.find(profile);
    if (found == progress_.end()) return std::nullopt;
    return found->second;
}

void Board::add_waiting(const StorePath& profile, std::uint64_t client, const Requester& who) {
    const std::lock_guard lock(mutex_);
    waiting_[profile][client] = who;
}

void Board::remove_waiting(const StorePath& profile, std::uint64_t client) {
    const std::lock_guard lock(mutex_);
    const auto found = waiting_.find(profile);
    if (found == waiting_.end()) return;
    found->second.erase(client);
    if (found->second.empty()) waiting_.erase(found);
}

std::vector<Requester> Board::waiting(const StorePath& profile) const {
    const std::lock_guard lock(mutex_);
    std::vector<Requester> all;
    if (const auto found = waiting_.find(profile); found != waiting_.end()) {
        for (const auto& [client, who] : found->second) all.push_back(who);
    }
    return all;
}

}  // namespace senv
