#include "cache/store/tree_hash.h"

#include <filesystem>
#include <fstream>

#include "cache/verify/digest.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::TempDir;

TEST(TreeHash, IsTheHashOfTheNar) {
    const std::string nar = test::golden("nar/good/empty-file.nar");
    const TempDir dir;
    std::ofstream(dir / "item").close();
    const auto hashed = hash_tree(dir.fd(), "item");
    ASSERT_THAT(hashed, test::IsOk());
    EXPECT_EQ(hashed->hash, sha256_of(nar));
    EXPECT_EQ(hashed->nar_size, nar.size());
}

TEST(TreeHash, SaysWhatIsNotThere) {
    const TempDir dir;
    EXPECT_THAT(hash_tree(dir.fd(), "nothing"), test::FailsWith(Kind::missing, "nothing"));
}

}  // namespace
}  // namespace senv
