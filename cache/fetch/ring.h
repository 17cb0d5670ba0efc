// ring.h: nar bytes from the fetcher to senvd, through memory that both see.
//
// Shape    One memfd of fixed size holds a slot per transfer: a header and a ring of ring_buffers buffers. The writer (a thread
//          of the fetcher) fills them in turn and publishes each with its length; the reader (a thread of senvd) copies it
//          out and gives it back. A full ring stops the writer, which then reads no more from its server. A buffer is
//          published when it is full or the reader has nothing to do, so neither costs a system call per small piece.
// Life     begin() on both sides with the same ticket, first by the reader; end() by the writer, always, also when cancelled.
//          Between the end of a transfer and the next begin() the writer does not touch the slot.
// Trust    The reader believes nothing in this memory. Each number is read once and bounded; each chunk is copied to memory of
//          its own before anybody looks at it, so that what is hashed is what is written, whatever the writer does meanwhile.
//          The memory cannot be made smaller under it (sealed).
// Waits    On futexes in the memory, in slices: a writer that lies about them makes the reader late or busy, never stuck.
// Errors   corrupt: a number that cannot be. busy: cancelled.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "cache/base/fd.h"
#include "cache/base/result.h"
#include "cache/fetch/channel.h"

namespace senv {

inline constexpr std::uint32_t ring_buffers = 8;
inline constexpr std::size_t ring_buffer_bytes = 131072;

struct RingHeader {
    using Word = std::atomic<std::uint32_t>;
    static_assert(Word::is_always_lock_free);

    // A cache line each: two processes use them.
    alignas(64) Word reader_waits;  // 1: wake it; a futex, as the next one
    alignas(64) Word writer_waits;
    alignas(64) Word written;    // buffers published in this transfer, counting on without end
    alignas(64) Word read;       // of these, how many are free again
    alignas(64) Word cancelled;  // the ticket of the transfer that senvd gave up
    alignas(64) Word ended;      // the ticket of the transfer that is over
    Word refusal_bytes;          // of the ended transfer; 0: it went well
    alignas(64) std::array<Word, ring_buffers> lengths;
    alignas(64) std::array<std::byte, channel::max_refusal_bytes> refusal;
};

inline constexpr std::size_t ring_header_bytes = 8192;
inline constexpr std::size_t slot_bytes = ring_header_bytes + ring_buffers * ring_buffer_bytes;
static_assert(sizeof(RingHeader) <= ring_header_bytes);

/// The slots, mapped.
class SharedMemory {
public:
    /// A new memfd, all zero.
    static Result<SharedMemory> make(std::uint32_t slots);
    /// That of the other process.
    static Result<SharedMemory> map(Fd memory, std::uint32_t slots);

    SharedMemory(SharedMemory&& other) noexcept;
    SharedMemory& operator=(SharedMemory&&) = delete;
    ~SharedMemory();

    std::byte* slot(std::uint32_t number) const noexcept { return bytes_ + number * slot_bytes; }
    const Fd& fd() const noexcept { return fd_; }

private:
    SharedMemory(Fd fd, std::byte* bytes, std::size_t size) : fd_(std::move(fd)), bytes_(bytes), size_(size) {}

    Fd fd_;
    std::byte* bytes_;
    std::size_t size_;
};

/// senvd's side of a slot. One thread uses it at a time; wake() may be called by others.
class RingReader {
public:
    explicit RingReader(std::byte* slot);

    void begin(std::uint32_t ticket);
    enum class State : unsigned char { bytes, nothing, ended };
    struct Step {
        State state = State::nothing;
        std::span<const std::byte> bytes{};  // until the next call
    };
    /// What has come. Does not wait.
    Result<Step> next();
    /// Returns when next() has something, when wake() was called since begin(), or after `most`.
    void wait(std::chrono::milliseconds most);
    void wake() noexcept;
    /// Tells the writer to end the transfer.
    void cancel() noexcept;
    bool ended() const noexcept;
    /// How the ended transfer went.
    Result<std::optional<Refusal>> outcome() const;

private:
    RingHeader& header_;
    const std::byte* buffers_;
    std::unique_ptr<std::byte[]> copy_;
    std::uint32_t ticket_ = 0;
    std::uint32_t read_ = 0;
    std::atomic<bool> woken_{false};
};

/// The fetcher's side of a slot, used by one thread; what it offers is for a ByteSink.
class RingWriter {
public:
    explicit RingWriter(std::byte* slot);

    void begin(std::uint32_t ticket);
    /// Where the next bytes may be written before take() gets them; waits for room.
    Result<std::span<std::byte>> place();
    Result<void> take(std::span<const std::byte> bytes);
    void end(const std::optional<Refusal>& refusal);

private:
    std::span<std::byte> buffer() const noexcept;
    bool cancelled() const noexcept;
    void publish() noexcept;
    void wake_reader() noexcept;

    RingHeader& header_;
    std::byte* buffers_;
    std::uint32_t ticket_ = 0;
    std::uint32_t written_ = 0;
    std::size_t filled_ = 0;  // of the buffer that is next to be published
};

}  // namespace senv
