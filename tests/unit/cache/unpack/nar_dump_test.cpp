#include "cache/unpack/nar_dump.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "cache/unpack/tree_writer.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::IsOk;
using test::Row;
using test::TempDir;

Result<void> ignore(std::span<const std::byte>) {
    return {};
}

class NarDump : public testing::TestWithParam<Row> {};

TEST_P(NarDump, GivesTheNarThatTheTreeWasMadeFrom) {
    const std::string nar = golden("nar/good/" + GetParam()[0]);
    const TempDir dir;
    TreeWriter writer(dir.fd(), "item");
    NarReader reader(writer, nar.size());
    ASSERT_THAT(reader.feed(std::as_bytes(std::span(nar))), IsOk());
    ASSERT_THAT(reader.finish(), IsOk());

    std::string dumped;
    ASSERT_THAT(dump_nar(dir.fd(), "item",
                         [&](std::span<const std::byte> bytes) -> Result<void> {
                             dumped.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                             return {};
                         }),
                IsOk());
    EXPECT_TRUE(dumped == nar);
}

INSTANTIATE_TEST_SUITE_P(Golden, NarDump, testing::ValuesIn(test::golden_rows("nar/good/expected.tsv")),
                         test::RowName());

TEST(NarDump, RefusesWhatNoNarCanHold) {
    const TempDir dir;
    std::filesystem::create_directory(dir / "tree");
    ASSERT_EQ(::mkfifo((dir / "tree/pipe").c_str(), 0600), 0);
    EXPECT_THAT(dump_nar(dir.fd(), "tree", ignore), FailsWith(Kind::corrupt, "'pipe' is neither"));
}

TEST(NarDump, IsNoLongerThanWanted) {
    const TempDir dir;
    std::filesystem::create_directory(dir / "tree");
    std::ofstream(dir / "tree/file") << "text";
    std::uint64_t size = 0;
    const auto count = [&](std::span<const std::byte> bytes) -> Result<void> {
        size += bytes.size();
        return {};
    };
    ASSERT_THAT(dump_nar(dir.fd(), "tree", count), IsOk());
    EXPECT_THAT(dump_nar(dir.fd(), "tree", ignore, size), IsOk());
    EXPECT_THAT(dump_nar(dir.fd(), "tree", ignore, size - 1), FailsWith(Kind::corrupt, "its nar has more than"));
    for (int i = 0; i < 4; ++i) std::ofstream(dir / ("tree/" + std::to_string(i))).close();
    EXPECT_THAT(dump_nar(dir.fd(), "tree", ignore, 640), FailsWith(Kind::corrupt, "more than 4 entries"));
}

TEST(NarDump, SaysWhatIsNotThere) {
    const TempDir dir;
    EXPECT_THAT(dump_nar(dir.fd(), "nothing", ignore), FailsWith(Kind::missing, "nothing"));
}

TEST(NarDump, PassesTheSinksErrorOn) {
    const TempDir dir;
    std::filesystem::create_directory(dir / "tree");
    EXPECT_THAT(
        dump_nar(dir.fd(), "tree", [](std::span<const std::byte>) -> Result<void> { return Error(Kind::io, "full"); }),
        FailsWith(Kind::io, "full"));
}

}  // namespace
}  // namespace senv
