// sexp.h: canonical s-expressions, as keys, signatures and the ACL are written.
//
// Shape    A list of atoms and lists. Atoms are bytes; the reader accepts the spellings token, "quoted", #hex#, |base64|
//          and N:raw, and forgets which one it was. At most 64 KiB of text and 32 levels.
// Errors   corrupt, with the offset. Display hints, comments, NUL bytes between atoms, octal escapes, empty N:raw atoms, a
//          second list, a bare atom, the empty list at the top, depth and length over the limits are refused, also where
//          libgcrypt accepts them.
// Source   libgcrypt, src/sexp.c; tests/golden/sexp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"

namespace senv {

struct Sexp {
    bool is_atom = false;
    std::string atom;         // bytes; only when is_atom
    std::vector<Sexp> items;  // only when not

    static Result<Sexp> parse(std::string_view text);
    /// The canonical encoding: "(10:public-key…)". Equal keys have equal canonical bytes.
    std::string canonical() const;
    /// True for a list whose first item is this atom.
    bool is_list_named(std::string_view name) const noexcept;
    /// The one direct sub-list of that name; nullptr when there is none or more than one.
    const Sexp* only_child(std::string_view name) const noexcept;
    bool operator==(const Sexp&) const = default;
};

}  // namespace senv
