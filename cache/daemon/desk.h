// desk.h: what clients are told: answers at once what needs nobody else, passes the rest on, and remembers who waits
// for what.
//
// Threads  One. Never waits, but for the files of leases.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/base/fd.h"
#include "cache/daemon/board.h"
#include "cache/daemon/config.h"
#include "cache/daemon/connection.h"
#include "cache/daemon/metrics.h"
#include "cache/daemon/now.h"
#include "cache/daemon/quota.h"
#include "cache/daemon/requests.h"
#include "cache/store/leases.h"

namespace senv {

/// What is done with requests.
struct ClientActions {
    /// Without `lease_for`, the client has a lease or wants none.
    std::function<void(const StorePath&, const Requester&, const std::optional<LeaseFor>& lease_for)> provision;
    std::function<void(const StorePath&)> abandon;  // the last client that waited is gone, and nobody prefetches it
    std::function<void(std::uint64_t client)> status;
    std::function<void(std::uint64_t client, bool dry_run)> collect;
    std::function<void(std::uint64_t client, const StorePath&, bool pinned)> pin;
    std::function<void(std::uint64_t client, const std::optional<StorePath>& after)> list;
    std::function<void(std::uint64_t client, const std::vector<StorePath>& roots, bool repair)> verify;
    std::function<void()> hang_up;  // SIGHUP
};

struct Client {
    std::uint64_t id;
    Peer peer;
    Connection connection;
    wire::Type request{};  // once it asked
    Requester requester{};
    std::optional<StorePath> profile{};  // what it waits for
    struct Ready {
        StorePath profile;
        Connection::Frame plan;
    };
    std::optional<Ready> ready{};  // what it asked for was here: give() follows
    bool wants_progress = false;
    bool told_pending = false;
    bool awaits_lease = false;  // from the engine; what is told about the profile before that is not for this client
    Deadline next_progress{};
    bool writable_wanted = false;  // for the loop
};

class Desk {
public:
    static constexpr std::chrono::seconds progress_period{1};

    using Frame = Connection::Frame;

    /// All must outlive this.
    Desk(const ServerConfig& config, Leases& leases, Board& board, Metrics& metrics, std::optional<AdminGroup> admins)
        : config_(config),
          leases_(leases),
          board_(board),
          metrics_(metrics),
          admins_(std::move(admins)),
          quota_(config.user_requests) {}

    /// The rest is done by these.
    void use(const ClientActions& actions) { actions_ = &actions; }
    Quota& quota() noexcept { return quota_; }
    const std::optional<AdminGroup>& admins() const noexcept { return admins_; }

    /// False: the client broke the protocol.
    bool take(Client& client, const Connection::Request& request, const Now& now);
    /// Gives the client what was here when it asked; apart from take(), so that the figures say how long that took.
    void give(Client& client, const Now& now);
    /// The connection is over.
    void gone(Client& client);

    /// Clients that wait for it and may be told.
    std::vector<std::uint64_t> waiting_for(const StorePath& profile) const;
    /// How a fetch of the profile ended: prefetches of it have ended too.
    void ended(const StorePath& profile) { quota_.end_prefetches(profile); }
    static void pending(Client& client, const Now& now);
    void complete(Client& client, const Frame& plan, const Now& now);
    void failed(Client& client, const Frame& error, Kind kind, const Now& now);
    void lease(Client& client, Fd lease, const Now& now);
    void refuse(Client& client, const Error& error, const Now& now);
    /// True: something was said.
    bool tell_progress(Client& client, const Now& now) const;
    void goodbye(Client& client, const Frame& error, const Now& now) const;

private:
    void take(Client& client, const request::Provision& request, const Now& now);
    void take(Client& client, const request::Prefetch& request, const Now& now);
    void take(Client& client, const request::Status& request, const Now& now);
    void take(Client& client, const request::Collect& request, const Now& now);
    void take(Client& client, const request::Pin& request, const Now& now);
    void take(Client& client, const request::List& request, const Now& now);
    void take(Client& client, const request::Verify& request, const Now& now);
    void take(Client& client, const request::Held& request, const Now& now);
    void take(Client& client, const request::Release& request, const Now& now);
    void wait(Client& client, const request::Provision& request, bool is_weighed, const Now& now);
    void stop_waiting(Client& client);
    void provisioned(Client& client, const StorePath& profile, Frame plan, bool warm, const Now& now);

    const ServerConfig& config_;
    Leases& leases_;
    Board& board_;
    Metrics& metrics_;
    const std::optional<AdminGroup> admins_;
    Quota quota_;
    const ClientActions* actions_ = nullptr;
    std::map<StorePath, std::map<std::uint64_t, const Client*>> waiting_;  // by profile and id
};

}  // namespace senv
