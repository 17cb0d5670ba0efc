#include "cache/store/leases.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "cache/base/text.h"
#include "cache/formats/hash.h"
#include "cache/store/files.h"

namespace senv {

namespace {

constexpr std::size_t max_lease_bytes = 8 * 1024;

Result<std::string> new_id() {
    std::array<std::byte, 8> random{};
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
        return Error::sys(errno, "cannot get random bytes");
    }
    return hex_encode(random);
}

std::string text_of(const Lease& lease) {
    return lease.profile.absolute() + " uid=" + std::to_string(lease.uid) + " job=" + std::to_string(lease.job) +
           " step=" + std::to_string(lease.step) + (lease.details.empty() ? "" : " " + lease.details) + "\n";
}

std::optional<Lease> parse(std::string_view text) {
    if (!text.ends_with('\n')) return std::nullopt;
    text.remove_suffix(1);
    const auto words = split(text, ' ');
    if (words.size() < 4) return std::nullopt;
    auto profile = StorePath::parse_absolute(words[0]);
    if (!profile) return std::nullopt;
    Lease lease{*std::move(profile)};
    const auto number = [](std::string_view word, std::string_view key, std::uint32_t& into) {
        if (!word.starts_with(key)) return false;
        const auto value = parse_decimal(word.substr(key.size()));
        if (!value || *value > UINT32_MAX) return false;
        into = static_cast<std::uint32_t>(*value);
        return true;
    };
    if (!number(words[1], "uid=", lease.uid) || !number(words[2], "job=", lease.job) ||
        !number(words[3], "step=", lease.step)) {
        return std::nullopt;
    }
    if (words.size() > 4) lease.details = text.substr(static_cast<std::size_t>(words[4].data() - text.data()));
    return lease;
}

}  // namespace

Result<TakenLease> take_lease(const Fd& dir, const Lease& lease) {
    constexpr std::string_view doing = "cannot make a lease";
    std::string id = SENV_TRY(new_id().in(doing));
    const std::string unfinished = "." + id;
    const auto make = [&]() -> Result<Fd> {
        {
            const Fd file = SENV_TRY(open_at(dir, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
            SENV_TRY(write_all(file.get(), text_of(lease)));
        }
        Fd held = SENV_TRY(open_at(dir, unfinished, O_RDONLY | O_NOFOLLOW));
        if (::flock(held.get(), LOCK_EX | LOCK_NB) != 0) return Error::sys(errno, "cannot lock '" + unfinished + "'");
        if (::renameat(dir.get(), unfinished.c_str(), dir.get(), id.c_str()) != 0) {
            return Error::sys(errno, "cannot name '" + unfinished + "'");
        }
        return held;
    };
    auto held = make();
    if (!held) {
        ::unlinkat(dir.get(), unfinished.c_str(), 0);
        return std::move(held).error().in(doing);
    }
    return TakenLease{*std::move(held), std::move(id)};
}

void drop_lease(const Fd& dir, const std::string& id) noexcept {
    ::unlinkat(dir.get(), id.c_str(), 0);
}

Result<std::vector<Lease>> sweep_leases(const Fd& dir) {
    std::vector<Lease> live;
    for (const std::string& name : SENV_TRY(names_in(dir).in("cannot sweep the leases"))) {
        if (name.starts_with('.')) continue;
        const auto file = open_at(dir, name, O_RDONLY | O_NOFOLLOW);
        if (!file) {
            if (file.error().kind() == Kind::missing) continue;
            return file.error();
        }
        if (::flock(file->get(), LOCK_EX | LOCK_NB) == 0) {
            ::unlinkat(dir.get(), name.c_str(), 0);
            continue;
        }
        const std::string text = SENV_TRY(read_to_end(file->get(), max_lease_bytes, name));
        if (auto lease = parse(text)) live.push_back(*std::move(lease));
    }
    return live;
}

Result<void> clear_unfinished_leases(const Fd& dir) {
    for (const std::string& name : SENV_TRY(names_in(dir).in("cannot sweep the leases"))) {
        if (name.starts_with('.') && ::unlinkat(dir.get(), name.c_str(), 0) != 0) {
            return Error::sys(errno, "cannot remove '" + name + "'");
        }
    }
    return {};
}

}  // namespace senv
