// pattern.h: POSIX extended regular expressions of people we do not know. Pure.
//
// Shape    What glibc's regcomp(REG_EXTENDED | REG_NOSUB) takes in the C locale, where a byte is a character: | ( ) * +
//          ? {n} {n,} {,m} {n,m} ^ $ . and brackets with ranges, classes ([:alpha:]) and single characters as [=a=] and
//          [.-.]. Of GNU's additions: \w \W \s \S. A backslash takes the meaning from any character other than a letter
//          or digit.
// Refused  What glibc takes, but nobody can rely on: back-references; \< \> \b \B \` \' (^ and $ mean the ends of the
//          text); a backslash before any other letter or digit (\d is a plain d to glibc) or in a count; ^ or $ inside
//          of what is repeated (glibc 2.36 lets "(^a)+b" match "aab").
// Cost     Matching takes time in proportion to states() times the bytes of the text: the expression becomes an
//          automaton that is in many states at once, and nothing is tried twice. Counts are written out as copies of
//          what they follow.
// Limits   6,000 bytes, 6,000 states, 100 parentheses inside each other.
// Errors   usage, with what is wrong.
// Source   POSIX.1-2017, Base Definitions, 9.4; glibc's posix/regcomp.c; tests/fuzz/pattern.cpp compares the two.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"

namespace senv {

class Pattern {
public:
    static Result<Pattern> compile(std::string_view text);
    /// Anywhere in `text`.
    bool matches(std::string_view text) const;
    std::size_t states() const noexcept { return states_.size(); }

private:
    using Bytes = std::bitset<256>;

    struct State {
        enum class Type : unsigned char { bytes, either, begin, end, match };
        Type type = Type::match;
        std::uint32_t next = 0;
        std::uint32_t other = 0;  // either: the second of the next states; bytes: which of sets_
    };
    class Compiler;
    class Run;

    std::vector<State> states_;
    std::vector<Bytes> sets_;
    std::uint32_t start_ = 0;
};

}  // namespace senv
