#include "cache/verify/digest.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace senv {
namespace {

TEST(Sha256Stream, GivesTheKnownHashes) {
    EXPECT_EQ(sha256_of("").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256_of("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (const test::Row& row : test::golden_rows("nar/good/expected.tsv")) {
        EXPECT_EQ(sha256_of(test::golden("nar/good/" + row[0])).prefixed(), "sha256:" + row[3]) << row[0];
    }
}

TEST(Sha256Stream, DoesNotDependOnThePieces) {
    Sha256Stream stream;
    for (const char* piece : {"", "a", "", "bc"}) stream.update(std::string_view(piece));
    Sha256Stream moved = std::move(stream);
    EXPECT_EQ(moved.finish(), sha256_of("abc"));
}

}  // namespace
}  // namespace senv
