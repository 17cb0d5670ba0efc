#include "cache/verify/signing_key.h"

#include <algorithm>
#include <initializer_list>
#include <span>

#include "cache/formats/base64.h"
#include "cache/verify/digest.h"
#include "cache/verify/gcrypt_sexp.h"

namespace senv {

namespace {

Sexp atom(std::string_view text) {
    return {true, std::string(text), {}};
}
Sexp list(std::vector<Sexp> items) {
    return {false, {}, std::move(items)};
}

/// (NAME (FIELD ATOM)…) with exactly these fields, in this order.
bool has_shape(const Sexp& sexp, std::string_view name, std::initializer_list<std::string_view> fields) {
    if (!sexp.is_list_named(name) || sexp.items.size() != fields.size() + 1) return false;
    return std::ranges::equal(fields, std::span(sexp.items).subspan(1), [](std::string_view field, const Sexp& item) {
        return item.is_list_named(field) && item.items.size() == 2 && item.items[1].is_atom &&
               !item.items[1].atom.empty();
    });
}

Error refused(std::string_view doing, gcry_error_t error) {
    Error failed(Kind::io, std::string(doing) + ": " + gcry_strerror(error));
    if (gcry_fips_mode_active() == 0) return failed;
    return std::move(failed).hint("libgcrypt is in FIPS mode: use an RSA key of at least 2048 bits, or another host");
}

}  // namespace

Result<SigningKey> SigningKey::parse(std::string_view text) {
    Sexp key = SENV_TRY(Sexp::parse(text));
    const bool is_key = key.is_list_named("private-key") && key.items.size() == 2;
    const bool is_ecc = is_key && has_shape(key.items[1], "ecc", {"curve", "q", "d"});
    const bool is_rsa = is_key && has_shape(key.items[1], "rsa", {"n", "e", "d", "p", "q", "u"});
    if (!is_ecc && !is_rsa) {
        return Error(Kind::corrupt, "want (private-key (ecc (curve …) (q …) (d …))) or (private-key (rsa …))");
    }
    const auto& parts = key.items[1].items;  // in both, the first two fields are the public ones
    Sexp public_key = list({atom("public-key"), list({parts[0], parts[1], parts[2]})});
    return SigningKey(std::move(key), std::move(public_key), is_rsa ? "pkcs1" : "rfc6979");
}

Result<std::string> SigningKey::sign(std::string_view text, std::string_view host) const {
    constexpr std::string_view doing = "cannot sign";
    const Sha256 hash = sha256_of(text);
    const std::string_view hash_bytes(reinterpret_cast<const char*>(hash.bytes.data()), hash.bytes.size());
    const Sexp what = list(
        {atom("data"), list({atom("flags"), atom(flags_)}), list({atom("hash"), atom("sha256"), atom(hash_bytes)})});
    const GcrySexp data = SENV_TRY(to_gcrypt(what).in(doing));
    const GcrySexp private_key = SENV_TRY(to_gcrypt(private_key_).in(doing));
    const GcrySexp public_key = SENV_TRY(to_gcrypt(public_key_).in(doing));
    gcry_sexp_t made = nullptr;
    if (const auto error = gcry_pk_sign(&made, data.get(), private_key.get()); error != 0) return refused(doing, error);
    const GcrySexp value(made);
    // A private key beside another one's public part would sign what nobody can verify.
    if (const auto error = gcry_pk_verify(value.get(), data.get(), public_key.get()); error != 0) {
        return refused("cannot sign: the parts of the key do not belong together", error);
    }
    const auto built =
        gcry_sexp_build(&made, nullptr, "(signature %S %S %S)", data.get(), value.get(), public_key.get());
    if (built != 0) return refused(doing, built);
    const GcrySexp signature(made);
    std::string shown(gcry_sexp_sprint(signature.get(), GCRYSEXP_FMT_ADVANCED, nullptr, 0), '\0');
    shown.resize(gcry_sexp_sprint(signature.get(), GCRYSEXP_FMT_ADVANCED, shown.data(), shown.size()));
    return "Signature: 1;" + std::string(host) + ";" + base64_encode(shown) + "\n";
}

}  // namespace senv
