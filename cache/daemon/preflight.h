// preflight.h: what must be right on a node before senvd starts, and what it will need then. serve() and `senvd --check` look at
// the same.
//
// Shape    A Finding is an Error, and whether senvd does not start because of it. Nothing on the node is changed.
// Limits   A folder that does not answer is given up after five seconds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cache/base/result.h"
#include "cache/daemon/config.h"
#include "cache/daemon/requests.h"

namespace senv {

/// Refuses root, and what makes Guix ignore signatures.
Result<void> check_user();
/// Refuses a Guix store of the node's own, unless it is to be covered.
Result<void> check_gnu_store(const ServerConfig& config);
/// The group of that name; none for an empty one. Errors: missing.
Result<std::optional<AdminGroup>> find_admins(const std::string& name);

struct Finding {
    Error error;
    bool prevents_start;
};

/// Everything that is wrong, as the user that calls it. Not for a process that goes on: it stays on the CPUs of `config`.
std::vector<Finding> look_before_start(const ServerConfig& config);

}  // namespace senv
