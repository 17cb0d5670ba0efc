#include "cache/daemon/server.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "cache/base/fd.h"
#include "cache/base/threads.h"
#include "cache/daemon/acl_file.h"
#include "cache/daemon/board.h"
#include "cache/daemon/clients.h"
#include "cache/daemon/clock.h"
#include "cache/daemon/engine.h"
#include "cache/daemon/listener.h"
#include "cache/daemon/log.h"
#include "cache/daemon/metrics.h"
#include "cache/daemon/metrics_file.h"
#include "cache/daemon/notify.h"
#include "cache/daemon/preflight.h"
#include "cache/fetch/remote_transport.h"
#include "cache/formats/origin.h"
#include "cache/store/store.h"
#include "cache/verify/signature.h"

namespace senv {

namespace {

constexpr const char* boot_id_file = "/proc/sys/kernel/random/boot_id";
constexpr std::chrono::seconds metrics_limit{45};  // without new figures of the engine

/// Before there are threads: all of them run where this one does.
Result<void> share_machine(const ServerConfig& config) {
    if (!config.cpus.empty()) {
        if (auto used = use_cpus(config.cpus); !used) {
            return std::move(used)
                .error()
                .in("cannot start senvd")
                .hint("give CPUs of this node as cpus in senvd.toml");
        }
    }
    const auto cpus = SENV_TRY(used_cpus());
    log(Level::info, "starting",
        {{"version", SENV_VERSION},
         {"state_dir", config.state_dir},
         {"downloads", config.downloads},
         {"nice", config.nice},
         {"cpus", text_of_cpus(cpus)}});
    return {};
}

std::vector<std::string> shown(const std::vector<std::string>& origins) {
    std::vector<std::string> urls;
    for (const auto& origin : origins) urls.push_back(shown_url(origin));
    return urls;
}

void use_all_descriptors() {
    struct rlimit limit = {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

void block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) sigaddset(&signals, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

void log_repairs(const Repairs& repairs) {
    if (repairs.catalog_rebuilt)
        log(Level::warning, "catalog-rebuilt", {{"items_hashed", repairs.checked}});
    else if (repairs.checked > 0)
        log(Level::warning, "checked-after-reboot", {{"items_hashed", repairs.checked}});
    if (repairs.lost_pins > 0) log(Level::warning, "pins-lost", {{"lines", repairs.lost_pins}});
    for (const auto& path : repairs.damaged) {
        log_error(Level::warning, "damaged", Error(Kind::missing, "its narinfo is lost"), {{"item", path.absolute()}});
    }
    for (const auto& name : repairs.removed) log(Level::warning, "removed-at-start", {{"name", name}});
}

void load_acl(AclFile& acl) {
    // Not fatal: what is complete can be used, and the file is read again when something is fetched.
    if (const auto loaded = acl.current(); !loaded) {
        log_error(Level::error, "acl", loaded.error());
    } else {
        log(Level::info, "acl", {{"keys", (*loaded)->size()}});
    }
}

/// Starts what talks to servers, and says how well it is confined.
Result<RemoteSources> start_fetcher(const ServerConfig& config) {
    constexpr unsigned spare = 2;  // for transfers that were given up and have not ended yet
    RemoteConfig remote;
    remote.limits = {std::string("senvd/") + SENV_VERSION, std::chrono::seconds(10), config.stall_limit};
    remote.transfers = config.downloads + spare;
    for (const auto& origin : config.origins) {
        if (auto folder = folder_of(origin)) remote.folders.push_back(*std::move(folder));
    }
    RemoteSources sources = SENV_TRY(make_remote_sources(std::move(remote), [](const Renewal& renewal) {
        if (renewal.lost) {
            log_error(Level::warning, "fetcher-lost", *renewal.lost,
                      {{"again_ms", static_cast<std::uint64_t>(renewal.delay.count())}});
        } else {
            log(Level::info, "fetcher-renewed",
                {{"why", "files of the resolver or mounts of folders were replaced, or a folder answers again"}});
        }
    }));
    const Sandbox& sandbox = sources.sandbox;
    const std::string seccomp = sandbox.seccomp ? "yes" : "no";
    if (sandbox.missing.empty()) {
        log(Level::info, "sandbox", {{"landlock", sandbox.landlock}, {"seccomp", seccomp}});
    } else {
        log(Level::warning, "sandbox",
            {{"landlock", sandbox.landlock}, {"seccomp", seccomp}, {"missing", sandbox.missing}});
    }
    return sources;
}

/// What holds for all threads, before there are any.
Result<void> prepare_process() {
    block_signals();
    use_all_descriptors();
    ::umask(022);
    // Whoever runs as the same user, the fetcher above all, sees nothing of this process in /proc and cannot trace it.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Error::sys(errno, "cannot start senvd");
    SENV_TRY(init_signatures());
    if (is_fips_mode()) {
        log(Level::warning, "fips",
            {{"libgcrypt", "in FIPS mode"}, {"note", "signatures by keys that FIPS 140 does not approve are refused"}});
    }
    return {};
}

Result<Store> open_store(const ServerConfig& config, AclFile& acl) {
    std::string boot_id = SENV_TRY(read_small_file(boot_id_file, 64));
    while (boot_id.ends_with('\n')) boot_id.pop_back();
    Repairs repairs;
    auto vouch = [&acl](const Narinfo& narinfo) -> Result<void> {
        const auto keys = SENV_TRY(acl.current());
        return verify_signature(narinfo, *keys);
    };
    Store store = SENV_TRY(Store::open(SENV_TRY(StateDir::open(config.state_dir, config.lease_folder())),
                                       std::move(boot_id), vouch, repairs));
    log_repairs(repairs);
    return store;
}

EngineEvents to(Clients& clients) {
    return {[&](const StorePath& profile) { clients.pending(profile); },
            [&](const StorePath& profile, Board::PlanFrame plan) { clients.complete(profile, std::move(plan)); },
            [&](const StorePath& profile, const Error& error) { clients.failed(profile, error); },
            [&](std::uint64_t client, std::string frame) { clients.answer(client, std::move(frame)); },
            [&](std::uint64_t client, Fd lease) { clients.lease(client, std::move(lease)); },
            [&](std::uint64_t client, const Error& error) { clients.refused(client, error); },
            [&](std::uint64_t client, const wire::Progress& progress) { clients.progress(client, progress); }};
}

ClientActions to(Engine& engine, AclFile& acl) {
    return {[&](const StorePath& profile, const Requester& requester, const std::optional<LeaseFor>& lease_for) {
                engine.provision(profile, requester, lease_for);
            },
            [&](const StorePath& profile) { engine.abandon(profile); },
            [&](std::uint64_t client) { engine.status(client); },
            [&](std::uint64_t client, bool dry_run) { engine.collect(client, dry_run); },
            [&](std::uint64_t client, const StorePath& profile, bool pinned) { engine.pin(client, profile, pinned); },
            [&](std::uint64_t client, const std::optional<StorePath>& after) { engine.list(client, after); },
            [&](std::uint64_t client, const std::vector<StorePath>& roots, bool repair) {
                engine.verify(client, roots, repair);
            },
            [&] { load_acl(acl); }};
}

}  // namespace

Result<void> serve(const ServerConfig& config, const Planner& planner) {
    const auto ready = ReadyNotice::from_environment();
    SENV_TRY(check_user());
    SENV_TRY(check_gnu_store(config));
    SENV_TRY(share_machine(config));
    auto admins = SENV_TRY(find_admins(config.admin_group));
    SENV_TRY(prepare_process());

    AclFile acl(config.acl);
    load_acl(acl);
    Store store = SENV_TRY(open_store(config, acl));
    const Totals totals = SENV_TRY(store.catalog().totals());
    Leases& leases = store.leases();
    for (const auto& name : leases.unread()) log(Level::warning, "lease-unread", {{"file", name}});
    Fd listener = SENV_TRY(listen_at(config.socket));

    const RemoteSources sources = SENV_TRY(nicer(config.nice, [&] { return start_fetcher(config); }));

    Metrics metrics(SENV_VERSION, now().unix_time, shown(config.origins));
    std::optional<MetricsFile> metrics_file;
    if (!config.metrics_file.empty()) {
        const auto text = [&]() -> Result<std::string> { return metrics.text(); };
        const auto wait = [&](const std::stop_token& stop) { metrics.await_stored(stop, metrics_limit); };
        nicer(config.nice, [&] { metrics_file.emplace(config.metrics_file, text, wait); });
    }

    Board board;
    Clients clients(std::move(listener), config, leases, board, metrics, std::move(admins));
    Result<void> served;
    {
        Engine engine(config, SENV_VERSION, std::move(store), acl, *sources.narinfos, *sources.nars, planner, board,
                      metrics, to(clients));
        log(Level::info, "ready",
            {{"version", SENV_VERSION}, {"socket", config.socket}, {"items", totals.items}, {"bytes", totals.bytes}});
        SENV_TRY(ready.send());
        served = clients.run(to(engine, acl));
        (void)::unlink(config.socket.c_str());
        log(Level::info, "stopping", {});
    }
    metrics_file.reset();
    log(Level::info, "stopped", {});
    return served;
}

}  // namespace senv
