// cache.h: what a user's senv remembers between two calls, and what keeps his environments from being collected.
//
// Shape    ${XDG_CACHE_HOME:-~/.cache}/senv/
//            locks/DIGEST.json      lock files, named by the SHA-256 of their text
//            keys/KEY               what the inputs with this key gave: a line as in resolution.h, and a second one, "untuned",
//                                   where Known has that. Short, since it is read for every job; the lock of a large
//                                   environment is not
//            roots/HASH-profile     GC roots, where Guix's own folder for them is not writable
//            jobs, jobs.old         as in jobs.h
//            resolving              a byte of it is locked (fcntl, open file description) while a key is being resolved
//            work.XXXXXX/           files for a Guix that is running; gone with it
//          Guix's folder: STATE/profiles/per-user/USER/senv/HASH-profile. A root is a link that reads as the profile; that
//          the profile exists is the daemon's promise and not looked at, since the store may be on another host.
//          The time of a root is that of its last use: a resolution, a lock, the name of the profile.
// Sharing  Any number of processes and hosts (NFS): files appear by rename, links by name of what they hold.
// Errors   Error::sys with the file's name. A damaged entry is no error but absent.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "cache/base/fd.h"
#include "provisioner/environment.h"
#include "provisioner/resolution.h"
#include "provisioner/resolve/lock.h"
#include "provisioner/resolve/signals.h"

namespace senv {

/// Where Guix has its state on this host.
std::string guix_state(const Environment& environment);
/// Guix's own folder for the GC roots that senv makes for this user; empty when he has no name. It may not exist.
std::string guix_roots(const Environment& environment);

/// A GC root that senv made for this user, and how long it has not been used.
struct StandingRoot {
    std::string link;
    std::chrono::seconds unused;
};
std::optional<StandingRoot> standing_root(const StorePath& profile, const Environment& environment);

/// For who uses an environment that is there already: touches its root, so that it is not removed as unused. Where none
/// stands, makes one, if `store`, which is /gnu/store, has the profile and Guix has its state on this host. True: it made one.
bool keep_root(const StorePath& profile, const Environment& environment, const std::string& store);

/// A folder for one run of Guix. Removed with all it holds, and with the copies that Guile compiled of it.
class WorkFolder {
public:
    WorkFolder(std::string path, std::string compiled) : path_(std::move(path)), compiled_(std::move(compiled)) {}
    WorkFolder(WorkFolder&& other) noexcept
        : path_(std::exchange(other.path_, {})), compiled_(std::move(other.compiled_)) {}
    /// Outside the cache, in /tmp: for who has no home.
    static Result<WorkFolder> temporary();
    WorkFolder& operator=(WorkFolder&&) = delete;
    ~WorkFolder();

    const std::string& path() const noexcept { return path_; }
    /// Writes a file in it and returns its path. `name` may have one folder in front.
    Result<std::string> write(const std::string& name, std::string_view text) const;

private:
    std::string path_;
    std::string compiled_;  // Guile's cache of compiled files
};

/// The lock with that digest in a user's cache folder, if it is there and as it was written.
std::optional<std::string> kept_lock(const std::string& folder, const std::string& digest);

struct Known {
    Resolution resolution;  // its source is for the caller to set
    std::string lock_file;
    bool untuned = false;  // it was to be tuned for a CPU, but nothing in it can be
};

/// What of a lock travels with a job. `text`: the lock as it is written, of which the digest is.
Resolution resolution_of(const Lock& lock, std::string_view text);

class Cache {
public:
    /// Finds its places in HOME, XDG_CACHE_HOME, USER and GUIX_STATE_DIRECTORY, and makes its own.
    static Result<Cache> open(const Environment& environment);

    enum class Want : unsigned char { resolution, lock };

    /// Has this host a Guix that could resolve anew what was collected?
    enum class Guix : unsigned char { here, none };

    /// The resolution for a key, if its root stands and it is not older than `max_age`. Touches it, so that it is not
    /// removed; what has a maximal age does not get younger. Want::lock: only if the lock file is as it was written.
    /// Guix::none: where there is no folder of Guix's state either, the root may stand on another host of this home.
    std::optional<Known> find(const std::string& key, std::optional<std::chrono::seconds> max_age, Want want,
                              Guix guix = Guix::here) const;
    /// Keeps the lock; and under the key, if it is to be found again.
    Result<Known> keep(const Lock& lock, const std::optional<std::string>& key, bool untuned = false) const;

    /// Waits until nobody else resolves this key, calling `waiting` meanwhile. Held as long as the Fd.
    Result<Fd> reserve(const std::string& key, const Signals& signals, const std::function<void()>& waiting) const;
    Result<WorkFolder> make_work_folder() const;

    struct Root {
        std::string link;
        bool registered;  // in Guix's own folder: nobody has to be told
    };
    /// Makes the root of a profile. `elsewhere`: Guix runs on another host, whose folder this is not.
    Result<Root> make_root(const StorePath& profile, bool elsewhere) const;

    /// Removes roots, locks and keys that were not used for that long, and work folders that were left behind.
    void remove_unused(std::chrono::hours unused) const;

private:
    explicit Cache(std::string dir) : dir_(std::move(dir)) {}

    bool stands(const StorePath& profile) const;

    std::string dir_;
    std::string guix_state_;  // may not exist
    std::string guix_roots_;  // may not exist
    std::string compiled_;
};

}  // namespace senv
