// signer.h: signs like `guix publish`, with the throwaway key of tests/golden. For tests only: senv itself verifies.
//
// Shape    Keys are s-expressions as Guix writes them: (private-key (ecc (curve Ed25519) (q #…#) (d #…#))).
// Errors   corrupt: not such a key. io: libgcrypt cannot sign.
#pragma once

#include <string>
#include <string_view>

#include "cache/base/result.h"

namespace senv::test {

/// The signature of `text` as an s-expression: (signature (data …) (sig-val …) (public-key …)).
Result<std::string> signature_of(std::string_view text, std::string_view private_key);

/// "Signature: 1;HOST;BASE64\n" around any s-expression.
std::string signature_line(std::string_view signature);

/// `text`, which ends in a newline, and its signature line. URL, Compression and FileSize lines may follow.
Result<std::string> signed_narinfo(std::string_view text, std::string_view private_key);

}  // namespace senv::test
