// given.h: environments that are there already, so that no Guix has to be: what a lock records, what a path leads to.
//
// Shape    A lock gives its profile, its digest and its channels. A path gives a profile: itself, or what it is a link to
//          (/home/alice/.guix-profile), over at most 40 links, as the kernel follows.
// Trust    Nothing is looked up in a store: this host may have none, and nodes verify what they fetch. Only a profile that is
//          here is asked whether it is one.
// Errors   missing, denied, io: the file cannot be read. corrupt: it is no lock, or the path leads to no profile.
#pragma once

#include <string>

#include "provisioner/resolve/cache.h"

namespace senv {

/// The path in the store that `path` is, or that it leads to link by link; nullopt: it is another file, or leads to one.
Result<std::optional<std::string>> place_in_store(const std::string& path);

struct GivenLock {
    Lock lock;
    Known known;
};

Result<GivenLock> given_lock(const std::string& file);
/// Without lock: no digest, no file.
Result<Known> known_from_profile(const std::string& path);

}  // namespace senv
