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

TEST(CheckTree, SaysWhatDiffers) {
    const TempDir dir;
    const auto tree = dir.path() / "item";
    std::filesystem::create_directory(tree);
    std::ofstream(tree / "file") << "text";
    const auto set_mode = [](const std::filesystem::path& path, unsigned mode) {
        std::filesystem::permissions(path, std::filesystem::perms(mode));
    };
    set_mode(tree / "file", 0444);
    set_mode(tree, 0555);
    const auto made = hash_tree(dir.fd(), "item").value();
    const auto check = [&](const TreeHash& hash) { return check_tree(dir.fd(), "item", hash, std::stop_token()); };
    EXPECT_THAT(check(made), test::IsOk());
    EXPECT_THAT(check({made.hash, made.nar_size + 8}), test::FailsWith(Kind::corrupt, "were signed"));
    EXPECT_THAT(check({made.hash, made.nar_size - 8}), test::FailsWith(Kind::corrupt, "its nar has more than"));
    EXPECT_THAT(check({Sha256{}, made.nar_size}),
                test::FailsWith(Kind::corrupt, "it has another hash than the signed one"));
    set_mode(tree, 0755);
    EXPECT_THAT(check(made), test::FailsWith(Kind::corrupt, "'item' has a mode that nothing in the store has"));
    set_mode(tree, 0555);
    set_mode(tree / "file", 0644);
    EXPECT_THAT(check(made), test::FailsWith(Kind::corrupt, "'file' has a mode that nothing in the store has"));
    std::stop_source stop;
    stop.request_stop();
    EXPECT_THAT(check_tree(dir.fd(), "item", made, stop.get_token()), test::FailsWith(Kind::busy, "stopped"));
    set_mode(tree, 0755);  // to be removed
}

TEST(TreeHash, SaysWhatIsNotThere) {
    const TempDir dir;
    EXPECT_THAT(hash_tree(dir.fd(), "nothing"), test::FailsWith(Kind::missing, "nothing"));
}

}  // namespace
}  // namespace senv
