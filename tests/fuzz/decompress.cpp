// Any bytes as the format that the first one suggests: whole and byte by byte, the same must come out. At most 64 KiB of it.
#include "cache/unpack/decompress.h"

#include <cstdint>
#include <string>

#include "tests/fuzz/require.h"

namespace {

using senv::Compression;
using senv::Error;
using senv::Kind;
using senv::Result;

constexpr std::size_t enough = 1U << 16U;

struct Outcome {
    std::string bytes;
    bool accepted = false;
};

Outcome decompress(Compression compression, std::span<const std::byte> bytes, std::size_t piece) {
    Outcome outcome;
    const auto stream = senv::make_decompressor(compression, [&](std::span<const std::byte> out) -> Result<void> {
                            REQUIRE(!out.empty() && out.size() <= 262144);
                            outcome.bytes.append(reinterpret_cast<const char*>(out.data()), out.size());
                            if (outcome.bytes.size() > enough) return Error(Kind::io, "enough");
                            return {};
                        }).value();
    Result<void> done;
    while (done && !bytes.empty()) {
        const auto now = bytes.first(std::min(piece, bytes.size()));
        done = stream->feed(now);
        bytes = bytes.subspan(now.size());
    }
    if (done) done = stream->finish();
    outcome.accepted = static_cast<bool>(done);
    return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    Compression compression = Compression::zstd;
    if (size > 0 && data[0] == 0x1f) compression = Compression::gzip;
    if (size > 0 && data[0] == 'L') compression = Compression::lzip;
    const Outcome whole = decompress(compression, bytes, size);
    const Outcome pieces = decompress(compression, bytes, 1);
    REQUIRE(whole.accepted == pieces.accepted);
    if (whole.accepted) REQUIRE(whole.bytes == pieces.bytes);
    return 0;
}
