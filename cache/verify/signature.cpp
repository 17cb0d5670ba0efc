#include "cache/verify/signature.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "cache/formats/sexp.h"
#include "cache/verify/digest.h"
#include "cache/verify/gcrypt_sexp.h"

namespace senv {

namespace {

constexpr const char* oldest_libgcrypt = "1.8.0";

// A genuine signature, by a key that nobody trusts.
constexpr std::string_view known_signature = R"((signature
 (data (flags rfc6979) (hash sha256 #F2DD13776655B02E5D28481778D8C23F4B5A12F75FC02FDFBB8636EDCEC38938#))
 (sig-val (ecdsa (r #0D2AD53BE703A82BCA6340A87023AD85E85780DEBB3386C40D085406675E227F#)
                 (s #0DCC4F916155CCAB0FFF35427DF95F0EB49A79BBEC78E8BFF21709341DF07F0E#)))
 (public-key (ecc (curve Ed25519) (q #66B303FE0672FF6DB3D4889AA5EB3BFC6085970771C826CD8674929D0C01F470#)))))";

bool is_atom(const Sexp& sexp, std::string_view value) {
    return sexp.is_atom && sexp.atom == value;
}

// (NAME ATOM)
bool is_field(const Sexp& sexp, std::string_view name) {
    return sexp.is_list_named(name) && sexp.items.size() == 2 && sexp.items[1].is_atom && !sexp.items[1].atom.empty();
}

// The parts of a signature, each of exactly the shape that Guix writes.
struct Parts {
    const Sexp& data;
    const Sexp& value;
    const Sexp& key;
    std::string_view hash;
};

// (data (flags FLAGS) (hash sha256 HASH))
bool is_data(const Sexp& data, std::string_view flags) {
    if (!data.is_list_named("data") || data.items.size() != 3) return false;
    const Sexp& hash = data.items[2];
    return is_field(data.items[1], "flags") && is_atom(data.items[1].items[1], flags) && hash.is_list_named("hash") &&
           hash.items.size() == 3 && is_atom(hash.items[1], "sha256") && hash.items[2].is_atom &&
           hash.items[2].atom.size() == Sha256().bytes.size();
}

// (sig-val (ecdsa (r R) (s S)))
bool is_ecdsa_value(const Sexp& value) {
    if (!value.is_list_named("sig-val") || value.items.size() != 2) return false;
    const Sexp& ecdsa = value.items[1];
    return ecdsa.is_list_named("ecdsa") && ecdsa.items.size() == 3 && is_field(ecdsa.items[1], "r") &&
           is_field(ecdsa.items[2], "s");
}

// (sig-val (rsa (s S)))
bool is_rsa_value(const Sexp& value) {
    if (!value.is_list_named("sig-val") || value.items.size() != 2) return false;
    const Sexp& rsa = value.items[1];
    return rsa.is_list_named("rsa") && rsa.items.size() == 2 && is_field(rsa.items[1], "s");
}

// (public-key (ecc (curve NAME) (q POINT)))
bool is_ecc_key(const Sexp& key) {
    if (!key.is_list_named("public-key") || key.items.size() != 2) return false;
    const Sexp& ecc = key.items[1];
    return ecc.is_list_named("ecc") && ecc.items.size() == 3 && is_field(ecc.items[1], "curve") &&
           is_field(ecc.items[2], "q");
}

// (public-key (rsa (n N) (e E)))
bool is_rsa_key(const Sexp& key) {
    if (!key.is_list_named("public-key") || key.items.size() != 2) return false;
    const Sexp& rsa = key.items[1];
    return rsa.is_list_named("rsa") && rsa.items.size() == 3 && is_field(rsa.items[1], "n") &&
           is_field(rsa.items[2], "e");
}

Result<Parts> take_apart(const Sexp& signature) {
    if (!signature.is_list_named("signature") || signature.items.size() != 4) {
        return Error(Kind::corrupt, "want (signature (data …) (sig-val …) (public-key …))");
    }
    const Sexp& data = signature.items[1];
    const Sexp& value = signature.items[2];
    const Sexp& key = signature.items[3];
    const bool is_ecdsa = is_data(data, "rfc6979") && is_ecdsa_value(value) && is_ecc_key(key);
    const bool is_rsa = is_data(data, "pkcs1") && is_rsa_value(value) && is_rsa_key(key);
    if (!is_ecdsa && !is_rsa) {
        return Error(Kind::corrupt, "it is neither an ECDSA nor an RSA signature of a SHA-256 hash as Guix makes them");
    }
    return Parts{data, value, key, data.items[2].items[2].atom};
}

// "ecc key #66B303FE…#", by the number that tells keys apart: q of an ecc key, n of an rsa key.
std::string shown_key(const Sexp& key) {
    constexpr std::size_t enough_bytes = 32;
    const Sexp& algorithm = key.items[1];
    const std::string& number = algorithm.items[algorithm.is_list_named("ecc") ? 2 : 1].items[1].atom;
    const auto bytes = std::as_bytes(std::span(number.data(), number.size()));
    std::string hex = hex_encode(bytes.first(std::min(bytes.size(), enough_bytes)));
    std::transform(hex.begin(), hex.end(), hex.begin(),
                   [](char c) { return c >= 'a' ? static_cast<char>(c - 32) : c; });
    return algorithm.items[0].atom + " key #" + hex + (bytes.size() > enough_bytes ? "…" : "#");
}

Result<void> verify_value(const Parts& parts) {
    const GcrySexp value = SENV_TRY(to_gcrypt(parts.value));
    const GcrySexp data = SENV_TRY(to_gcrypt(parts.data));
    const GcrySexp key = SENV_TRY(to_gcrypt(parts.key));
    const gcry_error_t error = gcry_pk_verify(value.get(), data.get(), key.get());
    if (error == 0) return {};
    if (gcry_fips_mode_active() != 0 && gcry_err_code(error) != GPG_ERR_BAD_SIGNATURE) {
        return Error(Kind::io,
                     std::string("libgcrypt is in FIPS mode and refuses such signatures: ") + gcry_strerror(error))
            .hint("sign with an RSA key of at least 2048 bits, or run the daemon outside FIPS mode");
    }
    return Error(Kind::untrusted, std::string("the signature is not valid: ") + gcry_strerror(error));
}

/// `acl`: none when it does not matter whose key it is.
Result<void> verify(const Narinfo& narinfo, const Acl* acl) {
    if (!narinfo.signature()) return Error(Kind::untrusted, "it is not signed");
    const Sexp signature = SENV_TRY(Sexp::parse(*narinfo.signature()));
    const Parts parts = SENV_TRY(take_apart(signature));
    if (acl != nullptr && !acl->authorizes(parts.key)) {
        return Error(Kind::untrusted, "the " + shown_key(parts.key) + " is not among the authorised keys");
    }
    const Sha256 hash = sha256_of(narinfo.signed_text());
    if (!std::ranges::equal(hash.bytes, std::as_bytes(std::span(parts.hash.data(), parts.hash.size())))) {
        return Error(Kind::untrusted, "the signature is for another text");
    }
    return verify_value(parts);
}

}  // namespace

Result<void> init_signatures() {
    if (gcry_check_version(oldest_libgcrypt) == nullptr) {
        return Error(Kind::io, std::string("cannot use libgcrypt ") + gcry_check_version(nullptr) + ": want " +
                                   oldest_libgcrypt + " or newer");
    }
    // Only public data is handled: no locked memory is needed.
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    const gcry_error_t error = gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    if (error != 0) return Error(Kind::io, std::string("cannot start libgcrypt: ") + gcry_strerror(error));
    // The libraries finish setting themselves up at their first use, and not all of that is locked: it happens here, where
    // there is one thread. A libgcrypt that gets a known answer wrong is of no use.
    (void)sha256_of("");
    const Sexp signature = SENV_TRY(Sexp::parse(known_signature));
    auto known = verify_value(SENV_TRY(take_apart(signature)));
    if (!known && gcry_fips_mode_active() == 0) return std::move(known).error().in("cannot use libgcrypt");
    return {};
}

bool is_fips_mode() noexcept {
    return gcry_fips_mode_active() != 0;
}

Result<void> verify_signature(const Narinfo& narinfo, const Acl& acl) {
    return verify(narinfo, &acl).in("cannot trust the narinfo of '" + narinfo.path().base() + "'");
}

Result<void> check_signature(const Narinfo& narinfo) {
    return verify(narinfo, nullptr);
}

}  // namespace senv
