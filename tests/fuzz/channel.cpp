// What senvd reads from its fetcher: the stream of the channel, a refusal alone, and the numbers in a ring. What is accepted
// keeps its limits; of a stream it does not matter in what pieces it came.
#include "cache/fetch/channel.h"

#include <algorithm>
#include <cstring>

#include "cache/fetch/ring.h"
#include "tests/fuzz/require.h"

namespace {

using namespace senv;

void check(const Refusal& refusal) {
    REQUIRE(refusal.outcome <= Outcome::stopped);
    REQUIRE(refusal.error.kind() <= Kind::bug);
    REQUIRE(refusal.error.what().size() <= channel::max_refusal_text);
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
    REQUIRE(std::ranges::none_of(refusal.error.what() + refusal.error.hint(), is_control));
    REQUIRE(channel::encode(refusal).size() <= channel::max_refusal_bytes);
}

/// The messages of a stream until its end or its first mistake, each encoded again.
std::string read_stream(std::string_view bytes, std::size_t piece) {
    std::string seen;
    channel::Frames frames;
    while (!bytes.empty()) {
        const auto part = bytes.substr(0, piece);
        bytes.remove_prefix(part.size());
        frames.add(part);
        for (;;) {
            const auto frame = frames.next();
            if (!frame) return seen + "broken";
            if (!*frame) break;
            REQUIRE((*frame)->payload.size() <= channel::max_message);
            auto message = channel::decode_from_fetcher(**frame);
            if (!message) return seen + "wrong";
            seen += channel::encode(*message);
            if (const auto* came = std::get_if<channel::NarinfoCame>(&*message)) {
                if (const auto* refusal = std::get_if<Refusal>(&came->answer)) check(*refusal);
            }
        }
    }
    return seen;
}

void read_ring(std::string_view bytes) {
    static const SharedMemory memory = std::move(SharedMemory::make(1)).value();
    static RingReader reader(memory.slot(0));
    auto& header = *reinterpret_cast<RingHeader*>(memory.slot(0));
    const auto number = [&]() -> std::uint32_t {
        std::uint32_t value = 0;
        const std::size_t size = std::min(bytes.size(), sizeof value);
        std::memcpy(&value, bytes.data(), size);
        bytes.remove_prefix(size);
        return value;
    };
    reader.begin(1);
    header.written = number();
    header.ended = number();
    header.refusal_bytes = number();
    for (auto& length : header.lengths) length = number();
    std::memcpy(header.refusal.data(), bytes.data(), std::min(bytes.size(), header.refusal.size()));
    for (std::uint32_t steps = 0;; ++steps) {
        REQUIRE(steps <= ring_buffers);
        const auto step = reader.next();
        if (!step) return;
        REQUIRE(step->bytes.size() <= ring_buffer_bytes);
        if (step->state == RingReader::State::nothing) return;
        if (step->state == RingReader::State::ended) break;
    }
    if (const auto outcome = reader.outcome(); outcome && *outcome) check(**outcome);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    REQUIRE(read_stream(bytes, size + 1) == read_stream(bytes, 7));
    if (const auto refusal = channel::decode_refusal(bytes)) check(*refusal);
    read_ring(bytes);
    return 0;
}
