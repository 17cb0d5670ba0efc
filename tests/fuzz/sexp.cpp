// Any text as an s-expression and as an ACL: what is accepted reads back equal from its canonical form.
#include "cache/formats/sexp.h"

#include <cstdint>

#include "cache/formats/acl.h"
#include "tests/fuzz/require.h"

namespace {

// The canonical form of an empty atom, "0:", is one that libgcrypt and we refuse to read.
bool has_empty_atom(const senv::Sexp& sexp) {
    if (sexp.is_atom) return sexp.atom.empty();
    for (const senv::Sexp& item : sexp.items) {
        if (has_empty_atom(item)) return true;
    }
    return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    (void)senv::Acl::parse(text);
    const auto sexp = senv::Sexp::parse(text);
    if (!sexp || has_empty_atom(*sexp)) return 0;
    const std::string canonical = sexp->canonical();
    const auto again = senv::Sexp::parse(canonical);
    // Only the size may get in the way: an atom may need more room with its length in front.
    REQUIRE(again || canonical.size() > 65536);
    if (again) REQUIRE(*again == *sexp);
    return 0;
}
