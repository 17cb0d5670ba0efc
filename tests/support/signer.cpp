#include "tests/support/signer.h"

#include <gcrypt.h>

#include <array>
#include <cstdint>
#include <memory>

namespace senv::test {

namespace {

struct Release {
    void operator()(gcry_sexp* sexp) const noexcept { gcry_sexp_release(sexp); }
};
using Sexp = std::unique_ptr<gcry_sexp, Release>;

Sexp sub_list(const Sexp& sexp, const char* name) {
    return Sexp(gcry_sexp_find_token(sexp.get(), name, 0));
}

std::string advanced_text(const Sexp& sexp) {
    std::string text(gcry_sexp_sprint(sexp.get(), GCRYSEXP_FMT_ADVANCED, nullptr, 0), '\0');
    text.resize(gcry_sexp_sprint(sexp.get(), GCRYSEXP_FMT_ADVANCED, text.data(), text.size()));
    return text;
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t bits = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            bits = bits << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
        }
        for (unsigned k = 0; k < 4; ++k) {
            text += i + k > bytes.size() ? '=' : alphabet[(bits >> (18U - 6U * k)) & 63U];
        }
    }
    return text;
}

}  // namespace

Result<std::string> signature_of(std::string_view text, std::string_view private_key) {
    gcry_check_version(nullptr);
    gcry_sexp_t made = nullptr;
    if (gcry_sexp_new(&made, private_key.data(), private_key.size(), 1) != 0) {
        return Error(Kind::corrupt, "the private key is no s-expression");
    }
    const Sexp key(made);
    const Sexp curve = sub_list(key, "curve");
    const Sexp point = sub_list(key, "q");
    if (!curve || !point) return Error(Kind::corrupt, "the private key is not one of an elliptic curve");

    std::array<unsigned char, 32> hash = {};
    gcry_md_hash_buffer(GCRY_MD_SHA256, hash.data(), text.data(), text.size());
    gcry_sexp_build(&made, nullptr, "(data (flags rfc6979) (hash sha256 %b))", static_cast<int>(hash.size()),
                    hash.data());
    const Sexp data(made);
    if (const gcry_error_t error = gcry_pk_sign(&made, data.get(), key.get()); error != 0) {
        return Error(Kind::io, std::string("cannot sign: ") + gcry_strerror(error));
    }
    const Sexp value(made);
    gcry_sexp_build(&made, nullptr, "(signature %S %S (public-key (ecc %S %S)))", data.get(), value.get(), curve.get(),
                    point.get());
    return advanced_text(Sexp(made));
}

std::string signature_line(std::string_view signature) {
    return "Signature: 1;test.host;" + base64(signature) + "\n";
}

Result<std::string> signed_narinfo(std::string_view text, std::string_view private_key) {
    return std::string(text) + signature_line(SENV_TRY(signature_of(text, private_key)));
}

}  // namespace senv::test
