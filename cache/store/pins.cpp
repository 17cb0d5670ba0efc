#include "cache/store/pins.h"

#include <fcntl.h>
#include <unistd.h>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t max_pins_bytes = 2UL * 1024 * 1024;  // above max_pins of the longest names

}  // namespace

Result<std::set<StorePath>> load_pins(const Fd& root, std::size_t& lost) {
    std::set<StorePath> pins;
    const auto text = read_small_file(root, pins_name, max_pins_bytes);
    if (!text) {
        if (text.error().kind() == Kind::missing) return pins;
        return text.error();
    }
    for (const auto line : split(*text, '\n')) {
        if (line.empty()) continue;
        if (auto profile = StorePath::parse(line)) {
            pins.insert(*std::move(profile));
        } else {
            ++lost;
        }
    }
    return pins;
}

Result<void> save_pins(const StateDir& state, const std::set<StorePath>& pins) {
    std::string text;
    for (const auto& profile : pins) text += profile.base() + "\n";
    const std::string beside = std::string(pins_name) + ".new";
    const auto write = [&]() -> Result<void> {
        const Fd file = SENV_TRY(open_at(state.root, beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
        SENV_TRY(write_all(file.get(), text));
        if (::fsync(file.get()) != 0 || ::renameat(state.root.get(), beside.c_str(), state.root.get(), pins_name) != 0 ||
            ::fsync(state.root.get()) != 0) {
            return Error::sys(errno, "cannot write '" + beside + "'");
        }
        return {};
    };
    auto done = write();
    if (!done) ::unlinkat(state.root.get(), beside.c_str(), 0);
    return std::move(done).in("cannot keep the pins");
}

}  // namespace senv
