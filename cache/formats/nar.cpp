#include "cache/formats/nar.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t length_bytes = 8;
constexpr std::size_t max_keyword = 32;
constexpr std::size_t max_name = 255;
constexpr std::size_t max_target = 4095;

std::uint64_t load_u64(const char* bytes) noexcept {
    static_assert(std::endian::native == std::endian::little);
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

// For sizes far from the end of the 64 bits only.
constexpr std::size_t padded(std::size_t size) noexcept {
    return (size + 7) & ~std::size_t{7};
}

bool all_zero(std::string_view bytes) noexcept {
    return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; });
}

std::string_view as_chars(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

NarReader::NarReader(NarSink& sink, std::uint64_t max_bytes) : sink_(sink), max_bytes_(max_bytes) {}

Result<void> NarReader::feed(std::span<const std::byte> bytes) {
    const std::uint64_t room = max_bytes_ - offset_;
    const bool too_long = bytes.size() > room;
    if (too_long) bytes = bytes.first(static_cast<std::size_t>(room));
    while (!bytes.empty()) SENV_TRY(step(bytes));
    if (!too_long) return {};
    if (partial_.empty()) start_ = offset_;
    return fail("the archive has more than " + std::to_string(max_bytes_) + " bytes");
}

Result<void> NarReader::finish() const {
    if (complete()) return {};
    return Error(Kind::corrupt, "offset " + std::to_string(offset_) + ": the archive ends too early");
}

Result<void> NarReader::step(std::span<const std::byte>& in) {
    // Errors name the beginning of what is read, not the end of the piece that it came in.
    if (partial_.empty() && state_ != State::contents_padding) start_ = offset_;
    switch (state_) {
        case State::contents_size: return read_contents_size(in);
        case State::contents_data: return read_contents(in);
        case State::contents_padding: return read_padding(in);
        case State::complete: return fail("bytes after the end of the archive");
        default: return read_string(in);
    }
}

Result<void> NarReader::read_string(std::span<const std::byte>& in) {
    // The usual case: the whole string is in this piece and need not be copied.
    if (partial_.empty() && in.size() >= length_bytes) {
        const char* const bytes = as_chars(in).data();
        const std::size_t length = SENV_TRY(string_length(bytes));
        const std::size_t total = length_bytes + padded(length);
        if (in.size() >= total) {
            skip(in, total);
            return on_string(bytes + length_bytes, length);
        }
    }
    if (!gather(in, length_bytes)) return {};
    const std::size_t length = SENV_TRY(string_length(partial_.data()));
    if (!gather(in, length_bytes + padded(length))) return {};
    SENV_TRY(on_string(partial_.data() + length_bytes, length));
    partial_.clear();
    return {};
}

// Moves bytes into partial_ until it has `size` of them. False: the piece ended before.
bool NarReader::gather(std::span<const std::byte>& in, std::size_t size) {
    const std::size_t taken = std::min(size - std::min(size, partial_.size()), in.size());
    partial_.append(as_chars(in.first(taken)));
    skip(in, taken);
    return partial_.size() >= size;
}

void NarReader::skip(std::span<const std::byte>& in, std::size_t size) noexcept {
    in = in.subspan(size);
    offset_ += size;
}

Result<std::size_t> NarReader::string_length(const char* field) const {
    const std::uint64_t length = load_u64(field);
    std::size_t limit = max_keyword;
    if (state_ == State::name_string) limit = max_name;
    if (state_ == State::target_string) limit = max_target;
    if (length > limit) {
        return fail("want a string of at most " + std::to_string(limit) + " bytes, got one of " +
                    std::to_string(length));
    }
    return static_cast<std::size_t>(length);
}

Result<void> NarReader::on_string(const char* bytes, std::size_t length) {
    if (!all_zero({bytes + length, padded(length) - length})) return fail("the padding of a string is not zero");
    const std::string_view string(bytes, length);
    switch (state_) {
        case State::magic: return want("nix-archive-1", string, State::node_open);
        case State::node_open: return want("(", string, State::node_type);
        case State::node_type: return want("type", string, State::node_kind);
        case State::node_kind: return on_kind(string);
        case State::regular_field:
            if (string != "executable") return want("contents", string, State::contents_size);
            executable_ = true;
            state_ = State::executable_string;
            return {};
        case State::executable_string: return want("", string, State::contents);
        case State::contents: return want("contents", string, State::contents_size);
        case State::target: return want("target", string, State::target_string);
        case State::target_string:
            if (string.empty() || string.find('\0') != std::string_view::npos) {
                return fail("the target of a symbolic link is empty or has a NUL byte");
            }
            state_ = State::node_close;
            return sink_.symlink(name(), string);
        case State::entry_or_close:
            if (string != ")") return want("entry", string, State::entry_open);
            --depth_;
            state_ = depth_ == 0 ? State::complete : State::entry_close;
            return sink_.leave_directory();
        case State::entry_open: return want("(", string, State::entry_name);
        case State::entry_name: return want("name", string, State::name_string);
        case State::name_string: return on_name(string);
        case State::entry_node: return want("node", string, State::node_open);
        case State::node_close: return want(")", string, depth_ == 0 ? State::complete : State::entry_close);
        case State::entry_close: return want(")", string, State::entry_or_close);
        default: return Error(Kind::bug, "the nar reader took other bytes for a string");
    }
}

Result<void> NarReader::on_kind(std::string_view kind) {
    if (kind == "regular") {
        executable_ = false;
        state_ = State::regular_field;
        return {};
    }
    if (kind != "directory") return want("symlink", kind, State::target);
    if (depth_ == max_nar_depth) {
        return fail("more than " + std::to_string(max_nar_depth) + " directories inside each other");
    }
    SENV_TRY(sink_.enter_directory(name()));
    if (names_.size() == depth_) names_.emplace_back();
    names_[depth_].clear();
    ++depth_;
    state_ = State::entry_or_close;
    return {};
}

Result<void> NarReader::on_name(std::string_view name) {
    if (name.empty() || name == "." || name == ".." ||
        name.find_first_of(std::string_view("/\0", 2)) != std::string_view::npos) {
        return fail("'" + printable(name) + "' cannot be the name of a directory entry");
    }
    std::string& last = names_[depth_ - 1];
    if (name <= last) {
        return fail("the name '" + printable(name) + "' must not follow '" + printable(last) + "'");
    }
    last = name;
    state_ = State::entry_node;
    return {};
}

Result<void> NarReader::read_contents_size(std::span<const std::byte>& in) {
    if (!gather(in, length_bytes)) return {};
    const std::uint64_t size = load_u64(partial_.data());
    if (size > max_bytes_ - offset_) {
        return fail("a file of " + std::to_string(size) + " bytes goes beyond the " + std::to_string(max_bytes_) +
                    " bytes of the archive");
    }
    partial_.clear();
    data_left_ = size;
    padding_left_ = (length_bytes - size % length_bytes) % length_bytes;
    SENV_TRY(sink_.begin_file(name(), executable_, size));
    state_ = State::contents_data;
    return size == 0 ? on_contents_end() : Result<void>();
}

Result<void> NarReader::read_contents(std::span<const std::byte>& in) {
    const auto data = in.first(static_cast<std::size_t>(std::min<std::uint64_t>(data_left_, in.size())));
    skip(in, data.size());
    data_left_ -= data.size();
    SENV_TRY(sink_.file_data(data));
    if (data_left_ > 0) return {};
    if (padding_left_ == 0) return on_contents_end();
    start_ = offset_;
    state_ = State::contents_padding;
    return {};
}

Result<void> NarReader::read_padding(std::span<const std::byte>& in) {
    const auto padding = in.first(std::min(padding_left_, in.size()));
    if (!all_zero(as_chars(padding))) return fail("the padding of a file is not zero");
    skip(in, padding.size());
    padding_left_ -= padding.size();
    return padding_left_ == 0 ? on_contents_end() : Result<void>();
}

Result<void> NarReader::on_contents_end() {
    state_ = State::node_close;
    return sink_.end_file();
}

Result<void> NarReader::want(std::string_view keyword, std::string_view got, State next) {
    if (got != keyword) return fail("want '" + std::string(keyword) + "', got '" + printable(got) + "'");
    state_ = next;
    return {};
}

std::string_view NarReader::name() const noexcept {
    return depth_ == 0 ? std::string_view() : std::string_view(names_[depth_ - 1]);
}

Error NarReader::fail(const std::string& cause) const {
    return {Kind::corrupt, "offset " + std::to_string(start_) + ": " + cause};
}

}  // namespace senv
