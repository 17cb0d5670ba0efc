// fetcher.h: the fetcher, senvd's child that reads foreign bytes: network, TLS, decompression.
//
// Shape    senvd starts itself again with fetcher_word as only argument, with the control socket (channel.h) as descriptor 3,
//          the shared memory (ring.h) as 4, stderr for its complaints, and nothing else. The sources of curl_transport.h run
//          in it as they would in senvd; one thread per slot fetches nars.
// Trust    Before its first foreign byte it is confined (confine.h). Whoever takes it over has the network, what it may read,
//          the channel and the rings, and senvd believes neither of the two. It can also write lines to the log.
// Life     Ends when senvd closes the channel or dies. SIGTERM, SIGINT and SIGHUP, which a service manager or a terminal
//          sends to both, are for senvd: blocked here, as senvd has them blocked when it starts this.
#pragma once

#include <functional>

#include "cache/base/result.h"

namespace senv {

inline constexpr const char* fetcher_word = "--fetcher";  // not an option for people
inline constexpr int fetcher_control_fd = 3;
inline constexpr int fetcher_memory_fd = 4;

/// Is this process started as a fetcher? Then main() does nothing but fetcher_main().
bool is_fetcher(int argc, const char* const* argv) noexcept;

/// `tell`: why it ends, unless it is since senvd has ended. `once_confined` is for tests: what a fetcher that was taken over
/// tries.
int fetcher_main(const std::function<void(const Error&)>& tell, const std::function<void()>& once_confined = {});

}  // namespace senv
