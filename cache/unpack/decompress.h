// decompress.h: undoes the compression of a nar as it arrives.
//
// Shape    zstd, gzip and lzip of one or several frames or members; none passes bytes through. zstd windows over 8 MiB and
//          lzip dictionaries over 32 MiB are refused (memory of the daemon is bounded).
// Ownership  Push style: bytes fed in come out of `sink` in pieces of at most 256 KiB, before feed() returns; where the sink has
//          a place for them, they are decompressed into it.
// Errors   corrupt: not that format, bytes after the end, cut off (from finish()); io: no memory. They count the frames or
//          members ("part 2"). Errors of the sink pass through. After an error the decompressor must not be used again.
// Threads  A zstd decompressor leaves its small buffers to the next one of its thread.
// Limits   What comes out is for the sink to bound; what goes in is for the caller: empty members cost input only.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "cache/base/result.h"
#include "cache/formats/narinfo.h"

namespace senv {

/// Takes bytes as they come. Made of any function that does; it may also offer a place for the next ones, which saves copying
/// them there.
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

class Decompressor {
public:
    virtual ~Decompressor() = default;
    virtual Result<void> feed(std::span<const std::byte> bytes) = 0;
    /// The stream must end here.
    virtual Result<void> finish() = 0;
};

Result<std::unique_ptr<Decompressor>> make_decompressor(Compression compression, ByteSink sink);

}  // namespace senv
