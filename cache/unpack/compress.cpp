#include "cache/unpack/compress.h"

#include <zstd.h>

#include <string>
#include <utility>
#include <vector>

namespace senv {

namespace {

class ZstdCompressor final : public Compressor {
public:
    explicit ZstdCompressor(ByteSink sink) : sink_(std::move(sink)) {}

    Result<void> start(int level) {
        if (!context_ || ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level)) != 0 ||
            ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1)) != 0) {
            return Error(Kind::io, "cannot compress: the zstd library cannot start");
        }
        return {};
    }

    Result<void> feed(std::span<const std::byte> bytes) override {
        ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
        while (in.pos < in.size) SENV_TRY(step(in, ZSTD_e_continue));
        return {};
    }

    Result<void> finish() override {
        ZSTD_inBuffer in{nullptr, 0, 0};
        while (SENV_TRY(step(in, ZSTD_e_end)) > 0) {
        }
        return {};
    }

private:
    /// How much is still to come out, at least.
    Result<std::size_t> step(ZSTD_inBuffer& in, ZSTD_EndDirective how) {
        ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
        const std::size_t left = ZSTD_compressStream2(context_.get(), &out, &in, how);
        if (ZSTD_isError(left) != 0) return Error(Kind::io, std::string("cannot compress: ") + ZSTD_getErrorName(left));
        if (out.pos > 0) SENV_TRY(sink_(std::span(buffer_).first(out.pos)));
        return left;
    }

    struct Free {
        void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
    };
    ByteSink sink_;
    std::unique_ptr<ZSTD_CCtx, Free> context_{ZSTD_createCCtx()};
    std::vector<std::byte> buffer_ = std::vector<std::byte>(128UL * 1024);
};

}  // namespace

Result<std::unique_ptr<Compressor>> make_zstd_compressor(int level, ByteSink sink) {
    auto compressor = std::make_unique<ZstdCompressor>(std::move(sink));
    SENV_TRY(compressor->start(level));
    return std::unique_ptr<Compressor>(std::move(compressor));
}

}  // namespace senv
