#include "cache/verify/digest.h"

#include <openssl/evp.h>

#include <stdexcept>

namespace senv {

struct Sha256Stream::State {
    EVP_MD_CTX* context = EVP_MD_CTX_new();

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { EVP_MD_CTX_free(context); }
};

namespace {

// OpenSSL fails here when memory is exhausted or its installation is broken; no input can make it fail.
void must(bool done) {
    if (!done) throw std::runtime_error("OpenSSL cannot compute SHA-256");
}

// Fetched once: for EVP_sha256() OpenSSL 3 searches its providers anew at every start of a stream.
const EVP_MD* algorithm() {
    static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return sha256;
}

}  // namespace

Sha256Stream::Sha256Stream() : state_(std::make_unique<State>()) {
    must(state_->context != nullptr && algorithm() != nullptr &&
         EVP_DigestInit_ex(state_->context, algorithm(), nullptr) == 1);
}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::update(std::span<const std::byte> bytes) {
    must(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

void Sha256Stream::update(std::string_view text) {
    update(std::as_bytes(std::span(text.data(), text.size())));
}

Sha256 Sha256Stream::finish() {
    Sha256 hash;
    must(EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(hash.bytes.data()), nullptr) == 1);
    return hash;
}

Sha256 sha256_of(std::string_view text) {
    Sha256Stream stream;
    stream.update(text);
    return stream.finish();
}

}  // namespace senv
