#include "tests/support/nar_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <vector>

#include "cache/base/fd.h"

namespace senv::test {

namespace {

std::string number(std::uint64_t value) {
    std::string bytes;
    for (unsigned shift = 0; shift < 64; shift += 8) bytes += static_cast<char>((value >> shift) & 0xffU);
    return bytes;
}

std::string padding(std::uint64_t size) {
    return std::string((8 - size % 8) % 8, '\0');
}

class Writer {
public:
    explicit Writer(const std::function<Result<void>(std::string_view)>& out) : out_(out) {}

    Result<void> node(const std::string& path) {
        struct stat info = {};
        if (::lstat(path.c_str(), &info) != 0) return Error::sys(errno, "cannot look at '" + path + "'");
        SENV_TRY(strings({"(", "type"}));
        if (S_ISREG(info.st_mode)) {
            SENV_TRY(file(path, info));
        } else if (S_ISLNK(info.st_mode)) {
            SENV_TRY(symlink(path));
        } else if (S_ISDIR(info.st_mode)) {
            SENV_TRY(directory(path));
        } else {
            return Error(Kind::usage, "cannot archive '" + path + "': neither file, folder nor symbolic link");
        }
        return strings({")"});
    }

    Result<void> strings(std::initializer_list<std::string_view> list) {
        std::string bytes;
        for (const std::string_view text : list) bytes += nar_string(text);
        return out_(bytes);
    }

private:
    Result<void> file(const std::string& path, const struct stat& info) {
        SENV_TRY(strings({"regular"}));
        if ((info.st_mode & S_IXUSR) != 0) SENV_TRY(strings({"executable", ""}));
        SENV_TRY(strings({"contents"}));
        const auto size = static_cast<std::uint64_t>(info.st_size);
        SENV_TRY(out_(number(size)));

        const Fd fd = SENV_TRY(open_file(path, O_RDONLY | O_NOFOLLOW));
        std::vector<char> buffer(1U << 17U);
        std::uint64_t done = 0;
        for (;;) {
            const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
            if (n < 0) return Error::sys(errno, "cannot read '" + path + "'");
            if (n == 0) break;
            done += static_cast<std::uint64_t>(n);
            SENV_TRY(out_({buffer.data(), static_cast<std::size_t>(n)}));
        }
        if (done != size) return Error(Kind::io, "cannot archive '" + path + "': it changed while it was read");
        return out_(padding(size));
    }

    Result<void> symlink(const std::string& path) {
        std::string target(4096, '\0');
        const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
        if (n < 0) return Error::sys(errno, "cannot read the link '" + path + "'");
        target.resize(static_cast<std::size_t>(n));
        return strings({"symlink", "target", target});
    }

    Result<void> directory(const std::string& path) {
        SENV_TRY(strings({"directory"}));
        const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), &::closedir);
        if (!dir) return Error::sys(errno, "cannot open '" + path + "'");
        std::vector<std::string> names;
        while (const dirent* entry = ::readdir(dir.get())) {
            const std::string name = entry->d_name;
            if (name != "." && name != "..") names.push_back(name);
        }
        std::sort(names.begin(), names.end());  // std::string compares unsigned bytes
        for (const std::string& name : names) {
            SENV_TRY(strings({"entry", "(", "name", name, "node"}));
            SENV_TRY(node(path + "/" + name));
            SENV_TRY(strings({")"}));
        }
        return {};
    }

    const std::function<Result<void>(std::string_view)>& out_;
};

}  // namespace

std::string nar_string(std::string_view text) {
    return number(text.size()) + std::string(text) + padding(text.size());
}

Result<void> write_nar(const std::string& path, const std::function<Result<void>(std::string_view)>& out) {
    Writer writer(out);
    SENV_TRY(writer.strings({"nix-archive-1"}));
    return writer.node(path);
}

Result<std::string> nar_of(const std::string& path) {
    std::string nar;
    SENV_TRY(write_nar(path, [&nar](std::string_view bytes) -> Result<void> {
        nar += bytes;
        return {};
    }));
    return nar;
}

}  // namespace senv::test
