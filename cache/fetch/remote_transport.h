// remote_transport.h: the sources of transport.h, in a process of their own that cannot touch the store (fetcher.h).
//
// Shape    A thread starts the fetcher, keeps it, and starts it anew when it ends or breaks the rules of its channel or rings:
//          after a delay that doubles from 100 ms to 10 s, and begins anew when one has lived for a minute. What was asked of
//          it is then refused with Outcome::again; what is asked meanwhile waits for the next one. When
//          something is asked of one that was idle, and resolv.conf or its like, or the mount of a folder, were replaced
//          (confine.h), it is started anew before that. A folder that does not answer within five seconds before a fetcher
//          starts is not for that one: it hangs (Outcome::unreachable) until it answers or something else is mounted there.
// Limits   It must answer some narinfo within connect + stall + slack as long as any is asked for, end a transfer within slack
//          after it was cancelled or its deadline, and bring a byte or the end of each transfer within six times
//          connect + stall (five redirects) + slack. Else it is ended. So nothing asked here waits without end.
// Threads  As transport.h says. on_renewal is called on the thread, must not block.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cache/fetch/curl_transport.h"
#include "cache/fetch/transport.h"

namespace senv {

struct RemoteConfig {
    CurlLimits limits;
    unsigned transfers = 1;            // nars at once; more wait
    std::vector<std::string> folders;  // that the fetcher may read
    std::string program = "/proc/self/exe";
    std::chrono::seconds slack{15};  // above the fetcher's own limits: the machine may be busy
};

/// How well the fetcher is confined; as confine.h has it.
struct Sandbox {
    std::uint32_t landlock = 0;
    bool seccomp = false;
    std::string missing;
};

/// The fetcher is not there any more, and is started anew.
struct Renewal {
    std::optional<Error> lost;          // how it ended, or what it did; none: files that it reads were replaced
    std::chrono::milliseconds delay{};  // until then
};

/// `narinfos` must outlive every call of `nars`.
struct RemoteSources {
    std::unique_ptr<NarinfoSource> narinfos;
    std::unique_ptr<NarSource> nars;
    Sandbox sandbox;
};

/// Starts the first fetcher, and returns when it is confined and ready. An Error: it could not be started.
Result<RemoteSources> make_remote_sources(RemoteConfig config, std::function<void(const Renewal&)> on_renewal);

}  // namespace senv
