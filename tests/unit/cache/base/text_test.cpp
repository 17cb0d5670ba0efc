#include "cache/base/text.h"

#include <gmock/gmock.h>

namespace senv {
namespace {

using testing::ElementsAre;

TEST(Text, SplitKeepsEmptyParts) {
    EXPECT_THAT(split("a,b,,c", ','), ElementsAre("a", "b", "", "c"));
    EXPECT_THAT(split("", ','), ElementsAre(""));
    EXPECT_THAT(split(",", ','), ElementsAre("", ""));
}

TEST(Text, JoinPutsTheSeparatorBetween) {
    EXPECT_EQ(join({"a", "", "b"}, ", "), "a, , b");
    EXPECT_EQ(join({}, ", "), "");
}

TEST(Text, ParseDecimalTakesDigitsOnly) {
    EXPECT_EQ(parse_decimal("0"), 0U);
    EXPECT_EQ(parse_decimal("0042"), 42U);
    EXPECT_EQ(parse_decimal("18446744073709551615"), 18446744073709551615U);
    for (const char* text : {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "18446744073709551616"}) {
        EXPECT_EQ(parse_decimal(text), std::nullopt) << text;
    }
}

TEST(Text, PrintableKeepsUtf8) {
    EXPECT_EQ(printable("libstdc++ – naïve 😀"), "libstdc++ – naïve 😀");
}

TEST(Text, PrintableEscapesControlCharacters) {
    EXPECT_EQ(printable("a\nb\x1b[31m\x7f"), "a\\x0ab\\x1b[31m\\x7f");
    EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
    EXPECT_EQ(printable("\xc2\x9b"
                        "31m"),
              "\\xc2\\x9b31m")
        << "U+009B begins a control sequence too";
}

TEST(Text, PrintableEscapesWhatIsNotUtf8) {
    EXPECT_EQ(printable("caf\xe9"), "caf\\xe9") << "Latin-1";
    EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
    EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "above U+10FFFF";
    EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82") << "cut off";
}

TEST(Text, PrintableCutsBetweenCharacters) {
    EXPECT_EQ(printable("abcdef", 3), "abc…");
    EXPECT_EQ(printable("abc", 3), "abc");
    EXPECT_EQ(printable("ab–cd", 3), "ab–…");
}

TEST(Text, PercentEncodesAllButTheUnreserved) {
    EXPECT_EQ(percent_encode("aZ09-._~"), "aZ09-._~");
    EXPECT_EQ(percent_encode("gtk+-3?x=/\xc3\xa9"), "gtk%2B-3%3Fx%3D%2F%C3%A9");
}

TEST(Text, PercentDecodesWhatItCan) {
    EXPECT_EQ(percent_decode("gtk%2b-3%3Fx"), "gtk+-3?x");
    EXPECT_EQ(percent_decode("plain+text"), "plain+text");
    EXPECT_EQ(percent_decode("%00"), std::string(1, '\0'));
    for (const char* bad : {"%", "%2", "x%zz", "%%41"}) EXPECT_EQ(percent_decode(bad), std::nullopt) << bad;
}

TEST(Text, HumanBytesChoosesTheUnit) {
    EXPECT_EQ(human_bytes(0), "0 B");
    EXPECT_EQ(human_bytes(1023), "1023 B");
    EXPECT_EQ(human_bytes(1024), "1.0 KiB");
    EXPECT_EQ(human_bytes(1048575), "1.0 MiB");
    EXPECT_EQ(human_bytes(3UL << 30U), "3.0 GiB");
    EXPECT_EQ(human_bytes(18446744073709551615U), "16384.0 PiB");
}

}  // namespace
}  // namespace senv
