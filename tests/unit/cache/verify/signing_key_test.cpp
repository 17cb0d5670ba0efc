#include "cache/verify/signing_key.h"

#include "cache/verify/signature.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/signer.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::IsOk;
using testing::StartsWith;

const std::string text =
    "StorePath: /gnu/store/g419wjqgq4qpc4vmww4amsxgrj1k3687-foo-1.0\n"
    "NarHash: sha256:08hgx4ing579hdwxp9lp9la30400dzaygjc68f4vmna5ngzf1jkm\n"
    "NarSize: 2112\n"
    "References: \n";

class SigningKeyTest : public testing::Test {
protected:
    static void SetUpTestSuite() { ASSERT_THAT(init_signatures(), IsOk()); }

    static std::string printed(const Sexp& sexp) {
        if (!sexp.is_atom) {
            std::string all = "(";
            for (const auto& item : sexp.items) all += printed(item) + " ";
            return all + ")";
        }
        std::string hex = "#";
        for (const char c : sexp.atom) {
            static constexpr char digits[] = "0123456789ABCDEF";
            hex += digits[static_cast<unsigned char>(c) >> 4U];
            hex += digits[static_cast<unsigned char>(c) & 15U];
        }
        return hex + "#";
    }
    static Result<void> verify(const std::string& narinfo, const Sexp& key) {
        const auto acl = Acl::parse("(acl (entry " + printed(key) + " (tag (guix import))))");
        if (!acl) return acl.error();
        return verify_signature(SENV_TRY(Narinfo::parse(narinfo)), *acl);
    }
};

TEST_F(SigningKeyTest, SignsAsGuixDoes) {
    const auto key = SigningKey::parse(golden("narinfo/signing-key.sec"));
    ASSERT_THAT(key, IsOk());
    EXPECT_EQ(key->public_key(), Sexp::parse(golden("narinfo/signing-key.pub")).value());
    const auto line = key->sign(text, "some.host");
    ASSERT_THAT(line, IsOk());
    EXPECT_THAT(*line, StartsWith("Signature: 1;some.host;"));
    EXPECT_EQ(line->back(), '\n');
    const auto narinfo = Narinfo::parse(text + *line);
    ASSERT_THAT(narinfo, IsOk());
    EXPECT_EQ(narinfo->signed_text(), text);
    EXPECT_THAT(verify_signature(*narinfo, Acl::parse(golden("narinfo/acl")).value()), IsOk());
}

TEST_F(SigningKeyTest, TheSameTextHasTheSameSignature) {
    const auto key = SigningKey::parse(golden("narinfo/signing-key.sec")).value();
    EXPECT_EQ(key.sign(text, "h").value(), key.sign(text, "h").value());
    EXPECT_NE(key.sign(text, "h").value(), key.sign(text + "Deriver: x\n", "h").value());
    // RFC 6979 leaves no choice, so the tests' own signer must come to the same.
    const std::string other = test::signature_of(text, golden("narinfo/signing-key.sec")).value();
    EXPECT_EQ(key.sign(text, "test.host").value(), test::signature_line(other));
}

TEST_F(SigningKeyTest, OfRsaSignsToo) {
    const auto key = SigningKey::parse(golden("narinfo/rsa-signing-key.sec"));
    ASSERT_THAT(key, IsOk());
    EXPECT_THAT(verify(text + key->sign(text, "h").value(), key->public_key()), IsOk());
}

TEST_F(SigningKeyTest, OfAnotherShapeIsRefused) {
    const auto refused = FailsWith(Kind::corrupt, "want (private-key (ecc");
    EXPECT_THAT(SigningKey::parse(golden("narinfo/signing-key.pub")), refused);
    EXPECT_THAT(SigningKey::parse("(private-key (ecc (curve Ed25519) (q #00#)))"), refused);
    EXPECT_THAT(SigningKey::parse("(private-key (ecc (curve Ed25519) (flags eddsa) (q #00#) (d #00#)))"), refused);
    EXPECT_THAT(SigningKey::parse("(private-key (dsa (p #01#)))"), refused);
    EXPECT_THAT(SigningKey::parse("-----BEGIN PRIVATE KEY-----"), FailsWith(Kind::corrupt, ""));
}

TEST_F(SigningKeyTest, WhosePartsDoNotBelongTogetherSignsNothing) {
    std::string mixed = golden("narinfo/signing-key.sec");
    const std::string other = golden("narinfo/other-key.pub");
    const auto q = mixed.find("(q #") + 4;
    mixed.replace(q, 64, other.substr(other.find("(q #") + 4, 64));
    const auto key = SigningKey::parse(mixed);
    ASSERT_THAT(key, IsOk());
    EXPECT_THAT(key->sign(text, "h"), FailsWith(Kind::io, "cannot sign: "));
}

}  // namespace
}  // namespace senv
