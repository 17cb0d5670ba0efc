#include "provisioner/resolution.h"

#include <algorithm>
#include <optional>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t max_bytes = 4096;
constexpr std::size_t digest_digits = 64;
constexpr std::size_t max_commit_digits = 64;
constexpr std::size_t max_channel_name = 64;
constexpr std::size_t max_source = 200;
constexpr std::string_view no_lock = "none";

Error bad(std::string_view field, std::string_view found) {
    return {Kind::corrupt, "cannot read the resolution in " + std::string(resolution_variable) + ": bad " +
                               std::string(field) + " '" + printable(found) + "'"};
}

bool is_hex(std::string_view text) {
    return !text.empty() &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= max_channel_name && std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
               c == '.' || c == '+';
    });
}

Result<std::string_view> value_of(std::string_view field, std::string_view key) {
    if (!field.starts_with(key) || !field.substr(key.size()).starts_with('=')) return bad(key, field);
    return field.substr(key.size() + 1);
}

Result<std::vector<ChannelCommit>> parse_channels(std::string_view text) {
    std::vector<ChannelCommit> channels;
    if (text.empty()) return channels;
    for (const auto part : split(text, ',')) {
        const auto at = part.find('@');
        if (at == std::string_view::npos) return bad("channels", part);
        const auto name = part.substr(0, at);
        const auto commit = part.substr(at + 1);
        if (!is_channel(name, commit)) return bad("channels", part);
        channels.push_back({std::string(name), std::string(commit)});
    }
    return channels;
}

bool is_unreserved(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.';
}

std::string percent_encoded(std::string_view text) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string encoded;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (is_unreserved(c)) {
            encoded += c;
        } else {
            encoded += {'%', digits[byte >> 4U], digits[byte & 15U]};
        }
    }
    return encoded;
}

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_unreserved(text[i])) {
            decoded += text[i];
            continue;
        }
        const auto code = text.substr(i, 3);
        if (code.size() != 3 || code[0] != '%' || !is_hex(code.substr(1))) return std::nullopt;
        decoded += static_cast<char>(std::stoi(std::string(code.substr(1)), nullptr, 16));
        i += 2;
    }
    return decoded;
}

Result<Keeping> parse_keeping(std::string_view text) {
    const auto colon = text.find(':');
    const auto how = text.substr(0, colon);
    if (how != "plain" && how != "pure") return bad("enter", text);
    Keeping keeping{how == "pure", {}};
    if (colon == std::string_view::npos) return keeping;
    auto preserve = percent_decoded(text.substr(colon + 1));
    if (!preserve || preserve->empty() || preserve->find('\0') != std::string::npos) return bad("enter", text);
    if (percent_encoded(*preserve) != text.substr(colon + 1)) return bad("enter", text);
    keeping.preserve = *std::move(preserve);
    return keeping;
}

}  // namespace

bool is_channel(std::string_view name, std::string_view commit) {
    return is_name(name) && is_hex(commit) && commit.size() <= max_commit_digits;
}

Result<Resolution> Resolution::parse(std::string_view text) {
    if (text.size() > max_bytes) return bad("length", std::to_string(text.size()));
    if (!is_printable_ascii(text)) return bad("character in", text);
    const auto fields = split(text, ' ');
    if (fields[0] != "1") return bad("version", fields[0]);
    if (fields.size() != 6) return bad("number of fields", std::to_string(fields.size()));
    auto profile = StorePath::parse_absolute(fields[1]);
    if (!profile) return bad("profile", fields[1]);
    const auto digest = SENV_TRY(value_of(fields[2], "lock"));
    const bool has_lock = digest != no_lock;
    if (has_lock && (!is_hex(digest) || digest.size() != digest_digits)) return bad("lock", digest);
    auto channels = SENV_TRY(parse_channels(SENV_TRY(value_of(fields[3], "channels"))));
    auto keeping = SENV_TRY(parse_keeping(SENV_TRY(value_of(fields[4], "enter"))));
    const auto source = SENV_TRY(value_of(fields[5], "from"));
    if (source.empty() || source.size() > max_source) return bad("from", source);
    return Resolution{*std::move(profile), std::string(has_lock ? digest : ""), std::move(channels),
                      std::string(source), std::move(keeping)};
}

std::string Resolution::encode() const {
    return "1 " + profile.absolute() + " " + details();
}

std::string Resolution::details() const {
    std::string text = "lock=";
    text += lock_digest.empty() ? no_lock : std::string_view(lock_digest);
    text += " channels=";
    for (std::size_t i = 0; i < channels.size(); ++i) {
        if (i > 0) text += ',';
        text += channels[i].name + '@' + channels[i].commit;
    }
    text += keeping.pure ? " enter=pure" : " enter=plain";
    if (!keeping.preserve.empty()) text += ":" + percent_encoded(keeping.preserve);
    return text + " from=" + source;
}

}  // namespace senv
