// curl_transport.h: substitute servers over HTTP and HTTPS. The only place that includes libcurl.
//
// Limits   Only http and https. A narinfo: at most max_narinfo_bytes, no redirect is followed. A nar: at most five
//          redirects, within http and https, and none further inside than the server itself is (reach.h). Connecting 10 s; a
//          transfer that stays without a byte for `stall_limit` ends, and so does a nar's below 1 KiB/s. What is skipped of a
//          redirect's body is bounded as a nar is; headers are by libcurl.
// Shape    Narinfos: one thread, many requests in flight, connections shared. Nars: the caller's thread, which keeps its
//          connections from one nar to the next.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "cache/fetch/transport.h"

namespace senv {

struct CurlLimits {
    std::string user_agent;
    std::chrono::seconds connect{10};
    std::chrono::seconds stall{60};
};

/// Once per process, before any thread exists.
Result<void> init_curl();

Result<std::unique_ptr<NarinfoSource>> make_curl_narinfo_source(CurlLimits limits);
std::unique_ptr<NarSource> make_curl_nar_source(CurlLimits limits);

}  // namespace senv
