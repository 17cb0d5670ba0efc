#include "cache/formats/base64.h"

#include <algorithm>
#include <cstdint>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string base64_encode(std::string_view bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 3))) {
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < 3; ++i) {
            bits = bits << 8U | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U);
        }
        for (std::size_t i = 0; i < 4; ++i) text += i > bytes.size() ? '=' : alphabet[bits >> (18 - 6 * i) & 63U];
    }
    return text;
}

Result<std::string> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) {
        return Error(Kind::corrupt,
                     "want base64 of a length divisible by 4, got " + std::to_string(text.size()) + " characters");
    }
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
    const std::string_view digits = text.substr(0, text.size() - padding);

    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        const auto digit = alphabet.find(digits[i]);
        if (digit == std::string_view::npos) {
            return Error(Kind::corrupt, "offset " + std::to_string(i) + ": '" + printable(digits.substr(i, 1)) +
                                            "' is not a base64 character");
        }
        bits = (bits << 6U) | static_cast<std::uint32_t>(digit);
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes += static_cast<char>((bits >> held) & 0xffU);
        }
    }
    if ((bits & ((1U << held) - 1U)) != 0) {
        return Error(Kind::corrupt, "the unused bits of the last base64 character are not zero");
    }
    return bytes;
}

}  // namespace senv
