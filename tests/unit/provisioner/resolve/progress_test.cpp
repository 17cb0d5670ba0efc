#include "provisioner/resolve/progress.h"

#include <gtest/gtest.h>

#include "provisioner/resolve/program.h"

namespace senv {
namespace {

using namespace std::chrono_literals;

TEST(Activity, SaysWhatGuixDoes) {
    const std::string item = "/gnu/store/vlxnikrrc50r0sc4k3w6lams5z43z4sg-hello-2.12";
    EXPECT_EQ(activity("building " + item + ".drv..."), "building hello-2.12");
    EXPECT_EQ(activity("substituting " + item + "..."), "downloading hello-2.12");
    EXPECT_EQ(activity("building directory of Info manuals..."), "building directory of Info manuals");
    EXPECT_EQ(activity("building profile with 3 packages..."), "building profile with 3 packages");
    EXPECT_EQ(activity("Updating channel 'guix' from Git repository at 'https://x'..."), "updating channel guix");
    EXPECT_EQ(activity("building the world"), "");
    EXPECT_EQ(activity("gcc -o x"), "");
}

// What a person sees of a resolution of `length`, told every quarter of a second that time passes.
std::string seen(Progress::Mode mode, std::chrono::seconds length) {
    const Deadline begin{};
    testing::internal::CaptureStderr();
    {
        Progress progress("resolving m.scm with Guix", mode, begin);
        progress.saw("substituting /gnu/store/vlxnikrrc50r0sc4k3w6lams5z43z4sg-hello-2.12...", begin);
        for (Deadline now = begin; now < begin + length; now += 250ms) progress.saw("", now);
    }
    return testing::internal::GetCapturedStderr();
}

TEST(Progress, IsSilentAtFirst) {
    EXPECT_EQ(seen(Progress::Mode::terminal, 2s), "");
    EXPECT_EQ(seen(Progress::Mode::lines, 10s), "");
}

TEST(Progress, OnATerminalIsOneLineThatGoesAway) {
    EXPECT_EQ(seen(Progress::Mode::terminal, 4s),
              "\r\x1b[Ksenv: resolving m.scm with Guix … 2 s, downloading hello-2.12"
              "\r\x1b[Ksenv: resolving m.scm with Guix … 3 s, downloading hello-2.12\r\x1b[K");
}

TEST(Progress, ElsewhereIsALineEveryTenSeconds) {
    EXPECT_EQ(seen(Progress::Mode::lines, 25s),
              "senv: resolving m.scm with Guix … 10 s, downloading hello-2.12\n"
              "senv: resolving m.scm with Guix … 20 s, downloading hello-2.12\n");
}

TEST(Progress, VerboseIsWhatGuixPrints) {
    EXPECT_EQ(seen(Progress::Mode::verbose, 25s),
              "substituting /gnu/store/vlxnikrrc50r0sc4k3w6lams5z43z4sg-hello-2.12...\n");
}

TEST(Progress, ListsAtOnceWhatIsBuilt) {
    const Deadline begin{};
    std::string line(building_mark);
    line += "hello-2.12, gcc-14";
    const auto seen = [&](Progress::Mode mode) {
        testing::internal::CaptureStderr();
        {
            Progress progress("x", mode, begin);
            progress.saw("", begin + 2s);
            progress.saw(line + "\x1b", begin + 2s);
            progress.saw("", begin + 3s);
        }
        return testing::internal::GetCapturedStderr();
    };
    EXPECT_EQ(seen(Progress::Mode::silent), "");
    EXPECT_EQ(seen(Progress::Mode::verbose), line + "\\x1b\n");
    EXPECT_EQ(seen(Progress::Mode::lines), line + "\\x1b\n");
    EXPECT_EQ(seen(Progress::Mode::terminal),
              "\r\x1b[Ksenv: x … 2 s\r\x1b[K" + line + "\\x1b\n\r\x1b[Ksenv: x … 3 s\r\x1b[K");
}

TEST(Progress, SaysHowFarItIs) {
    const Deadline begin{};
    testing::internal::CaptureStderr();
    {
        Progress progress("exporting x.lock", Progress::Mode::lines, begin);
        for (int i = 1; i < 21; ++i)
            progress.is_at(std::to_string(i) + " of 30 items", begin + std::chrono::seconds(i));
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "senv: exporting x.lock … 10 s, 10 of 30 items\nsenv: exporting x.lock … 20 s, 20 of 30 items\n");
}

TEST(Progress, CanBeSilent) {
    EXPECT_EQ(seen(Progress::Mode::silent, 60s), "");
}

}  // namespace
}  // namespace senv
