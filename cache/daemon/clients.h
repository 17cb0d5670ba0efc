// clients.h: the socket: one thread that waits for clients, for what others tell them, and for signals.
//
// Limits   connection.h for each client, quota.h for all of a user. Whatever breaks the protocol ends its own
//          connection only.
// Trust    requests.h: who may ask what.
// Waits    for nothing but the socket; the desk makes and removes files of leases.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cache/base/fd.h"
#include "cache/daemon/board.h"
#include "cache/daemon/config.h"
#include "cache/daemon/desk.h"
#include "cache/daemon/metrics.h"
#include "cache/store/leases.h"

namespace senv {

class Clients {
public:
    /// The leases, the configuration, the board and the metrics must outlive this.
    Clients(Fd listener, const ServerConfig& config, Leases& leases, Board& board, Metrics& metrics,
            std::optional<AdminGroup> admins);
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
