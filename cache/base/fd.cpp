#include "cache/base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "cache/base/text.h"

namespace senv {

namespace {

struct DirCloser {
    void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};

// Who writes into a named pipe is started at about the same time as who reads it.
constexpr int writer_patience_ms = 2000;

// O_NONBLOCK: to open a named pipe that nobody writes into would take for ever.
constexpr int small_file_flags = O_RDONLY | O_NOCTTY | O_NONBLOCK;

bool has_input(int fd, int limit_ms) noexcept {
    struct pollfd one = {fd, POLLIN, 0};
    return ::poll(&one, 1, limit_ms) != 0;
}

}  // namespace

void Fd::reset() noexcept {
    // Never retried: on Linux the number is free even after EINTR.
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

Result<Fd> open_file(const std::string& path, int flags, mode_t mode) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (fd < 0) return Error::sys(errno, "cannot open '" + printable(path) + "'");
    return Fd(fd);
}

Result<Fd> open_at(const Fd& dir, const std::string& name, int flags, mode_t mode) {
    const int fd = ::openat(dir.get(), name.c_str(), flags | O_CLOEXEC, mode);
    if (fd < 0) return Error::sys(errno, "cannot open '" + printable(name) + "'");
    return Fd(fd);
}

Result<void> write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            return Error::sys(errno, "cannot write");
        }
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

Result<void> write_all(int fd, std::string_view text) {
    return write_all(fd, std::as_bytes(std::span(text.data(), text.size())));
}

Result<std::string> read_to_end(int fd, std::size_t limit, std::string_view shown) {
    const std::string doing = "cannot read '" + printable(shown) + "'";
    std::string text;
    char buffer[16384];
    bool has_waited = false;
    bool is_alone = false;
    for (;;) {
        const ssize_t n = ::read(fd, buffer, sizeof buffer);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return Error::sys(errno, doing);
            is_alone = false;
            has_input(fd, -1);
            continue;
        }
        if (n == 0 && text.empty() && !has_waited) {
            // Nothing in it, or a named pipe that nobody has opened for writing yet, which has no end to be found either.
            has_waited = true;
            is_alone = !has_input(fd, writer_patience_ms);
            continue;
        }
        if (n == 0 && text.empty() && is_alone) {
            return Error(Kind::io, doing + ": nobody writes into this named pipe");
        }
        if (n == 0) return text;
        if (text.size() + static_cast<std::size_t>(n) > limit) {
            return Error(Kind::corrupt, doing + ": it has more than " + std::to_string(limit) + " bytes");
        }
        text.append(buffer, static_cast<std::size_t>(n));
    }
}

Result<std::string> read_small_file(const std::string& path, std::size_t limit) {
    const Fd fd = SENV_TRY(open_file(path, small_file_flags));
    return read_to_end(fd.get(), limit, path);
}

Result<std::string> read_small_file(const Fd& dir, const std::string& name, std::size_t limit) {
    const Fd fd = SENV_TRY(open_at(dir, name, small_file_flags));
    return read_to_end(fd.get(), limit, name);
}

Result<std::vector<std::string>> names_in(const Fd& dir, std::uint64_t most) {
    // A descriptor of its own: a duplicate would share its position.
    Fd own = SENV_TRY(open_at(dir, ".", O_RDONLY | O_DIRECTORY));
    const std::unique_ptr<DIR, DirCloser> stream(::fdopendir(own.get()));
    if (!stream) return Error::sys(errno, "cannot list a directory");
    own.release();  // NOLINT(bugprone-unused-return-value): the stream owns it now
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const struct dirent* entry = ::readdir(stream.get());
        if (entry == nullptr) {
            if (errno != 0) return Error::sys(errno, "cannot list a directory");
            return names;
        }
        const std::string_view name(entry->d_name);
        if (name == "." || name == "..") continue;
        if (names.size() == most) {
            return Error(Kind::corrupt, "a directory has more than " + std::to_string(most) + " entries");
        }
        names.emplace_back(name);
    }
}

Result<bool> try_lock(int fd, off_t start, off_t length) {
    struct flock range {};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = start;
    range.l_len = length;
    if (::fcntl(fd, F_OFD_SETLK, &range) == 0) return true;
    if (errno == EAGAIN || errno == EACCES) return false;
    // NFS without lockd, Lustre without -o flock, and others.
    if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) return true;
    return Error::sys(errno, "cannot lock a file");
}

Result<void> replace_file(const std::string& path, std::string_view text, mode_t mode) {
    std::string beside = path + ".XXXXXX";
    const Fd fd(::mkostemp(beside.data(), O_CLOEXEC));
    if (!fd) return Error::sys(errno, "cannot create '" + path + "'");
    Result<void> done = write_all(fd.get(), text);
    if (done && ::fchmod(fd.get(), mode) != 0) done = Error::sys(errno, "cannot set the mode of '" + beside + "'");
    if (done && ::rename(beside.c_str(), path.c_str()) != 0) done = Error::sys(errno, "cannot rename '" + beside + "'");
    if (!done) ::unlink(beside.c_str());
    return std::move(done).in("cannot write '" + path + "'");
}

}  // namespace senv
