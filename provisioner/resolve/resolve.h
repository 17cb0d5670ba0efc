// resolve.h: from what the user asked for to a lock, as cheaply as is safe.
//
// Shape    Known inputs (closed.h, cache.h) are answered from the cache and start no guix. Everything else is resolved by the
//          user's guix, realised by his guix-daemon, protected by a GC root, recorded, and remembered if the inputs are closed.
//          Of several processes of a user with the same closed inputs, one runs guix and the others take its result.
//          A lock and a profile are there already (given.h): their GC root is touched, or made where this host's Guix has the
//          profile, so that what is used is not collected; but a lock can be rebuilt: resolved from its texts at its
//          channels, and compared.
// Tuning   For --tune=auto, the CPU that the site's configuration names for where the job is to run; never this host's.
// Read once  What was read at the beginning is what runs: closed inputs are handed to Guix as private copies. Open ones stay
//          where they are, because "load" and "local-file" look beside them; if they change meanwhile, that is an error.
// Signals  While guix runs, signals.h. Nothing but the result remains.
// Errors   "cannot resolve 'manifest.scm': cause", with a hint where we know one.
#pragma once

#include <functional>

#include "provisioner/resolve/cache.h"
#include "provisioner/resolve/config.h"
#include "provisioner/resolve/inputs.h"
#include "provisioner/resolve/progress.h"

namespace senv {

struct Resolved {
    Known known;
    bool cached = false;
    std::string how = {};  // in short, for people: "from the cache"
};

struct ResolveOptions {
    Cache::Want want = Cache::Want::resolution;
    Progress::Mode progress = Progress::Mode::silent;
    /// Says something that is no error, on one line.
    std::function<void(const std::string&)> say;  // shown with -v only
    std::function<void(const std::string&)> warn;
};

/// What Guix's database on this host says of a profile and of all that it needs, sorted by path. Errors: missing when the
/// profile is not in its store.
Result<std::vector<LockedItem>> closure_in_guix(const StorePath& profile, const Config& config,
                                                const Environment& environment, Progress::Mode mode,
                                                const std::string& doing);

Result<Resolved> resolve(const Request& request, const Config& config, const Environment& environment,
                         const ResolveOptions& options);

}  // namespace senv
