// compress.h: zstd, for those who serve nars.
//
// Shape    One frame, with a checksum, and a window that decompress.h accepts.
// Ownership  Push style: what comes out goes to `sink` before feed() and finish() return, in pieces of at most 128 KiB.
// Errors   io: no memory. Errors of the sink pass through. After an error the compressor must not be used again.
#pragma once

#include <memory>

#include "cache/base/byte_sink.h"

namespace senv {

class Compressor {
public:
    virtual ~Compressor() = default;
    virtual Result<void> feed(std::span<const std::byte> bytes) = 0;
    /// Writes what is left, and the end of the frame.
    virtual Result<void> finish() = 0;
};

/// `level`: 1 (fast) to 19 (small).
Result<std::unique_ptr<Compressor>> make_zstd_compressor(int level, ByteSink sink);

}  // namespace senv
