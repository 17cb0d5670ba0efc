#include "provisioner/resolve/cache.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <vector>

#include "cache/verify/digest.h"
#include "provisioner/jobs.h"

namespace senv {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view untuned_line = "\nuntuned";
constexpr std::chrono::hours work_folder_life(24);  // longer than any resolution may take
constexpr std::size_t max_key_bytes = 8192;

std::optional<std::string> read_link(const std::string& path) {
    std::array<char, 4096> buffer{};
    const ssize_t n = ::readlink(path.c_str(), buffer.data(), buffer.size());
    if (n < 0) return std::nullopt;
    return std::string(buffer.data(), static_cast<std::size_t>(n));
}

// The link appears whole: under another name first, then renamed.
Result<void> replace_link(const std::string& target, const std::string& path) {
    const std::string beside = path + "." + std::to_string(::getpid());
    ::unlink(beside.c_str());
    if (::symlink(target.c_str(), beside.c_str()) != 0) return Error::sys(errno, "cannot make link '" + beside + "'");
    if (::rename(beside.c_str(), path.c_str()) != 0) {
        const int err = errno;
        ::unlink(beside.c_str());
        return Error::sys(err, "cannot make link '" + path + "'");
    }
    return {};
}

void touch(const std::string& path) {
    // Best effort: an entry that cannot be touched is only removed earlier.
    ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
}

// Since it was last touched or made.
std::optional<std::chrono::seconds> age_of(const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
    return std::chrono::seconds(std::time(nullptr) - info.st_mtime);
}

// Of what was touched while the clock of a host ran ahead, more than clocks differ.
bool is_future(std::chrono::seconds age) {
    return age < -std::chrono::seconds(clock_difference);
}

Result<void> make_folder(const std::string& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) return Error::sys(error.value(), "cannot make folder '" + path + "'");
    return {};
}

std::string user_name(const Environment& environment) {
    // As Guix does, which believes USER.
    if (std::string name = value_of(environment, "USER"); !name.empty() && name.find('/') == std::string::npos)
        return name;
    const passwd* entry = ::getpwuid(::getuid());
    return entry != nullptr ? entry->pw_name : "";
}

std::string lock_file(const std::string& folder, const std::string& digest) {
    return folder + "/locks/" + digest + ".json";
}

template <class F>
void for_each_entry(const std::string& dir, F use) {
    std::error_code error;
    for (fs::directory_iterator entry(dir, error), end; !error && entry != end; entry.increment(error)) {
        use(entry->path().string());
    }
}

}  // namespace

std::string guix_state(const Environment& environment) {
    std::string state = value_of(environment, "GUIX_STATE_DIRECTORY");
    return state.empty() ? "/var/guix" : state;
}

std::string guix_roots(const Environment& environment) {
    const std::string user = user_name(environment);
    return user.empty() ? "" : guix_state(environment) + "/profiles/per-user/" + user + "/senv";
}

std::optional<StandingRoot> standing_root(const StorePath& profile, const Environment& environment) {
    std::vector<std::string> folders = {guix_roots(environment)};
    if (const auto own = cache_folder(environment)) folders.push_back(*own + "/roots");
    for (const std::string& folder : folders) {
        const std::string link = folder + "/" + profile.base();
        if (read_link(link) != profile.absolute()) continue;
        if (const auto age = age_of(link)) return StandingRoot{link, *age};
    }
    return std::nullopt;
}

bool keep_root(const StorePath& profile, const Environment& environment, const std::string& store) {
    if (const auto root = standing_root(profile, environment)) {
        touch(root->link);
        return false;
    }
    std::error_code error;
    const std::string folder = guix_roots(environment);
    // A lock often is of another host. In a job, /gnu/store is that of senvd, and there is no Guix.
    if (folder.empty() || !fs::exists(guix_state(environment), error) ||
        !fs::exists(store + "/" + profile.base(), error))
        return false;
    fs::create_directory(folder, error);
    return static_cast<bool>(replace_link(profile.absolute(), folder + "/" + profile.base()));
}

Result<WorkFolder> WorkFolder::temporary() {
    std::string path = "/tmp/senv.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return Error::sys(errno, "cannot make folder '" + path + "'");
    return WorkFolder(std::move(path), {});
}

WorkFolder::~WorkFolder() {
    if (path_.empty()) return;
    std::error_code ignored;
    fs::remove_all(path_, ignored);
    // CCACHE/3.0-LE-8-4.7/home/alice/.cache/senv/work.XXXXXX
    for_each_entry(compiled_, [&](const std::string& version) { fs::remove_all(version + path_, ignored); });
}

Result<std::string> WorkFolder::write(const std::string& name, std::string_view text) const {
    const std::string path = path_ + "/" + name;
    SENV_TRY(make_folder(fs::path(path).parent_path()));
    const Fd file = SENV_TRY(open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
    SENV_TRY(write_all(file.get(), text).in("cannot write '" + path + "'"));
    return path;
}

std::optional<std::string> kept_lock(const std::string& folder, const std::string& digest) {
    std::string file = lock_file(folder, digest);
    const auto text = read_small_file(file, max_lock_bytes);
    if (!text || sha256_of(*text).hex() != digest) return std::nullopt;
    return file;
}

Resolution resolution_of(const Lock& lock, std::string_view text) {
    Resolution resolution = {lock.profile, sha256_of(text).hex(), {}, "senv"};
    for (const LockedChannel& channel : lock.channels) resolution.channels.push_back({channel.name, channel.commit});
    return resolution;
}

Result<Cache> Cache::open(const Environment& environment) {
    const std::string folder = SENV_TRY(cache_folder(environment));
    Cache cache(folder);
    for (const char* name : {"locks", "keys", "roots"}) SENV_TRY(make_folder(cache.dir_ + "/" + name));
    // Guile resolves links before it compiles, so the folder has to be named as it really is.
    std::error_code error;
    if (const fs::path real = fs::canonical(cache.dir_, error); !error) cache.dir_ = real.string();
    cache.compiled_ = (fs::path(folder).parent_path() / "guile/ccache").string();

    cache.guix_state_ = guix_state(environment);
    cache.guix_roots_ = guix_roots(environment);
    return cache;
}

bool Cache::stands(const StorePath& profile) const {
    for (const std::string& dir : {guix_roots_, dir_ + "/roots"}) {
        const std::string link = dir + "/" + profile.base();
        if (read_link(link) == profile.absolute()) {
            touch(link);
            return true;
        }
    }
    return false;
}

std::optional<Known> Cache::find(const std::string& key, std::optional<std::chrono::seconds> max_age, Want want,
                                 Guix guix) const {
    const std::string entry = dir_ + "/keys/" + key;
    const auto text = read_small_file(entry, max_key_bytes);
    const auto age = age_of(entry);
    if (!text || !age || (max_age && (*age > *max_age || is_future(*age)))) return std::nullopt;
    std::string_view line = *text;
    const bool untuned = line.ends_with(untuned_line);
    if (untuned) line.remove_suffix(untuned_line.size());
    auto resolution = Resolution::parse(line);
    if (!resolution) return std::nullopt;
    std::error_code error;
    const bool stands_elsewhere = guix == Guix::none && !fs::exists(guix_state_, error) && !error;
    if (!stands(resolution.value().profile) && !stands_elsewhere) return std::nullopt;
    const std::string file = lock_file(dir_, resolution.value().lock_digest);
    if (::access(file.c_str(), R_OK) != 0) return std::nullopt;
    if (want == Want::lock && !kept_lock(dir_, resolution.value().lock_digest)) return std::nullopt;
    touch(file);
    if (!max_age) touch(entry);
    return Known{std::move(resolution).value(), file, untuned};
}

Result<Known> Cache::keep(const Lock& lock, const std::optional<std::string>& key, bool untuned) const {
    const std::string text = lock.write();
    Resolution resolution = resolution_of(lock, text);
    const std::string file = lock_file(dir_, resolution.lock_digest);
    SENV_TRY(replace_file(file, text, 0600));
    const std::string entry = resolution.encode() + std::string(untuned ? untuned_line : "");
    if (key) SENV_TRY(replace_file(dir_ + "/keys/" + *key, entry, 0600));
    return Known{std::move(resolution), file, untuned};
}

Result<Fd> Cache::reserve(const std::string& key, const Signals& signals, const std::function<void()>& waiting) const {
    Fd file = SENV_TRY(open_file(dir_ + "/resolving", O_RDWR | O_CREAT, 0600));
    // A byte for each key. Two keys on one byte only wait for each other; without locks, two may do the same work.
    const auto byte = static_cast<off_t>(std::stoull(key.substr(0, 15), nullptr, 16));
    while (!SENV_TRY(try_lock(file.get(), byte, 1).in("cannot use '" + dir_ + "/resolving'"))) {
        pollfd poll{signals.fd(), POLLIN, 0};
        if (::poll(&poll, 1, 50) > 0) return interrupted();
        waiting();
    }
    return file;
}

Result<WorkFolder> Cache::make_work_folder() const {
    std::string path = dir_ + "/work.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return Error::sys(errno, "cannot make folder '" + path + "'");
    return WorkFolder(path, compiled_);
}

Result<Cache::Root> Cache::make_root(const StorePath& profile, bool elsewhere) const {
    std::error_code error;
    if (!elsewhere && !guix_roots_.empty()) {
        // The daemon makes the folder above at the first contact, owned by the user.
        fs::create_directory(guix_roots_, error);
        const std::string link = guix_roots_ + "/" + profile.base();
        if (!error && replace_link(profile.absolute(), link)) return Root{link, true};
    }
    const std::string link = dir_ + "/roots/" + profile.base();
    SENV_TRY(replace_link(profile.absolute(), link));
    return Root{link, false};
}

void Cache::remove_unused(std::chrono::hours unused) const {
    const auto older_than = [](const std::string& path, std::chrono::seconds limit) {
        const auto age = age_of(path);
        return age && *age > limit;
    };
    for (const std::string& dir : {guix_roots_, dir_ + "/roots", dir_ + "/locks", dir_ + "/keys"}) {
        for_each_entry(dir, [&](const std::string& path) {
            if (older_than(path, unused)) ::unlink(path.c_str());
            if (const auto age = age_of(path); age && is_future(*age)) touch(path);  // from here on it ages
        });
    }
    for_each_entry(dir_, [&](const std::string& path) {
        const bool is_work_folder = fs::path(path).filename().string().starts_with("work.");
        if (is_work_folder && older_than(path, work_folder_life)) WorkFolder(path, compiled_);
    });
}

}  // namespace senv
