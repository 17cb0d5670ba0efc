#include "cache/unpack/compress.h"

#include "cache/unpack/decompress.h"
#include "tests/support/matchers.h"
#include "tests/support/noise.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using test::noise;

ByteSink into(std::string& text) {
    return [&text](std::span<const std::byte> bytes) -> Result<void> {
        EXPECT_LE(bytes.size(), 128UL * 1024);
        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
    };
}

Result<std::string> packed(const std::string& text, std::size_t piece, int level) {
    std::string out;
    auto compressor = SENV_TRY(make_zstd_compressor(level, into(out)));
    for (std::size_t at = 0; at < text.size(); at += piece) {
        const auto part = std::string_view(text).substr(at, piece);
        SENV_TRY(compressor->feed(std::as_bytes(std::span(part))));
    }
    SENV_TRY(compressor->finish());
    return out;
}

Result<std::string> unpacked(const std::string& bytes) {
    std::string out;
    auto decompressor =
        SENV_TRY(make_decompressor(Compression::zstd, [&](std::span<const std::byte> piece) -> Result<void> {
            out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
            return {};
        }));
    SENV_TRY(decompressor->feed(std::as_bytes(std::span(bytes))));
    SENV_TRY(decompressor->finish());
    return out;
}

TEST(Compress, IsUndoneByOurDecompressor) {
    for (const int level : {1, 9, 19}) {
        for (const std::string& text :
             {std::string(), std::string("x"), std::string(3U << 20U, 'x'), noise(3U << 20U)}) {
            const auto bytes = packed(text, 100'000, level);
            ASSERT_THAT(bytes, IsOk());
            const auto back = unpacked(*bytes);
            ASSERT_THAT(back, IsOk());
            EXPECT_TRUE(*back == text) << level << " " << text.size();
        }
    }
}

TEST(Compress, HasAChecksum) {
    auto bytes = packed(noise(1000), 1000, 3).value();
    bytes[500] = static_cast<char>(bytes[500] ^ 1);  // in stored bytes, which by themselves may be anything
    EXPECT_THAT(unpacked(bytes), FailsWith(Kind::corrupt, "checksum"));
}

TEST(Compress, PassesTheSinksErrorOn) {
    auto compressor = make_zstd_compressor(3, [](std::span<const std::byte>) -> Result<void> {
                          return Error(Kind::io, "full");
                      }).value();
    const auto text = noise(1U << 20U);
    auto done = compressor->feed(std::as_bytes(std::span(text)));
    if (done) done = compressor->finish();
    EXPECT_THAT(done, FailsWith(Kind::io, "full"));
}

}  // namespace
}  // namespace senv
