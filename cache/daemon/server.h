// server.h: senvd without its main(): answers the protocol of cache/wire/protocol.md over a store and its origins.
//
// Needs    An unprivileged user. Refuses to start as root, with GUIX_ALLOW_UNAUTHENTICATED_SUBSTITUTES set, with a state
//          folder that others may write to, or on a node that has a Guix store of its own, unless that is to be covered.
// Threads  One for the clients (epoll), a bounded pool for fetching. A request whose closure is complete never waits for a
//          download, nor for a lock that a download holds. What fetches, checks signatures, unpacks, verifies and removes is
//          nicer than the threads that answer.
#pragma once

#include "cache/base/result.h"
#include "cache/daemon/config.h"

namespace senv {

/// Serves until SIGTERM or SIGINT. An Error means that it could not start.
Result<void> serve(const ServerConfig& config, const Planner& planner);

}  // namespace senv
