#include "cache/store/leases.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "cache/store/files.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::IsOk;
using test::path_of;
using test::TempDir;

Lease lease(std::string_view name = "p") {
    return {path_of(name), 1000, 12, 3};
}

std::size_t files_in(const TempDir& dir) {
    return names_in(dir.fd()).value().size();
}

TEST(Leases, AreListedWithWhatTheyAreFor) {
    const TempDir dir;
    const auto held = take_lease(dir.fd(), lease());
    ASSERT_THAT(held, IsOk());
    const auto live = sweep_leases(dir.fd());
    ASSERT_THAT(live, IsOk());
    ASSERT_EQ(live->size(), 1U);
    EXPECT_EQ(live->front().profile, path_of("p"));
    EXPECT_EQ(live->front().uid, 1000U);
    EXPECT_EQ(live->front().job, 12U);
    EXPECT_EQ(live->front().step, 3U);
    struct stat info = {};
    ASSERT_EQ(::fstat(held->fd.get(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
    EXPECT_EQ(::fcntl(held->fd.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
}

TEST(Leases, KeepTheirDetails) {
    const TempDir dir;
    auto asked = lease();
    asked.details = "lock=none  enter=pure:a%20b ";
    const auto held = take_lease(dir.fd(), asked);
    ASSERT_THAT(held, IsOk());
    const auto live = sweep_leases(dir.fd());
    ASSERT_THAT(live, IsOk());
    ASSERT_EQ(live->size(), 1U);
    EXPECT_EQ(live->front().profile, path_of("p"));
    EXPECT_EQ(live->front().step, 3U);
    EXPECT_EQ(live->front().details, asked.details);
}

TEST(Leases, AreGoneWithTheirDescriptor) {
    const TempDir dir;
    {
        const auto held = take_lease(dir.fd(), lease());
        ASSERT_THAT(held, IsOk());
    }
    EXPECT_TRUE(sweep_leases(dir.fd())->empty());
    EXPECT_EQ(files_in(dir), 0U);
}

TEST(Leases, ThatWereDroppedKeepNothingAlthoughTheyAreHeld) {
    const TempDir dir;
    const auto held = take_lease(dir.fd(), lease());
    const auto other = take_lease(dir.fd(), lease("q"));
    ASSERT_THAT(held, IsOk());
    drop_lease(dir.fd(), held->id);
    const auto live = sweep_leases(dir.fd());
    ASSERT_EQ(live->size(), 1U);
    EXPECT_EQ(live->front().profile, path_of("q"));
}

TEST(Leases, LiveAsLongAsAnInheritingProcess) {
    const TempDir dir;
    auto held = take_lease(dir.fd(), lease());
    ASSERT_THAT(held, IsOk());
    const pid_t holder = ::fork();
    if (holder == 0) {
        ::pause();
        ::_exit(0);
    }
    held->fd.reset();
    EXPECT_EQ(sweep_leases(dir.fd())->size(), 1U);
    ASSERT_EQ(::kill(holder, SIGKILL), 0);
    ASSERT_EQ(::waitpid(holder, nullptr, 0), holder);
    EXPECT_TRUE(sweep_leases(dir.fd())->empty());
    EXPECT_EQ(files_in(dir), 0U);
}

TEST(Leases, InTheMakingAreNotSweptAndGoAtTheNextStart) {
    const TempDir dir;
    ASSERT_THAT(open_at(dir.fd(), ".0123456789abcdef", O_WRONLY | O_CREAT, 0600), IsOk());
    EXPECT_TRUE(sweep_leases(dir.fd())->empty());
    EXPECT_EQ(files_in(dir), 1U);
    ASSERT_THAT(clear_unfinished_leases(dir.fd()), IsOk());
    EXPECT_EQ(files_in(dir), 0U);
}

TEST(Leases, AreNeverSweptBetweenTheirMakingAndTheirUse) {
    const TempDir dir;
    std::atomic<bool> done = false;
    std::jthread sweeper([&] {
        while (!done) EXPECT_THAT(sweep_leases(dir.fd()), IsOk());
    });
    for (int i = 0; i < 500; ++i) {
        const auto held = take_lease(dir.fd(), lease("p" + std::to_string(i)));
        ASSERT_THAT(held, IsOk());
        struct stat info = {};
        ASSERT_EQ(::fstat(held->fd.get(), &info), 0);
        ASSERT_EQ(info.st_nlink, 1U) << "swept while it was held";
    }
    done = true;
}

TEST(Leases, ThatCannotBeReadKeepTheirFileWhileHeld) {
    const TempDir dir;
    {
        const auto file = open_at(dir.fd(), "odd", O_WRONLY | O_CREAT, 0600);
        ASSERT_THAT(write_all(file->get(), "no lease\n"), IsOk());
    }
    EXPECT_TRUE(sweep_leases(dir.fd())->empty());
    EXPECT_EQ(files_in(dir), 0U);
}

}  // namespace
}  // namespace senv
