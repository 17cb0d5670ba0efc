#include "cache/daemon/verification.h"

#include <gmock/gmock.h>

#include <map>

#include "tests/support/items.h"

namespace senv {
namespace {

using std::chrono::seconds;
using test::path_of;
using testing::HasSubstr;

using Judgement = Verification::Judgement;

const Error damage(Kind::corrupt, "another hash");
const Result<void> whole;

class VerificationTest : public testing::Test {
protected:
    /// 10 bytes each; the last one is checked first.
    void begin(const std::vector<std::string>& names, bool repair = true) {
        Verification::Task task;
        for (const auto& name : names) task.add(add(name));
        verification.begin(7, repair, std::move(task));
    }
    ItemRecord& add(const std::string& name) {
        const StorePath path = path_of(name);
        return rows.insert_or_assign(path, ItemRecord{path, Sha256{}, 10, {}}).first->second;
    }
    /// "check a", "repair a", "" when there is nothing to do.
    std::string next() {
        const auto step = verification.next([&](const StorePath& path) { return row(path); });
        if (!step) return "";
        if (const auto* check = std::get_if<Verification::Check>(&*step))
            return "check " + std::string(check->record.path.name());
        return "repair " + std::string(std::get<Verification::Repair>(*step).item.name());
    }
    Result<std::optional<ItemRecord>> row(const StorePath& path) const {
        if (path == unreadable) return Error(Kind::io, "the catalog cannot be read");
        const auto found = rows.find(path);
        return found == rows.end() ? std::nullopt : std::optional(found->second);
    }
    Judgement checked(const std::string& name, const Result<void>& result = whole) {
        return verification.checked(path_of(name), result, row(path_of(name)));
    }
    std::string result() {
        const auto ended = verification.done();
        return ended ? to_json(ended->result) : "";
    }
    static std::string named(const std::string& name) { return "\"" + path_of(name).absolute() + "\""; }

    Verification verification;
    std::map<StorePath, ItemRecord> rows;
    std::optional<StorePath> unreadable;
};

TEST_F(VerificationTest, ChecksOneItemAfterTheOther) {
    begin({"a", "b"});
    EXPECT_TRUE(verification.is_running());
    EXPECT_EQ(next(), "check b");
    EXPECT_EQ(next(), "");
    EXPECT_EQ(checked("b"), Judgement::nothing);
    EXPECT_EQ(result(), "");
    EXPECT_EQ(next(), "check a");
    EXPECT_EQ(checked("a"), Judgement::nothing);
    EXPECT_EQ(next(), "");
    EXPECT_EQ(result(), R"({"checked":2,"bytes":20,"damaged":[],"repaired":[],"not_repaired":[],"unreadable":[]})");
    EXPECT_FALSE(verification.is_running());
    EXPECT_EQ(next(), "");
}

TEST_F(VerificationTest, NothingToCheckIsDoneAtOnce) {
    begin({});
    EXPECT_EQ(next(), "");
    EXPECT_THAT(result(), HasSubstr("\"checked\":0"));
}

TEST_F(VerificationTest, DamageIsRepairedAndAwaited) {
    begin({"a"});
    next();
    EXPECT_EQ(checked("a", damage), Judgement::damaged);
    EXPECT_EQ(verification.condemned(path_of("a"), damage, {})->item, path_of("a"));
    EXPECT_EQ(result(), "");
    verification.repaired(path_of("a"));
    EXPECT_THAT(result(),
                HasSubstr("\"damaged\":[{\"item\":" + named("a") + ",\"why\":\"another hash\"}],\"repaired\":[" +
                          named("a") + "],\"not_repaired\":[]"));
}

TEST_F(VerificationTest, DamageIsOnlyToldWhenNoRepairWasAskedFor) {
    begin({"a"}, false);
    next();
    EXPECT_EQ(checked("a", damage), Judgement::damaged);
    EXPECT_EQ(verification.condemned(path_of("a"), damage, {}), std::nullopt);
    EXPECT_THAT(result(), HasSubstr("\"damaged\":[{\"item\":" + named("a")));
}

TEST_F(VerificationTest, WhatCannotBeCondemnedIsNotRepaired) {
    begin({"a"});
    next();
    EXPECT_EQ(checked("a", damage), Judgement::damaged);
    EXPECT_EQ(verification.condemned(path_of("a"), damage, Error(Kind::io, "full")), std::nullopt);
    EXPECT_THAT(result(), HasSubstr("\"not_repaired\":[{\"item\":" + named("a") + ",\"why\":\"full\"}]"));
}

TEST_F(VerificationTest, WhatWasDamagedBeforeIsRepairedWithoutACheck) {
    add("a");
    begin({"a", "b"});
    rows.at(path_of("b")).damaged = true;
    EXPECT_EQ(next(), "repair b");
    EXPECT_EQ(next(), "check a");
    EXPECT_TRUE(verification.not_repaired(path_of("b"), Error(Kind::missing, "nobody has it")));
    EXPECT_FALSE(verification.not_repaired(path_of("b"), Error(Kind::missing, "nobody has it")));
    checked("a");
    EXPECT_THAT(result(), HasSubstr("\"not_repaired\":[{\"item\":" + named("b") + ",\"why\":\"nobody has it\"}]"));
}

TEST_F(VerificationTest, WhatCannotBeReadSaysNothingAboutTheItem) {
    begin({"a"});
    next();
    EXPECT_EQ(checked("a", Error(Kind::io, "Input/output error")), Judgement::unreadable);
    EXPECT_THAT(result(), HasSubstr("{\"checked\":0,\"bytes\":0,\"damaged\":[],"));
}

TEST_F(VerificationTest, WhatWasReplacedWhileItWasCheckedIsCheckedAgain) {
    begin({"a"});
    next();
    verification.repaired(path_of("a"));
    EXPECT_EQ(checked("a", damage), Judgement::nothing);
    EXPECT_EQ(next(), "check a");
    EXPECT_EQ(checked("a"), Judgement::nothing);
    EXPECT_THAT(result(), HasSubstr("\"checked\":1"));
}

TEST_F(VerificationTest, WhatWasEvictedWhileItWasCheckedIsLeftOut) {
    begin({"a", "b"});
    next();
    verification.evicted(path_of("b"));
    rows.erase(path_of("b"));
    EXPECT_EQ(checked("b", damage), Judgement::nothing);
    rows.erase(path_of("a"));  // before its turn
    EXPECT_EQ(next(), "");
    EXPECT_THAT(result(), HasSubstr("\"checked\":0"));
}

TEST_F(VerificationTest, AnErrorOfTheCatalogIsToldAndTheRestGoesOn) {
    begin({"a", "b", "c"});
    EXPECT_EQ(next(), "check c");
    unreadable = path_of("c");
    EXPECT_EQ(checked("c"), Judgement::nothing);
    unreadable = path_of("b");
    EXPECT_EQ(next(), "check a");
    EXPECT_EQ(checked("a"), Judgement::nothing);
    EXPECT_THAT(result(), HasSubstr("{\"item\":" + named("b") + ",\"why\":\"the catalog cannot be read\"}"));
}

TEST_F(VerificationTest, SaysOnceASecondHowFarItIs) {
    const Deadline now(seconds(100));
    EXPECT_EQ(verification.progress(now), std::nullopt);
    begin({"a", "b"});
    next();
    const auto first = verification.progress(now);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->first, 7U);
    EXPECT_EQ(first->second.items_total, 2U);
    EXPECT_EQ(first->second.bytes_total, 20U);
    EXPECT_EQ(first->second.what, "checking " + path_of("b").base());
    EXPECT_EQ(verification.progress(now + std::chrono::milliseconds(999)), std::nullopt);
    checked("b", damage);
    verification.condemned(path_of("b"), damage, {});
    const auto second = verification.progress(now + seconds(1));
    ASSERT_TRUE(second);
    EXPECT_EQ(second->second.items_done, 1U);
    EXPECT_EQ(second->second.what, "fetching what is damaged: 1 to come");
}

}  // namespace
}  // namespace senv
