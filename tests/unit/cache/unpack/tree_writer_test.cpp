#include "cache/unpack/tree_writer.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <iterator>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/nar_writer.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using test::FailsWith;
using test::golden;
using test::golden_rows;
using test::IsOk;
using test::nar_string;
using test::Row;
using test::TempDir;

Result<void> unpack(const std::string& nar, const TempDir& dir) {
    TreeWriter writer(dir.fd(), "item");
    NarReader reader(writer, nar.size());
    SENV_TRY(reader.feed(std::as_bytes(std::span(nar.data(), nar.size()))));
    return reader.finish();
}

struct stat look(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return info;
}

std::string strings(std::initializer_list<std::string_view> list) {
    std::string nar;
    for (const std::string_view text : list) nar += nar_string(text);
    return nar;
}

class TreeWriterGood : public testing::TestWithParam<Row> {};

TEST_P(TreeWriterGood, MakesTheTreeThatGivesTheSameNar) {
    const std::string nar = golden("nar/good/" + GetParam()[0]);
    const TempDir dir;
    ASSERT_THAT(unpack(nar, dir), IsOk());
    EXPECT_EQ(test::nar_of(dir / "item").value(), nar);
}

INSTANTIATE_TEST_SUITE_P(Golden, TreeWriterGood, testing::ValuesIn(golden_rows("nar/good/expected.tsv")),
                         test::RowName());

// The compressed ones are only deep: NarBad has them.
std::vector<Row> plain_bad_rows() {
    std::vector<Row> rows = golden_rows("nar/bad/expected.tsv");
    std::erase_if(rows, [](const Row& row) { return row[0].ends_with(".gz"); });
    return rows;
}

class TreeWriterBad : public testing::TestWithParam<Row> {};

TEST_P(TreeWriterBad, LeavesNothingOutsideTheItem) {
    const TempDir dir;
    fs::create_directory(dir / "inner");
    const Fd inner = open_file(dir / "inner", O_RDONLY | O_DIRECTORY).value();
    const std::string nar = golden("nar/bad/" + GetParam()[0]);
    TreeWriter writer(inner, "item");
    NarReader reader(writer, nar.size());
    // Whether it is refused is NarBad's question.
    (void)reader.feed(std::as_bytes(std::span(nar.data(), nar.size())));
    EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
    EXPECT_LE(std::distance(fs::directory_iterator(dir / "inner"), {}), 1);
}

INSTANTIATE_TEST_SUITE_P(Golden, TreeWriterBad, testing::ValuesIn(plain_bad_rows()), test::RowName());

TEST(TreeWriter, SetsTheModesAndTimesOfAStore) {
    const mode_t before = ::umask(077);
    const TempDir dir;
    ASSERT_THAT(unpack(golden("nar/good/tree.nar"), dir), IsOk());
    ::umask(before);
    const std::string item = dir / "item";
    EXPECT_EQ(look(item).st_mode, S_IFDIR | 0755U) << "so that it can be renamed";
    EXPECT_EQ(look(item + "/bin").st_mode, S_IFDIR | 0555U);
    EXPECT_EQ(look(item + "/bin/tool").st_mode, S_IFREG | 0555U);
    EXPECT_EQ(look(item + "/lib/libx.so.1.2").st_mode, S_IFREG | 0444U);
    EXPECT_TRUE(S_ISLNK(look(item + "/lib/libx.so").st_mode));
    for (const char* name : {"", "/bin", "/bin/tool", "/lib/libx.so.1.2", "/lib/libx.so"}) {
        EXPECT_EQ(look(item + name).st_mtim.tv_sec, 1) << name;
        EXPECT_EQ(look(item + name).st_mtim.tv_nsec, 0) << name;
    }
}

TEST(TreeWriter, RootMayBeAFileOrALink) {
    const TempDir file;
    ASSERT_THAT(unpack(golden("nar/good/hello-exec.nar"), file), IsOk());
    EXPECT_EQ(look(file / "item").st_mode, S_IFREG | 0555U);
    const TempDir link;
    ASSERT_THAT(unpack(golden("nar/bad/symlink-absolute-root.nar"), link), IsOk());
    EXPECT_EQ(fs::read_symlink(link / "item"), "/etc/passwd");
}

TEST(TreeWriter, NeverOverwritesNorFollowsTheRoot) {
    for (const char* nar : {"nar/good/hello-regular.nar", "nar/good/tree.nar", "nar/good/link-store.nar"}) {
        const TempDir dir;
        fs::create_directory(dir / "elsewhere");
        fs::create_symlink("elsewhere", dir / "item");
        EXPECT_THAT(unpack(golden(nar), dir), FailsWith(Kind::io, "'.': File exists")) << nar;
        EXPECT_TRUE(fs::is_empty(dir / "elsewhere"));
        fs::remove(dir / "item");
        fs::create_symlink("nowhere", dir / "item");
        EXPECT_THAT(unpack(golden(nar), dir), FailsWith(Kind::io, "'.': File exists")) << nar;
        EXPECT_FALSE(fs::exists(dir / "nowhere"));
    }
}

TEST(TreeWriter, ErrorsNameThePathInsideTheItem) {
    const TempDir dir;
    TreeWriter writer(dir.fd(), "item");
    ASSERT_THAT(writer.enter_directory(""), IsOk());
    ASSERT_THAT(writer.enter_directory("share"), IsOk());
    ASSERT_THAT(writer.enter_directory("doc"), IsOk());
    EXPECT_THAT(writer.symlink("x/y", "t"), FailsWith(Kind::missing, "cannot create symbolic link 'share/doc/x/y': "));
    ASSERT_THAT(writer.leave_directory(), IsOk());
    ASSERT_THAT(writer.symlink("a", "t"), IsOk());
    EXPECT_THAT(writer.begin_file("a", false, 0), FailsWith(Kind::io, "cannot create 'share/a': File exists"));
    EXPECT_THAT(writer.enter_directory("a"), FailsWith(Kind::io, "cannot create directory 'share/a': File exists"));
    ASSERT_THAT(writer.leave_directory(), IsOk());
    EXPECT_THAT(writer.enter_directory("share"), FailsWith(Kind::io, "cannot create directory 'share': File exists"));
}

TEST(TreeWriter, AFullDiskIsSaidOfTheFile) {
    const TempDir dir;
    TreeWriter writer(dir.fd(), "item");
    ASSERT_THAT(writer.enter_directory(""), IsOk());
    ASSERT_THAT(writer.begin_file("big", false, 5000), IsOk());
    // A limit on the size of files stands for the disk.
    struct rlimit before = {};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = before;
    small.rlim_cur = 4096;
    const auto old = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const std::string data(5000, 'x');
    const Result<void> done = writer.file_data(std::as_bytes(std::span(data.data(), data.size())));
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, old);
    EXPECT_THAT(done, FailsWith(Kind::io, "cannot unpack 'big': cannot write: File too large"));
}

std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), {}));
}

TEST(TreeWriter, ClosesWhatItLeaves) {
    std::string nar = strings({"nix-archive-1", "(", "type", "directory"});
    for (int i = 100; i < 400; ++i) {
        nar += strings({"entry", "(", "name", std::to_string(i), "node", "(", "type", "directory", ")", ")"});
    }
    nar += strings({")"});
    const TempDir dir;
    const std::size_t before = open_descriptors();
    TreeWriter writer(dir.fd(), "item");
    NarReader reader(writer, nar.size());
    ASSERT_THAT(reader.feed(std::as_bytes(std::span(nar.data(), nar.size()))), IsOk());
    ASSERT_THAT(reader.finish(), IsOk());
    EXPECT_EQ(open_descriptors(), before);
}

TEST(TreeWriter, ClosesWhatItHoldsWhenTheArchiveIsCutOff) {
    const TempDir dir;
    const std::size_t before = open_descriptors();
    EXPECT_THAT(unpack(golden("nar/good/deep63.nar").substr(0, 5000), dir), FailsWith(Kind::corrupt, "too early"));
    EXPECT_EQ(open_descriptors(), before);
}

TEST(TreeWriter, GoesAsDeepAsTheReaderAllows) {
    std::string nar = strings({"nix-archive-1"});
    for (std::size_t i = 1; i < max_nar_depth; ++i) {
        nar += strings({"(", "type", "directory", "entry", "(", "name", std::string(250, 'd'), "node"});
    }
    nar += strings({"(", "type", "directory", ")"});
    for (std::size_t i = 1; i < max_nar_depth; ++i) nar += strings({")", ")"});
    const TempDir dir;
    EXPECT_THAT(unpack(nar, dir), IsOk()) << "a path of 64,000 bytes";
}

}  // namespace
}  // namespace senv
