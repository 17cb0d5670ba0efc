#include "cache/fetch/ring.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

namespace senv {

namespace {

constexpr std::chrono::milliseconds writer_slice{1000};

void futex_wait(RingHeader::Word& word, std::uint32_t value, std::chrono::milliseconds most) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(most);
    const struct timespec limit = {seconds.count(), std::chrono::nanoseconds(most - seconds).count()};
    ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0);
}

void futex_wake(RingHeader::Word& word) {
    ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

RingHeader& header_of(std::byte* slot) {
    return *reinterpret_cast<RingHeader*>(slot);
}

}  // namespace

// --------------------------------------------------------------------------------------------------------------- memory

Result<SharedMemory> SharedMemory::make(std::uint32_t slots) {
    constexpr std::string_view doing = "cannot make shared memory";
    Fd fd(::memfd_create("senvd-nars", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) return Error::sys(errno, doing);
    if (::ftruncate(fd.get(), static_cast<off_t>(slots * slot_bytes)) != 0 ||
        ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return Error::sys(errno, doing);
    }
    return map(std::move(fd), slots);
}

Result<SharedMemory> SharedMemory::map(Fd memory, std::uint32_t slots) {
    const std::size_t size = slots * slot_bytes;
    void* bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    if (bytes == MAP_FAILED) return Error::sys(errno, "cannot map shared memory");
    return SharedMemory(std::move(memory), static_cast<std::byte*>(bytes), size);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, nullptr)), size_(other.size_) {}

SharedMemory::~SharedMemory() {
    if (bytes_ != nullptr) ::munmap(bytes_, size_);
}

// --------------------------------------------------------------------------------------------------------------- reader

RingReader::RingReader(std::byte* slot)
    : header_(header_of(slot)),
      buffers_(slot + ring_header_bytes),
      copy_(std::make_unique_for_overwrite<std::byte[]>(ring_buffer_bytes)) {}

void RingReader::begin(std::uint32_t ticket) {
    ticket_ = ticket;
    read_ = 0;
    woken_ = false;
    header_.reader_waits = 0;
    header_.writer_waits = 0;
    header_.written = 0;
    header_.read = 0;
}

Result<RingReader::Step> RingReader::next() {
    // The end first: what was written before it is then seen as well.
    const bool is_over = ended();
    const std::uint32_t waiting = header_.written.load() - read_;
    if (waiting > ring_buffers) {
        return Error(Kind::corrupt,
                     "a ring of " + std::to_string(ring_buffers) + " buffers holds " + std::to_string(waiting));
    }
    if (waiting == 0) return Step{is_over ? State::ended : State::nothing};
    const std::uint32_t index = read_ % ring_buffers;
    const std::size_t length = header_.lengths.at(index).load(std::memory_order_relaxed);
    if (length == 0 || length > ring_buffer_bytes) {
        return Error(Kind::corrupt,
                     "a buffer of " + std::to_string(ring_buffer_bytes) + " bytes holds " + std::to_string(length));
    }
    std::memcpy(copy_.get(), buffers_ + index * ring_buffer_bytes, length);
    header_.read.store(++read_);
    // Not for each buffer: a writer that had to wait gets room for several.
    if (waiting - 1 <= ring_buffers / 2 && header_.writer_waits.load() != 0 && header_.writer_waits.exchange(0) != 0) {
        futex_wake(header_.writer_waits);
    }
    return Step{State::bytes, {copy_.get(), length}};
}

void RingReader::wait(std::chrono::milliseconds most) {
    // Said before looking once more: whoever publishes after that look sees it.
    header_.reader_waits.store(1);
    if (header_.written.load() == read_ && !ended() && !woken_) futex_wait(header_.reader_waits, 1, most);
    header_.reader_waits.store(0);
}

void RingReader::wake() noexcept {
    woken_ = true;
    header_.reader_waits.store(0);
    futex_wake(header_.reader_waits);
}

void RingReader::cancel() noexcept {
    header_.cancelled.store(ticket_);
    header_.writer_waits.store(0);
    futex_wake(header_.writer_waits);
}

bool RingReader::ended() const noexcept {
    return header_.ended.load() == ticket_;
}

Result<std::optional<Refusal>> RingReader::outcome() const {
    const std::size_t length = header_.refusal_bytes.load();
    if (length == 0) return std::optional<Refusal>();
    if (length > channel::max_refusal_bytes) return Error(Kind::corrupt, "a refusal is too long");
    std::string bytes(length, '\0');
    std::memcpy(bytes.data(), header_.refusal.data(), length);
    return std::optional(SENV_TRY(channel::decode_refusal(bytes)));
}

// --------------------------------------------------------------------------------------------------------------- writer

RingWriter::RingWriter(std::byte* slot) : header_(header_of(slot)), buffers_(slot + ring_header_bytes) {}

void RingWriter::begin(std::uint32_t ticket) {
    ticket_ = ticket;
    written_ = 0;
    filled_ = 0;
}

std::span<std::byte> RingWriter::buffer() const noexcept {
    return {buffers_ + written_ % ring_buffers * ring_buffer_bytes, ring_buffer_bytes};
}

bool RingWriter::cancelled() const noexcept {
    return header_.cancelled.load(std::memory_order_relaxed) == ticket_;
}

Result<std::span<std::byte>> RingWriter::place() {
    const auto given_up = [] { return Error(Kind::busy, "the transfer was given up"); };
    if (cancelled()) return given_up();
    if (filled_ == 0 && written_ - header_.read.load() >= ring_buffers) {
        const auto is_full = [&] { return written_ - header_.read.load() > ring_buffers / 2; };
        while (is_full()) {
            header_.writer_waits.store(1);
            if (is_full() && !cancelled()) futex_wait(header_.writer_waits, 1, writer_slice);
            if (cancelled()) return given_up();
        }
        header_.writer_waits.store(0);
    }
    return buffer().subspan(filled_);
}

Result<void> RingWriter::take(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto room = SENV_TRY(place());
        const std::size_t count = std::min(room.size(), bytes.size());
        if (bytes.data() != room.data()) std::memcpy(room.data(), bytes.data(), count);
        bytes = bytes.subspan(count);
        filled_ += count;
        // As long as the reader has something to do, bytes are gathered. If no more come, these wait for the end.
        if (filled_ == ring_buffer_bytes || header_.reader_waits.load() != 0) {
            publish();
            wake_reader();
        }
    }
    return {};
}

void RingWriter::publish() noexcept {
    header_.lengths.at(written_ % ring_buffers).store(static_cast<std::uint32_t>(filled_), std::memory_order_relaxed);
    filled_ = 0;
    header_.written.store(++written_);
}

void RingWriter::wake_reader() noexcept {
    if (header_.reader_waits.load() != 0 && header_.reader_waits.exchange(0) != 0) futex_wake(header_.reader_waits);
}

void RingWriter::end(const std::optional<Refusal>& refusal) {
    if (filled_ > 0) publish();
    std::string bytes;
    if (refusal) bytes = channel::encode(*refusal);
    std::memcpy(header_.refusal.data(), bytes.data(), bytes.size());
    header_.refusal_bytes.store(static_cast<std::uint32_t>(bytes.size()));
    header_.ended.store(ticket_);
    wake_reader();
}

}  // namespace senv
