#include "cache/wire/messages.h"

#include <gtest/gtest.h>

namespace senv::wire {
namespace {

std::string payload_of(const std::string& frame) {
    return frame.substr(header_bytes);
}

Plan plan_with(Variable variable) {
    return {"/gnu/store/88888888888888888888888888888888-profile", {std::move(variable)}};
}

TEST(Provision, RoundTrips) {
    const Provision sent{"/gnu/store/x",        1001, 12, 3, Provision::flag_lease | Provision::flag_progress,
                         "enter=pure from=here"};
    const auto got = Provision::decode(payload_of(sent.encode()));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->profile, sent.profile);
    EXPECT_EQ(got->uid, 1001U);
    EXPECT_EQ(got->job, 12U);
    EXPECT_EQ(got->step, 3U);
    EXPECT_EQ(got->flags, sent.flags);
    EXPECT_EQ(got->details, sent.details);
}

TEST(Provision, RefusesDetailsThatAreNoLineOfText) {
    const auto decoded = [](std::string details) {
        return Provision::decode(payload_of(Provision{"/gnu/store/x", 0, 0, 0, 0, std::move(details)}.encode()));
    };
    EXPECT_TRUE(decoded(std::string(max_details_bytes, '~')));
    EXPECT_FALSE(decoded(std::string(max_details_bytes + 1, '~')));
    for (const char* bad : {"a\nb", "a\tb", "a\x7f", "\xc3\xa4"}) EXPECT_FALSE(decoded(bad)) << bad;
}

TEST(Provision, RefusesUnknownFlags) {
    EXPECT_FALSE(Provision::decode(payload_of(Provision{"/gnu/store/x", 0, 0, 0, 4}.encode())));
}

TEST(Provision, RefusesAnOverlongPath) {
    EXPECT_FALSE(Provision::decode(payload_of(Provision{std::string(max_path_bytes + 1, 'x'), 0, 0, 0, 0}.encode())));
}

TEST(Provision, EveryTruncationIsRefused) {
    const std::string payload = payload_of(Provision{"/gnu/store/x", 1, 2, 3, 1, "x"}.encode());
    for (std::size_t size = 0; size < payload.size(); ++size) {
        EXPECT_FALSE(Provision::decode(payload.substr(0, size))) << size;
    }
}

TEST(Pin, RoundTrips) {
    const auto got = Pin::decode(payload_of(Pin{"/gnu/store/x", Pin::flag_unpin}.encode()));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->profile, "/gnu/store/x");
    EXPECT_EQ(got->flags, Pin::flag_unpin);
    EXPECT_FALSE(Pin::decode(payload_of(Pin{"/gnu/store/x", 2}.encode())));
    EXPECT_FALSE(Pin::decode(payload_of(Pin{std::string(max_path_bytes + 1, 'x'), 0}.encode())));
}

TEST(List, RoundTrips) {
    const auto got = List::decode(payload_of(List{"/gnu/store/x"}.encode()));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->after, "/gnu/store/x");
    EXPECT_FALSE(List::decode(payload_of(List{"/gnu/store/x"}.encode()) + "x"));
}

TEST(Verify, RoundTrips) {
    const Verify all{{}, Verify::flag_repair};
    const Verify two{{"/gnu/store/x", "/gnu/store/y"}, 0};
    for (const auto& sent : {all, two}) {
        const auto got = Verify::decode(payload_of(sent.encode()));
        ASSERT_TRUE(got);
        EXPECT_EQ(got->paths, sent.paths);
        EXPECT_EQ(got->flags, sent.flags);
    }
    EXPECT_FALSE(Verify::decode(payload_of(Verify{{}, 4}.encode())));
    EXPECT_FALSE(Verify::decode(payload_of(Verify{std::vector<std::string>(max_list + 1), 0}.encode())));
    EXPECT_FALSE(Verify::decode(payload_of(two.encode()) + "x"));
}

TEST(Release, RoundTrips) {
    const auto got = Release::decode(payload_of(Release{1001, Release::flag_user}.encode()));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->number, 1001U);
    EXPECT_EQ(got->flags, Release::flag_user);
    EXPECT_FALSE(Release::decode(payload_of(Release{1001, 2}.encode())));
    EXPECT_FALSE(Release::decode(payload_of(Release{1001, 0}.encode()) + "x"));
}

TEST(Held, RoundTrips) {
    const auto got = Held::decode(payload_of(Held{1001, 12}.encode()));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->uid, 1001U);
    EXPECT_EQ(got->job, 12U);
    EXPECT_FALSE(Held::decode(payload_of(Held{1001, 12}.encode()) + "x"));
}

TEST(Plan, RoundTrips) {
    const Plan sent{"/gnu/store/88888888888888888888888888888888-profile",
                    {{"PATH", "/gnu/store/x/bin", ":"}, {"GIT_EXEC_PATH", "/gnu/store/y", ""}}};
    const auto got = Plan::decode(payload_of(sent.encode()));
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, sent);
}

TEST(Plan, EveryTruncationIsRefused) {
    const std::string payload = payload_of(plan_with({"PATH", "/a", ":"}).encode());
    for (std::size_t size = 0; size < payload.size(); ++size)
        EXPECT_FALSE(Plan::decode(payload.substr(0, size))) << size;
}

TEST(Plan, RefusesNamesThatAreNoVariables) {
    for (const auto* name : {"", "A=B", "1A", "A B", "A-B", "A\nB"})
        EXPECT_FALSE(plan_with({name, "v", ""}).check()) << name;
    EXPECT_TRUE(plan_with({"_a1", "v", ""}).check());
}

TEST(Plan, RefusesAValueThatSlurmWouldDrop) {
    EXPECT_TRUE(plan_with({"A", std::string(max_value_bytes, 'x'), ""}).check());
    const auto refused = plan_with({"A", std::string(max_value_bytes + 1, 'x'), ""}).check();
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().what().find("'A'"), std::string::npos);
}

TEST(Plan, RefusesMoreThanAPlanMayHoldTogether) {
    Plan plan = plan_with({"A", std::string(max_value_bytes, 'x'), ""});
    for (int i = 0; i < 4; ++i) plan.variables.push_back(plan.variables[0]);
    EXPECT_FALSE(plan.check());
}

TEST(Plan, RefusesACountThatTheFrameCannotHold) {
    const std::string payload = payload_of(Writer(Type::plan).str("/gnu/store/x").u32(0xffffffff).finish());
    EXPECT_FALSE(Plan::decode(payload));
}

TEST(ErrorFrame, KeepsKindTextAndHint) {
    const Error got = decode_error(payload_of(encode_error(Error(Kind::untrusted, "no key").hint("add it"))));
    EXPECT_EQ(got.kind(), Kind::untrusted);
    EXPECT_EQ(got.what(), "no key");
    EXPECT_EQ(got.hint(), "add it");
}

TEST(ErrorFrame, ThatCannotBeReadIsAnErrorToo) {
    EXPECT_EQ(decode_error("x").kind(), Kind::corrupt);
}

TEST(ErrorFrame, CutsTextsOverTheLimit) {
    const Error got = decode_error(payload_of(encode_error(Error(Kind::io, std::string(100000, 'x')))));
    EXPECT_EQ(got.what().size(), max_message_bytes);
}

TEST(ProgressFrame, RoundTrips) {
    const auto got =
        Progress::decode(payload_of(Progress{3, 40, 1 << 20, 1ULL << 33, "openmpi from http://x"}.encode()));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->items_total, 40U);
    EXPECT_EQ(got->bytes_total, 1ULL << 33);
    EXPECT_EQ(got->what, "openmpi from http://x");
}

}  // namespace
}  // namespace senv::wire
