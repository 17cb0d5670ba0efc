// scheme_data.h: a strict reader of Scheme data, as profile manifests, channel files and simple manifests are written.
//
// Shape    UTF-8 text with any number of data: lists with ( ) or [ ], dotted pairs, strings, symbols, #:keywords, numbers,
//          #t #f #true #false, characters (#\a), quote, quasiquote, unquote and unquote-splicing. Comments: ; to the end of
//          the line, #| … |# (nesting), #; before a datum. "(a . (b c))" is the same value as "(a b c)"; 'x is (quote x).
//          String escapes are those of Guile's default reader: \" \\ \n \t \r \a \b \f \v \0 \( \xHH \uHHHH \UHHHHHH, and a
//          backslash at the end of a line joins it with the next.
// Limits   4 MiB of text, 100 levels, 200,000 data (max_… below): a profile of 1,000 packages has a tenth of that.
// Errors   corrupt, with line and column. Whatever else Guile's reader knows (#~ #$ #( #! #u8 …) is refused, not guessed.
// Source   Guile 3.0.11's reader, asked for each of the above; vectors/profile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"

namespace senv {

struct Datum {
    enum class Type : unsigned char { list, string, symbol, keyword, number, boolean, character };

    Type type = Type::list;
    std::string text;          // string: its UTF-8 bytes; symbol, keyword, character: the name; number: as written
    bool truth = false;        // boolean
    std::vector<Datum> items;  // list
    std::vector<Datum> tail;   // list: what stands behind the dot, at most one and never a list
    std::size_t line = 0;      // both count from 1; columns are bytes
    std::size_t column = 0;

    bool is_list() const noexcept { return type == Type::list; }
    bool is_proper_list() const noexcept { return is_list() && tail.empty(); }
    bool is_string() const noexcept { return type == Type::string; }
    bool is_symbol(std::string_view name) const noexcept { return type == Type::symbol && text == name; }
    bool is_false() const noexcept { return type == Type::boolean && !truth; }
    /// A proper list that begins with this symbol.
    bool is_form(std::string_view name) const noexcept {
        return is_proper_list() && !items.empty() && items[0].is_symbol(name);
    }
    /// "line 3, column 7"
    std::string place() const;
};

inline constexpr std::size_t max_scheme_bytes = std::size_t{4} << 20U;
inline constexpr std::size_t max_scheme_depth = 100;
inline constexpr std::size_t max_scheme_data = 200'000;

/// All data of the text, in order.
Result<std::vector<Datum>> read_scheme(std::string_view text);

/// `text` as a Scheme string literal, quotes included.
std::string scheme_string(std::string_view text);

}  // namespace senv
