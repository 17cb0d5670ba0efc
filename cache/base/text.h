// text.h: small helpers for text, without locale and without allocation where possible.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace senv {

/// "a,b,,c" split at ',' gives a, b, "", c. An empty text gives one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);
/// The parts with `separator` between them.
std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// A whole decimal number: digits only, no sign, no blanks, no overflow.
std::optional<std::uint64_t> parse_decimal(std::string_view text) noexcept;

/// Writes all but A-Z a-z 0-9 '-' '.' '_' '~' as %HH, for one segment of a URL.
std::string percent_encode(std::string_view text);
/// Undoes the %HH of URLs; nullopt when a '%' is not followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text);

/// Text of unknown origin made fit for one line of a log, a terminal or JSON: valid UTF-8 without control characters. Other
/// bytes become "\xHH", and what comes after the first `limit` bytes of the outcome is replaced by "…".
std::string printable(std::string_view text, std::size_t limit = 200);

/// Blanks and printable ASCII characters only.
bool is_printable_ascii(std::string_view text) noexcept;

/// "412 B", "3.4 KiB", "1.2 GiB": sizes for people.
std::string human_bytes(std::uint64_t bytes);

}  // namespace senv
