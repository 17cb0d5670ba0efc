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
    void open(Fd older = Fd(), const LeaseLimits& limits = {}) {
        leases_.reset();
        auto opened = Leases::open(dir_ / "leases", std::move(older), limits);
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

TEST_F(LeasesTest, AreSharedByWhoAsksForTheSame) {
    auto first = leases_->take(lease()).value();
    for (const bool again : {false, true}) {
        if (again) open();
        auto second = leases_->take(lease()).value();
        EXPECT_EQ(second.id, "");
        EXPECT_EQ(files(), 1U);
        first.fd.reset();
        EXPECT_EQ(leases_->live().size(), 1U);
        first = std::move(second);
    }
    std::vector<TakenLease> others;
    for (Lease other : {lease("q"), lease(), lease(), lease(), lease()}) {
        const std::size_t i = others.size();
        if (i == 1) other.uid = 1001;
        if (i == 2) other.job = 13;
        if (i == 3) other.step = 4;
        if (i == 4) other.details = "enter=pure";
        others.push_back(leases_->take(other).value());
        EXPECT_EQ(files(), i + 2);
    }
    first.fd.reset();
    others.clear();
    EXPECT_TRUE(leases_->live().empty());
}

TEST_F(LeasesTest, ThatNobodyHoldsAnyMoreAreTakenAgain) {
    leases_->take(lease()).value();
    const auto again = leases_->take(lease());
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(files(), 1U);
    EXPECT_EQ(leases_->live().size(), 1U);
}

TEST_F(LeasesTest, ThatWereDroppedAreNotShared) {
    const auto held = leases_->take(lease()).value();
    leases_->drop(held.id);
    EXPECT_TRUE(leases_->live().empty());
    const auto again = leases_->take(lease()).value();
    EXPECT_NE(again.id, "");
    EXPECT_EQ(leases_->live().size(), 1U);
}

TEST_F(LeasesTest, TellWhatAJobHolds) {
    const auto step = leases_->take({path_of("step"), 1000, 12, 3}).value();
    const auto script = leases_->take({path_of("script"), 1000, 12, 0xfffffffb, "enter=pure"}).value();
    const auto others = leases_->take({path_of("others"), 1001, 12, 0xffffffff}).value();
    const auto other_job = leases_->take({path_of("other"), 1000, 13, 4}).value();
    leases_->take({path_of("gone"), 1000, 12, 0xffffffff}).value();
    leases_->take({path_of("gone"), 1000, 14, 0}).value();
    for (const bool again : {false, true}) {
        if (again) open();
        const auto held = leases_->held_by(1000, 12);
        ASSERT_TRUE(held);
        EXPECT_EQ(held->profile, path_of("script"));
        EXPECT_EQ(held->details, "enter=pure");
        EXPECT_EQ(leases_->held_by(1000, 13)->profile, path_of("other"));
        EXPECT_FALSE(leases_->held_by(1000, 14));
        EXPECT_FALSE(leases_->held_by(1000, 11));
        EXPECT_FALSE(leases_->held_by(999, 12));
    }
}

TEST_F(LeasesTest, OfAJobOrAUserAreDropped) {
    const auto a = leases_->take({path_of("a"), 1000, 12, 3}).value();
    const auto b = leases_->take({path_of("b"), 1000, 13, 3}).value();
    const auto c = leases_->take({path_of("c"), 1001, 12, 3}).value();
    EXPECT_TRUE(leases_->drop_job(11).empty());
    EXPECT_EQ(leases_->drop_job(12).size(), 2U);
    EXPECT_EQ(leases_->live().size(), 1U);
    const auto dropped = leases_->drop_user(1000);
    ASSERT_EQ(dropped.size(), 1U);
    EXPECT_EQ(dropped.front().profile, path_of("b"));
    open();
    EXPECT_TRUE(leases_->live().empty());
}

TEST_F(LeasesTest, OfOneUserAreLimited) {
    open(Fd(), {100, 10, 3, 2});
    std::vector<TakenLease> held;
    const auto take = [&](std::uint32_t uid, std::uint32_t job) {
        auto taken = leases_->take({path_of("p"), uid, job, 0});
        if (taken) held.push_back(*std::move(taken));
        return taken ? Result<void>() : Result<void>(taken.error());
    };
    for (std::uint32_t job = 0; job < 3; ++job) ASSERT_THAT(take(1000, job), IsOk());
    EXPECT_THAT(take(1000, 3), FailsWith(Kind::busy, "cannot hold '" + path_of("p").absolute() +
                                                         "': steps of uid 1000 hold 3 environments"));
    EXPECT_THAT(take(1000, 2), IsOk());  // it holds that one
    EXPECT_THAT(take(1001, 3), IsOk());
    for (std::uint32_t job = 0; job < 5; ++job) EXPECT_THAT(take(0, job), IsOk());
    held.clear();
    // The next look at what is free comes after a second.
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    EXPECT_THAT(take(1000, 3), IsOk());
    EXPECT_EQ(leases_->live().size(), 1U);
}

TEST_F(LeasesTest, OfAllAreLimitedAndTheLastAreForWhoHasFew) {
    open(Fd(), {10, 4, 8, 2});
    std::vector<TakenLease> held;
    const auto take = [&](std::uint32_t uid, std::uint32_t job) {
        auto taken = leases_->take({path_of("p"), uid, job, 0});
        if (taken) held.push_back(*std::move(taken));
        return static_cast<bool>(taken);
    };
    std::size_t taken = 0;
    for (std::uint32_t job = 0; job < 8; ++job) taken += take(1000, job) ? 1 : 0;
    EXPECT_EQ(taken, 6U);
    for (const std::uint32_t uid : {1001U, 1002U}) {
        EXPECT_TRUE(take(uid, 1));
        EXPECT_TRUE(take(uid, 2));
        EXPECT_FALSE(take(uid, 3));
    }
    EXPECT_THAT(leases_->take({path_of("p"), 1003, 1, 0}),
                FailsWith(Kind::busy, "steps on this node hold 10 environments"));
    EXPECT_EQ(files(), 10U);
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
