// Any text as the resolution of a job, which its owner can write: what is read is written the same.
#include "provisioner/resolution.h"

#include <cstdint>

#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto resolution = senv::Resolution::parse(text);
    REQUIRE(!resolution || resolution->encode() == text);
    return 0;
}
