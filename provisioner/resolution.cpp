#include "provisioner/resolution.h"

#include <algorithm>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t max_bytes = 4096;
constexpr std::size_t digest_digits = 64;
constexpr std::size_t max_commit_digits = 64;
constexpr std::size_t max_channel_name = 64;
constexpr std::size_t max_source = 200;

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
        if (!is_name(name) || !is_hex(commit) || commit.size() > max_commit_digits) return bad("channels", part);
        channels.push_back({std::string(name), std::string(commit)});
    }
    return channels;
}

}  // namespace

Result<Resolution> Resolution::parse(std::string_view text) {
    if (text.size() > max_bytes) return bad("length", std::to_string(text.size()));
    if (!std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; })) return bad("character in", text);
    const auto fields = split(text, ' ');
    if (fields[0] != "1") return bad("version", fields[0]);
    if (fields.size() != 5) return bad("number of fields", std::to_string(fields.size()));
    auto profile = StorePath::parse_absolute(fields[1]);
    if (!profile) return bad("profile", fields[1]);
    const auto digest = SENV_TRY(value_of(fields[2], "lock"));
    if (!is_hex(digest) || digest.size() != digest_digits) return bad("lock", digest);
    auto channels = SENV_TRY(parse_channels(SENV_TRY(value_of(fields[3], "channels"))));
    const auto source = SENV_TRY(value_of(fields[4], "from"));
    if (source.empty() || source.size() > max_source) return bad("from", source);
    return Resolution{*std::move(profile), std::string(digest), std::move(channels), std::string(source)};
}

std::string Resolution::encode() const {
    std::string text = "1 " + profile.absolute() + " lock=" + lock_digest + " channels=";
    for (std::size_t i = 0; i < channels.size(); ++i) {
        if (i > 0) text += ',';
        text += channels[i].name + '@' + channels[i].commit;
    }
    return text + " from=" + source;
}

}  // namespace senv
