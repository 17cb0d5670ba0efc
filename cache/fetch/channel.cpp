#include "cache/fetch/channel.h"

#include <algorithm>

#include "cache/base/text.h"
#include "cache/wire/frame.h"

namespace senv::channel {

namespace {

using wire::Reader;

enum Type : std::uint32_t {
    setup = 1,
    ask_narinfo = 2,
    fetch_nar = 3,
    cancel = 4,
    ready = 16,
    narinfo = 17,
    narinfo_refused = 18,
};

constexpr std::size_t max_path = 4096;
constexpr std::size_t max_name = 1024;
constexpr std::uint32_t max_seconds = 86'400;

template <class T>
void put(std::string& out, T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

void put_text(std::string& out, std::string_view text) {
    put(out, static_cast<std::uint32_t>(text.size()));
    out += text;
}

/// printable() in at most `limit` bytes, with the mark that it was cut.
std::string cut(std::string_view text, std::size_t limit) {
    constexpr std::size_t mark_and_character = 8;
    return printable(text, limit - mark_and_character);
}

class Message {
public:
    explicit Message(Type type) {
        put<std::uint32_t>(bytes_, 0);
        put<std::uint32_t>(bytes_, type);
    }
    std::string& payload() { return bytes_; }
    std::string finish() && {
        std::string length;
        put(length, static_cast<std::uint32_t>(bytes_.size() - header_bytes));
        bytes_.replace(0, length.size(), length);
        return std::move(bytes_);
    }

private:
    std::string bytes_;
};

std::uint32_t seconds_of(std::chrono::seconds time) {
    return static_cast<std::uint32_t>(std::clamp<std::chrono::seconds::rep>(time.count(), 0, max_seconds));
}

Result<std::uint32_t> bounded(Reader& reader, std::string_view field, std::uint32_t most) {
    const auto value = SENV_TRY(reader.u32(field));
    if (value > most) {
        return Error(Kind::corrupt, "'" + std::string(field) + "' is " + std::to_string(value) + ", the limit is " +
                                        std::to_string(most));
    }
    return value;
}

Result<std::chrono::seconds> seconds(Reader& reader, std::string_view field) {
    return std::chrono::seconds(SENV_TRY(bounded(reader, field, max_seconds)));
}

std::string encode_one(const Setup& message) {
    Message frame(setup);
    put_text(frame.payload(), message.user_agent);
    put(frame.payload(), seconds_of(message.connect));
    put(frame.payload(), seconds_of(message.stall));
    put(frame.payload(), message.transfers);
    put(frame.payload(), static_cast<std::uint32_t>(message.folders.size()));
    for (const auto& folder : message.folders) put_text(frame.payload(), folder);
    return std::move(frame).finish();
}

std::string encode_one(const AskNarinfo& message) {
    Message frame(ask_narinfo);
    put(frame.payload(), message.id);
    put_text(frame.payload(), message.origin);
    put_text(frame.payload(), message.item.base());
    return std::move(frame).finish();
}

std::string encode_one(const FetchNar& message) {
    Message frame(fetch_nar);
    put(frame.payload(), message.slot);
    put(frame.payload(), message.ticket);
    put_text(frame.payload(), message.url);
    put(frame.payload(), static_cast<std::uint32_t>(message.compression));
    put(frame.payload(), message.nar_size);
    put(frame.payload(), static_cast<std::uint64_t>(std::max<std::int64_t>(message.left.count(), 0)));
    return std::move(frame).finish();
}

std::string encode_one(const Cancel& message) {
    Message frame(cancel);
    put(frame.payload(), message.slot);
    put(frame.payload(), message.ticket);
    return std::move(frame).finish();
}

std::string encode_one(const Ready& message) {
    Message frame(ready);
    put(frame.payload(), message.landlock);
    put(frame.payload(), std::uint32_t{message.seccomp});
    put_text(frame.payload(), cut(message.missing, max_refusal_text));
    return std::move(frame).finish();
}

std::string encode_one(const NarinfoCame& message) {
    const auto* text = std::get_if<std::string>(&message.answer);
    Message frame(text != nullptr ? narinfo : narinfo_refused);
    put(frame.payload(), message.id);
    frame.payload() += text != nullptr ? *text : encode(std::get<Refusal>(message.answer));
    return std::move(frame).finish();
}

Result<ToFetcher> decode_setup(std::string_view payload) {
    Reader reader(payload);
    Setup message;
    message.user_agent = SENV_TRY(reader.str("user_agent", max_name));
    message.connect = SENV_TRY(seconds(reader, "connect_s"));
    message.stall = SENV_TRY(seconds(reader, "stall_s"));
    message.transfers = SENV_TRY(bounded(reader, "transfers", max_transfers));
    const auto folders = SENV_TRY(bounded(reader, "folders", max_folders));
    for (std::uint32_t i = 0; i < folders; ++i) message.folders.push_back(SENV_TRY(reader.str("folder", max_path)));
    SENV_TRY(reader.end());
    return ToFetcher(std::move(message));
}

Result<ToFetcher> decode_ask(std::string_view payload) {
    Reader reader(payload);
    const auto id = SENV_TRY(reader.u64("id"));
    auto origin = SENV_TRY(reader.str("origin", max_message));
    auto item = SENV_TRY(StorePath::parse(SENV_TRY(reader.str("item", max_name))));
    SENV_TRY(reader.end());
    return ToFetcher(AskNarinfo{id, std::move(origin), std::move(item)});
}

Result<ToFetcher> decode_fetch(std::string_view payload) {
    Reader reader(payload);
    FetchNar message;
    message.slot = SENV_TRY(bounded(reader, "slot", max_transfers - 1));
    message.ticket = SENV_TRY(reader.u32("ticket"));
    message.url = SENV_TRY(reader.str("url", max_message));
    message.compression = static_cast<Compression>(
        SENV_TRY(bounded(reader, "compression", static_cast<std::uint32_t>(Compression::lzip))));
    message.nar_size = SENV_TRY(reader.u64("nar_size"));
    constexpr std::uint64_t longest = std::uint64_t{max_seconds} * 1000 * 365;
    message.left = std::chrono::milliseconds(std::min(SENV_TRY(reader.u64("left_ms")), longest));
    SENV_TRY(reader.end());
    return ToFetcher(std::move(message));
}

Result<ToFetcher> decode_cancel(std::string_view payload) {
    Reader reader(payload);
    Cancel message;
    message.slot = SENV_TRY(bounded(reader, "slot", max_transfers - 1));
    message.ticket = SENV_TRY(reader.u32("ticket"));
    SENV_TRY(reader.end());
    return ToFetcher(message);
}

Result<FromFetcher> decode_ready(std::string_view payload) {
    Reader reader(payload);
    Ready message;
    message.landlock = SENV_TRY(reader.u32("landlock"));
    message.seccomp = SENV_TRY(bounded(reader, "seccomp", 1)) == 1;
    message.missing = cut(SENV_TRY(reader.str("missing", max_refusal_text)), max_refusal_text);
    SENV_TRY(reader.end());
    return FromFetcher(std::move(message));
}

Result<FromFetcher> decode_narinfo(std::string_view payload) {
    Reader reader(payload);
    const auto id = SENV_TRY(reader.u64("id"));
    const auto text = payload.substr(sizeof id);
    if (text.size() > max_narinfo_bytes) return Error(Kind::corrupt, "a narinfo is too long");
    return FromFetcher(NarinfoCame{id, std::string(text)});
}

Result<FromFetcher> decode_narinfo_refused(std::string_view payload) {
    Reader reader(payload);
    const auto id = SENV_TRY(reader.u64("id"));
    return FromFetcher(NarinfoCame{id, SENV_TRY(decode_refusal(payload.substr(sizeof id)))});
}

Error unknown(std::uint32_t type) {
    return {Kind::corrupt, "there is no message of type " + std::to_string(type)};
}

}  // namespace

std::string encode(const ToFetcher& message) {
    return std::visit([](const auto& one) { return encode_one(one); }, message);
}

std::string encode(const FromFetcher& message) {
    return std::visit([](const auto& one) { return encode_one(one); }, message);
}

std::string encode(const Refusal& refusal) {
    std::string out;
    put(out, static_cast<std::uint32_t>(refusal.outcome));
    put(out, static_cast<std::uint32_t>(refusal.error.kind()));
    put(out, refusal.wished ? seconds_of(*refusal.wished) : std::uint32_t{0});
    put_text(out, cut(refusal.error.what(), max_refusal_text));
    put_text(out, cut(refusal.error.hint(), max_refusal_text / 2));
    return out;
}

Result<Refusal> decode_refusal(std::string_view bytes) {
    Reader reader(bytes);
    const auto outcome = SENV_TRY(bounded(reader, "outcome", static_cast<std::uint32_t>(Outcome::stopped)));
    const auto kind = SENV_TRY(bounded(reader, "kind", static_cast<std::uint32_t>(Kind::bug)));
    const auto wished = SENV_TRY(seconds(reader, "wished_s"));
    // Printable once more: whoever took the fetcher over need not have done so.
    Error error(static_cast<Kind>(kind), cut(SENV_TRY(reader.str("what", max_refusal_text)), max_refusal_text));
    std::string hint = cut(SENV_TRY(reader.str("hint", max_refusal_text / 2)), max_refusal_text / 2);
    SENV_TRY(reader.end());
    if (!hint.empty()) error = std::move(error).hint(std::move(hint));
    return Refusal{static_cast<Outcome>(outcome), std::move(error),
                   wished.count() > 0 ? std::optional(wished) : std::nullopt};
}

Result<ToFetcher> decode_to_fetcher(const Frame& frame) {
    switch (frame.type) {
        case setup: return decode_setup(frame.payload);
        case ask_narinfo: return decode_ask(frame.payload);
        case fetch_nar: return decode_fetch(frame.payload);
        case cancel: return decode_cancel(frame.payload);
        default: return unknown(frame.type);
    }
}

Result<FromFetcher> decode_from_fetcher(const Frame& frame) {
    switch (frame.type) {
        case ready: return decode_ready(frame.payload);
        case narinfo: return decode_narinfo(frame.payload);
        case narinfo_refused: return decode_narinfo_refused(frame.payload);
        default: return unknown(frame.type);
    }
}

void Frames::add(std::string_view bytes) {
    bytes_.erase(0, used_);
    used_ = 0;
    bytes_ += bytes;
}

Result<std::optional<Frame>> Frames::next() {
    const std::string_view rest = std::string_view(bytes_).substr(used_);
    if (rest.size() < header_bytes) {
        // A long message must not keep its memory for ever.
        if (rest.empty() && bytes_.capacity() > max_message / 4) std::string().swap(bytes_), used_ = 0;
        return std::optional<Frame>();
    }
    Reader reader(rest);
    const auto length = SENV_TRY(reader.u32("length"));
    const auto type = SENV_TRY(reader.u32("type"));
    if (length > max_message - header_bytes) {
        return Error(Kind::corrupt, "a message announces " + std::to_string(length) + " bytes");
    }
    if (rest.size() - header_bytes < length) return std::optional<Frame>();
    used_ += header_bytes + length;
    return std::optional<Frame>(Frame{type, rest.substr(header_bytes, length)});
}

}  // namespace senv::channel
