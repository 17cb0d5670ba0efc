// client.h: the asking end of protocol.md. Used by the plugin (as root) and by the command.
//
// Errors   missing: nobody listens (with a hint to start senvd); denied: the daemon runs as another user than expected;
//          busy: the deadline passed; corrupt: not our protocol; io.
// Threads  None. Every call ends by its deadline.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "cache/base/fd.h"
#include "cache/base/result.h"
#include "cache/wire/frame.h"

namespace senv::wire {

inline constexpr const char* default_socket = "/run/senv/senvd.sock";

struct Frame {
    Type type = Type::error;
    std::string payload;
    Fd fd;  // the descriptor that came with it, if any; close-on-exec
};

/// Whether a user namespace has that user, by its uid_map: lines of a first uid inside, the same outside, and how many. A user
/// that it does not have shows as uid 65534 there.
bool is_mapped(uid_t uid, std::string_view uid_map);

class Connection {
public:
    /// `daemon_uid`: accept only a daemon that runs as this user or as root; nullopt for callers with nothing to lose.
    static Result<Connection> open(const std::string& socket_path, std::optional<uid_t> daemon_uid, Deadline deadline);
    /// Goes on with a connection opened earlier, perhaps by a parent process, at a frame boundary.
    explicit Connection(Fd socket) : socket_(std::move(socket)) {}

    Result<void> send(std::string_view frame, Deadline deadline);
    Result<Frame> receive(Deadline deadline);

    int fd() const noexcept { return socket_.get(); }
    Fd release() && { return std::move(socket_); }
    /// Who is at the other end, by the kernel's word.
    uid_t peer_uid() const noexcept { return peer_uid_; }

private:
    Fd socket_;
    uid_t peer_uid_ = 0;
};

/// Waits until `fd` has one of `events` (poll(2)). busy when the deadline passes.
Result<void> wait_for(int fd, short events, Deadline deadline);

}  // namespace senv::wire
