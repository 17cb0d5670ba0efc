#include "cache/wire/frame.h"

namespace senv::wire {

namespace {

template <class T>
void put(std::string& out, T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

template <class T>
T get(std::string_view bytes) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        value = static_cast<T>(value | static_cast<T>(static_cast<T>(static_cast<unsigned char>(bytes[i])) << (8 * i)));
    }
    return value;
}

}  // namespace

Result<Header> Header::parse(std::span<const std::byte, header_bytes> bytes, std::uint32_t limit) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    Header header;
    header.length = get<std::uint32_t>(text.substr(0, 4));
    header.type = Type{get<std::uint16_t>(text.substr(4, 2))};
    const auto peer_version = get<std::uint16_t>(text.substr(6, 2));
    if (peer_version != version) {
        return Error(Kind::corrupt, "the peer speaks protocol version " + std::to_string(peer_version) + ", not " +
                                        std::to_string(version))
            .hint("install the same release of senv's plugin, command and daemon on this node");
    }
    if (header.length > limit) {
        return Error(Kind::corrupt, "a frame of " + std::to_string(header.length) + " bytes is over the limit of " +
                                        std::to_string(limit));
    }
    return header;
}

Writer::Writer(Type type) {
    put<std::uint32_t>(bytes_, 0);
    put(bytes_, static_cast<std::uint16_t>(type));
    put(bytes_, version);
}

Writer& Writer::u16(std::uint16_t value) {
    put(bytes_, value);
    return *this;
}

Writer& Writer::u32(std::uint32_t value) {
    put(bytes_, value);
    return *this;
}

Writer& Writer::u64(std::uint64_t value) {
    put(bytes_, value);
    return *this;
}

Writer& Writer::str(std::string_view text) {
    put(bytes_, static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
    return *this;
}

std::string Writer::finish() {
    std::string length;
    put(length, static_cast<std::uint32_t>(bytes_.size() - header_bytes));
    bytes_.replace(0, length.size(), length);
    return std::move(bytes_);
}

Result<std::string_view> Reader::take(std::size_t count, std::string_view field) {
    if (rest_.size() < count) return Error(Kind::corrupt, "the frame ends inside '" + std::string(field) + "'");
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
}

Result<std::uint16_t> Reader::u16(std::string_view field) {
    return get<std::uint16_t>(SENV_TRY(take(2, field)));
}
Result<std::uint32_t> Reader::u32(std::string_view field) {
    return get<std::uint32_t>(SENV_TRY(take(4, field)));
}
Result<std::uint64_t> Reader::u64(std::string_view field) {
    return get<std::uint64_t>(SENV_TRY(take(8, field)));
}

Result<std::string> Reader::str(std::string_view field, std::size_t limit) {
    const auto length = SENV_TRY(u32(field));
    if (length > limit) {
        return Error(Kind::corrupt, "'" + std::string(field) + "' has " + std::to_string(length) +
                                        " bytes, the limit is " + std::to_string(limit));
    }
    const auto text = SENV_TRY(take(length, field));
    if (text.find('\0') != std::string_view::npos) {
        return Error(Kind::corrupt, "'" + std::string(field) + "' holds a NUL byte");
    }
    return std::string(text);
}

Result<void> Reader::end() const {
    if (rest_.empty()) return {};
    return Error(Kind::corrupt, std::to_string(rest_.size()) + " bytes are left over at the end of a frame");
}

}  // namespace senv::wire
