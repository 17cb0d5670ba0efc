// inspect.h: what can be told about an environment, given its lock or its profile, without running Guix.
//
// Shape    An environment is named by a lock (a file as `senv lock` writes it), by its profile (/gnu/store/…-profile), or by
//          a chain of links to that. A lock knows what the closure takes and which channels made it; the profile itself knows
//          packages and variables, but only where it is. What nobody here knows stays absent.
// Trust    None in either: both are read within bounds, and what they say is text of unknown origin.
// Errors   missing, with a hint: nothing has that name. Those of Lock::read and profile.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/store_path.h"
#include "cache/wire/messages.h"
#include "provisioner/profile.h"
#include "provisioner/resolve/lock.h"

namespace senv {

/// A complete closure that senvd keeps on this node.
struct NodeClosure {
    std::string store;  // the folder that holds the items
    std::uint64_t items = 0;
    std::uint64_t disk_bytes = 0;
    bool pinned = false;
    std::uint64_t leases = 0;
};

struct Stores {
    std::string guix;  // /gnu/store: Guix's own, or in a job what is mounted there
    /// The node's; asked only for what is not in Guix's.
    std::function<Result<NodeClosure>(const StorePath& profile)> node;
};

struct Contents {
    std::string store;
    std::vector<Package> packages;
    std::vector<wire::Variable> variables;  // that entering sets
};

struct Inspected {
    std::string name;  // as it was given
    StorePath profile;
    std::optional<Lock> lock;          // it was named by one
    std::optional<Contents> contents;  // the profile is on this host
    std::string absence;               // why there are no contents: "it is neither in …"
    std::optional<NodeClosure> node;   // found in senvd's store
};

/// The profile that `path` is, or that it leads to link by link; nullopt for any other file, or none. That the profile
/// exists is not looked at.
Result<std::optional<StorePath>> profile_behind(const std::string& path);

Result<Inspected> inspect(const std::string& name, const Stores& stores);

/// What the profile of a lock refers to itself: its packages, what they propagate, and what Guix made for it.
std::vector<StorePath> direct_references(const Lock& lock);
/// Bytes of all nars.
std::uint64_t nar_bytes(const Lock& lock);

}  // namespace senv
