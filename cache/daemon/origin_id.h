// origin_id.h: which origin is meant, for as long as senvd runs. A number is given once: origins may come, go and
// change places.
#pragma once

#include <cstdint>

namespace senv {

enum class OriginId : std::uint32_t {};

}  // namespace senv
