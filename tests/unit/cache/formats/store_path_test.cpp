#include "cache/formats/store_path.h"

#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;

const std::string hash = "mai503rgk7jq72577x5iwgyc5izfvp9i";

TEST(StorePath, HasAHashAndAName) {
    const StorePath path = StorePath::parse(hash + "-hello.txt").value();
    EXPECT_EQ(path.base(), hash + "-hello.txt");
    EXPECT_EQ(path.hash_part(), hash);
    EXPECT_EQ(path.name(), "hello.txt");
    EXPECT_EQ(path.absolute(), "/gnu/store/" + hash + "-hello.txt");
}

TEST(StorePath, AcceptsTheGoldenPaths) {
    for (const test::Row& row : test::golden_rows("storepath/expected.tsv")) {
        EXPECT_EQ(StorePath::parse_absolute(row[3]).value().absolute(), row[3]);
    }
}

TEST(StorePath, AcceptsEveryLegalCharacterAndTheLongestName) {
    const std::string all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._?=";
    EXPECT_EQ(StorePath::parse(hash + "-" + all).value().name(), all);
    EXPECT_EQ(StorePath::parse(hash + "-" + std::string(211, 'n')).value().name().size(), 211U);
}

struct Rejected {
    const char* name;
    std::string text;
    const char* cause;
};
void PrintTo(const Rejected& row, std::ostream* out) {
    *out << row.text;
}

class StorePathRejects : public testing::TestWithParam<Rejected> {};

TEST_P(StorePathRejects, Text) {
    EXPECT_THAT(StorePath::parse(GetParam().text), FailsWith(Kind::corrupt, GetParam().cause));
}

INSTANTIATE_TEST_SUITE_P(
    Text, StorePathRejects,
    testing::Values(Rejected{"Empty", "", "want 32 nix-base32 characters"},
                    Rejected{"HashOnly", hash, "want 32 nix-base32 characters"},
                    Rejected{"NoDash", hash + "hello", "want 32 nix-base32 characters"},
                    Rejected{"EmptyName", hash + "-", "its name is empty"},
                    Rejected{"DotName", hash + "-.hello", "its name begins with '.'"},
                    Rejected{"DotDot", hash + "-..", "its name begins with '.'"},
                    Rejected{"Slash", hash + "-a/b", "'/' cannot stand in a name"},
                    Rejected{"Nul", hash + "-a" + std::string(1, '\0'), "'\\x00' cannot stand in a name"},
                    Rejected{"Newline", hash + "-a\n", "'\\x0a' cannot stand in a name"},
                    Rejected{"Utf8", hash + "-na\xc3\xafve", "'\\xc3' cannot stand in a name"},
                    Rejected{"LongName", hash + "-" + std::string(212, 'n'), "its name has 212 characters"},
                    Rejected{"ForbiddenLetter", "e" + hash.substr(1) + "-hello", "offset 0: 'e' is not"},
                    Rejected{"UpperCaseHash", "M" + hash.substr(1) + "-hello", "offset 0: 'M' is not"},
                    Rejected{"ShortHash", hash.substr(1) + "-hello", "want 32 nix-base32 characters"},
                    Rejected{"Absolute", "/gnu/store/" + hash + "-hello", "want 32 nix-base32 characters"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(StorePath, AbsoluteMustBeAnItemOfTheStore) {
    EXPECT_THAT(StorePath::parse_absolute("/nix/store/" + hash + "-a"),
                FailsWith(Kind::corrupt, "it does not begin with /gnu/store/"));
    EXPECT_THAT(StorePath::parse_absolute(hash + "-a"), FailsWith(Kind::corrupt, "cannot use store path '"));
    EXPECT_THAT(StorePath::parse_absolute("/gnu/store//" + hash + "-a"), FailsWith(Kind::corrupt, "want 32"));
    EXPECT_THAT(StorePath::parse_absolute("/gnu/store/" + hash + "-a/bin"), FailsWith(Kind::corrupt, "'/' cannot"));
    EXPECT_THAT(StorePath::parse_absolute("/gnu/store/.links"), FailsWith(Kind::corrupt, "want 32"));
}

TEST(StorePath, ErrorsShowControlCharactersHarmlessly) {
    EXPECT_THAT(StorePath::parse("\x1b[2J"), FailsWith(Kind::corrupt, "cannot use store item '\\x1b[2J'"));
}

}  // namespace
}  // namespace senv
