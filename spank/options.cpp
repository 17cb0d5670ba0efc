#include "spank/options.h"

#include <algorithm>

#include "cache/base/text.h"

namespace senv {

namespace {

Result<void> check_flag(std::string_view value, const std::string& doing) {
    if (value == flag_value || value == "1" || value == no_value) return {};
    return Error(Kind::usage, doing + "'" + printable(value) + "' is neither yes nor none");
}

Result<void> check_passthrough(std::string_view value, const std::string& doing) {
    if (value == "use" || value == "ignore" || value == "error" || value == no_value) return {};
    return Error(Kind::usage, doing + "'" + printable(value) + "' is none of use, ignore and error");
}

Result<void> check_build(std::string_view value, const std::string& doing) {
    if (value == "never" || value == "here" || value == no_value) return {};
    return Error(Kind::usage, doing + "'" + printable(value) + "' is neither never nor here");
}

Result<void> check_pattern(std::string_view value, const std::string& doing) {
    if (value.size() > max_pattern_bytes) {
        return Error(Kind::usage, doing + "it has " + std::to_string(value.size()) + " bytes, the limit is " +
                                      std::to_string(max_pattern_bytes));
    }
    SENV_TRY(Pattern::compile(std::string(value)).in(doing.substr(0, doing.size() - 2)));
    return {};
}

}  // namespace

Result<void> check_value(Option option, std::string_view value, std::string_view where) {
    const std::string doing = "cannot use the value of " + std::string(where) + ": ";
    const OptionText& text = text_of(option);
    if (value.empty()) return Error(Kind::usage, doing + "it is empty");
    if (value.size() >= max_option_bytes) {
        Error error(Kind::usage, doing + "it has " + std::to_string(value.size()) + " bytes, the limit is " +
                                     std::to_string(max_option_bytes - 1));
        const bool is_file = text.form == Form::file || text.form == Form::files;
        if (text.role != Role::names || is_file) return error;
        return std::move(error).hint("put the packages into a manifest file and give its name");
    }
    const auto is_control = [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; };
    if (std::ranges::any_of(value, is_control)) {
        return Error(Kind::usage, doing + "it holds a control character: '" + printable(value) + "'");
    }
    const bool is_list = text.form == Form::list || text.form == Form::files;
    if (is_list && std::ranges::any_of(split(value, ','), &std::string_view::empty)) {
        return Error(Kind::usage, doing + "nothing stands before or behind a comma: '" + printable(value) + "'");
    }
    if (text.form == Form::flag) return check_flag(value, doing);
    if (option == Option::build) return check_build(value, doing);
    if (option == Option::passthrough) return check_passthrough(value, doing);
    if (option == Option::preserve) return check_pattern(value, doing);
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
        else if (key == "slurm_commands")
            path = &settings.slurm_commands;
        if (path != nullptr) {
            if (!value.starts_with('/')) return bad("it must be an absolute path");
            if (path == &settings.slurm_commands && value.find(':') != std::string_view::npos) {
                return bad("it must be one folder, without a colon");
            }
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
            return bad("no such key; the keys are senv, socket, user, store, slurm_commands, fetch_limit");
        }
    }
    return settings;
}

}  // namespace senv
