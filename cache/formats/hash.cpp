#include "cache/formats/hash.h"

#include <algorithm>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::string_view nix_base32_alphabet = "0123456789abcdfghijklmnpqrsvwxyz";
constexpr std::string_view hex_alphabet = "0123456789abcdef";
constexpr std::string_view sha256_prefix = "sha256:";

Error bad_character(std::string_view text, std::size_t offset, std::string_view alphabet) {
    return {Kind::corrupt, "offset " + std::to_string(offset) + ": '" + printable(text.substr(offset, 1)) +
                               "' is not a " + std::string(alphabet) + " character"};
}

unsigned hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
    return 16;
}

}  // namespace

// The bytes are one little-endian number; the character i places from the end holds its bits 5i to 5i+4.
std::string nix_base32_encode(std::span<const std::byte> bytes) {
    const std::size_t length = (bytes.size() * 8 + 4) / 5;
    std::string text(length, '0');
    for (std::size_t i = 0; i < length; ++i) {
        const std::size_t at = i * 5 / 8;
        const auto shift = static_cast<unsigned>(i * 5 % 8);
        auto bits = std::to_integer<unsigned>(bytes[at]);
        if (at + 1 < bytes.size()) bits |= std::to_integer<unsigned>(bytes[at + 1]) << 8U;
        text[length - 1 - i] = nix_base32_alphabet[(bits >> shift) & 31U];
    }
    return text;
}

Result<std::vector<std::byte>> nix_base32_decode(std::string_view text, std::size_t want_bytes) {
    const std::size_t length = (want_bytes * 8 + 4) / 5;
    if (text.size() != length) {
        return Error(Kind::corrupt,
                     "want " + std::to_string(length) + " nix-base32 characters, got " + std::to_string(text.size()));
    }
    std::vector<std::byte> bytes(want_bytes);
    for (std::size_t i = 0; i < length; ++i) {
        const std::size_t place = length - 1 - i;
        const auto digit = nix_base32_alphabet.find(text[place]);
        if (digit == std::string_view::npos) return bad_character(text, place, "nix-base32");
        const std::size_t at = i * 5 / 8;
        const auto bits = static_cast<unsigned>(digit) << (i * 5 % 8);
        bytes[at] |= static_cast<std::byte>(bits & 0xffU);
        if (at + 1 < want_bytes) {
            bytes[at + 1] |= static_cast<std::byte>(bits >> 8U);
        } else if ((bits >> 8U) != 0) {
            return Error(Kind::corrupt, "the unused bits of the first nix-base32 character are not zero");
        }
    }
    return bytes;
}

std::string hex_encode(std::span<const std::byte> bytes) {
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const std::byte byte : bytes) {
        text += hex_alphabet[std::to_integer<unsigned>(byte) >> 4U];
        text += hex_alphabet[std::to_integer<unsigned>(byte) & 15U];
    }
    return text;
}

Result<std::vector<std::byte>> hex_decode(std::string_view text) {
    if (text.size() % 2 != 0) {
        return Error(Kind::corrupt, "want an even number of hexadecimal digits, got " + std::to_string(text.size()));
    }
    std::vector<std::byte> bytes(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); ++i) {
        const unsigned digit = hex_digit(text[i]);
        if (digit > 15) return bad_character(text, i, "hexadecimal");
        bytes[i / 2] |= static_cast<std::byte>(i % 2 == 0 ? digit << 4U : digit);
    }
    return bytes;
}

Result<Sha256> Sha256::parse_prefixed(std::string_view text) {
    if (!text.starts_with(sha256_prefix)) {
        return Error(Kind::corrupt, "want 'sha256:' and 52 nix-base32 characters, got '" + printable(text) + "'");
    }
    Sha256 hash;
    const auto bytes = SENV_TRY(nix_base32_decode(text.substr(sha256_prefix.size()), hash.bytes.size()));
    std::copy(bytes.begin(), bytes.end(), hash.bytes.begin());
    return hash;
}

std::string Sha256::prefixed() const {
    return std::string(sha256_prefix) + nix_base32_encode(bytes);
}

}  // namespace senv
