// clients.h: the socket: who asks, what they asked, what they are told. One thread, which waits for nothing but the socket.
//
// Limits   1024 connections of root, and as many of all others; a request complete within five seconds; answers that wait to
//          be read at most 1 MiB and for at most 30 s; so many requests of one user that wait. Whatever breaks the protocol
//          ends its own connection only.
// Trust    Who asks comes from the kernel (uid, groups); only root may speak for others. What changes what is kept (gc, pin,
//          verify) is for root, senvd's own user and one group; release is for the first two.
// Files    The socket, mode 0666; removed at the end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/base/fd.h"
#include "cache/daemon/board.h"
#include "cache/daemon/config.h"
#include "cache/daemon/metrics.h"
#include "cache/store/leases.h"

namespace senv {

/// Listens at `path`. A socket there on which nobody answers is replaced. Errors: busy when somebody does.
Result<Fd> listen_at(const std::string& path);

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

/// Whose members may do what root may.
struct AdminGroup {
    std::string name;
    gid_t gid = 0;
};

class Clients {
public:
    /// The leases, the configuration, the board and the metrics must outlive this.
    /// `request_limit`: within which a request must be complete; tests take less.
    Clients(Fd listener, const ServerConfig& config, Leases& leases, Board& board, Metrics& metrics,
            std::optional<AdminGroup> admins, std::chrono::milliseconds request_limit = std::chrono::seconds(5));
    ~Clients();
    Clients(const Clients&) = delete;
    Clients& operator=(const Clients&) = delete;

    /// From any thread, also before run().
    void pending(const StorePath& profile);
    void complete(const StorePath& profile, Board::PlanFrame plan);
    void failed(const StorePath& profile, const Error& error);
    void answer(std::uint64_t client, std::string frame);
    void lease(std::uint64_t client, Fd lease);
    void progress(std::uint64_t client, const wire::Progress& progress);
    void refused(std::uint64_t client, const Error& error);

    /// Serves until SIGTERM or SIGINT, which with SIGHUP must be blocked in all threads. Then tells those who wait.
    Result<void> run(const ClientActions& actions);

private:
    class Loop;
    std::unique_ptr<Loop> loop_;
};

}  // namespace senv
