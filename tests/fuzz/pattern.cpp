// Any pattern over any text: what Pattern takes, glibc takes, and both match the same; what glibc takes and Pattern
// does not is one of the few things that pattern.h refuses. With a clock: nothing takes longer than its states and
// bytes allow.
//
// Input    The first byte is even: a pattern as it is, a line end, the text. Odd: bytes that choose among pieces of
//          expressions, so that most patterns are valid, then likewise.
#include <regex.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <string>

#include "provisioner/pattern.h"
#include "tests/fuzz/require.h"

namespace {

constexpr std::array<std::string_view, 40> pieces = {"a",
                                                     "b",
                                                     "c",
                                                     "-",
                                                     ".",
                                                     "^",
                                                     "$",
                                                     "|",
                                                     "(",
                                                     ")",
                                                     "*",
                                                     "+",
                                                     "?",
                                                     "{2}",
                                                     "{1,2}",
                                                     "{,2}",
                                                     "{1,}",
                                                     "[ab]",
                                                     "[^a]",
                                                     "[a-c]",
                                                     "[]a]",
                                                     "[^]a]",
                                                     "[a-]",
                                                     "[---]",
                                                     "[",
                                                     "]",
                                                     "{",
                                                     "}",
                                                     ",",
                                                     "\\",
                                                     "()",
                                                     "(a|b)",
                                                     "(a*b)*",
                                                     "(^a|b$)",
                                                     "\\.",
                                                     "\\w",
                                                     "[^\\s]",
                                                     "[[:alpha:]b]",
                                                     "[[=a=][.b.]-c]",
                                                     "-c]"};

std::string built_from(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) text += pieces[static_cast<unsigned char>(c) % pieces.size()];
    return text;
}

// glibc makes copies of what is repeated, twice as many for each "+" or "{2}" after another.
bool is_cheap_for_glibc(std::string_view pattern) {
    const auto repeats = std::ranges::count_if(pattern, [](char c) { return c == '+' || c == '{'; });
    if (pattern.size() > 60 || repeats > 3) return false;
    for (std::size_t at = pattern.find('{'); at != pattern.npos; at = pattern.find('{', at + 1)) {
        std::size_t digits = 0;  // in a row
        for (std::size_t i = at + 1; i < pattern.size() && pattern[i] != '}'; ++i) {
            digits = pattern[i] >= '0' && pattern[i] <= '9' ? digits + 1 : 0;
            if (digits > 1) return false;
        }
    }
    return true;
}

// Whether a backslash stands before what pattern.h refuses, in brackets perhaps.
bool has_refused_escape(std::string_view pattern) {
    for (std::size_t at = pattern.find('\\'); at + 1 < pattern.size(); at = pattern.find('\\', at + 1)) {
        const char c = pattern[at + 1];
        const bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (is_alnum || std::string_view("<>`',").find(c) != std::string_view::npos) return true;
    }
    return false;
}

void compare(const std::string& pattern, const std::string& text) {
    const std::clock_t start = std::clock();
    const auto ours = senv::Pattern::compile(pattern);
    const bool matches = ours && ours->matches(text);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    const double work = ours ? static_cast<double>(ours->states() * (text.size() + 1)) : 0;
    REQUIRE(seconds < 0.5 + work * 1e-6);
    if (pattern.find('\0') != pattern.npos || text.find('\0') != text.npos || !is_cheap_for_glibc(pattern)) return;

    // With an anchor inside of what is repeated, glibc 2.36 may not end, or matches wrongly; and its "^" may match after a
    // newline in the text, also without REG_NEWLINE ("[[:space:]]^").
    const bool has_anchor = pattern.find_first_of("^$") != pattern.npos;
    if (has_anchor && (!ours || text.find('\n') != text.npos)) return;

    regex_t compiled = {};
    const int code = ::regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB);
    if (code == REG_ESPACE) return;
    if (code != 0) {
        REQUIRE(!ours);
        return;
    }
    if (ours) {
        const int found = ::regexec(&compiled, text.c_str(), 0, nullptr, 0);
        REQUIRE(found == REG_ESPACE || matches == (found == 0));
    } else {
        REQUIRE(has_refused_escape(pattern));
    }
    ::regfree(&compiled);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const std::size_t end = std::min(input.find('\n', 1), size);
    const std::string_view pattern = input.substr(1, end - 1);
    const std::string text(input.substr(std::min(end + 1, size)));
    compare(data[0] % 2 == 0 ? std::string(pattern) : built_from(pattern), text);
    return 0;
}
