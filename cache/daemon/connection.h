// connection.h: one client's connection: its request comes in, whole or not at all; frames go out, some with a
// descriptor. The time is given.
//
// Limits   A request complete within request_limit, of at most wire::max_request_bytes, and nothing after it; frames
//          that wait to be read at most max_unread in all, and for at most reading_limit.
// Threads  One. Never waits.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "cache/base/fd.h"
#include "cache/wire/frame.h"

namespace senv {

class Connection {
public:
    static constexpr std::chrono::seconds request_limit{5};
    static constexpr std::chrono::seconds reading_limit{30};
    static constexpr std::size_t max_unread = 1024UL * 1024;

    using Frame = std::shared_ptr<const std::string>;
    struct Request {
        wire::Type type;
        std::string payload;
    };
    enum class State : unsigned char {
        quiet,    // nothing is left to be done
        waiting,  // to be written when the socket can take more
        over,     // the client is gone or broke the protocol, or all was said
    };

    Connection(Fd socket, Deadline now) : socket_(std::move(socket)), accepted_(now) {}

    /// Reads what came. `request`: set once, when it is complete.
    State receive(std::optional<Request>& request);
    /// Over, when the client is slower than the limits. Now and then; reads first: what was late may be this process,
    /// when a disk stood still, and the request may be there.
    State check(Deadline now, std::optional<Request>& request);
    void say(Frame frame, Fd fd, Deadline now);
    /// Nothing follows.
    void say_last(Frame frame, Deadline now);
    /// Writes what can be written.
    State flush(Deadline now);

    bool has_asked() const noexcept { return asked_; }
    bool is_ending() const noexcept { return ending_; }
    bool has_unread() const noexcept { return !out_.empty(); }
    Deadline accepted() const noexcept { return accepted_; }
    int socket() const noexcept { return socket_.get(); }

private:
    struct Piece {
        Frame bytes;
        std::size_t sent = 0;
        Fd fd{};  // goes with its first byte
    };

    static long send(int socket, const Piece& piece);

    Fd socket_;
    Deadline accepted_;
    std::string received_{};  // of the request
    bool asked_ = false;      // the request is complete
    bool ending_ = false;     // everything to say is in `out_`
    std::deque<Piece> out_{};
    std::size_t unread_ = 0;
    Deadline read_by_{};
};

}  // namespace senv
