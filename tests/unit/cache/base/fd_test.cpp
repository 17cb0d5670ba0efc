#include "cache/base/fd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using test::TempDir;

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(Fd, ClosesWhatItHolds) {
    int number = -1;
    {
        const Fd fd = open_file("/dev/null", O_RDONLY).value();
        number = fd.get();
        EXPECT_TRUE(is_open(number));
        EXPECT_EQ(::fcntl(number, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
    EXPECT_FALSE(is_open(number));
}

TEST(Fd, MovesAndReleases) {
    Fd first = open_file("/dev/null", O_RDONLY).value();
    const int number = first.get();
    Fd second = std::move(first);
    EXPECT_EQ(second.get(), number);
    EXPECT_EQ(second.release(), number);
    EXPECT_FALSE(second);
    EXPECT_TRUE(is_open(number));
    Fd(number).reset();
    EXPECT_FALSE(is_open(number));
}

TEST(Fd, OpenNamesTheFile) {
    const TempDir dir;
    EXPECT_THAT(open_file(dir / "none", O_RDONLY), FailsWith(Kind::missing, "none': No such file or directory"));
    EXPECT_THAT(open_at(dir.fd(), "none", O_RDONLY), FailsWith(Kind::missing, "cannot open 'none'"));
}

TEST(Files, ReplaceFileLeavesOneWholeFile) {
    const TempDir dir;
    ASSERT_THAT(replace_file(dir / "a", "first", 0600), IsOk());
    ASSERT_THAT(replace_file(dir / "a", "second", 0640), IsOk());
    EXPECT_EQ(read_small_file(dir / "a", 100).value(), "second");
    struct stat info = {};
    ASSERT_EQ(::stat((dir / "a").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0640U);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(Files, ReplaceFileLeavesNothingWhenItFails) {
    const TempDir dir;
    std::filesystem::create_directory(dir / "a");
    EXPECT_THAT(replace_file(dir / "a", "text", 0600), FailsWith(Kind::io, "cannot write '"));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
    EXPECT_THAT(replace_file(dir / "none/a", "text", 0600), FailsWith(Kind::missing, "cannot create '"));
}

TEST(Files, ReadSmallFileRefusesMoreThanItsLimit) {
    const TempDir dir;
    ASSERT_THAT(replace_file(dir / "a", "12345", 0600), IsOk());
    EXPECT_EQ(read_small_file(dir.fd(), "a", 5).value(), "12345");
    EXPECT_THAT(read_small_file(dir.fd(), "a", 4), FailsWith(Kind::corrupt, "it has more than 4 bytes"));
}

TEST(Files, ReadToEndTakesAPipe) {
    std::array<int, 2> ends = {};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd from(ends[0]);
    Fd to(ends[1]);
    ASSERT_THAT(write_all(to.get(), "hello"), IsOk());
    to.reset();
    EXPECT_EQ(read_to_end(from.get(), 10, "pipe").value(), "hello");
}

}  // namespace
}  // namespace senv
