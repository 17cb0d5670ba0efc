#include "cache/store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "cache/store/files.h"
#include "cache/store/tree_hash.h"
#include "cache/verify/signature.h"

namespace senv {

namespace {

constexpr std::string_view ended_well = "clean";
constexpr std::string_view still_open = "open";
constexpr const char* session_name = "session";
constexpr const char* catalog_name = "db";
constexpr const char* reserve_name = "reserve";
constexpr std::uint64_t reserve_bytes = 2UL * 1024 * 1024;

std::string session_text(std::string_view boot_id, std::string_view end) {
    return std::string(boot_id) + " " + std::string(end) + "\n";
}

/// The last thing in the life of an item's top directory, which had to stay writable to be renamed.
Result<void> close_top_directory(const Fd& store, const std::string& base) {
    struct stat found = {};
    if (::fstatat(store.get(), base.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
        return Error::sys(errno, "cannot look at '" + base + "'");
    }
    if (S_ISDIR(found.st_mode) && (found.st_mode & 07777U) != 0555U &&
        ::fchmodat(store.get(), base.c_str(), 0555, 0) != 0) {
        return Error::sys(errno, "cannot set the mode of '" + base + "'");
    }
    return {};
}

bool exists(const Fd& dir, const std::string& name) {
    struct stat found = {};
    return ::fstatat(dir.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<void> remove_catalog(const std::string& file) {
    for (const char* end : {"", "-wal", "-shm"}) {
        if (::unlink((file + end).c_str()) != 0 && errno != ENOENT) {
            return Error::sys(errno, "cannot remove the damaged catalog '" + file + "'");
        }
    }
    return {};
}

/// The names of a directory, and which of them somebody laid claim to.
class Names {
public:
    static Result<Names> of(const Fd& dir) {
        Names names;
        names.sorted_ = SENV_TRY(names_in(dir));
        std::sort(names.sorted_.begin(), names.sorted_.end());
        names.claimed_.resize(names.sorted_.size());
        return names;
    }
    bool has(const std::string& name) const { return find(name) < sorted_.size(); }
    void claim(const std::string& name) { claimed_[find(name)] = true; }
    std::vector<std::string> unclaimed() const {
        std::vector<std::string> left;
        for (std::size_t i = 0; i < sorted_.size(); ++i) {
            if (!claimed_[i]) left.push_back(sorted_[i]);
        }
        return left;
    }
    const std::vector<std::string>& all() const noexcept { return sorted_; }

private:
    std::size_t find(const std::string& name) const {
        const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), name);
        if (at == sorted_.end() || *at != name) return sorted_.size();
        return static_cast<std::size_t>(at - sorted_.begin());
    }
    std::vector<std::string> sorted_;
    std::vector<bool> claimed_;
};

ItemRecord record_of(const Narinfo& narinfo, std::int64_t added, const Room& room) {
    return {narinfo.path(), narinfo.nar_hash(), narinfo.nar_size(), narinfo.references(), added, false, room};
}

}  // namespace

Result<Staging> Staging::make(const Fd& staging) {
    static std::atomic<std::uint64_t> last{0};  // names live no longer than the process
    std::string name = std::to_string(++last);
    const std::string doing = "cannot make 'staging/" + name + "'";
    Fd parent = SENV_TRY(open_at(staging, ".", O_RDONLY | O_DIRECTORY).in(doing));
    if (::mkdirat(staging.get(), name.c_str(), 0700) != 0) return Error::sys(errno, doing);
    auto dir = open_at(staging, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!dir) {
        (void)::unlinkat(staging.get(), name.c_str(), AT_REMOVEDIR);
        return std::move(dir).error().in(doing);
    }
    return Staging(std::move(parent), std::move(name), *std::move(dir));
}

Staging::~Staging() {
    if (!staging_) return;
    dir_.reset();
    (void)contained([&] { return remove_tree(staging_, name_); });  // the next start empties staging/ anyway
}

Result<Store> Store::open(StateDir state, std::string boot_id, const std::function<Result<void>(const Narinfo&)>& vouch,
                          Repairs& repairs) {
    const std::string file = state.path + "/" + catalog_name;
    SENV_TRY(remove_contents(state.staging));
    for (const auto& name : SENV_TRY(names_in(state.root))) {
        for (const char* whole : {session_name, pins_name}) {
            if (name.starts_with(std::string(whole) + ".")) SENV_TRY(remove_tree(state.root, name));  // half written
        }
    }

    bool rebuild = !exists(state.root, catalog_name) && !SENV_TRY(names_in(state.store)).empty();
    auto catalog = Catalog::open(file);
    if (!catalog && catalog.error().kind() == Kind::corrupt) {
        SENV_TRY(remove_catalog(file));
        rebuild = true;
        catalog = Catalog::open(file);
    }
    const auto session = read_small_file(state.root, session_name, 256);
    const bool trusted =
        session && (session->starts_with(boot_id + " ") || session->ends_with(" " + std::string(ended_well) + "\n"));
    auto pins = SENV_TRY(load_pins(state.root, repairs.lost_pins));
    Store store(std::move(state), SENV_TRY(std::move(catalog)), std::move(boot_id), std::move(pins));
    store.keep_reserve();
    const auto put_right = [&]() -> Result<void> {
        if (rebuild) {
            repairs.catalog_rebuilt = true;
            SENV_TRY(store.rebuild(vouch, repairs).in("cannot make the catalog anew"));
        }
        return store.repair(!trusted && !rebuild, repairs).in("cannot repair the store");
    };
    auto done = put_right();
    if (!done && done.error().kind() == Kind::corrupt && !rebuild) {
        // Damage in later pages shows when they are read. Closed before its files go: SQLite removes its log by name.
        { const Catalog damaged = std::move(store.catalog_); }
        SENV_TRY(remove_catalog(file));
        store.catalog_ = SENV_TRY(Catalog::open(file));
        rebuild = true;
        done = put_right();
    }
    SENV_TRY(std::move(done));
    // Only now: had we been killed while hashing, the next start in this boot must not believe what was not hashed.
    SENV_TRY(store.with_reserve([&] { return store.write_session(still_open); }));
    return store;
}

Result<void> Store::write_session(std::string_view end) const {
    SENV_TRY(replace_file(state_.path + "/" + session_name, session_text(boot_id_, end), 0644));
    // On the disk before anything is placed: "clean" must not outlive the state it speaks of.
    const Fd file = SENV_TRY(open_at(state_.root, session_name, O_RDONLY));
    if (::fsync(file.get()) != 0 || ::fsync(state_.root.get()) != 0)
        return Error::sys(errno, "cannot sync the session");
    return {};
}

Result<void> Store::rebuild(const std::function<Result<void>(const Narinfo&)>& vouch, Repairs& repairs) {
    for (const std::string& name : SENV_TRY(names_in(state_.store))) {
        const auto text = read_small_file(state_.narinfo, name, max_narinfo_bytes);
        if (!text) continue;
        const auto narinfo = Narinfo::parse(*text);
        if (!narinfo || narinfo->path().base() != name || !vouch(*narinfo)) continue;
        const auto found = hash_tree(state_.store, name);
        ++repairs.checked;
        if (!found || found->hash != narinfo->nar_hash() || found->nar_size != narinfo->nar_size()) continue;
        SENV_TRY(close_top_directory(state_.store, name));
        struct stat status = {};
        (void)::fstatat(state_.narinfo.get(), name.c_str(), &status, 0);
        SENV_TRY(catalog_.add(record_of(*narinfo, status.st_mtime, {})));
    }
    return {};
}

Result<void> Store::check_narinfo(const ItemRecord& record) const {
    const auto text = SENV_TRY(read_small_file(state_.narinfo, record.path.base(), max_narinfo_bytes));
    const auto narinfo = SENV_TRY(Narinfo::parse(text));
    if (narinfo.path() != record.path || narinfo.nar_hash() != record.nar_hash ||
        narinfo.nar_size() != record.nar_size || narinfo.references() != record.references) {
        return Error(Kind::corrupt, "it says something else than the signed one");
    }
    auto is_signed = check_signature(narinfo);
    if (!is_signed && is_signed.error().kind() == Kind::untrusted) {
        return Error(Kind::corrupt, is_signed.error().what());
    }
    return is_signed;
}

Result<void> Store::check(const ItemRecord& record, const std::stop_token& stop) const {
    SENV_TRY(check_tree(state_.store, record.path.base(), {record.nar_hash, record.nar_size}, stop));
    return check_narinfo(record).in("its narinfo");
}

Result<void> Store::repair(bool check_hashes, Repairs& repairs) {
    auto items = SENV_TRY(Names::of(state_.store));
    auto narinfos = SENV_TRY(Names::of(state_.narinfo));
    auto plans = SENV_TRY(Names::of(state_.plans));
    std::vector<StorePath> dropped;
    std::vector<StorePath> incomplete;
    std::vector<ItemRecord> suspect;
    SENV_TRY(catalog_.profiles());  // all is read before anything is changed
    SENV_TRY(catalog_.for_each([&](const ItemRecord& record) {
        const std::string& base = record.path.base();
        if (!items.has(base)) {
            dropped.push_back(record.path);
            return;
        }
        items.claim(base);
        if (narinfos.has(base)) narinfos.claim(base);
        if (plans.has(base)) plans.claim(base);
        if (check_hashes && !record.durable) {
            suspect.push_back(record);
        } else if (!narinfos.has(base) && !record.damaged) {
            incomplete.push_back(record.path);
        }
    }));
    for (auto& path : incomplete) {
        SENV_TRY(mark_damaged(path));
        repairs.damaged.push_back(std::move(path));
    }
    std::vector<std::string> unwanted = items.unclaimed();
    for (const auto& record : suspect) {
        const std::string& base = record.path.base();
        const auto found = hash_tree(state_.store, base);
        ++repairs.checked;
        if (found && found->hash == record.nar_hash && found->nar_size == record.nar_size && check_narinfo(record)) {
            SENV_TRY(close_top_directory(state_.store, base));
        } else {
            dropped.push_back(record.path);
            unwanted.push_back(base);
            (void)::unlinkat(state_.narinfo.get(), base.c_str(), 0);
            (void)::unlinkat(state_.plans.get(), base.c_str(), 0);
        }
    }
    if (!dropped.empty()) SENV_TRY(catalog_.remove(dropped));
    for (const auto& name : narinfos.unclaimed()) {
        if (::unlinkat(state_.narinfo.get(), name.c_str(), 0) != 0) {
            return Error::sys(errno, "cannot remove the narinfo '" + name + "'");
        }
    }
    for (const auto& name : plans.unclaimed()) (void)::unlinkat(state_.plans.get(), name.c_str(), 0);
    for (auto& name : unwanted) {
        const Staging grave = SENV_TRY(new_staging());
        SENV_TRY(move_tree(state_.store, name, grave.dir(), name));
        repairs.removed.push_back(std::move(name));
    }
    return {};
}

Result<void> Store::place(const Staging& staging, const Narinfo& narinfo) const {
    const std::string& base = narinfo.path().base();
    const std::string doing = "cannot place '" + base + "' in the store";
    SENV_TRY(replace_file(state_.path + "/narinfo/" + base, narinfo.text(), 0644).in(doing));
    const auto publish = [&](unsigned flag) {
        return ::renameat2(staging.dir().get(), base.c_str(), state_.store.get(), base.c_str(), flag) == 0;
    };
    if (!publish(RENAME_NOREPLACE)) {
        if (errno != EEXIST) return Error::sys(errno, doing);
        // What is there was placed and then could not be recorded, or is damaged, and jobs may look at it.
        SENV_TRY(make_movable(state_.store, base).in(doing));
        if (!publish(RENAME_EXCHANGE)) return Error::sys(errno, doing);
    }
    return close_top_directory(state_.store, base).in(doing);
}

Result<void> Store::record(const Narinfo& narinfo, const Room& room, std::int64_t now) {
    return catalog_.add(record_of(narinfo, now, room));
}

Result<void> Store::mark_damaged(const StorePath& path) {
    return with_reserve([&] { return catalog_.mark_damaged(path); });
}

void Store::keep_reserve() noexcept {
    if (reserve_there_) return;
    const auto now = disk();
    if (!now || !now->free.covers({4 * reserve_bytes, 16})) return;  // not the last room that somebody needs
    const auto file = open_at(state_.root, reserve_name, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
    reserve_there_ = file && ::posix_fallocate(file->get(), 0, static_cast<off_t>(reserve_bytes)) == 0;
    if (!reserve_there_) ::unlinkat(state_.root.get(), reserve_name, 0);
}

template <class F>
auto Store::with_reserve(F&& body) -> decltype(body()) {
    auto result = body();
    if (result || !result.error().no_room()) return result;
    ::unlinkat(state_.root.get(), reserve_name, 0);
    reserve_there_ = false;
    return body();
}

Result<Staging> Store::evict(std::span<const StorePath> paths, std::span<const StorePath> profiles) {
    SENV_TRY(with_reserve([&] { return catalog_.forget_profiles(profiles); }));
    SENV_TRY(with_reserve([&] { return catalog_.remove(paths); }));
    Staging grave = SENV_TRY(with_reserve([&] { return new_staging(); }));
    for (const auto& path : paths) {
        const auto moved = with_reserve([&] { return move_tree(state_.store, path.base(), grave.dir(), path.base()); });
        if (!moved && moved.error().kind() != Kind::missing) return moved.error();
        if (::unlinkat(state_.narinfo.get(), path.base().c_str(), 0) != 0 && errno != ENOENT) {
            return Error::sys(errno, "cannot remove the narinfo of '" + path.base() + "'");
        }
        (void)::unlinkat(state_.plans.get(), path.base().c_str(), 0);
    }
    return grave;
}

Result<void> Store::replace_pins(std::set<StorePath> pins) {
    SENV_TRY(with_reserve([&] { return save_pins(state_, pins); }));
    pins_ = std::move(pins);
    return {};
}

Result<void> Store::pin(const StorePath& profile) {
    auto pins = pins_;
    if (!pins.insert(profile).second) return {};
    if (pins.size() > max_pins) {
        return Error(Kind::busy, "cannot pin '" + profile.absolute() + "': " + std::to_string(max_pins) +
                                     " profiles are pinned on this node, which is the limit")
            .hint("unpin what is not needed any more: `senv list` shows what is pinned");
    }
    return replace_pins(std::move(pins));
}

Result<void> Store::unpin(const StorePath& profile) {
    auto pins = pins_;
    if (pins.erase(profile) == 0) return {};
    return replace_pins(std::move(pins));
}

Result<Store::Disk> Store::disk() const {
    struct statvfs found = {};
    if (::fstatvfs(state_.root.get(), &found) != 0) return Error::sys(errno, "cannot look at '" + state_.path + "'");
    Disk disk;
    disk.free = {found.f_bavail * found.f_frsize, found.f_favail};
    disk.all = {(found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize,
                found.f_files - found.f_ffree + found.f_favail};
    if (found.f_files == 0) disk.free.inodes = disk.all.inodes = UINT64_MAX;
    return disk;
}

Result<void> Store::sync() const {
    if (::syncfs(state_.store.get()) != 0) return Error::sys(errno, "cannot sync '" + state_.path + "'");
    return {};
}

Result<void> Store::close() {
    SENV_TRY(sync());
    return with_reserve([&] { return write_session(ended_well); });
}

}  // namespace senv
