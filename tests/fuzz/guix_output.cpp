// Any bytes as what Guix printed: what is shown of it is one line of printable text.
#include "provisioner/resolve/guix_output.h"

#include <algorithm>
#include <cstdint>

#include "provisioner/resolve/progress.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    const senv::Cause cause = senv::cause_of(text, {{"/home/alice/w/m.scm", "m.scm"}});
    REQUIRE(!cause.what.empty() && std::ranges::none_of(cause.what, is_control));
    REQUIRE(std::ranges::none_of(cause.hint, is_control));
    (void)senv::excerpt(cause.what, "m.scm", text);
    (void)senv::activity(text);
    return 0;
}
