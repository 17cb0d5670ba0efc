#include "cache/daemon/supply.h"

#include <gmock/gmock.h>

#include "tests/support/items.h"

namespace senv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::MadeItem;
using test::make_item;
using test::path_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Deadline start(seconds(1000));
constexpr const char* first = "http://first";
constexpr const char* second = "http://second";

Refusal refusal(Outcome outcome, const std::string& text, Kind kind = Kind::io,
                std::optional<seconds> wished = std::nullopt) {
    return {outcome, Error(kind, text), wished};
}
Refusal absent(const std::string& origin) {
    return refusal(Outcome::absent, origin + ": does not have it", Kind::missing);
}

/// Origins that say what each test wants them to say.
class SupplyTest : public testing::Test {
protected:
    void use(const std::vector<std::string>& origins) {
        supply.emplace(origins, seconds(1805), [this] { return dice; });
    }
    void SetUp() override { use({first, second}); }

    /// In short: "ask lib first", "fetch lib first", … What a test goes on with is kept.
    std::vector<std::string> events() {
        std::vector<std::string> all;
        while (auto event = supply->take()) all.push_back(std::visit([&](auto& one) { return text_of(one); }, *event));
        return all;
    }
    std::string url(OriginId origin) const { return supply->origins().at(origin).url.substr(7); }
    static std::string name(const StorePath& path) { return std::string(path.name()); }
    std::string text_of(const Supply::AskNarinfo& one) {
        asked = one.origin;
        return "ask " + name(one.item) + " " + url(one.origin);
    }
    std::string text_of(const Supply::FetchNar& one) {
        job = one.job;
        return "fetch " + name(one.job.narinfo->path()) + " " + url(one.job.origin);
    }
    std::string text_of(const Supply::Withdraw& one) {
        EXPECT_EQ(one.transfer, job.transfer);
        return "withdraw " + name(one.item);
    }
    std::string text_of(const Supply::TakeBack& one) const { return "take back " + url(one.origin); }
    static std::string text_of(const Supply::Known& one) { return "known " + name(one.item); }
    static std::string text_of(const Supply::Soon& one) { return "soon " + name(one.item); }
    static std::string text_of(const Supply::Idle& one) { return "idle " + name(one.item); }
    static std::string text_of(const Supply::Placed& one) { return "placed " + name(one.item); }
    static std::string text_of(const Supply::NobodyHasIt& one) {
        std::string text = "nobody has " + name(one.item);
        for (const auto& complaint : one.complaints) text += "; " + complaint.what();
        return text;
    }
    static std::string text_of(const Supply::NodeFailed& one) { return "node failed: " + one.why.what(); }
    static std::string text_of(const Supply::Gone& one) { return "gone " + name(one.item); }
    std::string text_of(const Supply::Unreachable& one) const { return "unreachable " + url(one.origin); }
    std::string text_of(const Supply::Reachable& one) const { return "reachable " + url(one.origin); }

    /// What the origin says that was asked last.
    void say(const MadeItem& item, std::optional<std::variant<Vetted, Refusal>> answer) {
        supply->narinfo({item.path(), asked, std::move(answer)}, now);
    }
    void sign(const MadeItem& item) { say(item, vetted(item)); }
    Vetted vetted(const MadeItem& item) const {
        const std::string at = supply->origins().at(asked).url + "/nar/" + item.path().base();
        return {std::make_shared<const Narinfo>(item.narinfo), Place{at, Compression::none}, std::nullopt,
                std::nullopt};
    }
    void nar(const MadeItem& item, Fetched outcome, const std::string& text = "",
             std::optional<seconds> wished = std::nullopt) {
        std::optional<Error> error;
        if (outcome != Fetched::placed) error = Error(Kind::io, text);
        supply->nar({item.path(), job.origin, {outcome, error, wished}}, now);
    }
    void begin(const MadeItem& item) { supply->start(item.path(), now); }
    /// It is being fetched from the origin that was asked first.
    void fetch(const MadeItem& item) {
        begin(item);
        events();
        sign(item);
        supply->fetch(item.path(), now);
        events();
    }

    const MadeItem lib = make_item("lib");
    const MadeItem tool = make_item("tool", {lib.path()});
    Deadline now = start;
    double dice = 0;
    OriginId asked{};
    FetchJob job;
    std::optional<Supply> supply;
};

TEST_F(SupplyTest, TheCommonCaseIsOneQuestionAndOneTransfer) {
    begin(lib);
    EXPECT_THAT(events(), ElementsAre("ask lib first"));
    EXPECT_FALSE(supply->is_idle(lib.path()));
    EXPECT_EQ(supply->room_to_come(lib.path()), std::nullopt);
    sign(lib);
    EXPECT_THAT(events(), ElementsAre("known lib"));
    EXPECT_TRUE(supply->is_idle(lib.path()));
    EXPECT_EQ(supply->room_to_come(lib.path()), guessed_room(lib.nar.size()));
    supply->fetch(lib.path(), now);
    EXPECT_THAT(events(), ElementsAre("fetch lib first"));
    EXPECT_EQ(job.request.url, "http://first/nar/" + lib.path().base());
    EXPECT_EQ(job.request.deadline, start + seconds(1805));
    job.transfer->bytes = lib.nar.size() / 2;
    EXPECT_LT(supply->room_to_come(lib.path())->bytes, guessed_room(lib.nar.size()).bytes);
    EXPECT_EQ(supply->look(lib.path())->transfer, job.transfer.get());
    nar(lib, Fetched::placed);
    EXPECT_THAT(events(), ElementsAre("placed lib", "gone lib"));
    EXPECT_EQ(supply->look(lib.path()), std::nullopt);
}

TEST_F(SupplyTest, GoesFromOriginToOriginUntilNoneIsLeft) {
    begin(lib);
    events();
    say(lib, absent(first));
    EXPECT_THAT(events(), ElementsAre("ask lib second"));
    say(lib, absent(second));
    EXPECT_THAT(events(), ElementsAre("nobody has lib; http://first: does not have it; http://second: does not have it",
                                      "gone lib"));
    now += milliseconds(2500);
    begin(lib);  // that is remembered for a while
    EXPECT_THAT(events(), ElementsAre("nobody has lib; http://first: does not have it, as it said 2 s ago; "
                                      "http://second: does not have it, as it said 2 s ago",
                                      "gone lib"));
    now += milliseconds(500);
    begin(lib);
    EXPECT_THAT(events(), ElementsAre("ask lib first"));
}

TEST_F(SupplyTest, ANarThatIsOfNoUseComesFromTheNextOrigin) {
    fetch(lib);
    nar(lib, Fetched::refused, "another hash");
    EXPECT_THAT(events(), ElementsAre("ask lib second"));
    sign(lib);
    EXPECT_THAT(events(), ElementsAre("known lib"));
    supply->fetch(lib.path(), now);
    EXPECT_THAT(events(), ElementsAre("fetch lib second"));
    nar(lib, Fetched::absent, "collected");
    EXPECT_THAT(events(), ElementsAre("nobody has lib; another hash; collected", "gone lib"));
}

TEST_F(SupplyTest, BytesMayComeFromAnOriginThatNobodySignsFor) {
    begin(lib);
    events();
    Vetted claim = vetted(lib);
    claim.doubt = Error(Kind::untrusted, "first: not signed");
    say(lib, claim);
    EXPECT_THAT(events(), ElementsAre("ask lib second"));
    sign(lib);
    events();
    supply->fetch(lib.path(), now);
    EXPECT_THAT(events(), ElementsAre("fetch lib first"));
}

TEST_F(SupplyTest, AMountedStoreIsNotAsked) {
    use({"store:///mnt/store", second});
    begin(lib);
    EXPECT_THAT(events(), ElementsAre("ask lib second"));
    sign(lib);
    events();
    supply->fetch(lib.path(), now);
    events();
    EXPECT_EQ(job.request.url, "store:///mnt/store//" + lib.path().base());
}

TEST_F(SupplyTest, WhatFailsIsTriedAgainAFewTimesThenElsewhere) {
    begin(lib);
    events();
    for (const auto delay : {100, 200, 400}) {  // half of each is random
        say(lib, refusal(Outcome::again, "first: answered 500"));
        EXPECT_THAT(events(), IsEmpty());
        EXPECT_EQ(supply->next_tick(), now + milliseconds(delay));
        EXPECT_EQ(*supply->look(lib.path())->why, "first: answered 500");
        now += milliseconds(delay - 1);
        supply->tick(now);
        EXPECT_THAT(events(), IsEmpty());
        now += milliseconds(1);
        supply->tick(now);
        EXPECT_THAT(events(), ElementsAre("ask lib first"));
        EXPECT_EQ(supply->next_tick(), Deadline::max());
    }
    say(lib, refusal(Outcome::again, "first: answered 500"));
    EXPECT_THAT(events(), ElementsAre("unreachable first", "take back first", "ask lib second"));
}

TEST_F(SupplyTest, WhyAnOriginIsOfNoUseIsKnownUntilItGivesWhatIsBelieved) {
    use({first});
    const auto trouble_after = [&](std::variant<Vetted, Refusal> answer) {
        begin(lib);
        events();
        say(lib, std::move(answer));
        supply->withdraw(lib.path());
        events();
        now += seconds(10);
        return supply->origins().at(asked).trouble;
    };
    EXPECT_EQ(trouble_after(absent(first)), "");
    EXPECT_EQ(trouble_after(refusal(Outcome::again, "first: answered 500")), "first: answered 500");
    for (const auto outcome : {Outcome::absent, Outcome::soon, Outcome::stopped}) {
        EXPECT_EQ(trouble_after(refusal(outcome, "first: no")), "first: answered 500");
    }
    Vetted claim = vetted(lib);
    claim.doubt = Error(Kind::untrusted, "first: not signed");
    EXPECT_EQ(trouble_after(claim), "first: not signed");
    EXPECT_EQ(trouble_after(vetted(lib)), "");
}

TEST_F(SupplyTest, AnOriginThatIsDownIsTriedForTwoSecondsAndThenByNobody) {
    const MadeItem other = make_item("other");
    begin(lib);
    begin(tool);
    EXPECT_THAT(events(), ElementsAre("ask lib first", "ask tool first"));
    say(lib, refusal(Outcome::unreachable, "first: no route"));
    now += Supply::retry_within;
    supply->tick(now);
    EXPECT_THAT(events(), ElementsAre("ask lib first"));
    say(lib, refusal(Outcome::unreachable, "first: no route"));
    EXPECT_THAT(events(), ElementsAre("unreachable first", "take back first", "ask lib second"));
    asked = supply->origins().order()[0];
    say(tool, refusal(Outcome::unreachable, "first: no route"));  // it is known by now
    EXPECT_THAT(events(), ElementsAre("ask tool second"));
    now += seconds(10);
    begin(other);
    EXPECT_THAT(events(), ElementsAre("ask other first"));
    asked = supply->origins().order()[0];
    say(other, absent(first));
    EXPECT_THAT(events(), ElementsAre("reachable first", "ask other second"));
}

TEST_F(SupplyTest, WhatWaitsForAnOriginThatWentDownIsTakenElsewhere) {
    fetch(lib);
    supply->taken_back({lib.path()}, now);
    EXPECT_THAT(events(), ElementsAre("fetch lib first"));  // there is no other that has it
    begin(tool);
    events();
    for (int i = 0; i < 4; ++i) {
        say(tool, refusal(Outcome::again, "first: answered 500"));
        now += milliseconds(500);
        supply->tick(now);
    }
    EXPECT_THAT(events(), testing::Contains("take back first"));
    supply->taken_back({lib.path(), path_of("nothing")}, now);
    EXPECT_THAT(events(), ElementsAre("ask lib second"));
}

TEST_F(SupplyTest, AnOriginThatAsksForTimeGetsIt) {
    use({first});
    begin(lib);
    events();
    dice = 0.5;
    say(lib, refusal(Outcome::again, "first: answered 503", Kind::io, seconds(8)));
    EXPECT_THAT(events(), ElementsAre("take back first"));
    EXPECT_EQ(supply->next_tick(), now + seconds(9));  // an eighth more
    EXPECT_EQ(*supply->look(lib.path())->why, "first: answered 503, and asked to wait");
    begin(tool);
    EXPECT_THAT(events(), IsEmpty());
    now += seconds(9);
    supply->tick(now);
    EXPECT_THAT(events(), testing::UnorderedElementsAre("ask lib first", "ask tool first"));
}

TEST_F(SupplyTest, WhileAnOriginAsksForTimeAnotherIsUsed) {
    begin(lib);
    events();
    say(lib, refusal(Outcome::again, "first: answered 503", Kind::io, seconds(3000)));
    EXPECT_THAT(events(), ElementsAre("take back first", "ask lib second"));
    begin(tool);
    EXPECT_THAT(events(), ElementsAre("ask tool second"));
}

TEST_F(SupplyTest, WhatIsBeingPreparedIsAskedForAgainUntilItIsThere) {
    begin(lib);
    events();
    say(lib, refusal(Outcome::soon, "first: bakes it", Kind::busy));
    EXPECT_THAT(events(), ElementsAre("ask lib second"));
    say(lib, absent(second));
    EXPECT_THAT(events(), ElementsAre("soon lib"));
    EXPECT_EQ(supply->next_tick(), now + milliseconds(500));
    now += milliseconds(500);
    supply->tick(now);
    EXPECT_THAT(events(), ElementsAre("ask lib first"));
    say(lib, refusal(Outcome::soon, "first: bakes it", Kind::busy));
    EXPECT_THAT(events(), IsEmpty());  // the other's absence is remembered; that it comes soon is said once
    EXPECT_EQ(supply->next_tick(), now + seconds(1));
}

TEST_F(SupplyTest, OnlySoManyNarinfosAreAskedForAtOnce) {
    std::vector<MadeItem> items;
    for (std::size_t i = 0; i < Supply::max_asks + 2; ++i) items.push_back(make_item("item-" + std::to_string(i)));
    for (const auto& item : items) begin(item);
    EXPECT_EQ(events().size(), Supply::max_asks);
    supply->withdraw(items[Supply::max_asks].path());  // while it waits for its turn
    EXPECT_THAT(events(), ElementsAre("gone item-128"));
    sign(items[0]);
    EXPECT_THAT(events(), ElementsAre("known item-0", "ask item-129 first"));
}

TEST_F(SupplyTest, AnAnswerThatCouldNotBeKeptIsAskedForAgain) {
    begin(lib);
    events();
    say(lib, std::nullopt);
    EXPECT_THAT(events(), ElementsAre("ask lib first"));
    supply->withdraw(lib.path());
    EXPECT_THAT(events(), IsEmpty());
    say(lib, std::nullopt);
    EXPECT_THAT(events(), ElementsAre("gone lib"));
}

TEST_F(SupplyTest, WhatNobodyWantsAnyMoreEndsWithItsAnswer) {
    begin(lib);
    events();
    supply->withdraw(lib.path());
    EXPECT_THAT(events(), IsEmpty());
    sign(lib);
    EXPECT_THAT(events(), ElementsAre("gone lib"));
    supply->withdraw(lib.path());
    EXPECT_THAT(events(), IsEmpty());
}

TEST_F(SupplyTest, ATransferThatHasNotBegunIsWithdrawn) {
    fetch(lib);
    supply->withdraw(lib.path());
    EXPECT_THAT(events(), ElementsAre("withdraw lib"));
    supply->withdrawn(lib.path());
    EXPECT_THAT(events(), ElementsAre("gone lib"));
}

TEST_F(SupplyTest, ATransferThatHasBegunEndsAndMayBeWantedAgain) {
    fetch(lib);
    supply->withdraw(lib.path());
    events();
    begin(lib);  // while it is being stopped
    EXPECT_THAT(events(), ElementsAre("known lib"));
    EXPECT_FALSE(supply->is_idle(lib.path()));
    nar(lib, Fetched::stopped, "stopped");
    EXPECT_THAT(events(), ElementsAre("idle lib"));
    supply->fetch(lib.path(), now);
    EXPECT_THAT(events(), ElementsAre("fetch lib first"));
    supply->withdraw(lib.path());
    events();
    nar(lib, Fetched::stopped, "stopped");
    EXPECT_THAT(events(), ElementsAre("gone lib"));
}

TEST_F(SupplyTest, WhatWasPlacedIsToldAlsoWhenNobodyWantsItAnyMore) {
    fetch(lib);
    supply->withdraw(lib.path());
    events();
    nar(lib, Fetched::placed);
    EXPECT_THAT(events(), ElementsAre("placed lib", "gone lib"));
}

TEST_F(SupplyTest, NoOtherOriginHelpsWhenThisNodeCannotTakeIt) {
    fetch(lib);
    nar(lib, Fetched::failed, "no space left");
    EXPECT_THAT(events(), ElementsAre("node failed: no space left", "gone lib"));
}

TEST_F(SupplyTest, WhatNobodyCanGiveTheBytesOfIsNotKnown) {
    begin(lib);
    events();
    Vetted without_place = vetted(lib);
    without_place.place.reset();
    without_place.no_place = Error(Kind::corrupt, "first: no compression that senvd knows");
    say(lib, without_place);
    EXPECT_THAT(events(), ElementsAre("known lib"));  // the other origin may have them
    supply->fetch(lib.path(), now);
    EXPECT_THAT(events(), ElementsAre("ask lib second"));
    say(lib, absent(second));
    EXPECT_THAT(events()[0], HasSubstr("nobody has lib; first: no compression that senvd knows"));
}

TEST(Origins, KeepTheirIdentityWhenTheListChanges) {
    Origins origins({first, second});
    const OriginId kept = origins.order()[1];
    const OriginId gone = origins.order()[0];
    origins.at(kept).wish = "busy";
    origins.configure({"http://third", second, "store:///mnt/store"});
    ASSERT_EQ(origins.order().size(), 3U);
    EXPECT_EQ(origins.order()[1], kept);
    EXPECT_EQ(origins.at(kept).wish, "busy");
    EXPECT_NE(origins.order()[0], gone);
    EXPECT_EQ(origins.at(gone).url, first);  // what is on its way from it may go on
    EXPECT_EQ(origins.candidates(path_of("lib"))[1].store, std::nullopt);
    EXPECT_EQ(origins.candidates(path_of("lib"))[2].store->url, "store:///mnt/store//" + path_of("lib").base());
    origins.configure({first});
    EXPECT_EQ(origins.order()[0], gone);
}

TEST(Origins, AreShownWithoutCredentials) {
    const Origins origins({"https://user:secret@first/x"});
    EXPECT_THAT(origins.at(origins.order()[0]).shown, testing::Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace senv
