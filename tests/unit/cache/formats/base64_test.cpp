#include "cache/formats/base64.h"

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;

TEST(Base64, DecodesTheRowsOfTheRfc) {
    EXPECT_EQ(base64_decode("").value(), "");
    EXPECT_EQ(base64_decode("Zg==").value(), "f");
    EXPECT_EQ(base64_decode("Zm8=").value(), "fo");
    EXPECT_EQ(base64_decode("Zm9v").value(), "foo");
    EXPECT_EQ(base64_decode("Zm9vYmFy").value(), "foobar");
    EXPECT_EQ(base64_decode("+/+/").value(), "\xfb\xff\xbf");
}

TEST(Base64, EncodesTheRowsOfTheRfc) {
    EXPECT_EQ(base64_encode(""), "");
    EXPECT_EQ(base64_encode("f"), "Zg==");
    EXPECT_EQ(base64_encode("fo"), "Zm8=");
    EXPECT_EQ(base64_encode("foo"), "Zm9v");
    EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
    EXPECT_EQ(base64_encode("\xfb\xff\xbf"), "+/+/");
}

TEST(Base64, RejectsEverySecondSpelling) {
    EXPECT_THAT(base64_decode("Zg"), FailsWith(Kind::corrupt, "divisible by 4, got 2"));
    EXPECT_THAT(base64_decode("Zm9\n"), FailsWith(Kind::corrupt, "offset 3: '\\x0a'"));
    EXPECT_THAT(base64_decode("Zm9-"), FailsWith(Kind::corrupt, "offset 3: '-'"));
    EXPECT_THAT(base64_decode("Zg==Zg=="), FailsWith(Kind::corrupt, "offset 2: '='"));
    EXPECT_THAT(base64_decode("===="), FailsWith(Kind::corrupt, "offset 0: '='"));
    EXPECT_THAT(base64_decode("Zh=="), FailsWith(Kind::corrupt, "unused bits"));
    EXPECT_THAT(base64_decode("Zm9="), FailsWith(Kind::corrupt, "unused bits"));
}

}  // namespace
}  // namespace senv
