#include "cache/daemon/walk.h"

#include "tests/support/matchers.h"

namespace senv {
namespace {

using What = Walk::Step::What;
using Access = Walk::Access;
using Failure = Walk::Failure;
using testing::ElementsAre;

Contents contents(std::uint64_t size) {
    return {Sha256{}, size};
}
Error error(const std::string& text) {
    return {Kind::missing, text};
}

// The origins' numbers tell nothing about their order.
OriginId id(std::size_t place) {
    return OriginId{static_cast<std::uint32_t>(100 - place)};
}
std::size_t number(OriginId origin) {
    return 100 - static_cast<std::size_t>(origin);
}

struct Was {
    What what;
    std::size_t origin;
    bool operator==(const Was&) const = default;
};
void PrintTo(const Was& was, std::ostream* out) {
    static constexpr const char* names[] = {"ask", "fetch", "rest", "wait", "end"};
    *out << names[static_cast<int>(was.what)] << " " << was.origin;
}

class WalkTest : public testing::Test {
protected:
    /// "s" for a server, "m" for a mounted store.
    static Walk over(std::string_view kinds) {
        std::vector<Walk::Candidate> candidates;
        for (const char kind : kinds) {
            candidates.push_back({id(candidates.size())});
            if (kind == 'm') candidates.back().store = Place{"store:///m", Compression::none};
        }
        return Walk(std::move(candidates));
    }
    Was next(Walk& walk) const {
        const auto step = walk.next([&](OriginId origin) {
            const std::size_t i = number(origin);
            return i < access.size() ? access[i] : Access::open;
        });
        return {step.what, number(step.origin)};
    }
    static std::vector<std::string> complaints(const Walk& walk) {
        std::vector<std::string> texts;
        for (const auto& one : walk.complaints()) texts.push_back(one.what());
        return texts;
    }
    static Place at(const std::string& url) { return {url, Compression::zstd}; }

    std::vector<Access> access;
};

TEST_F(WalkTest, TheCommonCaseIsOneQuestionAndOneTransfer) {
    Walk walk = over("sss");
    EXPECT_EQ(next(walk), (Was{What::ask, 0}));
    walk.signed_for(id(0), contents(1), at("a"), {});
    EXPECT_EQ(next(walk), (Was{What::fetch, 0}));
    EXPECT_EQ(walk.place(id(0)).url, "a");
}

TEST_F(WalkTest, GoesOnUntilSomebodySigns) {
    Walk walk = over("sss");
    walk.failed(id(0), error("a lacks it"), Failure::passing);
    EXPECT_EQ(next(walk), (Was{What::ask, 1}));
    walk.failed(id(1), error("b is nonsense"), Failure::lasting);
    EXPECT_EQ(next(walk), (Was{What::ask, 2}));
    walk.failed(id(2), error("c lacks it"), Failure::passing);
    EXPECT_EQ(next(walk).what, What::end);
    EXPECT_THAT(complaints(walk), ElementsAre("a lacks it", "b is nonsense", "c lacks it"));
}

TEST_F(WalkTest, WhoIsNotBelievedGivesTheBytesOfWhatAnotherSigned) {
    Walk walk = over("ss");
    walk.claimed(id(0), contents(1), at("mirror"), error("mirror: not signed"));
    EXPECT_EQ(next(walk), (Was{What::ask, 1}));
    walk.signed_for(id(1), contents(1), at("b"), {});
    EXPECT_EQ(next(walk), (Was{What::fetch, 0}));
    EXPECT_EQ(walk.place(id(0)).url, "mirror");
    walk.failed(id(0), error("mirror: damaged"), Failure::lasting);
    EXPECT_EQ(next(walk), (Was{What::fetch, 1}));
}

TEST_F(WalkTest, ButNotOfOtherContents) {
    for (const Contents& other : {contents(2), Contents{Sha256{{std::byte{1}}}, 1}}) {
        Walk walk = over("ss");
        walk.claimed(id(0), other, at("mirror"), error("mirror: not signed"));
        walk.signed_for(id(1), contents(1), at("b"), {});
        EXPECT_EQ(next(walk), (Was{What::fetch, 1}));
        EXPECT_THAT(complaints(walk), ElementsAre("mirror: not signed, and is for other contents than the signed one"));
    }
}

TEST_F(WalkTest, NobodyIsBelievedWithoutASignature) {
    Walk walk = over("sms");
    walk.claimed(id(0), contents(1), at("a"), error("a: not signed"));
    walk.claimed(id(2), contents(1), at("c"), error("c: not signed"));
    EXPECT_EQ(next(walk).what, What::end);
    EXPECT_THAT(complaints(walk), ElementsAre("a: not signed", "c: not signed"));
}

TEST_F(WalkTest, AMountedStoreGivesBytesAtItsPlaceAndIsNeverAsked) {
    Walk before = over("ms");
    EXPECT_EQ(next(before), (Was{What::ask, 1}));
    before.signed_for(id(1), contents(1), at("b"), {});
    EXPECT_EQ(next(before), (Was{What::fetch, 0}));
    before.failed(id(0), error("m lacks it"), Failure::passing);
    EXPECT_EQ(next(before), (Was{What::fetch, 1}));

    Walk after = over("sms");
    after.signed_for(id(0), contents(1), at("a"), {});
    EXPECT_EQ(next(after), (Was{What::fetch, 0}));
    after.failed(id(0), error("a is damaged"), Failure::lasting);
    EXPECT_EQ(next(after), (Was{What::fetch, 1}));
    after.failed(id(1), error("m lacks it"), Failure::passing);
    EXPECT_EQ(next(after), (Was{What::ask, 2}));
}

TEST_F(WalkTest, ASignerWithoutAPlaceVouchesForTheBytesOfOthers) {
    Walk walk = over("sm");
    walk.signed_for(id(0), contents(1), {}, error("a: only xz"));
    EXPECT_EQ(next(walk), (Was{What::fetch, 1}));
    walk.failed(id(1), error("m lacks it"), Failure::passing);
    EXPECT_EQ(next(walk).what, What::end);
    EXPECT_THAT(complaints(walk), ElementsAre("a: only xz", "m lacks it"));
}

TEST_F(WalkTest, AnotherSignerOfOtherContentsIsFollowed) {
    Walk walk = over("ss");
    walk.signed_for(id(0), contents(1), at("a"), {});
    walk.failed(id(0), error("a is damaged"), Failure::lasting);
    EXPECT_EQ(next(walk), (Was{What::ask, 1}));
    walk.signed_for(id(1), contents(2), at("b"), {});
    EXPECT_EQ(next(walk), (Was{What::fetch, 1}));
}

TEST_F(WalkTest, WhoWasDownIsAskedLast) {
    access = {Access::unwise, Access::open};
    Walk walk = over("ss");
    EXPECT_EQ(next(walk), (Was{What::ask, 1}));
    walk.failed(id(1), error("b lacks it"), Failure::passing);
    EXPECT_EQ(next(walk), (Was{What::ask, 0}));
}

TEST_F(WalkTest, WhoAsksForTimeGetsItWhenNobodyElseIsLeft) {
    access = {Access::later, Access::unwise};
    Walk walk = over("ss");
    EXPECT_EQ(next(walk), (Was{What::ask, 1}));
    walk.failed(id(1), error("b lacks it"), Failure::passing);
    EXPECT_EQ(next(walk), (Was{What::wait, 0}));
    access = {};
    EXPECT_EQ(next(walk), (Was{What::ask, 0}));
}

TEST_F(WalkTest, SoonMeansAnotherRoundOfAllButTheUseless) {
    Walk walk = over("sss");
    walk.failed(id(0), error("a bakes"), Failure::soon);
    walk.failed(id(1), error("b is nonsense"), Failure::lasting);
    walk.failed(id(2), error("c lacks it"), Failure::passing);
    EXPECT_EQ(next(walk), (Was{What::rest, 0}));
    EXPECT_EQ(walk.complaint(id(0)).what(), "a bakes");
    walk.begin_round();
    EXPECT_EQ(next(walk), (Was{What::ask, 0}));
    walk.failed(id(0), error("a lacks it"), Failure::passing);
    EXPECT_EQ(next(walk), (Was{What::ask, 2}));
    walk.failed(id(2), error("c lacks it still"), Failure::passing);
    EXPECT_EQ(next(walk).what, What::end);
    EXPECT_THAT(complaints(walk), ElementsAre("a lacks it", "b is nonsense", "c lacks it still"));
}

TEST_F(WalkTest, SoonIsNotDelayedByWhoAskedForTime) {
    Walk walk = over("ss");
    walk.failed(id(0), error("a bakes"), Failure::soon);
    access = {Access::open, Access::later};
    EXPECT_EQ(next(walk), (Was{What::rest, 0}));
}

TEST_F(WalkTest, ANarThatComesSoonIsFetchedWithoutAskingAgain) {
    Walk walk = over("s");
    walk.signed_for(id(0), contents(1), at("a"), {});
    walk.failed(id(0), error("a bakes the nar"), Failure::soon);
    EXPECT_EQ(next(walk), (Was{What::rest, 0}));
    walk.begin_round();
    EXPECT_EQ(next(walk), (Was{What::fetch, 0}));
}

TEST_F(WalkTest, TriesCountUntilSomethingCameOfThem) {
    Walk walk = over("s");
    EXPECT_EQ(walk.count_try(id(0)), 1U);
    EXPECT_EQ(walk.count_try(id(0)), 2U);
    EXPECT_EQ(next(walk), (Was{What::ask, 0}));
    walk.signed_for(id(0), contents(1), at("a"), {});
    EXPECT_EQ(walk.tries(id(0)), 0U);
}

TEST_F(WalkTest, WithoutOriginsThereIsNothing) {
    Walk walk = over("");
    EXPECT_EQ(next(walk).what, What::end);
    EXPECT_TRUE(walk.complaints().empty());
}

}  // namespace
}  // namespace senv
