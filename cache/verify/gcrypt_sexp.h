// gcrypt_sexp.h: s-expressions for libgcrypt. Inside cache/verify only.
#pragma once

#include <gcrypt.h>

#include <memory>
#include <string>

#include "cache/base/result.h"
#include "cache/formats/sexp.h"

namespace senv {

struct ReleaseSexp {
    void operator()(gcry_sexp* sexp) const noexcept { gcry_sexp_release(sexp); }
};
using GcrySexp = std::unique_ptr<gcry_sexp, ReleaseSexp>;

/// libgcrypt reads our own encoding of what our strict reader understood, never somebody's text.
inline Result<GcrySexp> to_gcrypt(const Sexp& sexp) {
    const std::string text = sexp.canonical();
    gcry_sexp_t made = nullptr;
    const gcry_error_t error = gcry_sexp_new(&made, text.data(), text.size(), 0);
    if (error != 0) return Error(Kind::bug, std::string("libgcrypt cannot read a key: ") + gcry_strerror(error));
    return GcrySexp(made);
}

}  // namespace senv
