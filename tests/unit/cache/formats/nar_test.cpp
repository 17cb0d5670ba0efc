#include "cache/formats/nar.h"

#include <algorithm>
#include <limits>

#include "cache/base/text.h"
#include "cache/unpack/decompress.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/nar_log.h"
#include "tests/support/nar_writer.h"

namespace senv {
namespace {

using test::FailsWith;
using test::golden;
using test::golden_rows;
using test::IsOk;
using test::nar_string;
using test::NarLog;
using test::Row;

constexpr auto no_limit = std::numeric_limits<std::uint64_t>::max();

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

// The archive, in pieces of `piece` bytes.
Result<void> read(const std::string& nar, NarSink& sink, std::uint64_t max_bytes, std::size_t piece) {
    NarReader reader(sink, max_bytes);
    for (auto left = bytes_of(nar); !left.empty();) {
        const auto now = left.first(std::min(piece, left.size()));
        SENV_TRY(reader.feed(now));
        left = left.subspan(now.size());
    }
    return reader.finish();
}

Result<void> read(const std::string& nar) {
    NarLog log;
    return read(nar, log, no_limit, nar.size());
}

// What came of it, in one text: everything the sink got, and the error.
std::string outcome(const std::string& nar, std::uint64_t max_bytes, std::size_t piece) {
    NarLog log;
    const Result<void> done = read(nar, log, max_bytes, piece);
    return log.text() + (done ? "ok" : done.error().what());
}

std::string golden_nar(const std::string& name) {
    std::string nar = golden(name);
    if (!name.ends_with(".gz")) return nar;
    std::string unpacked;
    const auto stream = make_decompressor(Compression::gzip, [&](std::span<const std::byte> bytes) -> Result<void> {
                            unpacked.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                            return {};
                        }).value();
    stream->feed(bytes_of(nar)).value();
    return unpacked;
}

// strings({"(", "type"}): the encoding of several strings.
std::string strings(std::initializer_list<std::string_view> list) {
    std::string nar;
    for (const std::string_view text : list) nar += nar_string(text);
    return nar;
}

class NarGood : public testing::TestWithParam<Row> {};

TEST_P(NarGood, IsAcceptedInPiecesOfAnySize) {
    const std::string nar = golden("nar/good/" + GetParam()[0]);
    ASSERT_EQ(nar.size(), parse_decimal(GetParam()[1]));
    NarLog log;
    EXPECT_THAT(read(nar, log, nar.size(), nar.size()), IsOk());
    for (const std::size_t piece : {1U, 7U, 8U, 100U}) EXPECT_EQ(outcome(nar, nar.size(), piece), log.text() + "ok");
}

TEST_P(NarGood, IsRefusedWhenItIsCutOffAnywhere) {
    const std::string nar = golden("nar/good/" + GetParam()[0]);
    for (std::size_t size = 0; size < nar.size(); ++size) {
        EXPECT_THAT(read(nar.substr(0, size)), FailsWith(Kind::corrupt, "the archive ends too early")) << size;
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, NarGood, testing::ValuesIn(golden_rows("nar/good/expected.tsv")), test::RowName());

class NarBad : public testing::TestWithParam<Row> {};

TEST_P(NarBad, IsTreatedAsTheTableSays) {
    const std::string nar = golden_nar("nar/bad/" + GetParam()[0]);
    NarLog log;
    const Result<void> done = read(nar, log, no_limit, nar.size());
    // POLICY: nested deeper than Nix allows. We allow max_nar_depth.
    const bool accept = GetParam()[1] == "ACCEPT" || GetParam()[0] == "deep-64.nar";
    if (accept) {
        EXPECT_THAT(done, IsOk());
    } else {
        EXPECT_THAT(done, FailsWith(Kind::corrupt, "offset ")) << GetParam()[4];
    }
    // However it is cut, and whether or not its size was signed.
    EXPECT_EQ(outcome(nar, no_limit, 1), outcome(nar, no_limit, nar.size()));
    EXPECT_EQ(outcome(nar, no_limit, 13), outcome(nar, no_limit, nar.size()));
    EXPECT_EQ(outcome(nar, nar.size(), 3), outcome(nar, nar.size(), nar.size()));
}

INSTANTIATE_TEST_SUITE_P(Golden, NarBad, testing::ValuesIn(golden_rows("nar/bad/expected.tsv")), test::RowName());

TEST(NarReader, GivesTheTreeInOrder) {
    EXPECT_EQ(outcome(golden("nar/good/tree.nar"), no_limit, 4096),
              "directory ''\n"
              "directory 'bin'\n"
              "executable 'tool' 6: binary\n"
              "leave\n"
              "directory 'lib'\n"
              "link 'libx.so' to 'libx.so.1.2'\n"
              "file 'libx.so.1.2' 5: data\n\n"
              "directory 'sub'\n"
              "file 'deep' 1: x\n"
              "leave\n"
              "leave\n"
              "directory 'share'\n"
              "directory 'doc'\n"
              "file 'README' 7: readme\n\n"
              "leave\n"
              "directory 'empty'\n"
              "leave\n"
              "leave\n"
              "leave\n"
              "ok");
}

TEST(NarReader, CountsTheBytes) {
    const std::string nar = golden("nar/good/tree.nar");
    NarLog log;
    NarReader reader(log, no_limit);
    EXPECT_THAT(reader.feed(bytes_of(nar.substr(0, 1001))), IsOk());
    EXPECT_EQ(reader.offset(), 1001U);
    EXPECT_FALSE(reader.complete());
    EXPECT_THAT(reader.feed(bytes_of(nar.substr(1001))), IsOk());
    EXPECT_EQ(reader.offset(), nar.size());
    EXPECT_TRUE(reader.complete());
}

TEST(NarReader, StopsAtTheSignedSize) {
    const std::string nar = golden("nar/good/empty-dir.nar");
    NarLog log;
    EXPECT_THAT(read(nar, log, nar.size() - 1, nar.size()), FailsWith(Kind::corrupt, "more than 95 bytes"));
    EXPECT_THAT(read(nar, log, 0, nar.size()), FailsWith(Kind::corrupt, "offset 0: the archive has more than 0 bytes"));
    EXPECT_THAT(read(nar + nar, log, nar.size(), nar.size()), FailsWith(Kind::corrupt, "more than 96 bytes"));
    EXPECT_EQ(outcome(nar, nar.size() - 1, 1), outcome(nar, nar.size() - 1, nar.size()));
}

TEST(NarReader, RefusesAFileBeyondTheSignedSizeBeforeItBegins) {
    NarLog log;
    EXPECT_THAT(read(golden("nar/bad/size-1t-contents.nar"), log, 1000, 1000),
                FailsWith(Kind::corrupt, "a file of 1099511627776 bytes goes beyond the 1000 bytes of the archive"));
    EXPECT_EQ(log.text(), "");
}

TEST(NarReader, ErrorsNameTheOffset) {
    EXPECT_THAT(read(golden("nar/bad/magic-bad.nar")),
                FailsWith(Kind::corrupt, "offset 0: want 'nix-archive-1', got 'nix-archive-2'"));
    EXPECT_THAT(read(strings({"nix-archive-1", "(", "type", "fifo"})),
                FailsWith(Kind::corrupt, "offset 56: want 'symlink', got 'fifo'"));
    EXPECT_THAT(read(strings({"nix-archive-1", "(", "\x1b[2J"})),
                FailsWith(Kind::corrupt, "offset 40: want 'type', got '\\x1b[2J'"));
    EXPECT_THAT(read(golden("nar/bad/size-4g-token.nar")),
                FailsWith(Kind::corrupt, "want a string of at most 32 bytes, got one of 4294967295"));
}

std::string nested(std::size_t directories) {
    std::string nar = strings({"nix-archive-1"});
    for (std::size_t i = 1; i < directories; ++i) {
        nar += strings({"(", "type", "directory", "entry", "(", "name", "d", "node"});
    }
    nar += strings({"(", "type", "directory", ")"});
    for (std::size_t i = 1; i < directories; ++i) nar += strings({")", ")"});
    return nar;
}

TEST(NarReader, LimitsTheDepth) {
    EXPECT_THAT(read(nested(max_nar_depth)), IsOk());
    EXPECT_THAT(read(nested(max_nar_depth + 1)),
                FailsWith(Kind::corrupt, "more than 256 directories inside each other"));
}

TEST(NarReader, LimitsTargets) {
    const auto link = [](const std::string& target) {
        return strings({"nix-archive-1", "(", "type", "symlink", "target", target, ")"});
    };
    EXPECT_THAT(read(link(std::string(4095, 't'))), IsOk());
    EXPECT_THAT(read(link(std::string(4096, 't'))), FailsWith(Kind::corrupt, "at most 4095 bytes"));
}

TEST(NarReader, ForgetsTheNamesOfALeftDirectory) {
    // b/z, then c/a: 'a' comes before 'z', but in another directory.
    const auto directory = [](std::string_view name, std::string_view inner) {
        return strings({"entry", "(",    "name", name,   "node",    "(",      "type", "directory", "entry", "(", "name",
                        inner,   "node", "(",    "type", "symlink", "target", "t",    ")",         ")",     ")", ")"});
    };
    const std::string begin = strings({"nix-archive-1", "(", "type", "directory"});
    EXPECT_THAT(read(begin + directory("b", "z") + directory("c", "a") + strings({")"})), IsOk());
    EXPECT_THAT(read(begin + directory("c", "a") + directory("b", "z") + strings({")"})),
                FailsWith(Kind::corrupt, "the name 'b' must not follow 'c'"));
}

class FullDisk final : public NarSink {
public:
    Result<void> enter_directory(std::string_view /*name*/) override { return {}; }
    Result<void> leave_directory() override { return {}; }
    Result<void> begin_file(std::string_view /*name*/, bool /*executable*/, std::uint64_t /*size*/) override {
        return Error(Kind::io, "the disk is full").hint("make room");
    }
    Result<void> file_data(std::span<const std::byte> /*bytes*/) override { return {}; }
    Result<void> end_file() override { return {}; }
    Result<void> symlink(std::string_view /*name*/, std::string_view /*target*/) override { return {}; }
};

TEST(NarReader, PassesTheErrorOfItsSinkThrough) {
    FullDisk sink;
    const Result<void> done = read(golden("nar/good/tree.nar"), sink, no_limit, 100);
    EXPECT_THAT(done, FailsWith(Kind::io, "the disk is full"));
    EXPECT_EQ(done.error().hint(), "make room");
}

}  // namespace
}  // namespace senv
