#include "cache/unpack/decompress.h"

#include <lzma.h>
#define ZLIB_CONST  // input is const
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace senv {

namespace {

constexpr std::size_t buffer_bytes = 131072;  // stays in a core's cache between the stages
constexpr std::size_t max_piece_bytes = 262144;
constexpr int zstd_window_log = 23;  // 8 MiB
// 32 MiB for the dictionary and one for the decoder itself; the next dictionary that lzip can ask for has 36 MiB.
constexpr std::uint64_t lzip_memory_bytes = std::uint64_t{33} << 20U;

class PassThrough final : public Decompressor {
public:
    explicit PassThrough(ByteSink sink) : sink_(std::move(sink)) {}

    Result<void> feed(std::span<const std::byte> bytes) override {
        while (!bytes.empty()) {
            const auto piece = bytes.first(std::min(bytes.size(), max_piece_bytes));
            SENV_TRY(sink_(piece));
            bytes = bytes.subspan(piece.size());
        }
        return {};
    }
    Result<void> finish() override { return {}; }

private:
    ByteSink sink_;
};

// What one call of a library did.
struct Step {
    std::size_t taken = 0;
    std::size_t made = 0;
    bool ended = false;  // the frame or member is complete, and everything in it has come out
};

// Each codec has a name; start(), once per frame or member; step(), which returns Errors of the bare cause.
class Zstd {
public:
    static constexpr Compression compression = Compression::zstd;

    Zstd() : stream_(std::move(spare)) {
        if (!stream_) stream_.reset(ZSTD_createDStream());
    }
    Zstd(const Zstd&) = delete;
    Zstd& operator=(const Zstd&) = delete;
    ~Zstd() {
        if (stream_ && ZSTD_sizeof_DStream(stream_.get()) <= max_spare_bytes) spare = std::move(stream_);
    }

    Result<void> start() {
        if (!stream_ || ZSTD_isError(ZSTD_DCtx_reset(stream_.get(), ZSTD_reset_session_only)) != 0 ||
            ZSTD_isError(ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, zstd_window_log)) != 0) {
            return Error(Kind::io, "the library cannot start");
        }
        return {};
    }

    Result<Step> step(std::span<const std::byte> from, std::span<std::byte> to) {
        ZSTD_inBuffer in{from.data(), from.size(), 0};
        ZSTD_outBuffer out{to.data(), to.size(), 0};
        const std::size_t left = ZSTD_decompressStream(stream_.get(), &out, &in);
        if (ZSTD_isError(left) == 0) return Step{in.pos, out.pos, left == 0};
        if (ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge) {
            return Error(Kind::corrupt, "it needs a window of more than 8 MiB")
                .hint("compress with a zstd level of at most 19 on the server");
        }
        return Error(Kind::corrupt, ZSTD_getErrorName(left));
    }

private:
    struct Free {
        void operator()(ZSTD_DStream* stream) const noexcept { ZSTD_freeDStream(stream); }
    };
    using Stream = std::unique_ptr<ZSTD_DStream, Free>;

    // Making one costs more than a small item. One with a large window is not kept: idle threads must hold little memory.
    static constexpr std::size_t max_spare_bytes = 1024UL * 1024;
    static thread_local Stream spare;

    Stream stream_;
};
thread_local Zstd::Stream Zstd::spare;

class Gzip {
public:
    static constexpr Compression compression = Compression::gzip;

    Gzip() = default;
    Gzip(const Gzip&) = delete;
    Gzip& operator=(const Gzip&) = delete;
    ~Gzip() { inflateEnd(&stream_); }

    Result<void> start() {
        constexpr int gzip_only = 16;  // added to the window's bits
        const int code = started_ ? inflateReset(&stream_) : inflateInit2(&stream_, MAX_WBITS + gzip_only);
        if (code != Z_OK) return Error(Kind::io, "the library cannot start");
        started_ = true;
        return {};
    }

    Result<Step> step(std::span<const std::byte> from, std::span<std::byte> to) {
        const std::size_t given = std::min<std::size_t>(from.size(), std::numeric_limits<uInt>::max());
        stream_.next_in = reinterpret_cast<const Bytef*>(from.data());
        stream_.avail_in = static_cast<uInt>(given);
        stream_.next_out = reinterpret_cast<Bytef*>(to.data());
        stream_.avail_out = static_cast<uInt>(to.size());
        const int code = inflate(&stream_, Z_NO_FLUSH);
        // Z_BUF_ERROR: nothing was waiting inside after all.
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
            return Error(code == Z_MEM_ERROR ? Kind::io : Kind::corrupt,
                         stream_.msg != nullptr ? stream_.msg : zError(code));
        }
        return Step{given - stream_.avail_in, to.size() - stream_.avail_out, code == Z_STREAM_END};
    }

private:
    z_stream stream_{};
    bool started_ = false;
};

class Lzip {
public:
    static constexpr Compression compression = Compression::lzip;

    Lzip() = default;
    Lzip(const Lzip&) = delete;
    Lzip& operator=(const Lzip&) = delete;
    ~Lzip() { lzma_end(&stream_); }

    // Member by member: the decoder's own way to read several ignores what follows the last one.
    Result<void> start() {
        if (lzma_lzip_decoder(&stream_, lzip_memory_bytes, 0) != LZMA_OK) {
            return Error(Kind::io, "the library cannot start");
        }
        return {};
    }

    Result<Step> step(std::span<const std::byte> from, std::span<std::byte> to) {
        stream_.next_in = reinterpret_cast<const std::uint8_t*>(from.data());
        stream_.avail_in = from.size();
        stream_.next_out = reinterpret_cast<std::uint8_t*>(to.data());
        stream_.avail_out = to.size();
        const lzma_ret code = lzma_code(&stream_, LZMA_RUN);
        // LZMA_BUF_ERROR: nothing was waiting inside after all.
        if (code != LZMA_OK && code != LZMA_STREAM_END && code != LZMA_BUF_ERROR) return refused(code);
        return Step{from.size() - stream_.avail_in, to.size() - stream_.avail_out, code == LZMA_STREAM_END};
    }

private:
    static Error refused(lzma_ret code) {
        switch (code) {
            case LZMA_MEMLIMIT_ERROR: return {Kind::corrupt, "it needs a dictionary of more than 32 MiB"};
            case LZMA_FORMAT_ERROR: return {Kind::corrupt, "it does not begin as it must"};
            case LZMA_MEM_ERROR: return {Kind::io, "no memory is left"};
            default: return {Kind::corrupt, "its data is damaged"};
        }
    }

    lzma_stream stream_ = LZMA_STREAM_INIT;
};

// Frames or members one after another until the input ends.
template <class Codec>
class Stream final : public Decompressor {
public:
    explicit Stream(ByteSink sink) : sink_(std::move(sink)) {}

    Result<void> start() {
        auto started = codec_.start();
        if (!started) return std::move(started).error().in(doing());
        return started;
    }

    Result<void> feed(std::span<const std::byte> bytes) override {
        bool more_inside = false;
        while (!bytes.empty() || more_inside) {
            if (!inside_) {
                ++part_;
                inside_ = true;
                SENV_TRY(start());
            }
            const auto to = SENV_TRY(place());
            const Step step = SENV_TRY(advance(bytes, to));
            if (step.made > 0) SENV_TRY(sink_(to.first(step.made)));
            bytes = bytes.subspan(step.taken);
            inside_ = !step.ended;
            more_inside = inside_ && step.made == to.size();
        }
        return {};
    }

    Result<void> finish() override {
        if (inside_) return Error(Kind::corrupt, doing() + ": it ends too early");
        return {};
    }

private:
    Result<std::span<std::byte>> place() {
        const auto of_sink = SENV_TRY(sink_.place());
        if (!of_sink.empty()) return of_sink.first(std::min(of_sink.size(), max_piece_bytes));
        if (!buffer_) buffer_ = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes);
        return std::span(buffer_.get(), buffer_bytes);
    }

    // doing() is made only when it is needed: this is the inner loop.
    Result<Step> advance(std::span<const std::byte> from, std::span<std::byte> to) {
        auto made = codec_.step(from, to);
        if (!made) return std::move(made).error().in(doing());
        return made;
    }

    std::string doing() const {
        return "cannot decompress part " + std::to_string(part_) + " of the " +
               std::string(name_of(Codec::compression)) + " stream";
    }

    ByteSink sink_;
    Codec codec_;
    std::unique_ptr<std::byte[]> buffer_;
    std::size_t part_ = 1;
    bool inside_ = true;  // of a frame or member; an empty stream has none, which is too early an end
};

template <class Codec>
Result<std::unique_ptr<Decompressor>> make_stream(ByteSink sink) {
    auto stream = std::make_unique<Stream<Codec>>(std::move(sink));
    SENV_TRY(stream->start());
    return std::unique_ptr<Decompressor>(std::move(stream));
}

}  // namespace

Result<std::unique_ptr<Decompressor>> make_decompressor(Compression compression, ByteSink sink) {
    switch (compression) {
        case Compression::zstd: return make_stream<Zstd>(std::move(sink));
        case Compression::gzip: return make_stream<Gzip>(std::move(sink));
        case Compression::lzip: return make_stream<Lzip>(std::move(sink));
        case Compression::none: break;
    }
    return std::unique_ptr<Decompressor>(std::make_unique<PassThrough>(std::move(sink)));
}

}  // namespace senv
