#include "cache/base/result.h"

#include <memory>
#include <stdexcept>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

Result<std::unique_ptr<int>> make(bool succeed) {
    if (!succeed) return Error(Kind::missing, "nothing here");
    return std::make_unique<int>(7);
}

Result<int> through_try(bool succeed) {
    const std::unique_ptr<int> made = SENV_TRY(make(succeed));
    return *made;
}

TEST(Result, TryGivesTheValueOrReturnsTheError) {
    EXPECT_EQ(through_try(true).value(), 7);
    EXPECT_THAT(through_try(false), FailsWith(Kind::missing, "nothing here"));
}

TEST(Result, TryWorksForNothing) {
    const auto both = [](Result<void> first) -> Result<void> {
        SENV_TRY(std::move(first));
        return Error(Kind::busy, "second");
    };
    EXPECT_THAT(both({}), FailsWith(Kind::busy, "second"));
    EXPECT_THAT(both(Error(Kind::io, "first")), FailsWith(Kind::io, "first"));
}

TEST(Result, InKeepsTheKindAndTheHint) {
    Result<void> failed = Error(Kind::denied, "no").hint("ask");
    const Result<void> said = std::move(failed).in("cannot do it");
    EXPECT_THAT(said, FailsWith(Kind::denied, "cannot do it: no"));
    EXPECT_EQ(said.error().hint(), "ask");
    EXPECT_THAT(Result<int>(3).in("cannot do it"), IsOk());
}

TEST(Error, SysChoosesTheKindByErrno) {
    EXPECT_EQ(Error::sys(ENOENT, "x").kind(), Kind::missing);
    EXPECT_EQ(Error::sys(EACCES, "x").kind(), Kind::denied);
    EXPECT_EQ(Error::sys(EAGAIN, "x").kind(), Kind::busy);
    EXPECT_EQ(Error::sys(ENOSPC, "x").kind(), Kind::io);
    EXPECT_EQ(Error::sys(ENOSPC, "cannot write 'a'").what(), "cannot write 'a': No space left on device");
}

TEST(Error, KindsHaveNames) {
    EXPECT_EQ(name_of(Kind::usage), "usage");
    EXPECT_EQ(name_of(Kind::untrusted), "untrusted");
    EXPECT_EQ(name_of(Kind::bug), "bug");
}

TEST(Contained, TurnsExceptionsIntoBugs) {
    EXPECT_THAT(contained([]() -> Result<void> { throw std::runtime_error("oops"); }), FailsWith(Kind::bug, "oops"));
    EXPECT_THAT(contained([]() -> Result<int> { throw 1; }), FailsWith(Kind::bug, "unknown exception"));
    EXPECT_EQ(contained([]() -> Result<int> { return 4; }).value(), 4);
}

}  // namespace
}  // namespace senv
