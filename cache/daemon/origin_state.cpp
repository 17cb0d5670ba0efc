#include "cache/daemon/origin_state.h"

#include <algorithm>

#include "cache/fetch/retry.h"

namespace senv {

namespace {

using std::chrono::seconds;

constexpr RetryRule down_rule{0, seconds(5), seconds(60)};

}  // namespace

Walk::Access OriginState::access(Deadline now) const noexcept {
    if (waits_until_ > now) return Walk::Access::later;
    return avoided_until_ > now ? Walk::Access::unwise : Walk::Access::open;
}

bool OriginState::failed(Deadline now, double random) {
    if (avoided_until_ > now) return false;  // of the same time as the failure that is known
    avoided_until_ = now + *retry_delay(down_rule, ++failures_, random);
    return failures_ == 1;
}

bool OriginState::answered() noexcept {
    avoided_until_ = {};
    return std::exchange(failures_, 0) > 0;
}

void OriginState::asked_for_time(Deadline now, seconds wish, double random) {
    const auto bounded = std::chrono::duration_cast<std::chrono::milliseconds>(std::min(wish, longest_wait));
    const auto more = static_cast<double>(bounded.count()) / 4 * random;
    waits_until_ = std::max(waits_until_, now + bounded + std::chrono::milliseconds(static_cast<std::int64_t>(more)));
}

void Absences::add(OriginId origin, const StorePath& item, Deadline now) {
    const Key key(origin, item);
    said_[key] = now;
    order_.emplace_back(key, now);
    while (order_.size() > most) forget_oldest();
}

std::optional<seconds> Absences::age(OriginId origin, const StorePath& item, Deadline now) {
    while (!order_.empty() && order_.front().second + kept <= now) forget_oldest();
    const auto found = said_.find({origin, item});
    if (found == said_.end()) return std::nullopt;
    return std::chrono::duration_cast<seconds>(now - found->second);
}

void Absences::forget_oldest() {
    const auto& [key, when] = order_.front();
    if (const auto found = said_.find(key); found != said_.end() && found->second == when) said_.erase(found);
    order_.pop_front();
}

}  // namespace senv
