// now.h: the time as modules are given it. Those that decide something never ask for it themselves: see clock.h.
#pragma once

#include <cstdint>

#include "cache/base/fd.h"

namespace senv {

struct Now {
    Deadline steady;
    std::int64_t unix_time;  // seconds since 1970
};

}  // namespace senv
