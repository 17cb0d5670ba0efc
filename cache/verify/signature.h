// signature.h: does somebody whom the site authorised vouch for this narinfo?
//
// Shape    The signature is an s-expression of exactly the shape that Guix writes: data with (flags rfc6979 | pkcs1) and
//          one 32-byte sha256 hash, one sig-val (ecdsa or rsa), one public-key. Anything else is refused.
// Trust    ok means: the key is in the ACL, the hash is SHA-256 of signed_text(), the signature over it is valid. Then
//          StorePath, NarHash, NarSize and References are what the key's owner said. That StorePath is the path asked for
//          is the caller's check.
// Errors   untrusted: no signature, unknown key (names the key), hash mismatch, invalid. corrupt: not a signature.
//          io: libgcrypt cannot do it (FIPS mode).
// Threads  verify_signature() from any, after init_signatures() has returned.
// Source   Guix, guix/pki.scm %signature-status; tests/golden/narinfo.
#pragma once

#include "cache/base/result.h"
#include "cache/formats/acl.h"
#include "cache/formats/narinfo.h"

namespace senv {

/// Once per process, before there are threads. Fails when libgcrypt is too old, cannot start, or gives wrong answers.
Result<void> init_signatures();

/// Is libgcrypt in FIPS mode? Then it may refuse signatures that it verifies elsewhere: curves and short keys that are not
/// approved. After init_signatures().
bool is_fips_mode() noexcept;

Result<void> verify_signature(const Narinfo& narinfo, const Acl& acl);
/// Whether the signature is what the key that it names made for this text, whoever's that key is.
Result<void> check_signature(const Narinfo& narinfo);

}  // namespace senv
