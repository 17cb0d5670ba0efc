#include "cache/store/leases.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "cache/base/text.h"
#include "cache/formats/hash.h"
#include "cache/store/state_dir.h"

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

/// Without those in the making, which nobody makes yet.
Result<std::vector<std::string>> finished_names(const Fd& dir) {
    std::vector<std::string> names = SENV_TRY(names_in(dir));
    for (const std::string& name : names) {
        if (name.starts_with('.') && ::unlinkat(dir.get(), name.c_str(), 0) != 0) {
            return Error::sys(errno, "cannot remove '" + name + "'");
        }
    }
    std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
    return names;
}

Result<Fd> open_folder(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return Error::sys(errno, "cannot make it").hint("name another one as lease_dir in senvd.toml");
    }
    SENV_TRY(check_path_is_ours(path));
    Fd dir = SENV_TRY(open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    struct stat found = {};
    if (::fstat(dir.get(), &found) != 0) return Error::sys(errno, "cannot look at it");
    if (found.st_uid != ::geteuid()) {
        return Error(Kind::denied, "it belongs to uid " + std::to_string(found.st_uid));
    }
    if ((found.st_mode & 07777U) != 0700U && ::fchmod(dir.get(), 0700) != 0) {
        return Error::sys(errno, "cannot set its mode");
    }
    if (::flock(dir.get(), LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? Error(Kind::busy, "another senvd is using it").hint("stop the other senvd first")
                                    : Error::sys(errno, "cannot lock it");
    }
    return dir;
}

}  // namespace

Result<std::unique_ptr<Leases>> Leases::open(const std::string& dir, Fd older) {
    const std::string doing = "cannot use the folder for leases '" + dir + "'";
    std::unique_ptr<Leases> leases(new Leases(dir, SENV_TRY(open_folder(dir).in(doing)), std::move(older)));
    SENV_TRY(leases->read(false).in(doing));
    if (leases->older_) SENV_TRY(leases->read(true).in("cannot read the leases of an older senvd"));
    return leases;
}

Result<void> Leases::read(bool older) {
    const Fd& from = folder(older);
    for (const std::string& name : SENV_TRY(finished_names(from))) {
        if (is_gone(name, older)) continue;
        const auto text = read_small_file(from, name, max_lease_bytes);
        auto lease = text ? parse(*text) : std::nullopt;
        if (lease) {
            known_.emplace(name, Known{*std::move(lease), older});
        } else {
            unread_.emplace(name, older);
        }
    }
    return {};
}

bool Leases::is_gone(const std::string& name, bool older) const {
    const Fd& from = folder(older);
    // O_NONBLOCK: nothing that stands there instead of a file may stop senvd.
    const auto file = open_at(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!file) return file.error().kind() == Kind::missing;
    return ::flock(file->get(), LOCK_EX | LOCK_NB) == 0 && ::unlinkat(from.get(), name.c_str(), 0) == 0;
}

Result<Fd> Leases::make(const std::string& unfinished, const Lease& lease) const {
    {
        const Fd file = SENV_TRY(open_at(dir_, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
        SENV_TRY(write_all(file.get(), text_of(lease)));
    }
    Fd held = SENV_TRY(open_at(dir_, unfinished, O_RDONLY | O_NOFOLLOW));
    if (::flock(held.get(), LOCK_EX | LOCK_NB) != 0) return Error::sys(errno, "cannot lock '" + unfinished + "'");
    if (::renameat(dir_.get(), unfinished.c_str(), dir_.get(), unfinished.c_str() + 1) != 0) {
        return Error::sys(errno, "cannot name '" + unfinished + "'");
    }
    return held;
}

Result<TakenLease> Leases::take(const Lease& lease) {
    const std::string doing = "cannot make a lease in '" + path_ + "'";
    std::string id = SENV_TRY(new_id().in(doing));
    const std::string unfinished = "." + id;
    auto held = make(unfinished, lease);
    if (!held) {
        ::unlinkat(dir_.get(), unfinished.c_str(), 0);
        return std::move(held).error().in(doing);
    }
    const std::lock_guard lock(mutex_);
    known_.emplace(id, Known{lease});
    return TakenLease{*std::move(held), std::move(id)};
}

void Leases::drop(const std::string& id) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(id);
    if (found == known_.end()) return;
    ::unlinkat(folder(found->second.is_older).get(), id.c_str(), 0);
    known_.erase(found);
}

std::vector<Lease> Leases::live() {
    std::vector<Lease> live;
    // One at a time: who takes a lease waits for one file at most.
    std::string last;
    for (;;) {
        const std::lock_guard lock(mutex_);
        const auto next = known_.upper_bound(last);
        if (next == known_.end()) return live;
        last = next->first;
        if (is_gone(last, next->second.is_older)) {
            known_.erase(next);
        } else {
            live.push_back(next->second.lease);
        }
    }
}

std::vector<std::string> Leases::unread() {
    const std::lock_guard lock(mutex_);
    std::erase_if(unread_, [&](const auto& one) { return is_gone(one.first, one.second); });
    std::vector<std::string> names;
    for (const auto& [name, older] : unread_) names.push_back(name);
    return names;
}

Result<std::vector<Lease>> Leases::to_keep() {
    if (const auto names = unread(); !names.empty()) {
        return Error(Kind::corrupt, "cannot evict: somebody holds the lease '" + names.front() +
                                        "', which could not be read: it is not known what it keeps")
            .hint("wait until the jobs that ran on this node when senvd started have ended");
    }
    return live();
}

}  // namespace senv
