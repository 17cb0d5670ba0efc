// nar_writer.h: makes a nar of a tree on disk, as `nix-store --dump` does. For tests only: senv itself reads nars.
//
// Shape    cache/formats/nar.h. A file is executable when its owner may execute it.
// Errors   Error::sys with the path; usage for what a nar cannot hold (devices, sockets, pipes).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cache/base/result.h"

namespace senv::test {

/// Gives the archive of the tree at `path` to `out`, piece by piece.
Result<void> write_nar(const std::string& path, const std::function<Result<void>(std::string_view)>& out);

/// The whole archive. For small trees.
Result<std::string> nar_of(const std::string& path);

/// str(text) of the format: length, bytes, padding.
std::string nar_string(std::string_view text);

}  // namespace senv::test
