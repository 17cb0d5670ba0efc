#include "spank/options.h"

#include <algorithm>

#include "cache/base/text.h"

namespace senv {

Result<void> check_value(Option option, std::string_view value) {
    const std::string doing =
        std::string("cannot use the value of --") + option_texts[static_cast<std::size_t>(option)].name + ": ";
    if (value.empty()) return Error(Kind::usage, doing + "it is empty");
    if (value.size() >= max_option_bytes) {
        return Error(Kind::usage, doing + "it has " + std::to_string(value.size()) + " bytes, the limit is " +
                                      std::to_string(max_option_bytes - 1))
            .hint("put the packages into a manifest file and give its name");
    }
    const auto is_control = [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; };
    if (std::ranges::any_of(value, is_control)) {
        return Error(Kind::usage, doing + "it holds a control character: '" + printable(value) + "'");
    }
    return {};
}

Result<Settings> Settings::parse(std::span<const char* const> words) {
    constexpr std::uint64_t longest_fetch = 7 * 86400;
    Settings settings;
    for (const std::string_view word : words) {
        const auto equals = word.find('=');
        const auto key = word.substr(0, equals);
        const auto value = equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
        const auto bad = [&](std::string_view cause) {
            return Error(Kind::usage, "cannot use '" + printable(word) + "' in plugstack.conf: " + std::string(cause))
                .hint("ask the administrator to correct the line of spank_senv.so in plugstack.conf");
        };
        std::string* path = nullptr;
        if (key == "senv")
            path = &settings.senv;
        else if (key == "socket")
            path = &settings.socket;
        else if (key == "store")
            path = &settings.store;
        if (path != nullptr) {
            if (!value.starts_with('/')) return bad("it must be an absolute path");
            *path = value;
        } else if (key == "user") {
            if (value.empty()) return bad("it is empty");
            settings.user = value;
        } else if (key == "fetch_limit") {
            const auto seconds = parse_decimal(value);
            if (!seconds || *seconds == 0 || *seconds > longest_fetch) {
                return bad("it must be a number of seconds from 1 to " + std::to_string(longest_fetch));
            }
            settings.fetch_limit = std::chrono::seconds(*seconds);
        } else {
            return bad("no such key; the keys are senv, socket, user, store, fetch_limit");
        }
    }
    return settings;
}

}  // namespace senv
