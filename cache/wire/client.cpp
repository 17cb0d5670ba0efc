#include "cache/wire/client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "cache/base/text.h"

namespace senv::wire {

namespace {

constexpr std::size_t max_uid_map = 65536;

std::string waiting_for_senvd() {
    return "cannot reach senvd";
}

Result<void> not_after(Deadline deadline) {
    if (Clock::now() <= deadline) return {};
    return Error(Kind::busy, "senvd did not answer in time");
}

// One descriptor at most, in all of a frame. All that came are owned at once: none stays open by accident.
Result<void> take_descriptors(struct msghdr& message, Fd& into) {
    bool is_more = (message.msg_flags & MSG_CTRUNC) != 0;
    for (auto* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int received = -1;
            std::memcpy(&received, CMSG_DATA(c) + i * sizeof received, sizeof received);
            Fd fd(received);
            is_more = is_more || into;
            if (!into) into = std::move(fd);
        }
    }
    if (is_more) return Error(Kind::corrupt, "senvd sent more than one descriptor with a frame");
    return {};
}

Error gone() {
    return Error(Kind::io, "senvd closed the connection before it answered").hint("look into senvd's log on this node");
}

/// True where the kernel does not say.
bool is_mapped_here(uid_t uid) {
    const auto text = read_small_file("/proc/self/uid_map", max_uid_map);
    return !text || is_mapped(uid, *text);
}

}  // namespace

bool is_mapped(uid_t uid, std::string_view uid_map) {
    for (const auto line : split(uid_map, '\n')) {
        std::array<std::uint64_t, 3> numbers = {};
        std::size_t count = 0;
        for (const auto word : split(line, ' ')) {
            const auto number = parse_decimal(word);
            if (number && count < numbers.size()) numbers[count++] = *number;
        }
        if (count == numbers.size() && uid >= numbers[0] && uid - numbers[0] < numbers[2]) return true;
    }
    return false;
}

Result<void> wait_for(int fd, short events, Deadline deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        struct pollfd waiting = {fd, events, 0};
        const int n = ::poll(&waiting, 1, static_cast<int>(std::clamp<long long>(left, 0, 3'600'000)));
        if (n > 0) return {};
        if (n < 0 && errno != EINTR) return Error::sys(errno, "cannot wait for senvd");
        if (left <= 0) return Error(Kind::busy, "senvd did not answer in time");
    }
}

Result<Connection> Connection::open(const std::string& socket_path, std::optional<uid_t> daemon_uid,
                                    Deadline deadline) {
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof address.sun_path) {
        return Error(Kind::usage, waiting_for_senvd() + ": the socket's name '" + socket_path + "' is too long");
    }
    socket_path.copy(address.sun_path, socket_path.size());

    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return Error::sys(errno, waiting_for_senvd());
    while (::connect(socket.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) != 0) {
        const int err = errno;
        if (err == EINTR) continue;
        if (err == EAGAIN && Clock::now() < deadline) {  // the queue of the listening socket is full; there is no event
            ::poll(nullptr, 0, 10);
            continue;
        }
        Error error = Error::sys(err, waiting_for_senvd() + " at '" + socket_path + "'");
        if (err == ENOENT || err == ECONNREFUSED) {
            return Error(Kind::missing, error.what()).hint("ask the administrator to start senvd on this node");
        }
        return error;
    }
    struct ucred peer = {};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return Error::sys(errno, waiting_for_senvd());
    }
    if (daemon_uid && peer.uid != *daemon_uid && peer.uid != 0) {
        return Error(Kind::denied, waiting_for_senvd() + ": '" + socket_path + "' is served by uid " +
                                       std::to_string(peer.uid) + ", not by uid " + std::to_string(*daemon_uid))
            .hint(is_mapped_here(*daemon_uid)
                      ? "check who may write to the folder of the socket"
                      : "let the user namespace that Slurm makes for jobs map uid " + std::to_string(*daemon_uid) +
                            ", which is senvd's (namespace.yaml)");
    }
    Connection connection(std::move(socket));
    connection.peer_uid_ = peer.uid;
    return connection;
}

Result<void> Connection::send(std::string_view frame, Deadline deadline) {
    while (!frame.empty()) {
        SENV_TRY(not_after(deadline));
        const ssize_t n = ::send(socket_.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            frame.remove_prefix(static_cast<std::size_t>(n));
        } else if (errno == EAGAIN) {
            SENV_TRY(wait_for(socket_.get(), POLLOUT, deadline));
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return gone();
        } else if (errno != EINTR) {
            return Error::sys(errno, "cannot send to senvd");
        }
    }
    return {};
}

Result<Frame> Connection::receive(Deadline deadline) {
    Frame frame;
    // Reads exactly `size` bytes, and keeps the descriptor that comes with them.
    const auto read = [&](char* into, std::size_t size) -> Result<void> {
        while (size > 0) {
            // A peer that sends byte by byte always has something to read.
            SENV_TRY(not_after(deadline));
            struct iovec piece = {into, size};
            alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
            struct msghdr message = {};
            message.msg_iov = &piece;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) {
                SENV_TRY(wait_for(socket_.get(), POLLIN, deadline));
                continue;
            }
            if (n < 0 && errno != ECONNRESET) return Error::sys(errno, "cannot receive from senvd");
            if (n <= 0) return gone();
            SENV_TRY(take_descriptors(message, frame.fd));
            into += n;
            size -= static_cast<std::size_t>(n);
        }
        return {};
    };
    std::array<std::byte, header_bytes> bytes = {};
    SENV_TRY(read(reinterpret_cast<char*>(bytes.data()), bytes.size()));
    const auto header = SENV_TRY(Header::parse(bytes, max_reply_bytes));
    frame.type = header.type;
    frame.payload.resize(header.length);
    SENV_TRY(read(frame.payload.data(), frame.payload.size()));
    return frame;
}

}  // namespace senv::wire
