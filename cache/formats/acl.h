// acl.h: the keys that the site authorised, in the format of Guix's /etc/guix/acl.
//
// Shape    (acl (entry (public-key …) (tag (guix import))) …). "(acl)" is nobody.
// Errors   corrupt. One entry that deviates makes the whole file invalid, as in Guix.
// Source   Guix, guix/pki.scm; tests/golden/narinfo/acl*.
#pragma once

#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/sexp.h"

namespace senv {

class Acl {
public:
    static Result<Acl> parse(std::string_view text);
    /// Compared by the atoms' bytes, never by text.
    bool authorizes(const Sexp& public_key) const noexcept;
    std::size_t size() const noexcept { return keys_.size(); }

private:
    std::vector<Sexp> keys_;
};

}  // namespace senv
