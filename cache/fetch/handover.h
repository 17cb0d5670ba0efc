// handover.h: bytes from a thread that may hang in a file system to one that must not.
//
// Shape    One giver, one taker. At most `max_blocks` of `block_bytes` are under way; then give() waits.
// Threads  give() and finish() on the giver's thread; take() and close() on the taker's. After close() nothing is taken any
//          more, and give() returns false.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <variant>
#include <vector>

#include "cache/base/fd.h"
#include "cache/fetch/transport.h"

namespace senv {

class Handover {
public:
    static constexpr std::size_t block_bytes = 128UL * 1024;
    static constexpr std::size_t max_blocks = 4;

    using Block = std::vector<std::byte>;
    struct End {
        std::optional<Refusal> refusal;  // as finish() had it
    };
    enum class Cut : unsigned char { stopped, late };

    /// Copies the bytes. False: nobody takes them.
    bool give(std::span<const std::byte> bytes);
    void finish(std::optional<Refusal> refusal);

    /// The next block, or what ended the wait for it. `late`: nothing came until `deadline`.
    std::variant<Block, End, Cut> take(const std::stop_token& stop, Deadline deadline);
    void close();

    /// True once finish() has been called: the giver's thread is about to end.
    bool is_finished() const;

private:
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<Block> blocks_;
    std::optional<End> end_;
    bool closed_ = false;
};

}  // namespace senv
