// Any text as a store path, a hash, hexadecimal and base64: what is accepted is written back as it was.
#include "cache/formats/store_path.h"

#include <cstdint>

#include "cache/formats/base64.h"
#include "cache/formats/hash.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto path = senv::StorePath::parse(text)) {
        REQUIRE(path->base() == text);
        REQUIRE(senv::StorePath::parse_absolute(path->absolute()).value() == *path);
    }
    if (const auto hash = senv::Sha256::parse_prefixed(text)) REQUIRE(hash->prefixed() == text);
    const std::size_t bytes = text.size() * 5 / 8;
    if (const auto decoded = senv::nix_base32_decode(text, bytes)) REQUIRE(senv::nix_base32_encode(*decoded) == text);
    if (const auto decoded = senv::hex_decode(text)) REQUIRE(decoded->size() * 2 == text.size());
    if (const auto decoded = senv::base64_decode(text)) REQUIRE(decoded->size() <= text.size() / 4 * 3);

    const auto raw = std::as_bytes(std::span(data, size));
    const auto back = senv::nix_base32_decode(senv::nix_base32_encode(raw), size);
    REQUIRE(back && std::equal(raw.begin(), raw.end(), back->begin(), back->end()));
    return 0;
}
