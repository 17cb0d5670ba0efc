#include "cache/daemon/origin_state.h"

#include "tests/support/items.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::path_of;
using Access = Walk::Access;

constexpr double least = 0;
constexpr double most = 0.999999;

const Deadline start = Deadline() + seconds(1000);

TEST(OriginState, IsOpenAtFirst) {
    const OriginState state;
    EXPECT_EQ(state.access(start), Access::open);
}

TEST(OriginState, IsAvoidedForLongerAndLonger) {
    OriginState state;
    Deadline now = start;
    // Half of 5, 10, 20, 40, 60, 60 s, when chance adds nothing.
    for (const int ms : {2500, 5000, 10'000, 20'000, 30'000, 30'000}) {
        state.failed(now, least);
        EXPECT_EQ(state.access(now + milliseconds(ms - 1)), Access::unwise);
        now += milliseconds(ms);
        EXPECT_EQ(state.access(now), Access::open);
    }
    state.failed(now, most);
    EXPECT_EQ(state.access(now + seconds(60)), Access::open);
}

TEST(OriginState, FailuresOfTheSameTimeCountOnce) {
    OriginState state;
    EXPECT_TRUE(state.failed(start, least));
    for (int i = 0; i < 64; ++i) EXPECT_FALSE(state.failed(start + milliseconds(i), least));
    EXPECT_EQ(state.access(start + milliseconds(2500)), Access::open);
    EXPECT_FALSE(state.failed(start + milliseconds(2500), least));  // no news
    EXPECT_EQ(state.access(start + milliseconds(7499)), Access::unwise);
}

TEST(OriginState, AnAnswerMakesItGoodAgain) {
    OriginState state;
    EXPECT_FALSE(state.answered());
    state.failed(start, most);
    EXPECT_EQ(state.access(start), Access::unwise);
    EXPECT_TRUE(state.answered());
    EXPECT_EQ(state.access(start), Access::open);
    EXPECT_FALSE(state.answered());
    state.failed(start, least);
    EXPECT_EQ(state.access(start + milliseconds(2500)), Access::open);  // counted anew
}

TEST(OriginState, GetsTheTimeThatItAskedFor) {
    OriginState state;
    state.asked_for_time(start, seconds(8), least);
    EXPECT_EQ(state.access(start + milliseconds(7999)), Access::later);
    EXPECT_EQ(state.opens(), start + seconds(8));
    EXPECT_EQ(state.access(start + seconds(8)), Access::open);
    state.asked_for_time(start, seconds(2), least);  // said by a slower answer
    EXPECT_EQ(state.opens(), start + seconds(8));
}

TEST(OriginState, GetsNoMoreThanABound) {
    OriginState state;
    state.asked_for_time(start, seconds::max(), most);
    EXPECT_EQ(state.access(start + seconds(300) - milliseconds(1)), Access::later);
    EXPECT_EQ(state.access(start + seconds(375)), Access::open);
}

TEST(Absences, AreKeptForAShortWhile) {
    Absences absences;
    const auto item = path_of("a");
    EXPECT_EQ(absences.age(OriginId{0}, item, start), std::nullopt);
    absences.add(OriginId{0}, item, start);
    EXPECT_EQ(absences.age(OriginId{0}, item, start), seconds(0));
    EXPECT_EQ(absences.age(OriginId{0}, item, start + milliseconds(2999)), seconds(2));
    EXPECT_EQ(absences.age(OriginId{1}, item, start), std::nullopt);
    EXPECT_EQ(absences.age(OriginId{0}, path_of("b"), start), std::nullopt);
    EXPECT_EQ(absences.age(OriginId{0}, item, start + seconds(3)), std::nullopt);
}

TEST(Absences, CountFromTheLastAnswer) {
    Absences absences;
    const auto item = path_of("a");
    absences.add(OriginId{0}, item, start);
    absences.add(OriginId{0}, item, start + seconds(2));
    EXPECT_EQ(absences.age(OriginId{0}, item, start + seconds(4)), seconds(2));
    EXPECT_EQ(absences.age(OriginId{0}, item, start + seconds(5)), std::nullopt);
}

TEST(Absences, TheOldestAreForgottenFirst) {
    Absences absences;
    for (std::size_t i = 0; i <= Absences::most; ++i)
        absences.add(OriginId(static_cast<std::uint32_t>(i)), path_of("a"), start);
    EXPECT_EQ(absences.age(OriginId{0}, path_of("a"), start), std::nullopt);
    EXPECT_EQ(absences.age(OriginId{1}, path_of("a"), start), seconds(0));
    EXPECT_EQ(absences.age(OriginId{Absences::most}, path_of("a"), start), seconds(0));
}

}  // namespace
}  // namespace senv
