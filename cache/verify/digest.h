// digest.h: SHA-256 of a stream. The only place, with signature.h, that includes a cryptography library.
//
// Errors   None that input could cause. When OpenSSL itself is broken or memory is exhausted: std::runtime_error, which the
//          edges turn into a bug.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "cache/formats/hash.h"

namespace senv {

class Sha256Stream {
public:
    Sha256Stream();
    ~Sha256Stream();
    Sha256Stream(Sha256Stream&&) noexcept;
    Sha256Stream& operator=(Sha256Stream&&) noexcept;

    void update(std::span<const std::byte> bytes);
    void update(std::string_view text);
    /// The digest of everything so far; the stream may not be used afterwards.
    Sha256 finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

Sha256 sha256_of(std::string_view text);

}  // namespace senv
