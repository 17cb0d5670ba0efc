#include "cache/formats/hash.h"

#include "cache/base/text.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden_rows;
using test::Row;

TEST(NixBase32, EncodesAndDecodesTheGoldenRows) {
    for (const Row& row : golden_rows("base32/encode.tsv")) {
        const auto bytes = hex_decode(row[1]).value();
        EXPECT_EQ(bytes.size(), parse_decimal(row[0]));
        EXPECT_EQ(nix_base32_encode(bytes), row[2]);
        EXPECT_EQ(nix_base32_decode(row[2], bytes.size()).value(), bytes) << row[2];
    }
}

class NixBase32Decode : public testing::TestWithParam<Row> {};

TEST_P(NixBase32Decode, IsStrict) {
    const Row& row = GetParam();
    const auto bytes = nix_base32_decode(row[0], parse_decimal(row[1]).value());
    if (row[2] == "REJECT") {
        EXPECT_FALSE(bytes) << row[4];
    } else {
        EXPECT_EQ(hex_encode(bytes.value()), row[2]);
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, NixBase32Decode, testing::ValuesIn(golden_rows("base32/decode.tsv")), test::RowName());

TEST(NixBase32, SaysWhatIsWrong) {
    EXPECT_THAT(nix_base32_decode("00", 20), FailsWith(Kind::corrupt, "want 32 nix-base32 characters, got 2"));
    EXPECT_THAT(nix_base32_decode("0e", 1), FailsWith(Kind::corrupt, "offset 1: 'e' is not a nix-base32 character"));
    EXPECT_THAT(nix_base32_decode("z0", 1), FailsWith(Kind::corrupt, "unused bits"));
    EXPECT_EQ(nix_base32_decode("", 0).value().size(), 0U);
}

TEST(Hex, DecodesBothCasesAndEncodesLower) {
    EXPECT_EQ(hex_encode(hex_decode("00Ff1a").value()), "00ff1a");
    EXPECT_THAT(hex_decode("abc"), FailsWith(Kind::corrupt, "even number"));
    EXPECT_THAT(hex_decode("0g"), FailsWith(Kind::corrupt, "offset 1: 'g'"));
}

TEST(Sha256, ReadsAndWritesThePrefixedForm) {
    const std::string text = "sha256:08hgx4ing579hdwxp9lp9la30400dzaygjc68f4vmna5ngzf1jkm";
    const Sha256 hash = Sha256::parse_prefixed(text).value();
    EXPECT_EQ(hash.prefixed(), text);
    EXPECT_EQ(hash.hex(), "75cae0feb345d9ba894386c9e7d56f001030144d97a6db7983e9946723e90f22");
    EXPECT_LT(Sha256(), hash);
}

TEST(Sha256, RejectsOtherFormsOfHashes) {
    EXPECT_THAT(Sha256::parse_prefixed("08hgx4ing579hdwxp9lp9la30400dzaygjc68f4vmna5ngzf1jkm"),
                FailsWith(Kind::corrupt, "want 'sha256:'"));
    EXPECT_THAT(Sha256::parse_prefixed("sha256:75cae0feb345d9ba894386c9e7d56f001030144d97a6db7983e9946723e90f22"),
                FailsWith(Kind::corrupt, "want 52"));
    EXPECT_THAT(Sha256::parse_prefixed("sha512:00"), FailsWith(Kind::corrupt, "got 'sha512:00'"));
}

}  // namespace
}  // namespace senv
