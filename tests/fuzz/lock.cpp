// Any text as a lock and as a description of a profile: a lock that is read is written so that it reads the same.
#include "provisioner/resolve/lock.h"

#include <cstdint>

#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto lock = senv::Lock::read(text);
    if (!lock) return 0;
    senv::Lock copy = *lock;
    (void)senv::read_description(text, copy);
    const std::string written = lock->write();
    const auto again = senv::Lock::read(written);
    REQUIRE(again && again->write() == written);
    return 0;
}
