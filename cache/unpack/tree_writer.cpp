#include "cache/unpack/tree_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace senv {

namespace {

constexpr mode_t file_mode_plain = 0444;
constexpr mode_t file_mode_executable = 0555;
constexpr mode_t directory_mode = 0555;
constexpr mode_t directory_mode_while_written = 0755;
constexpr mode_t file_mode_while_written = 0600;
// 1970-01-01T00:00:01Z, for access and for modification, as in every Guix store.
constexpr std::array<timespec, 2> store_time = {timespec{1, 0}, timespec{1, 0}};

}  // namespace

TreeWriter::TreeWriter(const Fd& parent, std::string name) : parent_(parent), root_name_(std::move(name)) {}

Result<void> TreeWriter::enter_directory(std::string_view name) {
    const std::string made = entry(name);
    if (::mkdirat(directory(), made.c_str(), directory_mode_while_written) != 0) {
        return fail(errno, "create directory", name);
    }
    const int fd = ::openat(directory(), made.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return fail(errno, "open directory", name);
    directories_.emplace_back(fd);
    if (directories_.size() > 1) path_.append(name).append("/");
    room_ += {usual_block, 1};
    return {};
}

Result<void> TreeWriter::leave_directory() {
    const Fd left = std::move(directories_.back());
    directories_.pop_back();
    const bool is_root = directories_.empty();
    if (::fchmod(left.get(), is_root ? directory_mode_while_written : directory_mode) != 0) {
        return fail(errno, "set the mode of", "");
    }
    if (::futimens(left.get(), store_time.data()) != 0) return fail(errno, "set the time of", "");
    if (!is_root) path_.resize(path_.rfind('/', path_.size() - 2) + 1);
    return {};
}

Result<void> TreeWriter::begin_file(std::string_view name, bool executable, std::uint64_t size) {
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    file_ = Fd(::openat(directory(), entry(name).c_str(), flags, file_mode_while_written));
    if (!file_) return fail(errno, "create", name);
    file_name_ = name;
    file_mode_ = executable ? file_mode_executable : file_mode_plain;
    room_ += room_of_file(size);
    return {};
}

Result<void> TreeWriter::file_data(std::span<const std::byte> bytes) {
    Result<void> written = write_all(file_.get(), bytes);
    if (written) return {};
    return std::move(written).in("cannot unpack '" + path_ + file_name_ + "'");
}

Result<void> TreeWriter::end_file() {
    if (::fchmod(file_.get(), file_mode_) != 0) return fail(errno, "set the mode of", file_name_);
    if (::futimens(file_.get(), store_time.data()) != 0) return fail(errno, "set the time of", file_name_);
    file_.reset();
    return {};
}

Result<void> TreeWriter::symlink(std::string_view name, std::string_view target) {
    const std::string made = entry(name);
    if (::symlinkat(std::string(target).c_str(), directory(), made.c_str()) != 0) {
        return fail(errno, "create symbolic link", name);
    }
    if (::utimensat(directory(), made.c_str(), store_time.data(), AT_SYMLINK_NOFOLLOW) != 0) {
        return fail(errno, "set the time of", name);
    }
    room_.inodes += 1;  // its target stands in it
    return {};
}

int TreeWriter::directory() const noexcept {
    return directories_.empty() ? parent_.get() : directories_.back().get();
}

// The name on disk: the root node has none of its own.
std::string TreeWriter::entry(std::string_view name) const {
    return directories_.empty() ? root_name_ : std::string(name);
}

Error TreeWriter::fail(int err, std::string_view verb, std::string_view name) const {
    std::string shown = path_ + std::string(name);
    if (shown.empty()) shown = ".";
    return Error::sys(err, "cannot " + std::string(verb) + " '" + shown + "'");
}

}  // namespace senv
