#include "spank/options.h"

#include <pwd.h>

#include <algorithm>
#include <array>

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

std::string given_as(Option option, std::string_view value) {
    const std::string name = std::string("--") + text_of(option).name;
    const bool stands_alone = text_of(option).form == Form::flag && value == flag_value;
    return stands_alone ? name : name + "=" + printable(value);
}

Error contradiction(Option option, std::string_view one, std::string_view other, Place place) {
    const std::string where = place == Place::command_line ? "on the command line" : "in #SBATCH lines";
    return Error(Kind::usage, "cannot use both " + given_as(option, one) + " and " + given_as(option, other) + " " +
                                  where + ": only one of them can count")
        .hint("leave one of them out");
}

Result<void> check_size(Option option, std::size_t bytes, const std::string& doing) {
    if (bytes < max_option_bytes) return {};
    const OptionText& text = text_of(option);
    Error error(Kind::usage,
                doing + std::to_string(bytes) + " bytes, the limit is " + std::to_string(max_option_bytes - 1));
    const bool is_file = text.form == Form::file || text.form == Form::files;
    if (text.role != Role::names || is_file) return error;
    return std::move(error).hint("put the packages into a manifest file and give its name");
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
    SENV_TRY(check_size(option, value.size(), doing + "it has "));
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

Result<std::vector<std::string>> together(Option option, std::vector<std::string> values, Place place) {
    const auto unlike = [&](std::string_view one) {
        return std::ranges::find_if(values, [&](const auto& other) { return other != one; });
    };
    const OptionText& text = text_of(option);
    if (text.form == Form::flag) std::ranges::replace(values, "1", std::string(flag_value));
    const bool has_none = std::ranges::find(values, no_value) != values.end();
    if (has_none || (text.repeated == Repeated::once && !values.empty())) {
        const auto other = unlike(values.front());
        if (other != values.end()) return contradiction(option, values.front(), *other, place);
        return has_none ? std::vector<std::string>() : std::vector{values.front()};
    }
    const std::string doing = std::string("cannot use the values of --") + text.name + ": ";
    if (text.repeated == Repeated::either && values.size() > 1) {
        values = {join(values, "|")};
        SENV_TRY(check_pattern(values.front(), doing));
    }
    std::size_t bytes = 0;
    for (const auto& value : values) bytes += value.size() + 1;
    if (values.size() > 1) SENV_TRY(check_size(option, bytes - 1, doing + "together they have "));
    return values;
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

Result<uid_t> Settings::senvd_uid() const {
    if (const auto number = parse_decimal(user)) return static_cast<uid_t>(*number);
    struct passwd entry = {};
    struct passwd* found = nullptr;
    std::array<char, 16384> buffer = {};
    const int err = ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return entry.pw_uid;
    if (err != 0) return Error::sys(err, "cannot look up the user '" + user + "'");
    return Error(Kind::missing, "cannot look up the user '" + user + "': there is none on this node")
        .hint("ask the administrator to create senvd's user on this node (installing senv does)");
}

}  // namespace senv
