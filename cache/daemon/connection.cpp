#include "cache/daemon/connection.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

namespace senv {

Connection::State Connection::receive(std::optional<Request>& request) {
    std::array<char, 16384> buffer{};
    for (;;) {
        const ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN || errno == EINTR ? State::quiet : State::over;
        if (n == 0 || asked_) return State::over;  // gone, or says more than one request
        received_.append(buffer.data(), static_cast<std::size_t>(n));
        if (received_.size() < wire::header_bytes) continue;
        const auto header = wire::Header::parse(std::as_bytes(std::span(received_)).first<wire::header_bytes>(),
                                                wire::max_request_bytes);
        if (!header) return State::over;
        const std::size_t whole = wire::header_bytes + header->length;
        if (received_.size() > whole) return State::over;
        if (received_.size() < whole) continue;
        asked_ = true;
        request = Request{header->type, std::exchange(received_, {}).substr(wire::header_bytes)};
        return State::quiet;
    }
}

Connection::State Connection::check(Deadline now, std::optional<Request>& request) {
    if (!out_.empty() && now > read_by_) return State::over;
    if (asked_ || now <= accepted_ + request_limit) return State::quiet;
    const State state = receive(request);
    return asked_ ? state : State::over;
}

void Connection::say(Frame frame, Fd fd, Deadline now) {
    if (out_.empty()) read_by_ = now + reading_limit;
    unread_ += frame->size();
    out_.push_back({std::move(frame), 0, std::move(fd)});
}

void Connection::say_last(Frame frame, Deadline now) {
    ending_ = true;
    say(std::move(frame), Fd(), now);
}

Connection::State Connection::flush(Deadline now) {
    while (!out_.empty()) {
        Piece& piece = out_.front();
        const long n = send(socket_.get(), piece);
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno != EAGAIN || unread_ > max_unread ? State::over : State::waiting;
        }
        piece.fd.reset();
        piece.sent += static_cast<std::size_t>(n);
        unread_ -= static_cast<std::size_t>(n);
        read_by_ = now + reading_limit;
        if (piece.sent == piece.bytes->size()) out_.pop_front();
    }
    return ending_ ? State::over : State::quiet;
}

long Connection::send(int socket, const Piece& piece) {
    struct iovec bytes = {};
    bytes.iov_base = const_cast<char*>(piece.bytes->data()) + piece.sent;  // NOLINT: sendmsg(2) only reads it
    bytes.iov_len = piece.bytes->size() - piece.sent;
    struct msghdr message = {};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (piece.fd) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        struct cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        const int fd = piece.fd.get();
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace senv
