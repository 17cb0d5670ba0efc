// config.h: what a senvd is told when it starts: its settings, and how plans are made.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/base/result.h"
#include "cache/daemon/space.h"
#include "cache/formats/store_path.h"
#include "cache/wire/messages.h"

namespace senv {

struct ServerConfig {
    std::string state_dir = "/var/lib/senv";  // what is in it: cache/store/state_dir.h
    std::string socket = "/run/senv/senvd.sock";
    std::string lease_dir;  // none: the folder "leases" beside the socket
    std::string acl = "/etc/senv/acl";
    std::vector<std::string> origins;        // as formats/origin.h has them, in order of preference
    unsigned downloads = 8;                  // at once
    std::chrono::seconds fetch_limit{1800};  // for one closure
    std::chrono::seconds stall_limit{60};    // without a byte from a server
    std::chrono::seconds grace{900};         // a closure used this recently is evicted only when nothing else is left
    Mark high_water{90};                     // above it, closures are evicted
    Mark low_water{80};                      // down to here
    unsigned user_requests = 512;            // of one user that may wait at once
    std::optional<Mark> user_leased;         // what the environments that one user's jobs hold may take together
    std::string admin_group;                 // may do what root may with senvd; none when empty
    std::string gnu_store = "/gnu/store";    // the node's own: jobs see senvd's store there instead
    bool cover_gnu_store = false;            // also when it is not empty
    unsigned nice = 10;                      // levels; of the threads that fetch, check, unpack, verify and remove
    std::vector<unsigned> cpus;              // that senvd runs on; none: as it was started
    std::string metrics_file;                // figures for Prometheus; none when empty

    std::string lease_folder() const {
        return lease_dir.empty() ? socket.substr(0, socket.rfind('/')) + "/leases" : lease_dir;
    }
};

/// What a complete profile in `store_dir` does to an environment; an Error soon after `stop` was requested. Called by
/// several threads. Given from outside, because cache/ knows store items and not what an environment is.
using Planner = std::function<Result<wire::Plan>(const std::string& store_dir, const StorePath& profile,
                                                 const std::stop_token& stop)>;

}  // namespace senv
