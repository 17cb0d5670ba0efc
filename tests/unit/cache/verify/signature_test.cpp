#include "cache/verify/signature.h"

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/signer.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::golden_rows;
using test::IsOk;
using test::Row;

const std::string signed_part =
    "StorePath: /gnu/store/g419wjqgq4qpc4vmww4amsxgrj1k3687-foo-1.0\n"
    "NarHash: sha256:08hgx4ing579hdwxp9lp9la30400dzaygjc68f4vmna5ngzf1jkm\n"
    "NarSize: 2112\n"
    "References: \n";

class Signature : public testing::Test {
protected:
    static void SetUpTestSuite() { ASSERT_THAT(init_signatures(), IsOk()); }

    static Result<void> verify(const std::string& text, const std::string& acl = "narinfo/acl") {
        const Narinfo narinfo = SENV_TRY(Narinfo::parse(text));
        return verify_signature(narinfo, Acl::parse(golden(acl)).value());
    }

    // A genuine signature of signed_part with `from` replaced by `to` in its s-expression.
    static Result<void> verify_changed(const std::string& from, const std::string& to) {
        std::string sexp = test::signature_of(signed_part, golden("narinfo/signing-key.sec")).value();
        sexp.erase(std::remove(sexp.begin(), sexp.end(), '\n'), sexp.end());
        const auto at = sexp.find(from);
        EXPECT_NE(at, std::string::npos) << sexp;
        sexp.replace(at, from.size(), to);
        return verify(signed_part + test::signature_line(sexp));
    }
};

class SignatureGolden : public Signature, public testing::WithParamInterface<Row> {};

bool has_usable_url(const Narinfo& info) {
    return std::any_of(info.ways().begin(), info.ways().end(), [](const Way& way) {
        return static_cast<bool>(resolve_url("http://substitutes.example", way.url));
    });
}

TEST_P(SignatureGolden, IsTreatedAsTheTableSays) {
    const std::string& must = GetParam()[2];
    const std::string text = golden("narinfo/" + GetParam()[0]);
    const Result<void> done = verify(text);
    if (must.starts_with("accept")) {
        ASSERT_THAT(done, IsOk());
        EXPECT_TRUE(has_usable_url(Narinfo::parse(text).value()));
    } else if (must.starts_with("metadata good")) {
        ASSERT_THAT(done, IsOk());
        EXPECT_FALSE(has_usable_url(Narinfo::parse(text).value()));
    } else if (must.starts_with("refuse, or use only the") || must == "refuse when another path was asked") {
        // Narinfo.TakesTheSignedOccurrenceOnly; and only the caller knows what was asked for.
        EXPECT_THAT(done, IsOk());
    } else {
        ASSERT_TRUE(must.starts_with("refuse")) << must;
        ASSERT_FALSE(done) << GetParam()[3];
        EXPECT_TRUE(done.error().kind() == Kind::corrupt || done.error().kind() == Kind::untrusted);
    }
    // The causes that the table tells apart.
    const std::string& status = GetParam()[1];
    if (status == "hash-mismatch") {
        EXPECT_THAT(done, FailsWith(Kind::untrusted, "the signature is for another text"));
    }
    if (status == "unauthorized-key") {
        EXPECT_THAT(done, FailsWith(Kind::untrusted, "is not among the authorised keys"));
    }
    if (status == "invalid-signature" && GetParam()[0] != "bad-sig-no-sigval.narinfo") {
        EXPECT_THAT(done, FailsWith(Kind::untrusted, "the signature is not valid: "));
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, SignatureGolden, testing::ValuesIn(golden_rows("narinfo/expected.tsv")),
                         test::RowName());

TEST_F(Signature, OfATestKeyIsAccepted) {
    EXPECT_THAT(verify(test::signed_narinfo(signed_part, golden("narinfo/signing-key.sec")).value()), IsOk());
}

TEST_F(Signature, ErrorsNameTheItemAndTheKey) {
    EXPECT_THAT(verify(golden("narinfo/bad-no-signature.narinfo")),
                FailsWith(Kind::untrusted,
                          "cannot trust the narinfo of 'g419wjqgq4qpc4vmww4amsxgrj1k3687-foo-1.0': it is not signed"));
    EXPECT_THAT(
        verify(golden("narinfo/ok.narinfo"), "narinfo/acl-empty"),
        FailsWith(Kind::untrusted,
                  "the ecc key #66B303FE0672FF6DB3D4889AA5EB3BFC6085970771C826CD8674929D0C01F470# is not among"));
    EXPECT_THAT(
        verify(golden("narinfo/ok-rsa.narinfo"), "narinfo/acl-one-key"),
        FailsWith(Kind::untrusted, "the rsa key #00A4C4944C00521FC8C4D3C988A823E11399414AFD5BFBA0EB0868D5668AB715… "));
}

TEST_F(Signature, OfAnyOtherShapeIsRefused) {
    EXPECT_THAT(verify_changed("(signature", "(signature"), IsOk());
    const auto refused = FailsWith(Kind::corrupt, "it is neither an ECDSA nor an RSA signature");
    EXPECT_THAT(verify_changed("rfc6979", "raw"), refused);
    EXPECT_THAT(verify_changed("rfc6979", "pkcs1"), refused);
    EXPECT_THAT(verify_changed("(flags", "(hash sha256 #00#) (flags"), refused);
    EXPECT_THAT(verify_changed("(hash sha256 #", "(hash sha256 #00"), refused);
    EXPECT_THAT(verify_changed("sha256", "sha512"), refused);
    EXPECT_THAT(verify_changed("(ecdsa", "(eddsa"), refused);
    EXPECT_THAT(verify_changed("(r #", "(r ## #"), refused);
    EXPECT_THAT(verify_changed("(s #", "(r #"), refused);
    EXPECT_THAT(verify_changed("(ecc ", "(ecdsa "), refused);
    EXPECT_THAT(verify_changed("(curve Ed25519)", "(curve Ed25519) (flags eddsa)"), refused);
    const auto no_signature = FailsWith(Kind::corrupt, "want (signature (data …) (sig-val …) (public-key …))");
    EXPECT_THAT(verify_changed("(signature", "(signatures"), no_signature);
    EXPECT_THAT(verify_changed("(signature", "(signature (data)"), no_signature);
}

TEST_F(Signature, WithNumbersOutOfRangeIsNotValid) {
    const auto at = [](const std::string& r) { return "(r #" + r + "#) (x #"; };
    // (x …) makes the shape wrong: first see that the shape is checked before the numbers.
    EXPECT_THAT(verify_changed("(r #", at("00")), FailsWith(Kind::corrupt, "neither"));
    const auto with_r = [](const std::string& r) {
        std::string sexp = test::signature_of(signed_part, golden("narinfo/signing-key.sec")).value();
        const auto begin = sexp.find("(r #") + 4;
        sexp.replace(begin, sexp.find('#', begin) - begin, r);
        return verify(signed_part + test::signature_line(sexp));
    };
    EXPECT_THAT(with_r("00"), FailsWith(Kind::untrusted, "the signature is not valid"));
    EXPECT_THAT(with_r(std::string(64, 'F')), FailsWith(Kind::untrusted, "the signature is not valid"));
    EXPECT_THAT(with_r(std::string(4096, 'F')), FailsWith(Kind::untrusted, "the signature is not valid"));
}

TEST_F(Signature, OfAnRsaKeyNeedsThatKey) {
    const std::string rsa = golden("narinfo/ok-rsa.narinfo");
    EXPECT_THAT(verify(rsa), IsOk());
    EXPECT_THAT(verify(rsa, "narinfo/acl-one-key"), FailsWith(Kind::untrusted, "is not among"));
}

TEST_F(Signature, MayBeVerifiedByManyThreads) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([] {
            for (int k = 0; k < 20; ++k) EXPECT_THAT(verify(golden("narinfo/ok.narinfo")), IsOk());
        });
    }
}

// A hardened host: libgcrypt decides about its mode when a process begins, so the question goes to a new one.
TEST_F(Signature, ThatFipsModeForbidsIsNoDistrust) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    ASSERT_EQ(::setenv("LIBGCRYPT_FORCE_FIPS_MODE", "1", 1), 0);
    EXPECT_EXIT(
        {
            const Result<void> done = verify(golden("narinfo/ok.narinfo"));
            const bool as_wanted = !done && done.error().kind() == Kind::io && !done.error().hint().empty() &&
                                   verify(golden("narinfo/ok-rsa.narinfo"));
            std::fputs(done ? "accepted" : done.error().what().c_str(), stderr);
            std::exit(as_wanted ? 0 : 1);
        },
        testing::ExitedWithCode(0), "libgcrypt is in FIPS mode and refuses such signatures");
    ::unsetenv("LIBGCRYPT_FORCE_FIPS_MODE");
}

}  // namespace
}  // namespace senv
