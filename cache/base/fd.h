// fd.h: owned file descriptors, and the few calls on them that everybody needs.
//
// Ownership  An Fd closes what it holds. Every descriptor made here is close-on-exec.
// Errors     Error::sys with the file's name in the text.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/base/result.h"

namespace senv {

class Fd {
public:
    explicit Fd(int fd = -1) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept;

private:
    int fd_;
};

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

/// open(2) with O_CLOEXEC. `flags` as there.
Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0);
/// openat(2) with O_CLOEXEC.
Result<Fd> open_at(const Fd& dir, const std::string& name, int flags, mode_t mode = 0);

/// Writes all of `bytes`, retrying short writes. For files and blocking pipes.
Result<void> write_all(int fd, std::span<const std::byte> bytes);
Result<void> write_all(int fd, std::string_view text);

/// The whole of a small file; an error when it has more than `limit` bytes, or is a named pipe that nobody has opened for
/// writing within two seconds.
Result<std::string> read_small_file(const std::string& path, std::size_t limit);
Result<std::string> read_small_file(const Fd& dir, const std::string& name, std::size_t limit);
/// The rest of an open descriptor (file or pipe) up to its end; an error over `limit` bytes. `shown` names it in errors.
Result<std::string> read_to_end(int fd, std::size_t limit, std::string_view shown);

/// The names in a directory, without "." and "..", in no order; corrupt when there are more than `most`.
Result<std::vector<std::string>> names_in(const Fd& dir,
                                          std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

/// Locks bytes of a file for this open description (fcntl(2), F_OFD_SETLK), at once or not at all; length 0: up to its end
/// and further. False: somebody else has them. Where the file system knows no locks it is true.
Result<bool> try_lock(int fd, off_t start, off_t length);

/// Makes `path` hold `text`, whole or not at all: writes a file beside it, then renames. Not synced to disk.
Result<void> replace_file(const std::string& path, std::string_view text, mode_t mode);

}  // namespace senv
