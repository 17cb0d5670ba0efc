// pins.h: the closures that an administrator wants kept on this node.
//
// Shape    pins: one "HASH-NAME" per line, sorted; no file: none. Apart from the catalog, which can be made anew from what is
//          in the store: a pin is somebody's wish, and stands nowhere else.
// Errors   io, with the file. A line that is no name of a profile is left out and counted.
#pragma once

#include <set>

#include "cache/formats/store_path.h"
#include "cache/store/state_dir.h"

namespace senv {

inline constexpr const char* pins_name = "pins";
inline constexpr std::size_t max_pins = 4096;

Result<std::set<StorePath>> load_pins(const Fd& root, std::size_t& lost);
/// On the disk when it returns: whole or not at all.
Result<void> save_pins(const StateDir& state, const std::set<StorePath>& pins);

}  // namespace senv
