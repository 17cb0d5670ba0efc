// clock.h: what time it is. For the loops of senvd's threads, which ask once for each message and hand it on; so what
// they call can be tested without waiting. tests/source/clocks holds who may include this, and that nobody else reads
// a clock.
#pragma once

#include <ctime>

#include "cache/daemon/now.h"

namespace senv {

inline Now now() {
    return {Clock::now(), std::time(nullptr)};
}

}  // namespace senv
