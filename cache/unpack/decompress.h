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
#include <memory>
#include <span>

#include "cache/base/byte_sink.h"
#include "cache/base/result.h"
#include "cache/formats/narinfo.h"

namespace senv {

class Decompressor {
public:
    virtual ~Decompressor() = default;
    virtual Result<void> feed(std::span<const std::byte> bytes) = 0;
    /// The stream must end here.
    virtual Result<void> finish() = 0;
};

Result<std::unique_ptr<Decompressor>> make_decompressor(Compression compression, ByteSink sink);

}  // namespace senv
