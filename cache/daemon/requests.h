// requests.h: what a client may ask, read and checked at the door: store paths are store paths from here on, and who
// may not ask is refused.
//
// Trust    Who asks comes from the kernel (uid, groups); only root may speak for others. What changes what is kept
//          (gc, pin, verify) is for root, senvd's own user and one group; release is for the first two.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cache/base/result.h"
#include "cache/daemon/board.h"
#include "cache/formats/store_path.h"
#include "cache/wire/frame.h"

namespace senv {

/// Whose members may do what root may.
struct AdminGroup {
    std::string name;
    gid_t gid = 0;
};

/// Who is at the other end of a socket.
struct Peer {
    uid_t uid = 0;
    bool is_admin = false;  // of this senvd
    bool is_owner = false;  // root, or senvd's own user

    /// nullopt: the kernel does not say.
    static std::optional<Peer> of(int socket, const std::optional<AdminGroup>& admins);
};

namespace request {

struct Provision {
    StorePath profile;
    bool wants_lease;
    bool wants_progress;
    std::string details;  // of the lease
};
struct Prefetch {
    StorePath profile;
};
struct Status {};
struct Collect {
    bool dry_run;
};
struct Pin {
    StorePath profile;
    bool pinned;
};
struct List {
    std::optional<StorePath> after;
};
struct Verify {
    std::vector<StorePath> roots;
    bool repair;
};
struct Held {
    std::uint32_t uid;
    std::uint32_t job;
};
struct Release {
    bool of_user;
    std::uint32_t number;  // of the job, or the user's uid
};
using Any = std::variant<Provision, Prefetch, Status, Collect, Pin, List, Verify, Held, Release>;

/// For logs: "provision", …
std::string_view name_of(wire::Type type) noexcept;

/// Reads a request. nullopt: it is none of the protocol. Error: usage or denied. `requester`: for whom it is, as far
/// as said.
std::optional<Result<Any>> read(wire::Type type, std::string_view payload, const Peer& peer,
                                const std::optional<AdminGroup>& admins, Requester& requester);

}  // namespace request

}  // namespace senv
