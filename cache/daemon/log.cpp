#include "cache/daemon/log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "cache/daemon/clock.h"

namespace senv {

namespace {

constexpr std::size_t max_value = 4096;

std::string_view name_of(Level level) noexcept {
    switch (level) {
        case Level::info: return "info";
        case Level::warning: return "warning";
        case Level::error: return "error";
    }
    return "error";
}

void append(std::string& line, std::string_view key, std::string_view value) {
    line += ' ';
    line += key;
    line += '=';
    const std::string shown = printable(value, max_value);
    const bool plain = !shown.empty() && shown.find_first_of(" \"\\=") == std::string::npos;
    if (plain) {
        line += shown;
        return;
    }
    line += '"';
    for (const char c : shown) {
        if (c == '"') line += '\\';
        line += c;
    }
    line += '"';
}

std::string begin(std::int64_t at, Level level, std::string_view event) {
    const std::time_t seconds = at;
    struct tm utc = {};
    ::gmtime_r(&seconds, &utc);
    std::array<char, 32> time{};
    std::strftime(time.data(), time.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return std::string("time=") + time.data() + " level=" + std::string(name_of(level)) +
           " event=" + std::string(event);
}

void write_line(std::string line) {
    line += '\n';
    (void)write_all(STDERR_FILENO, line);  // who would be told?
}

}  // namespace

std::string log_line(std::int64_t at, Level level, std::string_view event, std::initializer_list<Field> fields) {
    std::string line = begin(at, level, event);
    for (const auto& field : fields) append(line, field.key, field.value);
    return line;
}

void log(Level level, std::string_view event, std::initializer_list<Field> fields) noexcept {
    (void)contained([&]() -> Result<void> {
        write_line(log_line(now().unix_time, level, event, fields));
        return {};
    });
}

void log_error(Level level, std::string_view event, const Error& error, std::initializer_list<Field> fields) noexcept {
    (void)contained([&]() -> Result<void> {
        std::string line = log_line(now().unix_time, level, event, fields);
        append(line, "kind", senv::name_of(error.kind()));
        append(line, "error", error.what());
        if (!error.hint().empty()) append(line, "hint", error.hint());
        write_line(std::move(line));
        return {};
    });
}

}  // namespace senv
