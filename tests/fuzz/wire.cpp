// The frames between senvd and those who ask it, as either side reads them: what is accepted keeps the limits, and is the
// same after another round trip.
#include "cache/wire/messages.h"

#include "tests/fuzz/require.h"

namespace {

using namespace senv;
using namespace senv::wire;

template <class Message>
void round_trip(std::string_view payload) {
    const auto message = Message::decode(payload);
    if (!message) return;
    const std::string frame = message->encode();
    REQUIRE(std::string_view(frame).substr(header_bytes) == payload);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (size < header_bytes) return 0;
    const auto header = Header::parse(std::as_bytes(std::span(bytes)).first<header_bytes>(), max_reply_bytes);
    if (!header) return 0;
    const auto payload = bytes.substr(header_bytes, header->length);
    switch (header->type) {
        case Type::provision: round_trip<Provision>(payload); break;
        case Type::prefetch: round_trip<Prefetch>(payload); break;
        case Type::gc: round_trip<Gc>(payload); break;
        case Type::pin: round_trip<Pin>(payload); break;
        case Type::list: round_trip<List>(payload); break;
        case Type::verify: round_trip<Verify>(payload); break;
        case Type::held: round_trip<Held>(payload); break;
        case Type::release: round_trip<Release>(payload); break;
        case Type::progress: round_trip<Progress>(payload); break;
        case Type::plan: round_trip<Plan>(payload); break;
        case Type::text: static_cast<void>(decode_text(payload)); break;
        case Type::error: static_cast<void>(decode_error(payload)); break;
        default: break;
    }
    return 0;
}
