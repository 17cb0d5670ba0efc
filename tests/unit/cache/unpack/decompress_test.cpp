#include "cache/unpack/decompress.h"

#include <algorithm>
#include <string>

#include "cache/verify/digest.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::IsOk;

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

// Feeds `text` in pieces of `piece` bytes, then ends the stream.
Result<void> decompress(Compression compression, const std::string& text, std::size_t piece, ByteSink sink) {
    const auto stream = SENV_TRY(make_decompressor(compression, std::move(sink)));
    for (auto left = bytes_of(text); !left.empty();) {
        const auto now = left.first(std::min(piece, left.size()));
        SENV_TRY(stream->feed(now));
        left = left.subspan(now.size());
    }
    return stream->finish();
}

Result<std::string> decompress(Compression compression, const std::string& text, std::size_t piece = 65536) {
    std::string out;
    SENV_TRY(decompress(compression, text, piece, [&](std::span<const std::byte> bytes) -> Result<void> {
        EXPECT_LE(bytes.size(), 262144U);
        EXPECT_GT(bytes.size(), 0U);
        out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
    }));
    return out;
}

struct Format {
    Compression compression;
    const char* suffix;
    const char* several;  // the golden file of two frames or members
};
void PrintTo(const Format& format, std::ostream* out) {
    *out << format.suffix;
}

class Decompress : public testing::TestWithParam<Format> {
protected:
    Compression compression() const { return GetParam().compression; }
    std::string compressed(const std::string& name) const { return golden("compressed/" + name + GetParam().suffix); }
};

INSTANTIATE_TEST_SUITE_P(Format, Decompress,
                         testing::Values(Format{Compression::zstd, "zst", "two-frames.zst"},
                                         Format{Compression::gzip, "gz", "two-members.gz"},
                                         Format{Compression::lzip, "lz", "two-members.lz"}),
                         [](const auto& one) { return std::string(one.param.suffix); });

TEST_P(Decompress, GivesTheNarInPiecesOfAnySize) {
    const std::string nar = golden("nar/good/tree.nar");
    for (const std::size_t piece : {1U, 7U, 65536U}) {
        EXPECT_EQ(decompress(compression(), compressed("tree.nar."), piece).value(), nar);
        EXPECT_EQ(decompress(compression(), golden(std::string("compressed/") + GetParam().several), piece).value(),
                  nar);
    }
}

TEST_P(Decompress, GivesMuchFromLittle) {
    Sha256Stream hash;
    std::size_t size = 0;
    EXPECT_THAT(decompress(compression(), compressed("zeros-64MiB.nar."), 1000,
                           [&](std::span<const std::byte> bytes) -> Result<void> {
                               hash.update(bytes);
                               size += bytes.size();
                               return {};
                           }),
                IsOk());
    EXPECT_EQ(size, 67108976U);
    EXPECT_EQ(hash.finish().hex(), "73e5b026f854a1595ea19197b8122d585210d5b63892c19831dc4befabc6ca5a");
}

TEST_P(Decompress, FillsThePlaceOfTheSink) {
    std::string out(golden("nar/good/tree.nar").size(), '\0');
    const auto place = std::as_writable_bytes(std::span(out.data(), out.size()));
    std::size_t filled = 0;
    const auto take = [&](std::span<const std::byte> bytes) -> Result<void> {
        EXPECT_EQ(bytes.data(), place.data() + filled);
        filled += bytes.size();
        return {};
    };
    // Room for a few bytes only: a place may end anywhere.
    const auto next = [&]() -> Result<std::span<std::byte>> {
        return place.subspan(filled, std::min<std::size_t>(100, place.size() - filled));
    };
    EXPECT_THAT(decompress(compression(), compressed("tree.nar."), 65536, ByteSink(take, next)), IsOk());
    EXPECT_EQ(out, golden("nar/good/tree.nar"));
}

TEST_P(Decompress, StopsWhenTheSinkHasNoPlace) {
    const auto take = [](std::span<const std::byte> /*bytes*/) -> Result<void> { return {}; };
    const auto next = []() -> Result<std::span<std::byte>> { return Error(Kind::busy, "given up"); };
    EXPECT_THAT(decompress(compression(), compressed("tree.nar."), 65536, ByteSink(take, next)),
                FailsWith(Kind::busy, "given up"));
}

TEST_P(Decompress, StopsWhenTheSinkDoes) {
    std::size_t calls = 0;
    EXPECT_THAT(decompress(compression(), compressed("zeros-64MiB.nar."), 65536,
                           [&](std::span<const std::byte> /*bytes*/) -> Result<void> {
                               if (++calls < 3) return {};
                               return Error(Kind::io, "enough");
                           }),
                FailsWith(Kind::io, "enough"));
    EXPECT_EQ(calls, 3U);
}

TEST_P(Decompress, RefusesACutStreamWhereverItIsCut) {
    EXPECT_THAT(decompress(compression(), compressed("truncated.")), FailsWith(Kind::corrupt, "it ends too early"));
    const std::string whole = compressed("tree.nar.");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_THAT(decompress(compression(), whole.substr(0, size)), FailsWith(Kind::corrupt, "it ends too early"))
            << size;
    }
}

TEST_P(Decompress, RefusesBytesAfterTheEnd) {
    EXPECT_THAT(decompress(compression(), compressed("trailing.")),
                FailsWith(Kind::corrupt, "cannot decompress part 2"));
    EXPECT_THAT(decompress(compression(), compressed("trailing."), 1), FailsWith(Kind::corrupt, "part 2 of the "));
    const std::string whole = compressed("tree.nar.");
    for (const std::string& tail :
         {std::string(1, '\0'), std::string(8, '\0'), std::string("L"), std::string("\x1f")}) {
        EXPECT_THAT(decompress(compression(), whole + tail), FailsWith(Kind::corrupt, "part 2 of the "));
    }
}

TEST_P(Decompress, RefusesOtherBytes) {
    EXPECT_THAT(decompress(compression(), golden("nar/good/tree.nar")), FailsWith(Kind::corrupt, "part 1 of the "));
    EXPECT_THAT(decompress(compression(), "<html>"), FailsWith(Kind::corrupt, "part 1 of the "));
    EXPECT_THAT(decompress(compression(), ""), FailsWith(Kind::corrupt, "it ends too early"));
}

TEST_P(Decompress, NoticesEveryDamagedByteOrGivesAnother) {
    // zstd of the command line has a checksum, gzip and lzip always do; some header bits mean nothing.
    const std::string nar = golden("nar/good/tree.nar");
    const std::string whole = compressed("tree.nar.");
    for (std::size_t i = 0; i < whole.size(); ++i) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
        const auto out = decompress(compression(), damaged);
        EXPECT_TRUE(!out || *out == nar) << "byte " << i;
    }
}

TEST(DecompressNone, PassesThrough) {
    const std::string large(600000, 'x');
    EXPECT_EQ(decompress(Compression::none, large, large.size()).value(), large);
    EXPECT_EQ(decompress(Compression::none, "").value(), "");
}

TEST(DecompressZstd, RefusesLargeWindows) {
    // A frame header: magic, no single segment, a window descriptor of exponent and mantissa; then one empty last block.
    const auto frame = [](char window) {
        return std::string("\x28\xb5\x2f\xfd\x00", 5) + window + std::string("\x01\0\0", 3);
    };
    EXPECT_EQ(decompress(Compression::zstd, frame(13 << 3)).value(), "") << "8 MiB";
    const auto refused = decompress(Compression::zstd, frame((13 << 3) + 1));
    EXPECT_THAT(refused, FailsWith(Kind::corrupt, "it needs a window of more than 8 MiB"));
    EXPECT_EQ(refused.error().hint(), "compress with a zstd level of at most 19 on the server");
}

TEST(DecompressLzip, RefusesLargeDictionaries) {
    // Byte 5 of a member: the exponent of the dictionary's size, and how many sixteenths to take off.
    std::string member = golden("compressed/tree.nar.lz");
    member[5] = 25;
    EXPECT_THAT(decompress(Compression::lzip, member), IsOk()) << "32 MiB";
    for (const int dictionary : {26 + (7 << 5), 26, 29}) {
        member[5] = static_cast<char>(dictionary);
        EXPECT_THAT(decompress(Compression::lzip, member),
                    FailsWith(Kind::corrupt, "it needs a dictionary of more than 32 MiB"));
    }
}

}  // namespace
}  // namespace senv
