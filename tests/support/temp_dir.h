// temp_dir.h: a folder of its own for a test; removed with everything in it, read-only folders included.
#pragma once

#include <filesystem>
#include <string>

#include "cache/base/fd.h"

namespace senv::test {

class TempDir {
public:
    TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir();

    const std::filesystem::path& path() const noexcept { return path_; }
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }
    /// The folder itself, open.
    const Fd& fd() const noexcept { return fd_; }

private:
    std::filesystem::path path_;
    Fd fd_;
};

}  // namespace senv::test
