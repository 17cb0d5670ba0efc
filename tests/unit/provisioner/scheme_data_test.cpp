#include "provisioner/scheme_data.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

// The value written back with as few characters as possible.
std::string shown(const Datum& datum) {
    switch (datum.type) {
        case Datum::Type::list: break;
        case Datum::Type::string: return scheme_string(datum.text);
        case Datum::Type::symbol: return datum.text;
        case Datum::Type::keyword: return "#:" + datum.text;
        case Datum::Type::number: return "N" + datum.text;
        case Datum::Type::boolean: return datum.truth ? "#t" : "#f";
        case Datum::Type::character: return "#\\" + datum.text;
    }
    std::string text = "(";
    for (const Datum& item : datum.items) text += (text.size() > 1 ? " " : "") + shown(item);
    if (!datum.tail.empty()) text += " . " + shown(datum.tail[0]);
    return text + ")";
}

std::string shown(std::string_view text) {
    const auto data = read_scheme(text);
    if (!data) return "error: " + data.error().what();
    std::string all;
    for (const Datum& datum : data.value()) all += (all.empty() ? "" : " ") + shown(datum);
    return all;
}

struct Case {
    const char* name;
    std::string text;
    std::string want;
};
void PrintTo(const Case& c, std::ostream* out) {
    *out << c.name;
}

class SchemeDataReads : public testing::TestWithParam<Case> {};
TEST_P(SchemeDataReads, AsGuileDoes) {
    EXPECT_EQ(shown(GetParam().text), GetParam().want);
}

// What Guile 3.0.11 reads for each of them; characters of strings were compared one by one.
INSTANTIATE_TEST_SUITE_P(
    SchemeData, SchemeDataReads,
    testing::Values(
        Case{"Nothing", "", ""}, Case{"EmptyList", "()", "()"}, Case{"Nested", "(a (b [c]) d)", "(a (b (c)) d)"},
        Case{"Pair", "(a . b)", "(a . b)"}, Case{"LongPair", "(a b . c)", "(a b . c)"},
        Case{"PairOfList", "(a . (b . (c)))", "(a b c)"}, Case{"PairOfPair", "(a . (b . c))", "(a b . c)"},
        Case{"DotInSymbol", "(a.b ...)", "(a.b ...)"}, Case{"Quote", "'a '(b)", "(quote a) (quote (b))"},
        Case{"Quasi", "`(a ,b ,@c)", "(quasiquote (a (unquote b) (unquote-splicing c)))"},
        Case{"Numbers", "4 -5 +5 1.5 1/2", "N4 N-5 N+5 N1.5 N1/2"}, Case{"Signs", "- + ... 1+", "- + ... 1+"},
        Case{"Booleans", "#t #f #true #false", "#t #f #t #f"}, Case{"Keyword", "#:select", "#:select"},
        Case{"Characters", "#\\a #\\( #\\space", "#\\a #\\( #\\space"}, Case{"LineComment", "a ; b\nc", "a c"},
        Case{"BlockComment", "a #| x #| y |# z |# b", "a b"}, Case{"DatumComment", "a #;(b c) d #; e", "a d"},
        Case{"CommentBeforeEnd", "(a #;b)", "(a)"}, Case{"Utf8", "\"\xc3\xa9\" \xce\xbb", "\"\xc3\xa9\" \xce\xbb"},
        Case{"Escapes", R"("a\"b\\c\nd\te\(")", "\"a\\\"b\\\\c\nd\te(\""},
        Case{"ControlEscapes", R"("\a\b\f\r\v")", "\"\a\b\f\r\v\""}, Case{"HexEscape", R"("\x41b")", "\"Ab\""},
        Case{"HexEscapeKeepsSemicolon", R"("a\x41;b")", "\"aA;b\""},
        Case{"UnicodeEscapes", R"("\u00e9\U01f600\xa0")", "\"\xc3\xa9\xf0\x9f\x98\x80\xc2\xa0\""},
        Case{"JoinedLines", "\"a\\\n  b\"", "\"a  b\""}),
    [](const auto& test) { return test.param.name; });

class SchemeDataRefuses : public testing::TestWithParam<Case> {};
TEST_P(SchemeDataRefuses, WithThePlace) {
    EXPECT_THAT(read_scheme(GetParam().text), FailsWith(Kind::corrupt, GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    SchemeData, SchemeDataRefuses,
    testing::Values(
        Case{"OpenList", "a\n (b", "line 2, column 2: a list begins here"},
        Case{"OpenString", "(\"b)", "line 1, column 2: a string begins here"},
        Case{"OpenEscape", "\"\\", "a string begins here"}, Case{"OpenComment", "#| #| |#", "a comment begins"},
        Case{"StrayClose", "a)", "line 1, column 2: ')' closes nothing"},
        Case{"WrongClose", "(a]", "']' closes nothing"}, Case{"DotFirst", "( . a)", "nothing in front"},
        Case{"DotLast", "(a . )", "')' closes nothing"}, Case{"DotTwice", "(a . b . c)", "want the list's end"},
        Case{"QuoteAtEnd", "'", "a value is wanted"}, Case{"DotAlone", "'.", "cannot read '.'"},
        Case{"BadEscape", R"("\q")", "'\\q' is no escape"}, Case{"ShortHex", R"("\x4;")", "want 2 hexadecimal"},
        Case{"Surrogate", R"("\ud800")", "no such character"}, Case{"TooHigh", R"("\U110000")", "no such character"},
        Case{"Gexp", "#~(a)", "cannot read '#~'"}, Case{"Vector", "#(1 2)", "cannot read '#'"},
        Case{"Bytes", "#u8(1)", "cannot read '#u8'"}, Case{"ReadEval", "#.(a)", "cannot read '#.'"},
        Case{"Directive", "#!fold-case", "cannot read"}, Case{"OddSymbol", "#{a b}#", "cannot read"},
        Case{"BarSymbol", "|a b|", "cannot read"}, Case{"Deep", std::string(200, '('), "100 levels"},
        Case{"DeepQuotes", std::string(200, '\''), "100 levels"},
        Case{"DeepComments",
             [] {
                 std::string s;
                 for (int i = 0; i < 200; ++i) s += "#;";
                 return s;
             }(),
             "100 levels"},
        Case{"Many",
             [] {
                 std::string s = "(";
                 for (int i = 0; i < 200'000; ++i) s += "a ";
                 return s + ")";
             }(),
             "200000 data"},
        Case{"Long", std::string((4U << 20U) + 1, ' '), "4.0 MiB"}),
    [](const auto& test) { return test.param.name; });

TEST(SchemeData, KnowsWhereItReadAValue) {
    const auto data = read_scheme("; c\n(a\n  \"b\n\" c)");
    ASSERT_THAT(data, IsOk());
    EXPECT_EQ(data.value()[0].items[1].place(), "line 3, column 3");
    EXPECT_EQ(data.value()[0].items[2].place(), "line 4, column 3");
}

TEST(SchemeData, ReadsRealManifests) {
    for (const char* name : {"profile/manifest-v3.scm", "profile/manifest-v4.scm"}) {
        const auto data = read_scheme(test::golden(name));
        ASSERT_THAT(data, IsOk());
        ASSERT_EQ(data.value().size(), 1U);
        EXPECT_TRUE(data.value()[0].is_form("manifest"));
    }
}

}  // namespace
}  // namespace senv
