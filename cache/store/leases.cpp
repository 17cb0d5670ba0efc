#include "cache/store/leases.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "cache/base/text.h"
#include "cache/formats/hash.h"
#include "cache/store/state_dir.h"

namespace senv {

namespace {

constexpr std::size_t max_lease_bytes = 8 * 1024;
constexpr std::chrono::seconds look_period{1};  // between two looks at all that one who is at a limit has

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

Result<std::unique_ptr<Leases>> Leases::open(const std::string& dir, Fd older, const LeaseLimits& limits) {
    const std::string doing = "cannot use the folder for leases '" + dir + "'";
    Fd folder = SENV_TRY(open_folder(dir).in(doing));  // by itself: a return out of `new` would leak
    std::unique_ptr<Leases> leases(new Leases(dir, std::move(folder), std::move(older), limits));
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
            add(name, *std::move(lease), older);
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
    if (::flock(held.get(), LOCK_SH | LOCK_NB) != 0) return Error::sys(errno, "cannot lock '" + unfinished + "'");
    if (::renameat(dir_.get(), unfinished.c_str(), dir_.get(), unfinished.c_str() + 1) != 0) {
        return Error::sys(errno, "cannot name '" + unfinished + "'");
    }
    return held;
}

void Leases::add(const std::string& id, Lease lease, bool is_older) {
    places_.emplace(lease.uid, lease.job, lease.step, id);
    ++users_[lease.uid].leases;
    known_.emplace(id, Known{std::move(lease), is_older});
}

void Leases::forget(KnownLeases::iterator known) {
    const Lease& lease = known->second.lease;
    places_.erase({lease.uid, lease.job, lease.step, known->first});
    const auto user = users_.find(lease.uid);
    if (--user->second.leases == 0) users_.erase(user);
    known_.erase(known);
}

bool Leases::forget_if_gone(KnownLeases::iterator known) {
    if (!is_gone(known->first, known->second.is_older)) return false;
    forget(known);
    return true;
}

/// A file that says the same, locked again; none when nobody has it.
Fd Leases::share(const Lease& lease) {
    const Place first{lease.uid, lease.job, lease.step, ""};
    for (auto place = places_.lower_bound(first); place != places_.end(); ++place) {
        const auto& [uid, job, step, id] = *place;
        if (uid != lease.uid || job != lease.job || step != lease.step) break;
        const Known& known = known_.at(id);
        if (known.is_older || !(known.lease == lease)) continue;
        auto file = open_at(dir_, id, O_RDONLY | O_NOFOLLOW);
        if (file && ::flock(file->get(), LOCK_SH | LOCK_NB) == 0) return *std::move(file);
    }
    return Fd();
}

Result<void> Leases::check_limits(std::uint32_t uid) const {
    const auto user = users_.find(uid);
    const std::size_t own = user == users_.end() ? 0 : user->second.leases;
    if (uid != 0 && own >= limits_.most_of_user) {
        return Error(Kind::busy, "steps of uid " + std::to_string(uid) + " hold " + std::to_string(own) +
                                     " environments on this node, which is the limit for one user")
            .hint("try again when some of these steps have ended");
    }
    const std::size_t most = limits_.most - (own < limits_.few ? 0 : limits_.kept_back);
    if (known_.size() < most) return {};
    return Error(Kind::busy, "steps on this node hold " + std::to_string(known_.size()) +
                                 " environments, and there is no room to note more")
        .hint("try again when other steps have ended; root sees who holds what with `senv status`");
}

/// Who is at a limit may have leases that nobody holds any more. Looked for now and then only, because it takes its time.
Result<void> Leases::make_room(std::uint32_t uid) {
    if (check_limits(uid)) return {};
    const auto now = Clock::now();
    if (const auto user = users_.find(uid); user != users_.end() && now >= user->second.next_look) {
        user->second.next_look = now + look_period;
        for (auto place = places_.lower_bound({uid, 0, 0, ""}); place != places_.end() && std::get<0>(*place) == uid;) {
            const auto known = known_.find(std::get<3>(*place++));
            (void)forget_if_gone(known);
        }
    }
    if (check_limits(uid)) return {};
    if (now >= next_look_) {
        next_look_ = now + look_period;
        for (auto known = known_.begin(); known != known_.end();) (void)forget_if_gone(known++);
    }
    return check_limits(uid);
}

Result<TakenLease> Leases::take(const Lease& lease) {
    const std::string doing = "cannot hold '" + lease.profile.absolute() + "'";
    const std::lock_guard lock(mutex_);
    if (Fd shared = share(lease)) return TakenLease{std::move(shared), {}};
    SENV_TRY(make_room(lease.uid).in(doing));
    std::string id = SENV_TRY(new_id().in(doing));
    const std::string unfinished = "." + id;
    auto held = make(unfinished, lease);
    if (!held) {
        ::unlinkat(dir_.get(), unfinished.c_str(), 0);
        return std::move(held).error().in(doing + ": cannot note it in '" + path_ + "'");
    }
    add(id, lease, false);
    return TakenLease{*std::move(held), std::move(id)};
}

void Leases::drop(const std::string& id) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(id);
    if (found == known_.end()) return;
    ::unlinkat(folder(found->second.is_older).get(), id.c_str(), 0);
    forget(found);
}

template <class F>
std::vector<HeldLease> Leases::drop_if(F&& is_meant) {
    std::vector<HeldLease> dropped;
    for (HeldLease& lease : live()) {
        if (!is_meant(lease)) continue;
        drop(lease.id);
        dropped.push_back(std::move(lease));
    }
    return dropped;
}

std::vector<HeldLease> Leases::drop_user(std::uint32_t uid) {
    return drop_if([&](const Lease& lease) { return lease.uid == uid; });
}

std::vector<HeldLease> Leases::drop_job(std::uint32_t job) {
    return drop_if([&](const Lease& lease) { return lease.job == job; });
}

std::optional<Lease> Leases::held_by(std::uint32_t uid, std::uint32_t job) {
    const std::lock_guard lock(mutex_);
    for (;;) {
        // No id begins with a byte as high as that.
        auto place = places_.lower_bound({uid, job, UINT32_MAX, "\xff"});
        if (place == places_.begin()) return std::nullopt;
        --place;
        if (std::get<0>(*place) != uid || std::get<1>(*place) != job) return std::nullopt;
        const auto known = known_.find(std::get<3>(*place));
        if (!forget_if_gone(known)) return known->second.lease;
    }
}

std::vector<HeldLease> Leases::live() {
    std::vector<HeldLease> live;
    // One at a time: who takes a lease waits for one file at most.
    std::string last;
    for (;;) {
        const std::lock_guard lock(mutex_);
        const auto next = known_.upper_bound(last);
        if (next == known_.end()) break;
        last = next->first;
        if (!forget_if_gone(next)) live.push_back({next->second.lease, last});
    }
    std::ranges::sort(live, {}, [](const HeldLease& one) { return std::tie(one.uid, one.job, one.step, one.id); });
    return live;
}

std::vector<std::string> Leases::unread() {
    const std::lock_guard lock(mutex_);
    std::erase_if(unread_, [&](const auto& one) { return is_gone(one.first, one.second); });
    std::vector<std::string> names;
    for (const auto& [name, older] : unread_) names.push_back(name);
    return names;
}

Result<std::vector<HeldLease>> Leases::to_keep() {
    if (const auto names = unread(); !names.empty()) {
        return Error(Kind::corrupt, "cannot evict: somebody holds the lease '" + names.front() +
                                        "', which could not be read: it is not known what it keeps")
            .hint("wait until the jobs that ran on this node when senvd started have ended");
    }
    return live();
}

}  // namespace senv
