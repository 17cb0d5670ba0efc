#include "cache/fetch/retry.h"

#include <algorithm>

namespace senv {

std::optional<std::chrono::milliseconds> retry_delay(const RetryRule& rule, unsigned attempt, double random) {
    using std::chrono::milliseconds;
    if (rule.attempts != 0 && attempt >= rule.attempts) return std::nullopt;
    auto delay = rule.first;
    for (unsigned i = 1; i < attempt && delay < rule.most; ++i) delay *= 2;
    delay = std::min(delay, rule.most);
    return delay / 2 + milliseconds(static_cast<milliseconds::rep>(static_cast<double>(delay.count()) / 2 * random));
}

}  // namespace senv
