#include "provisioner/resolve/guix_output.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace senv {
namespace {

class GuixMessages : public testing::TestWithParam<test::Row> {};

TEST_P(GuixMessages, GiveTheCause) {
    const std::string work = "/home/alice/.cache/senv/work.000000";
    const auto cause =
        cause_of(test::golden("guix-messages/" + GetParam()[0] + ".txt"), {{work + "/manifest-0/m.scm", "m.scm"},
                                                                           {"/home/alice/w/m.scm", "m.scm"},
                                                                           {work + "/channels/c.scm", "c.scm"},
                                                                           {"/home/alice/w/c.scm", "c.scm"}});
    EXPECT_EQ(cause.what, GetParam()[1]);
    EXPECT_EQ(cause.hint, GetParam()[2]);
}

INSTANTIATE_TEST_SUITE_P(Resolve, GuixMessages, testing::ValuesIn(test::golden_rows("guix-messages/expected.tsv")),
                         test::RowName());

TEST(GuixMessages, WithoutAnErrorTheLastLineIsTheCause) {
    EXPECT_EQ(cause_of("Backtrace:\n  3 (x)\nmatch-error\n\n", {}).what, "match-error");
    EXPECT_EQ(cause_of("", {}).what, "Guix failed and did not say why");
    EXPECT_EQ(cause_of("guix build: error: a:", {}).what, "a:");
}

TEST(GuixMessages, AreToBeSeenWithTheCommandThatReadsTheFile) {
    EXPECT_EQ(cause_of("guix time-machine: error: x\n", {}, "guix time-machine -C c.scm -- describe").hint,
              "try the same with `guix time-machine -C c.scm -- describe`, to see all that Guix says");
}

TEST(GuixMessages, FilesOfOursAreNotNamed) {
    EXPECT_EQ(cause_of("guix build: error: failed to load '/w/p.scm': x.scm:2:3: oops\n", {{"/w/p.scm", ""}}).what,
              "x.scm:2:3: oops");
}

TEST(GuixMessages, HintsGoOnAfterAnEmptyLineWhereAListIsAnnounced) {
    const std::string error = "guix build: error: compiler gcc@11.4.0 does not support micro-architecture nonsense\n";
    const std::string list = "hint: Compiler gcc@11.4.0 supports the following x86_64 micro-architectures:\n\n";
    EXPECT_EQ(cause_of(error + list + "     core2 nehalem\n     skylake\n\nguix build: more\n", {}).hint,
              "compiler gcc@11.4.0 supports the following x86_64 micro-architectures: core2 nehalem skylake");
    std::string many = list;
    for (int i = 0; i < 200; ++i) many += "     architecture" + std::to_string(i) + "\n";
    EXPECT_NE(cause_of(error + many, {}).hint.find("architecture199"), std::string::npos);
}

TEST(GuixMessages, TellWhenAPackageIsTuned) {
    EXPECT_TRUE(tells_of_tuning("guix build: tuning gsl@2.7 for CPU skylake"));
    EXPECT_TRUE(tells_of_tuning("\x1b[Kguix build: \x1b[1mtuning gsl@2.7 for CPU skylake\x1b[0m"));
    EXPECT_FALSE(tells_of_tuning("guix build: building gsl@2.7"));
    EXPECT_FALSE(tells_of_tuning("guix build: tuning gsl@2.7"));
}

TEST(GuixMessages, AreFitForATerminal) {
    EXPECT_EQ(cause_of("guix build: error: \x1b[1;31mred\x1b[0m\x07 end\n", {}).what, "red\\x07 end");
    EXPECT_EQ(cause_of("guix build: error: \x1b[\x1b[?25l\x1b[K a\x1b[2J\x1bm\x1b[2\n", {}).what,
              "\\x1b[ a\\x1b[2J\\x1bm\\x1b[2");
    EXPECT_LT(cause_of("guix build: error: " + std::string(100'000, 'a'), {}).what.size(), 1000U);
}

TEST(GuixMessages, LocaleAdviceIsNotTheHint) {
    const Cause cause = cause_of("hint: Consider installing the `glibc-locales' package\n\nguix build: error: x\n", {});
    EXPECT_EQ(cause.hint.find("glibc-locales"), std::string::npos);
}

TEST(GuixMessages, HintsAreWrittenLikeOurs) {
    const auto hint = [](const std::string& text) {
        return cause_of("guix build: error: x\nhint: " + text + "\n", {}).hint;
    };
    EXPECT_EQ(hint("Try another name."), "try another name");
    EXPECT_EQ(hint("GUIX_X names it ..."), "GUIX_X names it ...");
    EXPECT_EQ(hint("Guix has one."), "Guix has one");
    EXPECT_EQ(hint("`a' is there?"), "`a' is there?");
}

TEST(Excerpt, ShowsTheLineWithACaret) {
    EXPECT_EQ(excerpt("m.scm:2:3: oops", "m.scm", "a\n (b c)\n"), "\n   (b c)\n     ^");
    EXPECT_EQ(excerpt("m.scm:9:3: oops", "m.scm", "a\n (b c)\n"), "");
    EXPECT_EQ(excerpt("m.scm:2:99: oops", "m.scm", "a\n (b c)\n"), "");
    EXPECT_EQ(excerpt("other.scm:2:3: oops", "m.scm", "a\n (b c)\n"), "");
    EXPECT_EQ(excerpt("oops", "m.scm", "a"), "");
}

// Guile gives these columns for the last word of each.
TEST(Excerpt, HasTheCaretUnderTheCharacter) {
    EXPECT_EQ(excerpt("m.scm:1:10: oops", "m.scm", "(list \"é\" x)"), "\n  (list \"é\" x)\n            ^");
    EXPECT_EQ(excerpt("m.scm:1:14: oops", "m.scm", "\t(list é"), "\n   (list é\n         ^");
    EXPECT_EQ(excerpt("m.scm:1:3: oops", "m.scm", "a\x1b x"), "\n  a\\x1b x\n        ^");
    EXPECT_EQ(excerpt("m.scm:1:1: oops", "m.scm", "a"), "\n  a\n   ^");
}

TEST(Excerpt, ShowsWhatIsAroundThatOfALongLine) {
    std::string text(100'000, 'a');
    text += "é";
    text.append(100'000, 'b');
    EXPECT_EQ(excerpt("m.scm:1:100000: oops", "m.scm", text),
              "\n  …" + std::string(80, 'a') + "é" + std::string(98, 'b') + "…\n  " + std::string(81, ' ') + "^");
    EXPECT_EQ(excerpt("m.scm:1:100081: oops", "m.scm", text).substr(0, 8), "\n  …bb");
    EXPECT_EQ(excerpt("m.scm:1:200002: oops", "m.scm", text), "");
}

}  // namespace
}  // namespace senv
