#include "cache/formats/acl.h"

#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::golden_rows;
using test::IsOk;
using test::Row;

class AclGolden : public testing::TestWithParam<Row> {};

TEST_P(AclGolden, AuthorizesWhomGuixAuthorizes) {
    const Row& row = GetParam();
    const auto acl = Acl::parse(golden("narinfo/" + row[0]));
    if (row[1].starts_with("error")) {
        EXPECT_THAT(acl, FailsWith(Kind::corrupt, "is not (entry (public-key …) (tag (guix import)))"));
        return;
    }
    ASSERT_THAT(acl, IsOk());
    const char* const keys[] = {"signing-key.pub", "other-key.pub", "rsa-key.pub"};
    for (std::size_t i = 0; i < std::size(keys); ++i) {
        const Sexp key = Sexp::parse(golden(std::string("narinfo/") + keys[i])).value();
        EXPECT_EQ(acl->authorizes(key), row[i + 1] == "authorized") << keys[i];
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, AclGolden, testing::ValuesIn(golden_rows("narinfo/acl-expected.tsv")),
                         test::RowName());

TEST(Acl, ComparesKeysByTheirBytes) {
    const Acl acl = Acl::parse(golden("narinfo/acl")).value();
    EXPECT_EQ(acl.size(), 2U);
    for (const char* spelling : {"key-base64", "key-canonical", "key-hex-lower", "key-mixed"}) {
        EXPECT_TRUE(acl.authorizes(Sexp::parse(golden(std::string("sexp/") + spelling)).value())) << spelling;
    }
}

TEST(Acl, RejectsOtherLists) {
    EXPECT_THAT(Acl::parse("(public-key (ecc))"), FailsWith(Kind::corrupt, "want (acl …)"));
    EXPECT_THAT(Acl::parse("(acl (entry (private-key a) (tag (guix import))))"), FailsWith(Kind::corrupt, "entry 1"));
    EXPECT_THAT(Acl::parse("(acl entry)"), FailsWith(Kind::corrupt, "entry 1"));
    EXPECT_THAT(Acl::parse(""), FailsWith(Kind::corrupt, "cannot read the list of authorised keys: offset 0"));
}

}  // namespace
}  // namespace senv
