#include "provisioner/resolution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;

const std::string profile = "/gnu/store/88888888888888888888888888888888-profile";
const std::string digest(64, 'a');
const std::string commit = "0123456789abcdef0123456789abcdef01234567";
const std::string good = "1 " + profile + " lock=" + digest + " channels=guix@" + commit + ",senv-test@" + commit +
                         " enter=plain from=command-line:--env-manifest";

TEST(Resolution, KeepsWhatItWasMadeOf) {
    const auto resolution = Resolution::parse(good);
    ASSERT_THAT(resolution, test::IsOk());
    EXPECT_EQ(resolution->profile.absolute(), profile);
    EXPECT_EQ(resolution->lock_digest, digest);
    EXPECT_EQ(resolution->channels, (std::vector<ChannelCommit>{{"guix", commit}, {"senv-test", commit}}));
    EXPECT_EQ(resolution->source, "command-line:--env-manifest");
    EXPECT_EQ(resolution->keeping, Keeping{});
    EXPECT_EQ(resolution->encode(), good);
}

TEST(Resolution, MayKnowNoChannels) {
    const std::string text = "1 " + profile + " lock=" + digest + " channels= enter=plain from=salloc";
    const auto resolution = Resolution::parse(text);
    ASSERT_THAT(resolution, test::IsOk());
    EXPECT_TRUE(resolution->channels.empty());
    EXPECT_EQ(resolution->encode(), text);
}

TEST(Resolution, MayHaveNoLock) {
    const std::string text = "1 " + profile + " lock=none channels= enter=plain from=command-line:--env-profile";
    const auto resolution = Resolution::parse(text);
    ASSERT_THAT(resolution, test::IsOk());
    EXPECT_EQ(resolution->lock_digest, "");
    EXPECT_EQ(resolution->encode(), text);
}

TEST(Resolution, SaysWhichVariablesStay) {
    auto resolution = Resolution::parse(good);
    ASSERT_THAT(resolution, test::IsOk());
    resolution->keeping = {true, "^(A|B_.*) %\xc3\xa9$"};
    const std::string text = resolution->encode();
    EXPECT_THAT(text, testing::HasSubstr(" enter=pure:%5e%28A%7cB_.%2a%29%20%25%c3%a9%24 from="));
    const auto again = Resolution::parse(text);
    ASSERT_THAT(again, test::IsOk());
    EXPECT_EQ(again->keeping, resolution->keeping);
}

struct Wrong {
    const char* name;
    std::string text;
    const char* field;
};
void PrintTo(const Wrong& wrong, std::ostream* out) {
    *out << wrong.text;
}
class ResolutionRejects : public testing::TestWithParam<Wrong> {};

TEST_P(ResolutionRejects, And) {
    EXPECT_THAT(Resolution::parse(GetParam().text), FailsWith(Kind::corrupt, GetParam().field));
}

std::string with(const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
}

INSTANTIATE_TEST_SUITE_P(Texts, ResolutionRejects,
                         testing::Values(Wrong{"Nothing", "", "version"},
                                         Wrong{"OtherVersion", with("1 ", "2 "), "version"},
                                         Wrong{"TooFewFields", "1 " + profile, "number of fields"},
                                         Wrong{"TooManyFields", good + " more=1", "number of fields"},
                                         Wrong{"DoubleBlank", with(" lock", "  lock"), "number of fields"},
                                         Wrong{"OtherStore", with("/gnu/store", "/nix/store"), "profile"},
                                         Wrong{"BelowAnItem", with("-profile ", "-profile/bin "), "profile"},
                                         Wrong{"DotDot", with("-profile ", "-profile/../x "), "profile"},
                                         Wrong{"ShortDigest", with(digest, "abc"), "lock"},
                                         Wrong{"UpperCaseDigest", with(digest, std::string(64, 'A')), "lock"},
                                         Wrong{"NoLock", with("lock=", "look="), "lock"},
                                         Wrong{"CommitThatIsNone", with("guix@", "guix@g"), "channels"},
                                         Wrong{"ChannelWithoutCommit", with("guix@" + commit, "guix"), "channels"},
                                         Wrong{"ChannelWithoutName", with("guix@", "@"), "channels"},
                                         Wrong{"EmptyChannel", with("channels=", "channels=,"), "channels"},
                                         Wrong{"OtherWayToEnter", with("=plain", "=container"), "enter"},
                                         Wrong{"EmptyPreserve", with("=plain", "=plain:"), "enter"},
                                         Wrong{"BareCharacter", with("=plain", "=pure:^A"), "enter"},
                                         Wrong{"HalfACode", with("=plain", "=pure:A%4"), "enter"},
                                         Wrong{"CodeOfALetter", with("=plain", "=pure:%41"), "enter"},
                                         Wrong{"CodeOfNul", with("=plain", "=pure:A%00"), "enter"},
                                         Wrong{"NoSource", with("command-line:--env-manifest", ""), "from"},
                                         Wrong{"LongSource", with("command-line", std::string(300, 'x')), "from"},
                                         Wrong{"ControlCharacter", good + "\n", "character"},
                                         Wrong{"NotAscii", good + "\xc3\xa9", "character"},
                                         Wrong{"TooLong", good + std::string(5000, 'x'), "length"}),
                         [](const auto& wrong) { return std::string(wrong.param.name); });

}  // namespace
}  // namespace senv
