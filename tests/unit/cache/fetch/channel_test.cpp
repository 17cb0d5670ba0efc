#include "cache/fetch/channel.h"

#include <gmock/gmock.h>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv::channel {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FailsWith;
using testing::ElementsAre;
using testing::HasSubstr;

const StorePath item = StorePath::parse("00000000000000000000000000000000-item").value();

std::optional<Frame> frame_of(Frames& frames, const std::string& bytes) {
    frames.add(bytes);
    return frames.next().value();
}

template <class T>
T to_fetcher(const ToFetcher& message) {
    Frames frames;
    return std::get<T>(decode_to_fetcher(*frame_of(frames, encode(message))).value());
}

template <class T>
T from_fetcher(const FromFetcher& message) {
    Frames frames;
    return std::get<T>(decode_from_fetcher(*frame_of(frames, encode(message))).value());
}

/// What reading this message says.
Result<FromFetcher> read_from_fetcher(std::string bytes) {
    Frames frames;
    return decode_from_fetcher(*frame_of(frames, bytes));
}

std::string number(std::uint32_t value) {
    std::string bytes;
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
    return bytes;
}

std::string message(std::uint32_t type, const std::string& payload) {
    return number(static_cast<std::uint32_t>(payload.size())) + number(type) + payload;
}

TEST(Channel, MessagesToTheFetcherComeAsTheyWereSent) {
    const auto setup =
        to_fetcher<channel::Setup>(channel::Setup{"agent/1", seconds(10), seconds(60), 8, {"/one", "/two"}});
    EXPECT_EQ(setup.user_agent, "agent/1");
    EXPECT_EQ(setup.connect, seconds(10));
    EXPECT_EQ(setup.stall, seconds(60));
    EXPECT_EQ(setup.transfers, 8U);
    EXPECT_THAT(setup.folders, ElementsAre("/one", "/two"));
    const auto ask = to_fetcher<AskNarinfo>(AskNarinfo{std::uint64_t{1} << 40U, "http://host", item});
    EXPECT_EQ(ask.id, std::uint64_t{1} << 40U);
    EXPECT_EQ(ask.origin, "http://host");
    EXPECT_EQ(ask.item, item);
    const auto fetch = to_fetcher<FetchNar>(
        FetchNar{3, 77, "http://host/nar", Compression::lzip, 1'000'000'000'000, milliseconds(1500)});
    EXPECT_EQ(fetch.slot, 3U);
    EXPECT_EQ(fetch.ticket, 77U);
    EXPECT_EQ(fetch.url, "http://host/nar");
    EXPECT_EQ(fetch.compression, Compression::lzip);
    EXPECT_EQ(fetch.nar_size, 1'000'000'000'000U);
    EXPECT_EQ(fetch.left, milliseconds(1500));
    const auto cancel = to_fetcher<Cancel>(Cancel{3, 77});
    EXPECT_EQ(cancel.slot, 3U);
    EXPECT_EQ(cancel.ticket, 77U);
}

TEST(Channel, ADeadlineThatHasPassedIsNoTimeAtAll) {
    EXPECT_EQ(to_fetcher<FetchNar>(FetchNar{0, 1, "u", Compression::none, 0, milliseconds(-5)}).left, milliseconds(0));
}

TEST(Channel, AnswersComeAsTheyWereSent) {
    const auto ready = from_fetcher<Ready>(Ready{7, true, "nothing much"});
    EXPECT_EQ(ready.landlock, 7U);
    EXPECT_TRUE(ready.seccomp);
    EXPECT_EQ(ready.missing, "nothing much");
    // A server may put anything into a narinfo; that is for the reader of narinfos.
    const std::string text("StorePath: x\n\0\xff end", 20);
    EXPECT_EQ(std::get<std::string>(from_fetcher<NarinfoCame>(NarinfoCame{5, text}).answer), text);
    const std::string longest(max_narinfo_bytes, 'x');
    EXPECT_EQ(std::get<std::string>(from_fetcher<NarinfoCame>(NarinfoCame{5, longest}).answer), longest);
    const auto refused = from_fetcher<NarinfoCame>(
        NarinfoCame{6, Refusal{Outcome::soon, Error(Kind::busy, "http://host: later").hint("wait"), seconds(30)}});
    EXPECT_EQ(refused.id, 6U);
    const auto& refusal = std::get<Refusal>(refused.answer);
    EXPECT_EQ(refusal.outcome, Outcome::soon);
    EXPECT_EQ(refusal.error.kind(), Kind::busy);
    EXPECT_EQ(refusal.error.what(), "http://host: later");
    EXPECT_EQ(refusal.error.hint(), "wait");
    EXPECT_EQ(refusal.wished, seconds(30));
}

TEST(Channel, TextsOfRefusalsArePrintableAndBounded) {
    const std::string encoded =
        encode(Refusal{Outcome::again, Error(Kind::io, std::string(100'000, 'x')).hint(std::string(9000, 'y')), {}});
    EXPECT_LE(encoded.size(), max_refusal_bytes);
    EXPECT_THAT(decode_refusal(encoded)->error.what(), testing::StartsWith("xxx"));
    EXPECT_EQ(decode_refusal(encoded)->wished, std::nullopt);
    // Whoever took the fetcher over writes what it likes.
    const std::string raw = number(4) + number(6) + number(0) + number(9) + "a\x1b[31m\nb\xff" + number(0);
    EXPECT_EQ(decode_refusal(raw)->error.what(), "a\\x1b[31m\\x0ab\\xff");
}

TEST(Channel, ValuesOutOfTheirBoundsAreRefused) {
    EXPECT_THAT(decode_refusal(number(6) + number(0) + number(0) + number(0) + number(0)),
                FailsWith(Kind::corrupt, "'outcome' is 6"));
    EXPECT_THAT(decode_refusal(number(0) + number(8) + number(0) + number(0) + number(0)),
                FailsWith(Kind::corrupt, "'kind' is 8"));
    EXPECT_THAT(decode_refusal(number(0) + number(0) + number(90'000) + number(0) + number(0)),
                FailsWith(Kind::corrupt, "'wished_s' is 90000"));
    EXPECT_THAT(decode_refusal(number(0) + number(0) + number(0) + number(5000) + std::string(5000, 'x') + number(0)),
                FailsWith(Kind::corrupt, "'what' has 5000 bytes"));
    EXPECT_THAT(decode_refusal(number(0) + number(0) + number(0) + number(0) + number(0) + "x"),
                FailsWith(Kind::corrupt, "left over"));
    EXPECT_THAT(read_from_fetcher(message(16, number(7) + number(2) + number(0))),
                FailsWith(Kind::corrupt, "'seccomp' is 2"));
    EXPECT_THAT(read_from_fetcher(message(17, number(1))), FailsWith(Kind::corrupt, "'id'"));
    EXPECT_THAT(read_from_fetcher(message(17, number(1) + number(0) + std::string(max_narinfo_bytes + 1, 'x'))),
                FailsWith(Kind::corrupt, "too long"));
    EXPECT_THAT(read_from_fetcher(message(2, "")),
                FailsWith(Kind::corrupt, "type 2"));  // it is not the fetcher's to send
}

TEST(Channel, MessagesAreCutOutOfAStream) {
    const std::string stream =
        encode(NarinfoCame{1, "one"}) + encode(NarinfoCame{2, "two"}) + encode(Ready{0, false, ""});
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, stream.size()}) {
        Frames frames;
        std::vector<std::uint32_t> types;
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            frames.add(std::string_view(stream).substr(at, piece));
            while (const auto frame = frames.next().value()) types.push_back(frame->type);
        }
        EXPECT_THAT(types, ElementsAre(17, 17, 16)) << "in pieces of " << piece;
    }
}

TEST(Channel, ReadsTheMessagesOfTheGoldenFiles) {
    const auto ready = std::get<Ready>(read_from_fetcher(test::golden("channel/ready")).value());
    EXPECT_EQ(ready.landlock, 7U);
    EXPECT_TRUE(ready.seccomp);
    const auto came = std::get<NarinfoCame>(read_from_fetcher(test::golden("channel/narinfo")).value());
    EXPECT_EQ(came.id, 5U);
    EXPECT_EQ(std::get<std::string>(came.answer), "StorePath: /gnu/store/x\n");
    const auto refused = std::get<NarinfoCame>(read_from_fetcher(test::golden("channel/narinfo-refused")).value());
    EXPECT_EQ(refused.id, 6U);
    EXPECT_EQ(std::get<Refusal>(refused.answer).outcome, Outcome::again);
    EXPECT_EQ(std::get<Refusal>(refused.answer).error.what(), "http://host: answered 503");
    EXPECT_EQ(std::get<Refusal>(refused.answer).wished, seconds(30));
}

TEST(Channel, AMessageThatAnnouncesTooMuchIsRefusedBeforeItComes) {
    Frames frames;
    frames.add(number(max_message) + number(17));
    EXPECT_THAT(frames.next(), FailsWith(Kind::corrupt, "announces"));
}

}  // namespace
}  // namespace senv::channel
