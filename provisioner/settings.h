// settings.h: what a file of settings makes of each key.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace senv {

inline constexpr std::size_t max_settings_bytes = std::size_t{1} << 20U;

/// A setting in force.
struct InForce {
    std::string key;
    std::string value;             // as JSON; "null" when there is none
    std::optional<unsigned> line;  // of the file; nullopt: the default
    bool operator==(const InForce&) const = default;
};

}  // namespace senv
