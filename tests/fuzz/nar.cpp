// Any bytes as a nar: whole and in pieces, the same tree and the same error must come out.
#include <algorithm>
#include <cstdint>
#include <random>

#include "tests/fuzz/require.h"
#include "tests/support/nar_log.h"

namespace {

using senv::NarReader;
using senv::Result;
using senv::test::NarLog;

// What the sink got, and how it ended.
template <class NextPiece>
std::string read(std::span<const std::byte> bytes, std::uint64_t max_bytes, NextPiece next_piece) {
    NarLog log;
    NarReader reader(log, max_bytes);
    Result<void> done;
    while (done && !bytes.empty()) {
        const auto piece = bytes.first(std::min<std::size_t>(next_piece(), bytes.size()));
        done = reader.feed(piece);
        bytes = bytes.subspan(piece.size());
    }
    if (done) REQUIRE(bytes.empty());
    if (done) done = reader.finish();
    REQUIRE(reader.offset() <= max_bytes);
    REQUIRE(!done || reader.complete());
    return log.text() + (done ? "ok" : done.error().what());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    std::minstd_rand random(static_cast<unsigned>(size) + (size > 0 ? data[size / 2] * 65536U : 0U));
    // Most archives are shorter than the limit, some are cut by it.
    const std::uint64_t max_bytes = random() % 4 == 0 ? random() % (size + 1) : std::uint64_t{1} << 40U;
    const std::string whole = read(bytes, max_bytes, [size] { return size; });
    REQUIRE(whole == read(bytes, max_bytes, [&random] { return 1 + random() % 20; }));
    REQUIRE(whole == read(bytes, max_bytes, [&random] { return 1 + random() % 500; }));
    return 0;
}
