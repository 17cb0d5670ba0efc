#include "cache/fetch/ring.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <thread>

#include "tests/support/matchers.h"
#include "tests/support/noise.h"

namespace senv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FailsWith;
using test::IsOk;
using test::noise;
using State = RingReader::State;

constexpr std::size_t ring_bytes = ring_buffers * ring_buffer_bytes;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

class Ring : public testing::Test {
protected:
    SharedMemory memory = std::move(SharedMemory::make(2)).value();
    std::byte* slot = memory.slot(1);
    RingHeader& header = *reinterpret_cast<RingHeader*>(slot);
    RingReader reader{slot};
    RingWriter writer{slot};

    void begin(std::uint32_t ticket = 1) {
        reader.begin(ticket);
        writer.begin(ticket);
    }

    /// All that comes until the end.
    std::string read_all() {
        std::string text;
        for (;;) {
            const auto step = reader.next().value();
            if (step.state == State::ended) return text;
            if (step.state == State::nothing) reader.wait(seconds(10));
            text.append(reinterpret_cast<const char*>(step.bytes.data()), step.bytes.size());
        }
    }
};

TEST_F(Ring, BringsAllBytesInTheirOrderInPiecesOfAnySize) {
    const std::string text = noise(3 * ring_bytes + 12345);
    std::uint32_t ticket = 0;
    for (const std::size_t piece :
         {std::size_t{1000}, std::size_t{48 * 1024}, ring_buffer_bytes, 3 * ring_buffer_bytes}) {
        begin(++ticket);
        std::jthread filler([&] {
            for (std::size_t at = 0; at < text.size(); at += piece) {
                ASSERT_THAT(writer.take(bytes_of(std::string_view(text).substr(at, piece))), IsOk());
            }
            writer.end(std::nullopt);
        });
        EXPECT_TRUE(read_all() == text) << "in pieces of " << piece;
        EXPECT_EQ(reader.outcome().value().has_value(), false);
    }
}

TEST_F(Ring, BytesWrittenIntoThePlaceAreNotCopied) {
    begin();
    const auto place = writer.place().value();
    ASSERT_EQ(place.size(), ring_buffer_bytes);
    place[0] = std::byte{'a'};
    place[1] = std::byte{'b'};
    ASSERT_THAT(writer.take(place.first(2)), IsOk());
    EXPECT_EQ(writer.place().value().data(), place.data() + 2);  // the reader does not wait: gathered
    writer.end(std::nullopt);
    EXPECT_EQ(read_all(), "ab");
}

TEST_F(Ring, AReaderThatWaitsGetsTheFirstByte) {
    begin();
    std::jthread filler([&] {
        while (header.reader_waits == 0) std::this_thread::yield();
        ASSERT_THAT(writer.take(bytes_of("x")), IsOk());
    });
    reader.wait(seconds(60));
    EXPECT_EQ(reader.next().value().bytes.size(), 1U);
}

TEST_F(Ring, AFullRingStopsTheWriterUntilThereIsRoom) {
    begin();
    const std::string text = noise(ring_bytes + 1);
    std::atomic<bool> written{false};
    std::jthread filler([&] {
        ASSERT_THAT(writer.take(bytes_of(text)), IsOk());
        written = true;
        writer.end(std::nullopt);
    });
    while (header.writer_waits == 0) std::this_thread::yield();
    EXPECT_FALSE(written);
    EXPECT_EQ(header.written, ring_buffers);
    EXPECT_TRUE(read_all() == text);
}

TEST_F(Ring, CancellingEndsAWriterThatWaits) {
    begin();
    std::optional<Error> failed;
    std::jthread filler([&] {
        const auto taken = writer.take(bytes_of(noise(2 * ring_bytes)));
        if (!taken) failed = taken.error();
        writer.end(std::nullopt);
    });
    while (header.writer_waits == 0) std::this_thread::yield();
    reader.cancel();
    filler.join();
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->kind(), Kind::busy);
    EXPECT_TRUE(reader.ended());
    begin(2);  // the next transfer begins afresh
    EXPECT_EQ(reader.next().value().state, State::nothing);
    EXPECT_THAT(writer.place(), IsOk());
}

TEST_F(Ring, WakingEndsAWaitWithoutBytes) {
    begin();
    std::jthread waker([&] { reader.wake(); });
    reader.wait(seconds(60));
    EXPECT_EQ(reader.next().value().state, State::nothing);
    reader.wait(seconds(60));  // and every later one of this transfer
}

TEST_F(Ring, AWaitHasItsLimit) {
    begin();
    reader.wait(milliseconds(1));
    EXPECT_EQ(reader.next().value().state, State::nothing);
}

TEST_F(Ring, ARefusalComesAfterTheBytes) {
    begin();
    ASSERT_THAT(writer.take(bytes_of("half")), IsOk());
    writer.end(Refusal{Outcome::again, Error(Kind::io, "http://host: broke"), seconds(3)});
    EXPECT_EQ(read_all(), "half");
    const auto refusal = reader.outcome().value();
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->outcome, Outcome::again);
    EXPECT_EQ(refusal->error.what(), "http://host: broke");
    EXPECT_EQ(refusal->wished, seconds(3));
}

TEST_F(Ring, WhatTheReaderGaveOutDoesNotChange) {
    begin();
    ASSERT_THAT(writer.take(bytes_of("truth")), IsOk());
    writer.end(std::nullopt);
    const auto step = reader.next().value();
    std::memset(slot + ring_header_bytes, 'x', ring_buffer_bytes);
    EXPECT_EQ(std::memcmp(step.bytes.data(), "truth", 5), 0);
}

TEST_F(Ring, NumbersThatCannotBeAreRefused) {
    begin();
    header.written = ring_buffers + 1;
    EXPECT_THAT(reader.next(), FailsWith(Kind::corrupt, "a ring of 8 buffers holds 9"));
    begin();
    header.written = static_cast<std::uint32_t>(-1);
    EXPECT_THAT(reader.next(), FailsWith(Kind::corrupt, "a ring of 8 buffers holds 4294967295"));
    for (const std::uint32_t length : {0U, static_cast<std::uint32_t>(ring_buffer_bytes) + 1, 0xffffffffU}) {
        begin();
        header.lengths[0] = length;
        header.written = 1;
        EXPECT_THAT(reader.next(), FailsWith(Kind::corrupt, "holds " + std::to_string(length)));
    }
    header.refusal_bytes = channel::max_refusal_bytes + 1;
    EXPECT_THAT(reader.outcome(), FailsWith(Kind::corrupt, "too long"));
    header.refusal_bytes = 3;
    EXPECT_THAT(reader.outcome(), FailsWith(Kind::corrupt, "'outcome'"));
}

TEST_F(Ring, TheMemoryCannotBeMadeSmaller) {
    EXPECT_NE(::ftruncate(memory.fd().get(), 0), 0);
    EXPECT_NE(::ftruncate(memory.fd().get(), 1 << 30), 0);
}

}  // namespace
}  // namespace senv
