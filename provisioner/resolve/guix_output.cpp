#include "provisioner/resolve/guix_output.h"

#include <algorithm>
#include <optional>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t max_cause = 900;  // twenty names of packages
constexpr std::size_t max_hint = 4000;  // all CPUs that a compiler knows
// Of the line in an excerpt, in bytes.
constexpr std::size_t excerpt_before = 80;
constexpr std::size_t excerpt_behind = 100;

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

// "FILE:12:3" at the beginning; what stands behind it, from the ':' on.
struct Location {
    std::string_view file;
    std::size_t line = 0;
    std::size_t column = 0;
    std::string_view rest;
};

std::optional<Location> location_in(std::string_view text) {
    Location found;
    for (std::size_t colon = text.find(':'); colon != std::string_view::npos; colon = text.find(':', colon + 1)) {
        std::string_view behind = text.substr(colon + 1);
        const auto number = [&]() -> std::optional<std::size_t> {
            const auto end = std::min(behind.find_first_not_of("0123456789"), behind.size());
            const auto value = parse_decimal(behind.substr(0, end));
            behind.remove_prefix(end);
            return value;
        };
        if (behind.empty() || !is_digit(behind.front())) continue;
        const auto line = number();
        if (!line || !behind.starts_with(':')) continue;
        behind.remove_prefix(1);
        const auto column = number();
        if (!column || !behind.starts_with(':')) continue;
        found.file = text.substr(0, colon);
        found.line = *line;
        found.column = *column;
        found.rest = behind;
        return found;
    }
    return std::nullopt;
}

// "guix build: error: TEXT" gives TEXT.
std::optional<std::string_view> guix_error(std::string_view line) {
    static constexpr std::string_view mark = ": error: ";
    if (!line.starts_with("guix ") && !line.starts_with("guix:")) return std::nullopt;
    const auto at = line.find(mark);
    if (at == std::string_view::npos || at > 40) return std::nullopt;
    return line.substr(at + mark.size());
}

using Names = std::vector<std::pair<std::string, std::string>>;

bool is_warning(const Location& location) {
    return location.rest.starts_with(": warning: ");
}

// Is it an error in one of the files that Guix was given?
bool is_about(std::string_view line, const Names& names) {
    const auto location = location_in(line);
    return location && !is_warning(*location) &&
           std::ranges::any_of(names, [&](const auto& name) { return location->file == name.first; });
}

// Is it an error in some file with a full path? Compilers write the same.
bool is_located(std::string_view line) {
    const auto location = line.starts_with('/') ? location_in(line) : std::nullopt;
    return location && !is_warning(*location);
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

// Of an error in line `i`: what stands behind a line feed in the name of an unknown package, else nothing.
std::string rest_of_name(const std::vector<std::string>& lines, std::size_t i) {
    std::string rest;
    while (++i < lines.size() && !guix_error(lines[i])) {
        rest += "\n" + lines[i];
        if (rest.ends_with(": unknown package")) return rest;
    }
    return {};
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    if (from.empty()) return;
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
}

std::vector<std::string> lines_of(std::string_view messages) {
    std::vector<std::string> lines;
    for (const std::string_view line : split(messages, '\n')) {
        // What a carriage return hides on a terminal is a progress bar.
        std::string_view visible = line;
        while (visible.ends_with('\r')) visible.remove_suffix(1);
        if (const auto at = visible.rfind('\r'); at != std::string_view::npos) visible.remove_prefix(at + 1);
        lines.push_back(without_decoration(visible));
    }
    return lines;
}

// As our hints are: without a capital letter, unless it is a name's, and without a full stop.
std::string as_ours(std::string hint) {
    const auto is_capital = [](char c) { return c >= 'A' && c <= 'Z'; };
    if (hint.size() > 1 && is_capital(hint[0]) && !is_capital(hint[1]) && !hint.starts_with("Guix")) {
        hint[0] = static_cast<char>(hint[0] - 'A' + 'a');
    }
    if (hint.ends_with('.') && !hint.ends_with("..")) hint.pop_back();
    return hint;
}

// The lines from a "hint:" on, as one. An empty line ends them, unless what stands before it announces something: a list.
std::string hint_in(const std::vector<std::string>& lines) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (!lines[i].starts_with("hint: ") || lines[i].find("locale") != std::string::npos) continue;
        std::string hint(trimmed(std::string_view(lines[i]).substr(6)));
        for (++i; i < lines.size() && !guix_error(lines[i]); ++i) {
            const auto line = trimmed(lines[i]);
            if (line.empty() && !hint.ends_with(':')) break;
            if (line.empty()) continue;
            hint += ' ';
            hint += line;
        }
        return as_ours(std::move(hint));
    }
    return {};
}

// What helps with a cause that Guix gives no hint for.
std::string our_hint(std::string_view what, const std::vector<std::string>& lines) {
    const auto says = [&](std::string_view part) { return what.find(part) != std::string_view::npos; };
    if (says("failed to connect to") || says("connection refused") || says("Connection refused")) {
        return "start guix-daemon, or set GUIX_DAEMON_SOCKET to where it listens";
    }
    if (says("unknown package") || says("package not found")) {
        return "look for the name with `guix search`, with the same channels";
    }
    if (says("Unbound variable: ")) {
        return "name the module too, as in (@ (gnu packages base) hello)";
    }
    if (says("signature") || says("not signed") || says("authenticat") || says("introduction")) {
        return "check the channel's URL, commit and introduction in the channel file";
    }
    for (const std::string& line : lines) {
        static constexpr std::string_view mark = "View build log at '";
        if (!line.starts_with(mark)) continue;
        return "read the build log " + line.substr(mark.size(), line.rfind('\'') - mark.size());
    }
    return {};
}

// "failed to load 'm.scm': m.scm:2:1: TEXT" says the name twice, or one that means nothing to the user; the reader counts columns from 1 and behind the character.
void shorten(std::string& what) {
    for (const std::string_view prefix : {"failed to load '", "read error while loading '"}) {
        if (!what.starts_with(prefix)) continue;
        const auto end = what.find("': ");
        if (end == std::string::npos) return;
        const std::string name = what.substr(prefix.size(), end - prefix.size());
        std::string rest = what.substr(end + 3);
        if (name.empty()) {
            what = std::move(rest);
            return;
        }
        const auto location = location_in(rest);
        if (!location || location->file != name) return;
        const std::size_t back = prefix.starts_with("read") ? 2 : 0;
        const std::size_t column = location->column > back ? location->column - back : 0;
        what = name + ":" + std::to_string(location->line) + ":" + std::to_string(column) + std::string(location->rest);
        return;
    }
}

// "failed to read expression "(a": (read-error #f "#<unknown port>:1:3: TEXT ~A" (ARGUMENT) #f)", written as if the expression
// were a file.
void name_read_error(std::string& what) {
    static constexpr std::string_view mark = "\": (read-error #f \"#<unknown port>:";
    const auto found = what.rfind(mark);
    if (!what.starts_with("failed to read expression \"") || found == std::string::npos) return;
    std::string text;
    std::size_t at = found + mark.size();
    for (; at < what.size() && what[at] != '"'; ++at) {
        if (what[at] == '\\' && at + 1 < what.size()) ++at;
        text += what[at];
    }
    std::string_view argument = std::string_view(what).substr(std::min(at + 3, what.size()));  // behind `" (`
    if (argument.ends_with(") #f)")) argument.remove_suffix(5);
    if (argument.starts_with("#\\")) argument.remove_prefix(2);
    for (const std::string_view place : {"~A", "~S"}) {
        if (const auto here = text.find(place); here != std::string::npos) text.replace(here, place.size(), argument);
    }
    what =
        "read error while loading '" + std::string(expression_name) + "': " + std::string(expression_name) + ":" + text;
}

// `exit` throws, and what loads the file or evaluates the expression complains about the throw.
void name_exit(Cause& cause) {
    static constexpr std::string_view file = "failed to load '";
    static constexpr std::string_view expression = "failed to evaluate expression '";
    const std::string_view what = cause.what;
    const bool is_file = what.starts_with(file) && what.find("Throw to key `quit' with args ") != std::string::npos;
    // Guix cannot say what was thrown.
    const bool is_expression =
        what.starts_with(expression) && what.ends_with("':") && what.find("(exit") != std::string::npos;
    if (!is_file && !is_expression) return;
    const std::string name(is_file ? what.substr(file.size(), what.find("': ") - file.size()) : "");
    cause.what = (is_file ? "'" + name + "'" : "the expression") + " ended Guix by calling exit";
    cause.hint = "leave out the call of `exit`";
}

// Of UTF-8.
bool is_inside_character(char c) noexcept {
    return (static_cast<unsigned char>(c) & 0xc0U) == 0x80;
}

std::size_t characters_in(std::string_view text) {
    return text.size() - static_cast<std::size_t>(std::ranges::count_if(text, is_inside_character));
}

// Where in the line Guile's column is: it counts characters, and goes on at a multiple of 8 behind a tab.
std::optional<std::size_t> offset_of(std::string_view line, std::size_t wanted) {
    std::size_t at = 0;
    std::size_t column = 0;
    while (column < wanted && at < line.size()) {
        column = line[at] == '\t' ? (column / 8 + 1) * 8 : column + 1;
        for (++at; at < line.size() && is_inside_character(line[at]);) ++at;
    }
    if (column < wanted) return std::nullopt;
    return at;
}

}  // namespace

std::string without_decoration(std::string_view line) {
    static constexpr std::string_view bar_end = "▏";
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] != '\x1b') {
            text += line[i];
            continue;
        }
        // ESC [ parameters letter: colours (m), "erase the line" (K), the cursor (h, l). Others are somebody's text.
        const auto end = line.find_first_not_of("0123456789;?", i + 2);
        if (line.substr(i).starts_with("\x1b[") && end != std::string_view::npos &&
            std::string_view("mKhl").find(line[end]) != std::string_view::npos) {
            i = end;
        } else {
            text += line[i];
        }
    }
    if (const auto at = text.rfind(bar_end); at != std::string::npos) text.erase(0, at + bar_end.size());
    return text;
}

Cause cause_of(std::string_view messages, const Names& names, const std::string& by_hand) {
    const std::vector<std::string> lines = lines_of(messages);
    Cause cause;
    for (std::size_t i = 0; i < lines.size() && cause.what.empty(); ++i) {
        if (const auto text = guix_error(lines[i])) {
            cause.what = std::string(trimmed(*text)) + rest_of_name(lines, i);
        } else if (is_about(lines[i], names)) {
            cause.what = trimmed(lines[i]);
        }
        // "failed to load 'FILE':" and "In procedure F:" go on in the next line.
        while (cause.what.ends_with(':') && i + 1 < lines.size() && !guix_error(lines[i + 1])) {
            cause.what += ' ';
            cause.what += trimmed(lines[++i]);
        }
    }
    // Where Guix knows no place, it names none, nor itself.
    static constexpr std::string_view bare = "error: ";
    const auto is_bare = [](std::string_view line) { return line.starts_with(bare); };
    if (const auto found = std::ranges::find_if(lines, is_bare); cause.what.empty() && found != lines.end()) {
        cause.what = trimmed(std::string_view(*found).substr(bare.size()));
    }
    // Then a file that one of them loads, then whatever came last.
    if (const auto found = std::ranges::find_if(lines, is_located); cause.what.empty() && found != lines.end()) {
        cause.what = trimmed(*found);
    }
    const auto is_text = [](std::string_view line) { return !trimmed(line).empty(); };
    if (const auto found = std::find_if(lines.rbegin(), lines.rend(), is_text);
        cause.what.empty() && found != lines.rend()) {
        cause.what = trimmed(*found);
    }
    if (cause.what.empty()) cause.what = "Guix failed and did not say why";

    if (const auto location = location_in(cause.what); location && location->rest.starts_with(": error: ")) {
        const auto at = static_cast<std::size_t>(location->rest.data() - cause.what.data());
        cause.what.erase(at, std::string_view(": error").size());
    }
    cause.hint = hint_in(lines);
    if (cause.hint.empty()) cause.hint = our_hint(cause.what, lines);
    for (const auto& [given, name] : names) {
        replace_all(cause.what, given, name);
        replace_all(cause.hint, given, name);
    }
    name_read_error(cause.what);
    shorten(cause.what);
    name_exit(cause);
    if (cause.hint.empty()) {
        const auto location = location_in(cause.what);
        const bool is_in_input =
            location && std::ranges::any_of(names, [&](const auto& name) { return location->file == name.second; });
        if (is_in_input) {
            cause.hint = "correct the file at that line and column";
        } else if (location && location->file == expression_name) {
            cause.hint = "correct the expression at that line and column";
        } else {
            cause.hint = "try the same with `" + by_hand + "`, to see all that Guix says";
        }
    }
    cause.what = printable(cause.what, max_cause);
    cause.hint = printable(cause.hint, max_hint);
    return cause;
}

bool tells_of_tuning(std::string_view line) {
    const std::string text = without_decoration(line);
    const auto at = text.find(": tuning ");
    return at != std::string::npos && text.find(" for CPU ", at) != std::string::npos;
}

std::string excerpt(std::string_view what, std::string_view name, std::string_view text) {
    const auto location = location_in(what);
    if (!location || location->file != name || location->line == 0) return {};
    const auto lines = split(text, '\n');
    if (location->line > lines.size()) return {};
    const std::string_view line = lines[location->line - 1];
    const auto at = offset_of(line, location->column);
    if (trimmed(line).empty() || !at) return {};
    std::size_t begin = *at > excerpt_before ? *at - excerpt_before : 0;
    while (begin < *at && is_inside_character(line[begin])) ++begin;
    // What remains of a tab is one blank: what comes behind it would stand elsewhere than here in any case.
    std::string shown(line.substr(begin));
    std::ranges::replace(shown, '\t', ' ');
    const std::string before =
        (begin > 0 ? "…" : "") + printable(std::string_view(shown).substr(0, *at - begin), std::string::npos);
    return "\n  " + before + printable(std::string_view(shown).substr(*at - begin), excerpt_behind) + "\n  " +
           std::string(characters_in(before), ' ') + "^";
}

}  // namespace senv
