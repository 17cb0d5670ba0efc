// frame.h: the frames of protocol.md, as bytes.
//
// Shape    see protocol.md.
// Errors   corrupt, naming the field. Lengths are checked before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "cache/base/result.h"

namespace senv::wire {

inline constexpr std::uint16_t version = 1;
inline constexpr std::size_t header_bytes = 8;
inline constexpr std::uint32_t max_request_bytes = 64 * 1024;
inline constexpr std::uint32_t max_reply_bytes = 512 * 1024;
inline constexpr std::uint32_t max_list = 4096;

enum class Type : std::uint16_t {
    provision = 1,
    prefetch = 2,
    status = 3,
    gc = 4,
    pin = 5,
    list = 6,
    verify = 7,
    held = 8,
    release = 9,
    lease = 16,
    pending = 17,
    progress = 18,
    plan = 32,
    error = 33,
    accepted = 34,
    text = 35,
};

struct Header {
    std::uint32_t length = 0;
    Type type = Type::error;

    /// `limit`: max_request_bytes or max_reply_bytes.
    static Result<Header> parse(std::span<const std::byte, header_bytes> bytes, std::uint32_t limit);
};

/// Builds one frame. finish() may be called once.
class Writer {
public:
    explicit Writer(Type type);
    Writer& u16(std::uint16_t value);
    Writer& u32(std::uint32_t value);
    Writer& u64(std::uint64_t value);
    Writer& str(std::string_view text);
    std::string finish();

private:
    std::string bytes_;
};

/// Reads a payload from front to back. It does not own the bytes.
class Reader {
public:
    explicit Reader(std::string_view payload) : rest_(payload) {}
    Result<std::uint16_t> u16(std::string_view field);
    Result<std::uint32_t> u32(std::string_view field);
    Result<std::uint64_t> u64(std::string_view field);
    Result<std::string> str(std::string_view field, std::size_t limit);
    /// Nothing may be left.
    Result<void> end() const;

private:
    Result<std::string_view> take(std::size_t count, std::string_view field);
    std::string_view rest_;
};

}  // namespace senv::wire
