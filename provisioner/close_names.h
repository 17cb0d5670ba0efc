// close_names.h: what a user may have meant who wrote a name that does not exist. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace senv {

/// Of `names`, those that are close to `wanted`, the likeliest first, three at most: equal but for case, or at most two letters
/// off (one in a name of up to four, none in a single letter). A name that occurs twice is named once.
std::vector<std::string> close_names(std::string_view wanted, std::span<const std::string> names);

}  // namespace senv
