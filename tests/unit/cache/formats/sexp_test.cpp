#include "cache/formats/sexp.h"

#include "cache/formats/hash.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::golden_rows;
using test::IsOk;
using test::Row;

std::string hex_of(const std::string& text) {
    return hex_encode(std::as_bytes(std::span(text.data(), text.size())));
}

// deep-100000.gz is beyond the size limit before its depth matters: SexpRejects.ManyLists stands for it.
std::vector<Row> plain_rows() {
    std::vector<Row> rows = golden_rows("sexp/expected.tsv");
    std::erase_if(rows, [](const Row& row) { return row[0].ends_with(".gz"); });
    return rows;
}

class SexpGolden : public testing::TestWithParam<Row> {};

TEST_P(SexpGolden, IsStrict) {
    const Row& row = GetParam();
    const auto sexp = Sexp::parse(golden("sexp/" + row[0]));
    if (row[2] == "REJECT") {
        EXPECT_THAT(sexp, FailsWith(Kind::corrupt, "offset "));
    } else {
        ASSERT_THAT(sexp, IsOk());
        EXPECT_EQ(hex_of(sexp->canonical()), row[3]);
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, SexpGolden, testing::ValuesIn(plain_rows()), test::RowName());

TEST(Sexp, ReadsEverySpellingOfAnAtom) {
    const Sexp sexp = Sexp::parse(R"((a-./_:*+=9 "q\"\\\n\x41" #61 62# |Yw==| 3:()#))").value();
    ASSERT_EQ(sexp.items.size(), 5U);
    EXPECT_EQ(sexp.items[0].atom, "a-./_:*+=9");
    EXPECT_EQ(sexp.items[1].atom, "q\"\\\nA");
    EXPECT_EQ(sexp.items[2].atom, "ab");
    EXPECT_EQ(sexp.items[3].atom, "c");
    EXPECT_EQ(sexp.items[4].atom, "()#");
}

TEST(Sexp, CanonicalFormReadsBackEqual) {
    const Sexp sexp = Sexp::parse("(a (b #00ff#) () \"\")").value();
    EXPECT_EQ(sexp.canonical(), std::string("(1:a(1:b2:\0\xff)()0:)", 18));
    EXPECT_EQ(Sexp::parse("(a (b |AP8=|) () ##)").value(), sexp);
}

struct Rejected {
    const char* name;
    std::string text;
    const char* cause;
};
void PrintTo(const Rejected& row, std::ostream* out) {
    *out << row.text.substr(0, 100);
}

class SexpRejects : public testing::TestWithParam<Rejected> {};

TEST_P(SexpRejects, Text) {
    EXPECT_THAT(Sexp::parse(GetParam().text), FailsWith(Kind::corrupt, GetParam().cause));
}

INSTANTIATE_TEST_SUITE_P(
    Text, SexpRejects,
    testing::Values(Rejected{"EmptyList", "()", "the list is empty"}, Rejected{"Atom", "abc", "offset 0: want '('"},
                    Rejected{"SecondList", "(a) (b)", "offset 4: want the end, got '('"},
                    Rejected{"HintOpens", "([text]a)", "offset 1: want an atom, got '['"},
                    Rejected{"UnknownEscape", R"(("\q"))", "unknown escape"},
                    Rejected{"OctalEscape", R"(("\101"))", "unknown escape"},
                    Rejected{"ShortHexEscape", R"(("\x4)", "want two hexadecimal digits"},
                    Rejected{"QuoteUnclosed", "(\"a", "the text ends inside a quoted atom"},
                    Rejected{"BackslashAtTheEnd", "(\"\\", "unknown escape"},
                    Rejected{"HexUnclosed", "(#00", "want another '#'"},
                    Rejected{"Base64Bad", "(|A|)", "offset 1: want base64"},
                    Rejected{"CountWithoutColon", "(3abc)", "want ':' after a length"},
                    Rejected{"CountAtTheEnd", "(3", "want ':' after a length"},
                    Rejected{"CountTooBig", "(4:abc", "the length goes beyond the text"},
                    Rejected{"CountOverflows", "(99999999999999999999:a)", "the length goes beyond the text"},
                    Rejected{"CountZero", "(0:)", "a length begins with '0'"},
                    Rejected{"ManyLists", std::string(33, '('), "more than 32 lists inside each other"},
                    Rejected{"LongText", "(" + std::string(65536, 'a'), "more than 65536 bytes"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(Sexp, AllowsThirtyTwoLevels) {
    EXPECT_THAT(Sexp::parse(std::string(32, '(') + "a" + std::string(32, ')')), IsOk());
}

TEST(Sexp, OnlyChildIsTheOneOfThatName) {
    const Sexp sexp = Sexp::parse("(x (a 1:1) (b 1:2) (b 1:3) c)").value();
    EXPECT_TRUE(sexp.is_list_named("x"));
    ASSERT_NE(sexp.only_child("a"), nullptr);
    EXPECT_EQ(sexp.only_child("a")->items[1].atom, "1");
    EXPECT_EQ(sexp.only_child("b"), nullptr) << "two of them";
    EXPECT_EQ(sexp.only_child("c"), nullptr) << "an atom";
}

}  // namespace
}  // namespace senv
