#include "provisioner/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <regex.h>

#include <ctime>
#include <optional>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

// What glibc says; nothing if it does not take the pattern.
std::optional<bool> glibc(const char* pattern, const char* text) {
    regex_t compiled = {};
    if (::regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0) return std::nullopt;
    const bool matches = ::regexec(&compiled, text, 0, nullptr, 0) == 0;
    ::regfree(&compiled);
    return matches;
}

struct Row {
    const char* pattern;
    std::vector<const char*> match;
    std::vector<const char*> differ;
};

void PrintTo(const Row& row, std::ostream* out) {
    *out << row.pattern;
}

class PatternMatches : public testing::TestWithParam<Row> {};

TEST_P(PatternMatches, AsGlibcDoes) {
    const Row& row = GetParam();
    const auto pattern = Pattern::compile(row.pattern);
    ASSERT_THAT(pattern, IsOk());
    for (const char* text : row.match) {
        EXPECT_TRUE(pattern->matches(text)) << text;
        EXPECT_EQ(glibc(row.pattern, text), true) << text;
    }
    for (const char* text : row.differ) {
        EXPECT_FALSE(pattern->matches(text)) << text;
        EXPECT_EQ(glibc(row.pattern, text), false) << text;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Text, PatternMatches,
    testing::Values(
        Row{"", {"", "a"}, {}}, Row{"b", {"b", "abc"}, {"", "ac"}}, Row{"^b", {"b", "bc"}, {"", "ab"}},
        Row{"b$", {"b", "ab"}, {"", "bc"}}, Row{"^$", {""}, {"a", "\n"}}, Row{"^a|b$", {"ax", "xb"}, {"xa", "bx"}},
        Row{"a^b", {}, {"ab", "a^b"}}, Row{"a$b", {}, {"ab", "a$b"}}, Row{"(^a)?b", {"ab", "b", "xb"}, {"a"}},
        Row{"(^|x)a($|y)", {"a", "xay", "bxa"}, {"ba", "ab"}},
        Row{"a.c",
            {"abc", "a\nc",
             "a\xff"
             "c"},
            {"ac"}},
        Row{"a(b|c)+$", {"xabc"}, {"xa", "abca"}}, Row{"^(ab|a)(c|bcd)$", {"abc", "ac", "abcd"}, {"ab", "abbc"}},
        Row{"^(a|)b$", {"ab", "b"}, {"aab"}}, Row{"^(|a)b$", {"ab", "b"}, {"aab"}}, Row{"^()b$", {"b"}, {"ab"}},
        Row{"^()*b$", {"b"}, {}}, Row{"a|", {"", "b"}, {}}, Row{"^(a*)*$", {"", "aaa"}, {"aba"}},
        Row{"^(a*b*)+c$", {"c", "abbac"}, {"abd"}}, Row{"^(a?){3}b$", {"b", "aaab"}, {"aaaab"}},
        Row{"^a{3}$", {"aaa"}, {"aa", "aaaa"}}, Row{"^a{2,}$", {"aa", "aaaa"}, {"a"}},
        Row{"^a{,2}$", {"", "a", "aa"}, {"aaa"}}, Row{"^a{,}$", {"", "aaaa"}, {"b"}}, Row{"^a{0}b$", {"b"}, {"ab"}},
        Row{"^a{1,2}{2}$", {"aa", "aaaa"}, {"a", "aaaaa"}}, Row{"^a+?$", {"", "aa"}, {"b"}},
        Row{"^a?+$", {"", "aa"}, {"b"}}, Row{"^a??$", {"", "a"}, {"aa"}}, Row{"^a++$", {"a", "aa"}, {""}},
        Row{"^A{3}_[0-9]{1,2}$", {"AAA_12"}, {"AAA_123"}}, Row{"^[a-c]$", {"a", "b", "c"}, {"d", "-"}},
        Row{"^[^a-c]$", {"d", "\n"}, {"a", ""}}, Row{"^[]a]$", {"]", "a"}, {"b"}}, Row{"^[^]a]$", {"b"}, {"]", "a"}},
        Row{"^[a-]$", {"a", "-"}, {"b"}}, Row{"^[-a]$", {"a", "-"}, {"b"}}, Row{"^[+--]$", {"+", ",", "-"}, {"."}},
        Row{"^[---]$", {"-"}, {"+"}}, Row{"^[a\\]$", {"a", "\\"}, {"]"}}, Row{"^[a^]$", {"a", "^"}, {"b"}},
        Row{"^[[]$", {"["}, {"]"}}, Row{"^[[:digit:]x]$", {"5", "x"}, {"a", ":"}},
        Row{"^[^[:space:]]$", {"a"}, {" ", "\t"}}, Row{"^[[:punct:][:upper:]]$", {"_", "A"}, {"a", "1"}},
        Row{"^[[=a=][.-.]]$", {"a", "-"}, {"="}}, Row{"^[[.a.]-c]$", {"b"}, {"d"}}, Row{"a\\.b", {"a.b"}, {"axb"}},
        Row{"a\\\\1", {"a\\1"}, {"a1"}}, Row{"\\(\\)\\[\\{\\}\\|\\^\\$\\*\\+\\?\\/\\-\\ ", {"()[{}|^$*+?/- "}, {""}},
        Row{"a)b", {"a)b"}, {"ab"}}, Row{"^a}*$", {"a", "a}}"}, {"a{"}},
        Row{"^\\w\\W\\s\\S$", {"_- x", "a \tb"}, {"aa x", "_-  "}}));

TEST(Pattern, TakesTheClassesOfTheCLocale) {
    for (const char* name : {"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
                             "upper", "xdigit"}) {
        const std::string text = "[[:" + std::string(name) + ":]]";
        const auto pattern = Pattern::compile(text);
        ASSERT_THAT(pattern, IsOk());
        for (unsigned c = 1; c < 256; ++c) {
            const std::string byte(1, static_cast<char>(c));
            EXPECT_EQ(pattern->matches(byte), glibc(text.c_str(), byte.c_str())) << name << " " << c;
        }
    }
}

TEST(Pattern, SaysWhatIsWrong) {
    const std::pair<const char*, const char*> bad[] = {
        {"[", "'[' is not a regular expression: a '[' is not closed"},
        {"[a", "a '[' is not closed"},
        {"[]", "a '[' is not closed"},
        {"[a-", "a '[' is not closed"},
        {"[[:alpha:", "a name in brackets is not closed"},
        {"[[:letter:]]", "there is no class of that name"},
        {"[[.space.]]", "there is no character of that name"},
        {"[c-a]", "a range in brackets ends below its beginning"},
        {"[a-c-e]", "a '-' in brackets"},
        {"[[:digit:]-a]", "a '-' in brackets"},
        {"[a-[:digit:]]", "a range in brackets ends with a class"},
        {"(a", "a '(' is not closed"},
        {"*a", "nothing stands before a '*', '+', '?' or '{'"},
        {"a|*b", "nothing stands before a '*', '+', '?' or '{'"},
        {"(+a)", "nothing stands before a '*', '+', '?' or '{'"},
        {"^?", "nothing stands before a '*', '+', '?' or '{'"},
        {"{1}", "nothing stands before a '*', '+', '?' or '{'"},
        {"a{", "a '{' is not closed"},
        {"a{1", "a '{' is not closed"},
        {"a{}", "a count is not {n}, {n,}, {,m} or {n,m}"},
        {"a{x}", "a count is not"},
        {"a{2,1}", "a count ends below its beginning"},
        {"a{32768}", "a count is above 32767"},
        {"a\\", "it ends with a '\\'"},
    };
    for (const auto& [text, want] : bad) {
        EXPECT_THAT(Pattern::compile(text), FailsWith(Kind::usage, want)) << text;
        EXPECT_EQ(glibc(text, ""), std::nullopt) << text;
    }
}

TEST(Pattern, RefusesWhatOnlyGlibcKnows) {
    for (const char* text : {"(a)\\1", "\\<a", "a\\>", "\\ba", "a\\B", "\\`a", "a\\'", "\\d", "\\n", "\\0"}) {
        EXPECT_THAT(Pattern::compile(text), FailsWith(Kind::usage, " supported")) << text;
        EXPECT_NE(glibc(text, ""), std::nullopt) << text;
    }
    for (const char* text : {"(^a)+b", "(a|b$)*", "((^|x)y){2}", "(^a)?*"}) {
        EXPECT_THAT(Pattern::compile(text), FailsWith(Kind::usage, "inside of what is repeated")) << text;
        EXPECT_NE(glibc(text, ""), std::nullopt) << text;
    }
    EXPECT_THAT(Pattern::compile(std::string_view("a\0b", 3)), FailsWith(Kind::usage, "NUL"));
}

TEST(Pattern, ThatWouldTakeTooMuchIsRefused) {
    for (const char* text :
         {"((a{1,100}){1,100}){1,100}", "((a{100,}){100,}){100,}", "a{1,32767}", "((a*)*(b*)*){1,2000}",
          "(((((((((((((a{2}){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}", "(a|b|c|(d|e){999}){9}"}) {
        EXPECT_THAT(Pattern::compile(text), FailsWith(Kind::usage, "more than 6000 characters")) << text;
    }
    EXPECT_THAT(Pattern::compile(std::string(6001, 'x')), FailsWith(Kind::usage, "it has more than 6000 bytes"));
    EXPECT_THAT(Pattern::compile(std::string(101, '(')), FailsWith(Kind::usage, "more than 100 '(' are inside"));
    EXPECT_THAT(Pattern::compile("((a*)*(b*)*){1,100}"), IsOk());
    EXPECT_THAT(Pattern::compile(std::string(5000, 'x')), IsOk());
    EXPECT_THAT(Pattern::compile("(){32767}{32767}b"), IsOk());
}

// glibc needs hours or all memory for some of these.
TEST(Pattern, TakesTimeInProportionToPatternAndText) {
    const std::clock_t start = std::clock();
    const std::string text(20'000, 'a');
    for (const std::string& pattern :
         {"a" + std::string(5000, '+') + "b", std::string("^(a*)*(a|aa)*(a|a?)+$b"),
          "(a|b)*a" + std::string(200, '.') + "b", std::string("((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+b"),
          std::string("(.*.*.*.*){20}x"), std::string("(a?){500}a{500}b")}) {
        const auto compiled = Pattern::compile(pattern);
        ASSERT_THAT(compiled, IsOk());
        EXPECT_LE(compiled->states(), 2000U);
        EXPECT_FALSE(compiled->matches(text)) << pattern;
    }
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 20);  // under sanitizers, too
}

}  // namespace
}  // namespace senv
