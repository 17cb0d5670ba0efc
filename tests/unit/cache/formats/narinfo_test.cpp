#include "cache/formats/narinfo.h"

#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::IsOk;
using testing::ElementsAre;
using testing::IsEmpty;

const std::string foo = "g419wjqgq4qpc4vmww4amsxgrj1k3687-foo-1.0";
const std::string hash_line = "NarHash: sha256:08hgx4ing579hdwxp9lp9la30400dzaygjc68f4vmna5ngzf1jkm\n";
const std::string signed_part = "StorePath: /gnu/store/" + foo + "\n" + hash_line + "NarSize: 2112\nReferences: \n";
const std::string signature = "Signature: 1;h;KHgp\n";

std::string with_ways(const std::string& ways) {
    return signed_part + signature + ways;
}

// verify_signature has the golden table; this is what can be said about the shape alone.
TEST(Narinfo, ReadsWhatGuixPublishWrites) {
    const std::string text = golden("narinfo/ok.narinfo");
    const Narinfo info = Narinfo::parse(text).value();
    EXPECT_EQ(info.path().base(), foo);
    EXPECT_EQ(info.nar_hash().prefixed(), "sha256:08hgx4ing579hdwxp9lp9la30400dzaygjc68f4vmna5ngzf1jkm");
    EXPECT_EQ(info.nar_size(), 2112U);
    EXPECT_THAT(info.references(),
                ElementsAre(StorePath::parse(foo).value(),
                            StorePath::parse("hlhgrvxg1a3kghl43vm5a6hh3a90bjzq-foo-1.0-lib").value()));
    EXPECT_EQ(info.deriver()->name(), "foo-1.0.drv");
    ASSERT_EQ(info.ways().size(), 3U);
    EXPECT_EQ(info.ways()[0].url, "nar/gzip/" + foo);
    EXPECT_EQ(info.ways()[0].compression, Compression::gzip);
    EXPECT_EQ(info.ways()[0].file_size, 300U);
    EXPECT_EQ(info.ways()[2].compression, Compression::zstd);
    EXPECT_EQ(info.text(), text);
    EXPECT_EQ(info.signed_text(), text.substr(0, text.find("Signature:")));
    EXPECT_TRUE(info.signature()->starts_with("(signature "));
}

TEST(Narinfo, ReadsTheGoldenVariants) {
    EXPECT_THAT(Narinfo::parse(golden("narinfo/ok-minimal.narinfo"))->references(), IsEmpty());
    EXPECT_FALSE(Narinfo::parse(golden("narinfo/ok-minimal.narinfo"))->deriver());
    EXPECT_EQ(Narinfo::parse(golden("narinfo/ok-url-signed.narinfo"))->ways().size(), 1U);
    EXPECT_EQ(Narinfo::parse(golden("narinfo/ok-no-final-newline.narinfo"))->ways()[0].file_size, 2112U);
}

TEST(Narinfo, DropsWaysThatCannotBeUsed) {
    for (const char* name : {"url-file", "url-dotdot", "compression-unknown"}) {
        const auto info = Narinfo::parse(golden(std::string("narinfo/valid-sig-") + name + ".narinfo"));
        ASSERT_THAT(info, IsOk()) << name;
        EXPECT_THAT(info->ways(), IsEmpty()) << name;
    }
    const auto info =
        Narinfo::parse(with_ways("URL: a\nCompression: xz\nURL: file:///b\nCompression: gzip\nURL: c\n"
                                 "Compression: none\n"));
    ASSERT_EQ(info->ways().size(), 1U);
    EXPECT_EQ(info->ways()[0].url, "c");
}

TEST(Narinfo, TakesTheSignedOccurrenceOnly) {
    const Narinfo info = Narinfo::parse(golden("narinfo/valid-sig-dup-after.narinfo")).value();
    EXPECT_EQ(info.path().base(), foo);
    EXPECT_EQ(info.nar_size(), 2112U);
    EXPECT_EQ(info.references().size(), 2U);
    const Narinfo second = Narinfo::parse(golden("narinfo/valid-sig-second-signature.narinfo")).value();
    EXPECT_TRUE(second.signature()->starts_with("(signature "));
}

TEST(Narinfo, WithoutASignatureIsReadButUnsigned) {
    const Narinfo info = Narinfo::parse(golden("narinfo/bad-no-signature.narinfo")).value();
    EXPECT_EQ(info.path().base(), foo);
    EXPECT_EQ(info.signature(), std::nullopt);
    EXPECT_EQ(info.signed_text(), "");
}

TEST(Narinfo, FileSizeMayBeAbsentOfSomeWays) {
    const Narinfo info =
        Narinfo::parse(with_ways("URL: a\nCompression: gzip\nURL: b\nCompression: zstd\nFileSize: 5\n")).value();
    EXPECT_EQ(info.ways()[0].file_size, std::nullopt);
    EXPECT_EQ(info.ways()[1].file_size, 5U);
}

TEST(Narinfo, SkipsForeignLines) {
    const std::string text = "\n\n# comment: x\nX-Note: one\n+ two\n+\n%rec: y\n" + signed_part + signature +
                             "FileHash: sha256:x\n+y\nURL: a\nCompression: none\n\n\n";
    EXPECT_EQ(Narinfo::parse(text)->ways().size(), 1U);
}

TEST(Narinfo, EmptyDeriverIsNone) {
    EXPECT_FALSE(Narinfo::parse(signed_part + "Deriver: \n" + signature)->deriver());
}

struct Rejected {
    const char* name;
    std::string text;
    const char* cause;
};
void PrintTo(const Rejected& row, std::ostream* out) {
    *out << row.text.substr(0, 1000);
}

class NarinfoRejects : public testing::TestWithParam<Rejected> {};

TEST_P(NarinfoRejects, Text) {
    EXPECT_THAT(Narinfo::parse(GetParam().text), FailsWith(Kind::corrupt, GetParam().cause));
}

INSTANTIATE_TEST_SUITE_P(
    Text, NarinfoRejects,
    testing::Values(
        Rejected{"Empty", "", "the signed part has no StorePath"},
        Rejected{"Html", golden("narinfo/bad-html.narinfo"), "line 1: want 'Key: value'"},
        Rejected{"NotRecutils", golden("narinfo/bad-not-recutils.narinfo"), "line 1: want 'Key: value'"},
        Rejected{"TooLong", std::string(max_narinfo_bytes + 1, 'a'), "more than 1048576 bytes"},
        Rejected{"BlankBeforeAKey", " " + signed_part, "line 1: want 'Key: value'"},
        Rejected{"ContinuationOfNothing", "+a\n" + signed_part, "line 1: a continuation"},
        Rejected{"ContinuationOfReferences", signed_part + "+a\n" + signature, "line 5: a continuation"},
        Rejected{"TextAfterTheRecord", signed_part + "\n" + signature, "line 6: text after the empty line"},
        Rejected{"CarriageReturns", "StorePath: /gnu/store/" + foo + "\r\n", "line 1: cannot use store item"},
        Rejected{"NoNarHash", "StorePath: /gnu/store/" + foo + "\n" + signature, "has no NarHash"},
        Rejected{"NoNarSize", "StorePath: /gnu/store/" + foo + "\n" + hash_line + "References: \n" + signature,
                 "the signed part has no NarSize"},
        Rejected{"ReferencesUnsigned", golden("narinfo/bad-references-unsigned.narinfo"), "has no References"},
        Rejected{"SecondNarSize", signed_part + "NarSize: 1\n" + signature, "line 5: a second NarSize"},
        Rejected{"SecondStorePath", signed_part + "StorePath: /gnu/store/" + foo + "\n", "line 5: a second StorePath"},
        Rejected{"SignatureInAValue", golden("narinfo/bad-signature-substring.narinfo"),
                 "the first 'Signature:' does not begin a line"},
        Rejected{"SignatureInAComment", signed_part + "# Signature: x\n" + signature, "does not begin a line"},
        Rejected{"SignatureInALongerKey", signed_part + "X-Signature: x\n" + signature, "does not begin a line"},
        Rejected{"SignatureVersion", golden("narinfo/bad-sig-version.narinfo"), "line 6: want '1;HOST;BASE64'"},
        Rejected{"SignatureVersionText", golden("narinfo/bad-sig-version-text.narinfo"), "want '1;HOST;BASE64'"},
        Rejected{"SignatureFields", golden("narinfo/bad-sig-fields.narinfo"), "want '1;HOST;BASE64'"},
        Rejected{"SignatureSemicolon", golden("narinfo/bad-sig-semicolon.narinfo"), "want '1;HOST;BASE64'"},
        Rejected{"SignatureBase64", golden("narinfo/bad-sig-base64.narinfo"), "line 6: "},
        Rejected{"PathTraversal", golden("narinfo/valid-sig-path-traversal.narinfo"), "line 1: cannot use store"},
        Rejected{"OtherStore", golden("narinfo/valid-sig-other-store.narinfo"), "does not begin with /gnu/store/"},
        Rejected{"ReferenceTraversal", golden("narinfo/valid-sig-refs-traversal.narinfo"), "line 4: cannot use store"},
        Rejected{"NarHashHex", golden("narinfo/valid-sig-narhash-hex.narinfo"), "line 2: want 52"},
        Rejected{"NarHashNonCanonical", golden("narinfo/valid-sig-narhash-noncanonical.narinfo"), "unused bits"},
        Rejected{"NarHashSha512", golden("narinfo/valid-sig-narhash-sha512.narinfo"), "line 2: want 'sha256:'"},
        Rejected{"NarSizeNegative", golden("narinfo/valid-sig-narsize-negative.narinfo"), "got '-1'"},
        Rejected{"NarSize2e70", golden("narinfo/valid-sig-narsize-2e70.narinfo"), "line 3: want a number of bytes"},
        Rejected{"NarSize2e63", "NarSize: 9223372036854775808\n", "want a number of bytes"},
        Rejected{"TwoBlanksBetweenReferences", "References: " + foo + "  " + foo + "\n", "cannot use store item ''"},
        Rejected{"DeriverIsAPath", "Deriver: /gnu/store/" + foo + "\n", "line 1: cannot use store item"},
        Rejected{"CountMismatch", golden("narinfo/valid-sig-count-mismatch.narinfo"), "line 8: URL 'a' has no"},
        Rejected{"LastUrlWithoutCompression", with_ways("URL: a\n"), "URL 'a' has no Compression"},
        Rejected{"CompressionWithoutUrl", with_ways("Compression: gzip\n"), "line 6: a Compression without a URL"},
        Rejected{"SecondCompression", with_ways("URL: a\nCompression: gzip\nCompression: gzip\n"),
                 "line 8: a Compression without a URL of its own"},
        Rejected{"FileSizeWithoutUrl", with_ways("FileSize: 1\n"), "line 6: a FileSize without a URL"},
        Rejected{"FileSizeNoNumber", with_ways("URL: a\nCompression: gzip\nFileSize: big\n"), "got 'big'"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(Narinfo, CheapestPrefersFastDecompression) {
    const auto way = [](Compression compression) { return Way{std::string(name_of(compression)), compression, {}}; };
    const std::vector<Way> all = {way(Compression::none), way(Compression::lzip), way(Compression::gzip),
                                  way(Compression::zstd)};
    EXPECT_EQ(cheapest(all).url, "zstd");
    EXPECT_EQ(cheapest({all[0], all[1], all[2]}).url, "gzip");
    EXPECT_EQ(cheapest({all[0], all[1]}).url, "lzip");
    EXPECT_EQ(cheapest({all[0]}).url, "none");
}

}  // namespace
}  // namespace senv
