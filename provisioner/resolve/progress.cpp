#include "provisioner/resolve/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "cache/base/text.h"
#include "cache/formats/store_path.h"
#include "provisioner/resolve/guix_output.h"
#include "provisioner/resolve/program.h"

namespace senv {

namespace {

constexpr std::chrono::seconds patience(2);
constexpr std::chrono::seconds between_rewrites(1);
constexpr std::chrono::seconds between_lines(10);
constexpr std::size_t max_listed = 2000;  // bytes

// The name and version in the first store path of the line: "/gnu/store/HASH-hello-2.12.drv..." gives "hello-2.12".
std::string item_in(std::string_view line) {
    const auto at = line.find(store_prefix);
    if (at == std::string_view::npos) return {};
    std::string_view name = line.substr(at + store_prefix.size());
    name = name.substr(0, name.find_first_of(" '`\"…"));
    while (name.ends_with('.')) name.remove_suffix(1);
    if (name.ends_with(".drv")) name.remove_suffix(4);
    return name.size() > 33 ? std::string(name.substr(33)) : std::string();
}

std::size_t terminal_columns() {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

void print(const std::string& text) {
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
}

}  // namespace

Progress::Progress(std::string what, Mode mode, Deadline now)
    : what_(std::move(what)),
      mode_(mode),
      begin_(now),
      next_(now + (mode == Mode::lines ? std::chrono::seconds(between_lines) : patience)) {}

Progress::~Progress() {
    clear();
}

void Progress::clear() {
    if (std::exchange(shown_, false) && mode_ == Mode::terminal) print("\r\x1b[K");
}

void Progress::saw(std::string_view line, Deadline now) {
    if (mode_ == Mode::verbose) {
        if (!line.empty()) print(printable(without_decoration(line), 2000) + "\n");
        return;
    }
    if (line.starts_with(building_mark) && mode_ != Mode::silent) {
        clear();
        print(printable(line, max_listed) + "\n");
    }
    std::string found = activity(line);
    is_at(found.empty() ? doing_ : std::move(found), now);
}

void Progress::is_at(std::string doing, Deadline now) {
    doing_ = std::move(doing);
    if ((mode_ == Mode::terminal || mode_ == Mode::lines) && now >= next_) show(now);
}

void Progress::show(Deadline now) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - begin_).count();
    std::string text = "senv: " + what_ + " … " + std::to_string(seconds) + " s";
    if (!doing_.empty()) text += ", " + printable(doing_);
    if (mode_ == Mode::terminal) {
        // Bytes for columns: too short where there are wide characters, never too long.
        const std::size_t columns = terminal_columns();
        if (text.size() > columns) text = printable(text, columns > 1 ? columns - 1 : 1);
        print("\r\x1b[K" + text);
        next_ = now + between_rewrites;
    } else {
        print(text + "\n");
        next_ = now + between_lines;
    }
    shown_ = true;
}

Progress::Mode progress_mode(bool verbose) {
    if (verbose) return Progress::Mode::verbose;
    return ::isatty(STDERR_FILENO) == 1 ? Progress::Mode::terminal : Progress::Mode::lines;
}

std::string activity(std::string_view line) {
    if (line.starts_with("substituting /")) return "downloading " + item_in(line);
    if (line.starts_with("building /")) return "building " + item_in(line);
    if (line.starts_with("building ") && line.ends_with("...")) return std::string(line.substr(0, line.size() - 3));
    static constexpr std::pair<std::string_view, std::string_view> steps[] = {
        {"Updating channel '", "updating channel "},
        {"Authenticating channel '", "authenticating channel "},
    };
    for (const auto& [begin, verb] : steps) {
        if (!line.starts_with(begin)) continue;
        const std::string_view name = line.substr(begin.size());
        return std::string(verb) + std::string(name.substr(0, name.find('\'')));
    }
    if (line.starts_with("Computing Guix derivation")) return "computing the Guix of the channels";
    if (line.starts_with("substitute: updating substitutes")) return "asking substitute servers";
    return {};
}

}  // namespace senv
