#include "cache/store/leases.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using test::path_of;
using test::TempDir;

Lease lease(std::string_view name = "p") {
    return {path_of(name), 1000, 12, 3};
}

class LeasesTest : public testing::Test {
protected:
    void open(Fd older = Fd()) {
        leases_.reset();
        auto opened = Leases::open(dir_ / "leases", std::move(older));
        ASSERT_THAT(opened, IsOk());
        leases_ = *std::move(opened);
    }
    void SetUp() override { open(); }
    Fd folder(const std::string& name = "leases") const {
        return open_file(dir_ / name, O_RDONLY | O_DIRECTORY).value();
    }
    std::size_t files(const std::string& name = "leases") const { return names_in(folder(name)).value().size(); }
    Fd write(const std::string& name, std::string_view text, const std::string& where = "leases") const {
        write_all(open_at(folder(where), name, O_WRONLY | O_CREAT, 0600)->get(), text).value();
        Fd file = open_at(folder(where), name, O_RDONLY).value();
        EXPECT_EQ(::flock(file.get(), LOCK_EX | LOCK_NB), 0);
        return file;
    }

    const TempDir dir_;
    std::unique_ptr<Leases> leases_;
};

TEST_F(LeasesTest, AreListedWithWhatTheyAreFor) {
    const auto held = leases_->take(lease());
    ASSERT_THAT(held, IsOk());
    for (const bool again : {false, true}) {
        if (again) open();
        const auto live = leases_->live();
        ASSERT_EQ(live.size(), 1U);
        EXPECT_EQ(live.front().profile, path_of("p"));
        EXPECT_EQ(live.front().uid, 1000U);
        EXPECT_EQ(live.front().job, 12U);
        EXPECT_EQ(live.front().step, 3U);
    }
    struct stat info = {};
    ASSERT_EQ(::fstat(held->fd.get(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
    EXPECT_EQ(::fcntl(held->fd.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
}

TEST_F(LeasesTest, KeepTheirDetails) {
    auto asked = lease();
    asked.details = "lock=none  enter=pure:a%20b ";
    const auto held = leases_->take(asked);
    ASSERT_THAT(held, IsOk());
    open();
    const auto live = leases_->live();
    ASSERT_EQ(live.size(), 1U);
    EXPECT_EQ(live.front().profile, path_of("p"));
    EXPECT_EQ(live.front().step, 3U);
    EXPECT_EQ(live.front().details, asked.details);
}

TEST_F(LeasesTest, AreGoneWithTheirDescriptor) {
    for (const bool again : {false, true}) {
        leases_->take(lease()).value();
        if (again) open();
        EXPECT_TRUE(leases_->live().empty());
        EXPECT_EQ(files(), 0U);
    }
}

TEST_F(LeasesTest, ThatWereDroppedKeepNothingAlthoughTheyAreHeld) {
    const auto held = leases_->take(lease());
    const auto other = leases_->take(lease("q"));
    ASSERT_THAT(held, IsOk());
    leases_->drop(held->id);
    for (const bool again : {false, true}) {
        if (again) open();
        const auto live = leases_->live();
        ASSERT_EQ(live.size(), 1U);
        EXPECT_EQ(live.front().profile, path_of("q"));
    }
}

TEST_F(LeasesTest, LiveAsLongAsAnInheritingProcess) {
    auto held = leases_->take(lease());
    ASSERT_THAT(held, IsOk());
    const pid_t holder = ::fork();
    if (holder == 0) {
        ::pause();
        ::_exit(0);
    }
    held->fd.reset();
    EXPECT_EQ(leases_->live().size(), 1U);
    ASSERT_EQ(::kill(holder, SIGKILL), 0);
    ASSERT_EQ(::waitpid(holder, nullptr, 0), holder);
    EXPECT_TRUE(leases_->live().empty());
    EXPECT_EQ(files(), 0U);
}

TEST_F(LeasesTest, InTheMakingGoAtTheNextStart) {
    const Fd file = write(".0123456789abcdef", "");
    EXPECT_TRUE(leases_->live().empty());
    open();
    EXPECT_EQ(files(), 0U);
}

TEST_F(LeasesTest, AreNeverSweptBetweenTheirMakingAndTheirUse) {
    std::atomic<bool> done = false;
    std::jthread sweeper([&] {
        while (!done) leases_->live();
    });
    for (int i = 0; i < 500; ++i) {
        const auto held = leases_->take(lease("p" + std::to_string(i)));
        ASSERT_THAT(held, IsOk());
        struct stat info = {};
        ASSERT_EQ(::fstat(held->fd.get(), &info), 0);
        ASSERT_EQ(info.st_nlink, 1U) << "swept while it was held";
    }
    done = true;
}

TEST_F(LeasesTest, OfAnOlderSenvdCountUntilTheyAreFree) {
    ASSERT_EQ(::mkdir((dir_ / "older").c_str(), 0700), 0);
    Fd held = write("0123456789abcdef", path_of("p").absolute() + " uid=1000 job=12 step=3\n", "older");
    write("123456789abcdef0", path_of("q").absolute() + " uid=1000 job=12 step=4\n", "older");
    open(folder("older"));
    EXPECT_EQ(files("older"), 1U);
    const auto live = leases_->live();
    ASSERT_EQ(live.size(), 1U);
    EXPECT_EQ(live.front().profile, path_of("p"));
    const auto own = leases_->take(lease("q"));
    EXPECT_EQ(files("older"), 1U);
    held.reset();
    EXPECT_EQ(leases_->live().size(), 1U);
    EXPECT_EQ(files("older"), 0U);
}

TEST_F(LeasesTest, ThatCannotBeReadStopEvictionUntilTheyAreFree) {
    for (const std::string_view text : {"no lease\n", "", "/gnu/store/x uid=1 job=1 step=1\n"}) {
        const auto other = leases_->take(lease());
        Fd held = write("odd", text);
        open();
        EXPECT_THAT(leases_->unread(), testing::ElementsAre("odd"));
        EXPECT_EQ(leases_->live().size(), 1U);
        EXPECT_THAT(leases_->to_keep(), FailsWith(Kind::corrupt, "lease 'odd'"));
        held.reset();
        ASSERT_THAT(leases_->to_keep(), IsOk());
        EXPECT_EQ(leases_->to_keep()->size(), 1U);
        EXPECT_EQ(files(), 1U);
    }
}

TEST_F(LeasesTest, ThatCannotBeOpenedStopEviction) {
    ASSERT_EQ(::symlink("elsewhere", (dir_ / "leases/odd").c_str()), 0);
    open();
    EXPECT_THAT(leases_->to_keep(), FailsWith(Kind::corrupt, "lease 'odd'"));
}

TEST_F(LeasesTest, HaveOneSenvd) {
    EXPECT_THAT(Leases::open(dir_ / "leases"), FailsWith(Kind::busy, "another senvd is using it"));
}

TEST_F(LeasesTest, AreNotKeptWhereOthersCouldPutThem) {
    ASSERT_EQ(::mkdir((dir_ / "open").c_str(), 0777), 0);
    ASSERT_EQ(::chmod((dir_ / "open").c_str(), 0777), 0);
    EXPECT_THAT(Leases::open(dir_ / "open/leases"), FailsWith(Kind::denied, "others may write to"));
    EXPECT_THAT(Leases::open(dir_ / "nowhere/leases"), FailsWith(Kind::missing, "folder for leases"));
}

}  // namespace
}  // namespace senv
