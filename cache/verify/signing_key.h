// signing_key.h: signs narinfos as `guix publish` does.
//
// Shape    A key file is an s-expression as `guix archive --generate-key` writes it to signing-key.sec:
//          (private-key (ecc (curve NAME) (q #…#) (d #…#))), or (private-key (rsa (n …) (e …) (d …) (p …) (q …) (u …))).
//          Signatures have the shape that signature.h accepts: ECDSA with RFC 6979 nonces, or RSA with PKCS #1 padding, over
//          SHA-256 of the text. The same text and key give the same signature.
// Errors   corrupt: no such key. io: libgcrypt cannot sign with it (FIPS mode).
// Threads  sign() from any, after init_signatures() of signature.h has returned.
// Source   Guix, guix/pki.scm signature-sexp, guix/scripts/publish.scm narinfo-string.
#pragma once

#include <string>
#include <string_view>

#include "cache/base/result.h"
#include "cache/formats/sexp.h"

namespace senv {

class SigningKey {
public:
    static Result<SigningKey> parse(std::string_view text);

    /// (public-key …), as an ACL has it.
    const Sexp& public_key() const noexcept { return public_key_; }
    /// "Signature: 1;HOST;BASE64\n" for what stands above it in a narinfo. `host` is for people; no ';' and no newline.
    Result<std::string> sign(std::string_view text, std::string_view host) const;

private:
    SigningKey(Sexp private_key, Sexp public_key, std::string flags)
        : private_key_(std::move(private_key)), public_key_(std::move(public_key)), flags_(std::move(flags)) {}

    Sexp private_key_;
    Sexp public_key_;
    std::string flags_;  // of the data that it signs
};

}  // namespace senv
