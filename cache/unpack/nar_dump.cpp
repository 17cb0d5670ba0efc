#include "cache/unpack/nar_dump.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <memory>

namespace senv {

namespace {

constexpr unsigned max_depth = 256;
constexpr std::size_t block = 256UL * 1024;
constexpr std::uint64_t least_entry = 160;  // bytes of nar that an entry of a directory takes

class Dumper {
public:
    Dumper(const ByteSink& sink, std::uint64_t max_bytes, Modes modes)
        : sink_(sink), max_bytes_(max_bytes), modes_(modes), buffer_(std::make_unique<std::byte[]>(block)) {}

    Result<void> archive(const Fd& parent, const std::string& name) {
        SENV_TRY(str("nix-archive-1"));
        return node(parent, name, 0);
    }

private:
    Result<void> give(std::span<const std::byte> bytes) {
        if (bytes.size() > max_bytes_ - given_) {
            return Error(Kind::corrupt, "its nar has more than " + std::to_string(max_bytes_) + " bytes");
        }
        given_ += bytes.size();
        return sink_(bytes);
    }

    Result<void> bytes(std::string_view text) { return give(std::as_bytes(std::span(text.data(), text.size()))); }

    Result<void> number(std::uint64_t value) {
        std::array<char, 8> text{};
        for (std::size_t i = 0; i < text.size(); ++i) {
            text[i] = static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
        }
        return bytes({text.data(), text.size()});
    }

    Result<void> padding(std::uint64_t size) {
        static constexpr std::array<char, 8> zeros{};
        return bytes({zeros.data(), (8 - size % 8) % 8});
    }

    Result<void> str(std::string_view text) {
        SENV_TRY(number(text.size()));
        SENV_TRY(bytes(text));
        return padding(text.size());
    }

    Result<void> node(const Fd& parent, const std::string& name, unsigned depth) {
        if (depth > max_depth) {
            return Error(Kind::corrupt, "more than " + std::to_string(max_depth) + " directories inside each other");
        }
        struct stat found = {};
        if (::fstatat(parent.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
            return Error::sys(errno, "cannot look at '" + name + "'");
        }
        if (modes_ == Modes::of_store && !S_ISLNK(found.st_mode)) {
            const auto mode = found.st_mode & 07777U;
            if (mode != 0555U && (mode != 0444U || S_ISDIR(found.st_mode))) {
                return Error(Kind::corrupt, "'" + name + "' has a mode that nothing in the store has");
            }
        }
        SENV_TRY(str("("));
        SENV_TRY(str("type"));
        if (S_ISREG(found.st_mode)) {
            SENV_TRY(regular(parent, name));
        } else if (S_ISDIR(found.st_mode)) {
            SENV_TRY(directory(parent, name, depth));
        } else if (S_ISLNK(found.st_mode)) {
            SENV_TRY(symlink(parent, name));
        } else {
            return Error(Kind::corrupt, "'" + name + "' is neither a file, a directory nor a link");
        }
        return str(")");
    }

    Result<void> regular(const Fd& parent, const std::string& name) {
        const Fd file = SENV_TRY(open_at(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
        struct stat found = {};
        if (::fstat(file.get(), &found) != 0) return Error::sys(errno, "cannot look at '" + name + "'");
        if (!S_ISREG(found.st_mode)) return Error(Kind::corrupt, "'" + name + "' was replaced while it was read");
        SENV_TRY(str("regular"));
        if ((found.st_mode & S_IXUSR) != 0) {
            SENV_TRY(str("executable"));
            SENV_TRY(str(""));
        }
        SENV_TRY(str("contents"));
        const auto size = static_cast<std::uint64_t>(found.st_size);
        SENV_TRY(number(size));
        std::uint64_t left = size;
        while (left > 0) {
            const ssize_t n = ::read(file.get(), buffer_.get(), std::min<std::uint64_t>(left, block));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return Error::sys(errno, "cannot read '" + name + "'");
            if (n == 0) return Error(Kind::corrupt, "'" + name + "' became shorter while it was read");
            SENV_TRY(give(std::span(buffer_.get(), static_cast<std::size_t>(n))));
            left -= static_cast<std::uint64_t>(n);
        }
        return padding(size);
    }

    Result<void> directory(const Fd& parent, const std::string& name, unsigned depth) {
        const Fd dir = SENV_TRY(open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        auto names = SENV_TRY(names_in(dir, max_bytes_ / least_entry));
        std::sort(names.begin(), names.end());  // std::string compares as memcmp does, which is nar's order
        SENV_TRY(str("directory"));
        for (const std::string& entry : names) {
            SENV_TRY(str("entry"));
            SENV_TRY(str("("));
            SENV_TRY(str("name"));
            SENV_TRY(str(entry));
            SENV_TRY(str("node"));
            SENV_TRY(node(dir, entry, depth + 1));
            SENV_TRY(str(")"));
        }
        return {};
    }

    Result<void> symlink(const Fd& parent, const std::string& name) {
        std::array<char, PATH_MAX> target{};
        const ssize_t n = ::readlinkat(parent.get(), name.c_str(), target.data(), target.size());
        if (n < 0) return Error::sys(errno, "cannot read the link '" + name + "'");
        SENV_TRY(str("symlink"));
        SENV_TRY(str("target"));
        return str({target.data(), static_cast<std::size_t>(n)});
    }

    const ByteSink& sink_;
    const std::uint64_t max_bytes_;
    const Modes modes_;
    std::uint64_t given_ = 0;
    std::unique_ptr<std::byte[]> buffer_;
};

}  // namespace

Result<void> dump_nar(const Fd& parent, const std::string& name, const ByteSink& sink, std::uint64_t max_bytes,
                      Modes modes) {
    return Dumper(sink, max_bytes, modes).archive(parent, name).in("cannot read the tree '" + name + "'");
}

}  // namespace senv
