// transport.h: the seam between what talks to servers and what judges the bytes.
//
// Shape    Behind it are the network, TLS and decompression; in front of it are signatures, hashes, unpacking and the
//          store. What crosses it: names of items and URLs one way; narinfo texts and *uncompressed* nar bytes the other.
//          None of what comes back is trusted.
// Errors   A Refusal says which server did what, ready for people: "http://host:port: connection refused". Its text holds
//          no credentials and no query string.
// Threads  ask() may be called from one thread at a time and answers from another; fetch() may be called from many.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>

#include "cache/base/byte_sink.h"
#include "cache/base/fd.h"
#include "cache/base/result.h"
#include "cache/formats/narinfo.h"
#include "cache/formats/store_path.h"

namespace senv {

/// Why an origin did not give what it was asked for, and so what to do next.
enum class Outcome : unsigned char {
    absent,       // it does not have the item (404): ask the next server
    soon,         // it is preparing the item (404 with X-Baking): ask it again later
    again,        // it failed in a manner that may pass: ask it again, a few times
    unreachable,  // nobody answers there, or not to the end: as again, and others are asked first for a while
    unusable,     // what it sent is of no use, or it refused: ask the next server
    stopped,      // we gave up: the stop token, the deadline, or the receiver of the bytes
};

struct Refusal {
    Outcome outcome;
    Error error;
    std::optional<std::chrono::seconds> wished;  // the server's Retry-After
};

using NarinfoAnswer = std::variant<std::string, Refusal>;

// Narinfos of this size are kept on their way as many as are asked for; of larger ones, which are rare, only so many at once.
inline constexpr std::size_t large_narinfo_bytes = std::size_t{64} << 10U;
inline constexpr std::size_t most_large_narinfos = 8;

class NarinfoSource {
public:
    virtual ~NarinfoSource() = default;
    /// Asks `origin` for the narinfo of `item`. `answer` is called once, on a thread of the source, and must not block; it
    /// is not called any more once the destructor has begun.
    virtual void ask(const std::string& origin, const StorePath& item, std::function<void(NarinfoAnswer)> answer) = 0;
};

struct NarRequest {
    std::string url;  // absolute
    Compression compression = Compression::none;
    std::uint64_t nar_size = 0;  // what the signature promises: bounds what is transferred
    Deadline deadline;

    /// So many bytes of an answer, compressed or not, are more than a nar of this size can take.
    bool is_exceeded_by(std::uint64_t transferred) const noexcept {
        constexpr std::uint64_t slack = 1024 * 1024;
        return transferred / 2 > nar_size + slack;
    }
};

class NarSource {
public:
    virtual ~NarSource() = default;
    /// Hands the nar to `sink` as it arrives, in the calling thread, and returns when the server's stream has ended well
    /// (nullopt). An Error of the sink ends the transfer with outcome stopped and that Error. A stream of unknown length
    /// without compression ends after nar_size bytes, whether or not the server closes the connection.
    virtual std::optional<Refusal> fetch(const NarRequest& request, const ByteSink& sink, std::stop_token stop) = 0;
};

/// An origin's URL, or one below it, as it may be shown and logged: without credentials and query.
std::string shown_url(std::string_view url);

}  // namespace senv
