// byte_sink.h: where a stream of bytes goes.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <type_traits>
#include <utility>

#include "cache/base/result.h"

namespace senv {

/// Takes bytes as they come. Made of any function that does; it may also offer a place for the next ones, which saves
/// copying them there.
class ByteSink {
public:
    using Take = std::function<Result<void>(std::span<const std::byte>)>;
    using Place = std::function<Result<std::span<std::byte>>()>;

    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, ByteSink> && std::is_constructible_v<Take, F>) ByteSink(F&& take)
        : take_(std::forward<F>(take)) {}
    ByteSink(Take take, Place place) : take_(std::move(take)), place_(std::move(place)) {}

    Result<void> operator()(std::span<const std::byte> bytes) const { return take_(bytes); }
    /// Memory for at least one byte, or an empty span: it has none. What is written at its beginning may be given to
    /// operator() next.
    Result<std::span<std::byte>> place() const {
        if (!place_) return std::span<std::byte>();
        return place_();
    }

private:
    Take take_;
    Place place_;
};

}  // namespace senv
