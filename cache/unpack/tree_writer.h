// tree_writer.h: makes the tree of a nar below a private directory.
//
// Shape    The root node becomes `name` in `parent`. Files get mode 0444 or 0555 and mtime 1; directories 0555 and
//          mtime 1, except the root directory, which keeps 0755 so that an unprivileged rename can move it into the store
//          (the store sets its final mode afterwards). Symlinks are made as they are, never followed.
// Trust    The bytes are not verified yet. Every name is created afresh relative to an open directory: openat with
//          O_CREAT|O_EXCL|O_NOFOLLOW, mkdirat without tolerating EEXIST. Nothing is preallocated.
// Errors   Error::sys with the path inside the item ('.' is the root). After an error the writer must not be used again;
//          what it made stays, for the owner of `parent` to remove.
// Units    One descriptor per open directory level, so at most 256, and one for the file being written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/base/fd.h"
#include "cache/base/room.h"
#include "cache/formats/nar.h"

namespace senv {

class TreeWriter final : public NarSink {
public:
    /// `parent` must stay open as long as the writer; `name` must not exist in it.
    TreeWriter(const Fd& parent, std::string name);

    Result<void> enter_directory(std::string_view name) override;
    Result<void> leave_directory() override;
    Result<void> begin_file(std::string_view name, bool executable, std::uint64_t size) override;
    Result<void> file_data(std::span<const std::byte> bytes) override;
    Result<void> end_file() override;
    Result<void> symlink(std::string_view name, std::string_view target) override;

    /// What was made takes so much.
    const Room& room() const noexcept { return room_; }

private:
    int directory() const noexcept;
    std::string entry(std::string_view name) const;
    Error fail(int err, std::string_view verb, std::string_view name) const;

    const Fd& parent_;
    std::string root_name_;
    std::vector<Fd> directories_;  // from the root to the one that is being filled
    std::string path_;             // of the last one inside the item: "" or "lib/" or "lib/guile/"
    Fd file_;                      // the one that is being written
    std::string file_name_;
    mode_t file_mode_ = 0;
    Room room_;
};

}  // namespace senv
