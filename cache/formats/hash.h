// hash.h: SHA-256 values and the two alphabets that Guix writes bytes in.
//
// Shape    nix-base32: alphabet 0123456789abcdfghijklmnpqrsvwxyz, ceil(8n/5) characters for n bytes, the first character
//          most significant, unused high bits 0. Not RFC 4648.
// Errors   corrupt. Wrong lengths, other characters and non-zero unused bits are refused (Guix drops the bits silently).
// Source   Guix, guix/base32.scm; Nix, libutil/hash.cc.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"

namespace senv {

std::string nix_base32_encode(std::span<const std::byte> bytes);
Result<std::vector<std::byte>> nix_base32_decode(std::string_view text, std::size_t want_bytes);

std::string hex_encode(std::span<const std::byte> bytes);
Result<std::vector<std::byte>> hex_decode(std::string_view text);

struct Sha256 {
    std::array<std::byte, 32> bytes{};

    /// "sha256:" and 52 nix-base32 characters, as NarHash in a narinfo has it.
    static Result<Sha256> parse_prefixed(std::string_view text);
    std::string prefixed() const;
    std::string hex() const { return hex_encode(bytes); }
    auto operator<=>(const Sha256&) const = default;
};

}  // namespace senv
