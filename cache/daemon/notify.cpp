#include "cache/daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdlib>

#include "cache/base/fd.h"

namespace senv {

ReadyNotice ReadyNotice::from_environment() {
    ReadyNotice notice;
    if (const char* socket = ::getenv("NOTIFY_SOCKET")) notice.socket_ = socket;  // NOLINT(concurrency-mt-unsafe)
    ::unsetenv("NOTIFY_SOCKET");                                                  // NOLINT(concurrency-mt-unsafe)
    return notice;
}

Result<void> ReadyNotice::send() const {
    if (socket_.empty()) return {};
    const std::string doing =
        "cannot tell the service manager at '" + socket_ + "' (NOTIFY_SOCKET) that senvd is ready";
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (socket_.size() >= sizeof address.sun_path) return Error(Kind::usage, doing + ": the name is too long");
    socket_.copy(address.sun_path, socket_.size());
    // An abstract name begins with a zero byte, and its length counts.
    if (socket_.front() == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + socket_.size());
    const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return Error::sys(errno, doing);
    constexpr std::string_view ready = "READY=1";
    const auto* raw = reinterpret_cast<const struct sockaddr*>(&address);
    if (::sendto(fd.get(), ready.data(), ready.size(), MSG_NOSIGNAL, raw, length) < 0) return Error::sys(errno, doing);
    return {};
}

}  // namespace senv
