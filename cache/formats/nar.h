// nar.h: a strict, incremental reader of nar archives.
//
// Shape    str = u64 little-endian length, bytes, zero bytes up to a multiple of 8.
//            nar  = str("nix-archive-1") node
//            node = str("(") str("type") body str(")")
//            body = str("regular") [str("executable") str("")] str("contents") str(DATA)
//                 | str("symlink") str("target") str(TARGET)
//                 | str("directory") { str("entry") str("(") str("name") str(NAME) str("node") node str(")") }
// Limits   NAME 1 to 255 bytes, not "." or "..", no '/' and no NUL, strictly ascending by unsigned bytes; TARGET 1 to 4095
//          bytes, no NUL; at most 256 directories inside each other; the whole archive at most the size given to the
//          constructor.
// Ownership  feed() may be called with pieces of any size; it keeps at most one string (4 KiB) between calls and hands
//          file data on without copying. Names and targets are valid during the sink's call only. After an error the
//          reader must not be fed again.
// Errors   corrupt, with the offset in the archive. An error of the sink is passed through. How the archive is cut into
//          pieces changes neither what the sink gets (but for the pieces of file data) nor the error.
// Source   Guix, guix/serialization.scm; Nix, libutil/archive.cc; tests/golden/nar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"

namespace senv {

/// Receives the tree in archive order. The root node has the empty name; every other name is one path component.
class NarSink {
public:
    virtual ~NarSink() = default;
    virtual Result<void> enter_directory(std::string_view name) = 0;
    virtual Result<void> leave_directory() = 0;
    virtual Result<void> begin_file(std::string_view name, bool executable, std::uint64_t size) = 0;
    virtual Result<void> file_data(std::span<const std::byte> bytes) = 0;
    virtual Result<void> end_file() = 0;
    virtual Result<void> symlink(std::string_view name, std::string_view target) = 0;
};

inline constexpr std::size_t max_nar_depth = 256;

class NarReader {
public:
    /// `max_bytes`: the NarSize that was signed; one byte more is an error.
    NarReader(NarSink& sink, std::uint64_t max_bytes);

    Result<void> feed(std::span<const std::byte> bytes);
    /// The archive must end here: all nodes closed.
    Result<void> finish() const;
    /// True once the root node is closed: the archive is complete and any further byte is an error.
    bool complete() const noexcept { return state_ == State::complete; }
    /// How many bytes were taken in.
    std::uint64_t offset() const noexcept { return offset_; }

private:
    // What must come next. A state that ends in "_string" takes a string of free content, the others a fixed one.
    enum class State : unsigned char {
        magic,
        node_open,
        node_type,
        node_kind,
        regular_field,
        executable_string,
        contents,
        contents_size,
        contents_data,
        contents_padding,
        target,
        target_string,
        entry_or_close,
        entry_open,
        entry_name,
        name_string,
        entry_node,
        node_close,
        entry_close,
        complete,
    };

    Result<void> step(std::span<const std::byte>& in);
    Result<void> read_string(std::span<const std::byte>& in);
    Result<void> read_contents_size(std::span<const std::byte>& in);
    Result<void> read_contents(std::span<const std::byte>& in);
    Result<void> read_padding(std::span<const std::byte>& in);
    bool gather(std::span<const std::byte>& in, std::size_t size);
    void skip(std::span<const std::byte>& in, std::size_t size) noexcept;
    Result<std::size_t> string_length(const char* field) const;
    Result<void> on_string(const char* bytes, std::size_t length);
    Result<void> on_kind(std::string_view kind);
    Result<void> on_name(std::string_view name);
    Result<void> on_contents_end();
    Result<void> want(std::string_view keyword, std::string_view got, State next);
    std::string_view name() const noexcept;
    Error fail(const std::string& cause) const;

    NarSink& sink_;
    std::uint64_t max_bytes_;
    std::uint64_t offset_ = 0;
    std::uint64_t start_ = 0;  // offset of the string, number or padding that is being read
    State state_ = State::magic;
    bool executable_ = false;
    std::uint64_t data_left_ = 0;     // of the file that is being read
    std::size_t padding_left_ = 0;    // after its data
    std::string partial_;             // the string that is being read, from its length on, when a piece ended inside it
    std::size_t depth_ = 0;           // how many directories are open
    std::vector<std::string> names_;  // names_[d]: the last name in open directory d; longer than depth_, to be reused
};

}  // namespace senv
