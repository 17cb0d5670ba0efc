#include "cache/daemon/clients.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <variant>

#include "cache/daemon/log.h"
#include "cache/daemon/report.h"
#include "cache/wire/frame.h"
#include "cache/wire/messages.h"

namespace senv {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t max_connections = 1024;  // of root, and of all others together
constexpr unsigned most_accepted = 64;         // before those that are there have their turn again
constexpr seconds reading_limit{30};  // for what we sent
constexpr seconds closing_limit{2};   // for the last words at the end of the daemon
constexpr std::size_t max_unread = 1024UL * 1024;
constexpr milliseconds tick{200};
constexpr seconds progress_period{1};
constexpr int listen_queue = 512;

struct Told {
    StorePath profile;
    enum class What : unsigned char { pending, complete, failed } what;
    Board::PlanFrame frame;  // none when pending
    Kind kind;               // of the failure
};
struct Answer {
    std::uint64_t client;
    std::string frame;
};
struct Said {  // not the last
    std::uint64_t client;
    std::string frame;
    Fd fd;
};
struct Refused {
    std::uint64_t client;
    Error error;
};
using Event = std::variant<Told, Answer, Said, Refused>;

std::string_view name_of(wire::Type request) noexcept {
    switch (request) {
        case wire::Type::provision: return "provision";
        case wire::Type::prefetch: return "prefetch";
        case wire::Type::status: return "status";
        case wire::Type::gc: return "gc";
        case wire::Type::pin: return "pin";
        case wire::Type::list: return "list";
        case wire::Type::verify: return "verify";
        case wire::Type::held: return "held";
        case wire::Type::release: return "release";
        default: return "other";
    }
}

struct sockaddr_un address_of(const std::string& path) {
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

Result<Fd> unix_socket() {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return Error::sys(errno, "cannot make a socket");
    return fd;
}

struct Piece {
    Board::PlanFrame bytes;  // a frame
    std::size_t sent = 0;
    Fd fd{};  // goes with its first byte
};

struct Client {
    Fd socket;
    std::uint64_t id = 0;
    uid_t uid = 0;
    bool is_admin = false;  // of this senvd
    Deadline accepted{};

    std::string received;  // of the request
    bool asked = false;    // the request is complete
    wire::Type request{};  // once asked
    bool closing = false;  // everything to say is in `out`
    bool writable_wanted = false;

    std::optional<StorePath> profile;  // what it waits for
    Requester requester;
    bool wants_progress = false;
    bool told_pending = false;
    bool awaits_lease = false;  // from the engine; what is told about the profile before that is not for this client
    Deadline next_progress{};

    std::deque<Piece> out;
    std::size_t unread = 0;
    Deadline read_by{};
};

}  // namespace

Result<Fd> listen_at(const std::string& path) {
    const std::string doing = "cannot listen at '" + path + "'";
    if (path.size() >= sizeof(sockaddr_un::sun_path)) return Error(Kind::usage, doing + ": the name is too long");
    const auto address = address_of(path);
    const auto* raw = reinterpret_cast<const struct sockaddr*>(&address);
    struct stat found = {};
    if (::lstat(path.c_str(), &found) == 0) {
        if (!S_ISSOCK(found.st_mode)) return Error(Kind::usage, doing + ": it exists and is no socket");
        const Fd probe = SENV_TRY(unix_socket().in(doing));
        if (::connect(probe.get(), raw, sizeof address) == 0 || errno == EAGAIN) {
            return Error(Kind::busy, doing + ": another senvd answers there").hint("stop the other senvd first");
        }
        if (::unlink(path.c_str()) != 0) return Error::sys(errno, "cannot remove the old socket '" + path + "'");
    }
    Fd listener = SENV_TRY(unix_socket().in(doing));
    if (::bind(listener.get(), raw, sizeof address) != 0) return Error::sys(errno, doing);
    if (::chmod(path.c_str(), 0666) != 0) return Error::sys(errno, "cannot set the mode of '" + path + "'");
    if (::listen(listener.get(), listen_queue) != 0) return Error::sys(errno, doing);
    return listener;
}

class Clients::Loop {
public:
    Loop(Fd listener, const ServerConfig& config, Leases& leases, Board& board, Metrics& metrics,
         std::optional<AdminGroup> admins, milliseconds request_limit)
        : listener_(std::move(listener)),
          config_(config),
          leases_(leases),
          board_(board),
          metrics_(metrics),
          admins_(std::move(admins)),
          request_limit_(request_limit),
          wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

    void post(Event event) {
        {
            const std::lock_guard lock(mutex_);
            events_.push_back(std::move(event));
        }
        const std::uint64_t one = 1;
        (void)!::write(wake_.get(), &one, sizeof one);
    }

    Result<void> run(const ClientActions& actions) {
        actions_ = &actions;
        sigset_t signals;
        sigemptyset(&signals);
        for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
        signals_ = Fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
        epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
        if (!signals_ || !epoll_ || !wake_) return Error::sys(errno, "cannot wait for clients");
        SENV_TRY(watch(EPOLL_CTL_ADD, listener_.get(), EPOLLIN, id_listener));
        SENV_TRY(watch(EPOLL_CTL_ADD, wake_.get(), EPOLLIN, id_wake));
        SENV_TRY(watch(EPOLL_CTL_ADD, signals_.get(), EPOLLIN, id_signals));
        while (!stopping_) SENV_TRY(turn());
        say_goodbye();
        return {};
    }

private:
    static constexpr std::uint64_t id_listener = 0;
    static constexpr std::uint64_t id_wake = 1;
    static constexpr std::uint64_t id_signals = 2;
    static constexpr std::uint64_t first_client = 16;

    Result<void> watch(int operation, int fd, std::uint32_t events, std::uint64_t id) const {
        struct epoll_event event = {};
        event.events = events;
        event.data.u64 = id;
        if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) return Error::sys(errno, "cannot watch a socket");
        return {};
    }

    Result<void> turn() {
        std::array<struct epoll_event, 64> ready{};
        const int timeout = clients_.empty() ? -1 : static_cast<int>(tick.count());
        const int n = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), timeout);
        if (n < 0 && errno != EINTR) return Error::sys(errno, "cannot wait for clients");
        for (int i = 0; i < n; ++i) {
            const auto& event = ready.at(static_cast<std::size_t>(i));
            // One client's bad luck is not that of the others.
            const auto done = contained([&]() -> Result<void> { return handle(event.data.u64, event.events); });
            if (!done) log_error(Level::error, "client", done.error());
        }
        const auto done = contained([&]() -> Result<void> {
            on_time();
            return {};
        });
        if (!done) log_error(Level::error, "client", done.error());
        return {};
    }

    Result<void> handle(std::uint64_t id, std::uint32_t events) {
        if (id == id_listener) return accept_some();
        if (id == id_wake) return take_events();
        if (id == id_signals) return take_signals();
        const auto found = clients_.find(id);
        if (found == clients_.end()) return {};
        Client& client = found->second;
        bool alive = (events & EPOLLERR) == 0;
        if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) != 0) alive = receive(client);
        if (alive && (events & EPOLLOUT) != 0) alive = flush(client);
        if (!alive) drop(found);
        return {};
    }

    Result<void> take_signals() {
        struct signalfd_siginfo info = {};
        while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGHUP) {
                actions_->hang_up();
            } else {
                stopping_ = true;
            }
        }
        return {};
    }

    // ---------------------------------------------------------------------------------------------------- connections

    Result<void> accept_some() {
        for (unsigned i = 0; i < most_accepted; ++i) {
            Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            if (!socket) {
                // Without a free descriptor the connection stays in the queue, and epoll would report it without pause.
                if (errno == EMFILE || errno == ENFILE) ::usleep(10'000);
                return {};
            }
            struct ucred peer = {};
            socklen_t size = sizeof peer;
            if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) continue;
            if (connections_of(peer.uid) >= max_connections) {
                const auto frame = wire::encode_error(
                    Error(Kind::busy, "senvd has too many connections on this node").hint("try again later"));
                (void)::send(socket.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
                continue;
            }
            const std::uint64_t id = next_id_++;
            SENV_TRY(watch(EPOLL_CTL_ADD, socket.get(), EPOLLIN | EPOLLRDHUP, id));
            Client client;
            client.socket = std::move(socket);
            client.id = id;
            client.uid = peer.uid;
            client.is_admin = is_admin(peer, client.socket.get());
            client.accepted = Clock::now();
            clients_.emplace(id, std::move(client));
            ++connections_of(peer.uid);
            metrics_.connections(clients_.size());
        }
        return {};
    }

    /// Jobs ask as root, through the plugin: nobody else can take the last connection from them.
    std::size_t& connections_of(uid_t uid) noexcept { return uid == 0 ? root_connections_ : user_connections_; }

    bool is_admin(const struct ucred& peer, int socket) const {
        if (peer.uid == 0 || peer.uid == ::geteuid()) return true;
        if (!admins_) return false;
        if (peer.gid == admins_->gid) return true;
        // The kernel says how much room the groups take when it was not enough.
        std::vector<gid_t> groups(64);
        for (int tries = 0; tries < 2; ++tries) {
            auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
            const bool got = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0;
            if (!got && errno != ERANGE) return false;
            groups.resize(size / sizeof(gid_t));
            if (got) return std::ranges::find(groups, admins_->gid) != groups.end();
        }
        return false;
    }

    /// False: it was refused.
    bool may(Client& client, const std::string& doing) {
        if (client.is_admin) return true;
        const std::string who = admins_ ? "root, senvd's own user and members of the group '" + admins_->name + "' may"
                                        : "root and senvd's own user may";
        refuse(client, Error(Kind::denied, "cannot " + doing + ": only " + who)
                           .hint(admins_ ? "ask a member of that group"
                                         : "ask the administrator, who can let a group do this with admin_group in "
                                           "senvd.toml"));
        return false;
    }

    using Found = std::map<std::uint64_t, Client>::iterator;

    void drop(Found client) {
        const auto profile = client->second.profile;
        if (profile) metrics_.answered(RequestEnd::gone);
        stop_waiting(client->second);
        if (profile && !waiting_.contains(*profile) && !is_prefetched(*profile)) actions_->abandon(*profile);
        --connections_of(client->second.uid);
        clients_.erase(client);  // closing takes it out of epoll
        metrics_.connections(clients_.size());
    }

    bool is_prefetched(const StorePath& profile) const {
        const auto found = prefetches_.lower_bound({profile, 0});
        return found != prefetches_.end() && found->first == profile;
    }

    void count_out(std::uint32_t uid) {
        const auto found = open_.find(uid);
        if (--found->second == 0) open_.erase(found);
    }

    void stop_waiting(Client& client) {
        if (!client.profile) return;
        board_.remove_waiting(*client.profile, client.id);
        count_out(client.requester.uid);
        const auto [begin, end] = waiting_.equal_range(*client.profile);
        for (auto it = begin; it != end; ++it) {
            if (it->second == client.id) {
                waiting_.erase(it);
                break;
            }
        }
        client.profile.reset();
    }

    /// False: the connection is over.
    bool receive(Client& client) {
        std::array<char, 16384> buffer{};
        for (;;) {
            const ssize_t n = ::recv(client.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (n < 0) return errno == EAGAIN || errno == EINTR;
            if (n == 0 || client.asked) return false;  // gone, or says more than one request
            client.received.append(buffer.data(), static_cast<std::size_t>(n));
            if (client.received.size() < wire::header_bytes) continue;
            const auto header = wire::Header::parse(
                std::as_bytes(std::span(client.received)).first<wire::header_bytes>(), wire::max_request_bytes);
            if (!header) return false;
            const std::size_t whole = wire::header_bytes + header->length;
            if (client.received.size() > whole) return false;
            if (client.received.size() < whole) continue;
            client.asked = true;
            const std::string request = std::exchange(client.received, {});
            if (!take_request(client, header->type, std::string_view(request).substr(wire::header_bytes))) return false;
            return flush(client);
        }
    }

    // ------------------------------------------------------------------------------------------------------- requests

    uid_t uid_of(const Client& client, std::uint32_t said) const { return client.uid == 0 ? said : client.uid; }

    bool take_request(Client& client, wire::Type type, std::string_view payload) {
        client.request = type;
        switch (type) {
            case wire::Type::provision: return provision(client, payload);
            case wire::Type::prefetch: return prefetch(client, payload);
            case wire::Type::status:
                if (!payload.empty()) return false;
                actions_->status(client.id);
                return true;
            case wire::Type::gc: return collect(client, payload);
            case wire::Type::pin: return pin(client, payload);
            case wire::Type::list: return list(client, payload);
            case wire::Type::verify: return verify(client, payload);
            case wire::Type::held: return held(client, payload);
            case wire::Type::release: return release(client, payload);
            default: return false;
        }
    }

    bool provision(Client& client, std::string_view payload) {
        const auto message = wire::Provision::decode(payload);
        if (!message) return false;
        client.requester = {uid_of(client, message->uid), message->job, message->step};
        auto profile = StorePath::parse_absolute(message->profile);
        if (!profile) return refuse(client, Error(Kind::usage, profile.error().what()));
        const bool wants_lease = (message->flags & wire::Provision::flag_lease) != 0;
        // Then the engine decides: it knows what environments take.
        const bool is_weighed = wants_lease && config_.user_leased && client.requester.uid != 0;
        std::optional<Fd> lease;
        if (wants_lease && !is_weighed) {
            auto taken = leases_.take({*profile, client.requester.uid, message->job, message->step, message->details});
            if (!taken) return refuse(client, std::move(taken).error());
            lease = std::move(taken->fd);
        }
        // Only after the lease is there: evicting looks at leases first and at uses afterwards.
        Board::PlanFrame plan = is_weighed ? nullptr : board_.use(*profile, std::time(nullptr));
        if (!plan && has_too_many(client.requester.uid)) return refuse(client, too_many(client.requester.uid));
        if (lease) say(client, wire::encode_empty(wire::Type::lease), *std::move(lease));
        if (plan) {
            tell_complete(client, *profile, std::move(plan), true);
            return true;
        }
        ++open_[client.requester.uid];
        client.wants_progress = (message->flags & wire::Provision::flag_progress) != 0;
        client.next_progress = Clock::now() + progress_period;
        board_.add_waiting(*profile, client.id, client.requester);
        waiting_.emplace(*profile, client.id);
        client.profile = *profile;
        client.awaits_lease = is_weighed;
        std::optional<LeaseFor> lease_for;
        if (is_weighed) lease_for = {client.id, message->details};
        actions_->provision(*profile, client.requester, lease_for);
        return true;
    }

    bool has_too_many(std::uint32_t uid) const {
        const auto found = open_.find(uid);
        return uid != 0 && found != open_.end() && found->second >= config_.user_requests;
    }

    Error too_many(std::uint32_t uid) const {
        return Error(Kind::busy, "senvd has " + std::to_string(config_.user_requests) + " requests of uid " +
                                     std::to_string(uid) + " waiting on this node, which is the limit for one user")
            .hint("try again when some have been answered; the administrator can raise user_requests in senvd.toml");
    }

    bool prefetch(Client& client, std::string_view payload) {
        const auto message = wire::Prefetch::decode(payload);
        if (!message) return false;
        client.requester = {uid_of(client, message->uid), message->job, 0};
        const auto profile = StorePath::parse_absolute(message->profile);
        if (!profile) return refuse(client, Error(Kind::usage, profile.error().what()));
        const bool warm = board_.use(*profile, std::time(nullptr)) != nullptr;
        if (!warm) {
            if (has_too_many(client.requester.uid)) return refuse(client, too_many(client.requester.uid));
            // Its client does not wait, so it counts until there is an end.
            if (prefetches_.emplace(*profile, client.requester.uid).second) ++open_[client.requester.uid];
            actions_->provision(*profile, client.requester, std::nullopt);
        }
        log(Level::info, "prefetch",
            {{"profile", profile->absolute()},
             {"job", client.requester.job},
             {"step", client.requester.step},
             {"uid", client.requester.uid},
             {"warm", warm ? "yes" : "no"}});
        say_last(client, std::make_shared<const std::string>(wire::encode_empty(wire::Type::accepted)));
        return true;
    }

    bool collect(Client& client, std::string_view payload) {
        const auto message = wire::Gc::decode(payload);
        if (!message) return false;
        if (!may(client, "evict")) return true;
        actions_->collect(client.id, (message->flags & wire::Gc::flag_dry_run) != 0);
        return true;
    }

    bool pin(Client& client, std::string_view payload) {
        const auto message = wire::Pin::decode(payload);
        if (!message) return false;
        const bool pinned = (message->flags & wire::Pin::flag_unpin) == 0;
        if (!may(client, pinned ? "pin" : "unpin")) return true;
        const auto profile = StorePath::parse_absolute(message->profile);
        if (!profile) return refuse(client, Error(Kind::usage, profile.error().what()));
        actions_->pin(client.id, *profile, pinned);
        return true;
    }

    bool list(Client& client, std::string_view payload) {
        const auto message = wire::List::decode(payload);
        if (!message) return false;
        std::optional<StorePath> after;
        if (!message->after.empty()) {
            auto profile = StorePath::parse_absolute(message->after);
            if (!profile) return refuse(client, Error(Kind::usage, profile.error().what()));
            after = *std::move(profile);
        }
        actions_->list(client.id, after);
        return true;
    }

    bool held(Client& client, std::string_view payload) {
        const auto message = wire::Held::decode(payload);
        if (!message) return false;
        const auto held = leases_.held_by(uid_of(client, message->uid), message->job);
        std::string told;
        if (held) told = held->profile.absolute() + (held->details.empty() ? "" : " " + held->details);
        say_last(client, std::make_shared<const std::string>(wire::encode_text(told)));
        return true;
    }

    bool release(Client& client, std::string_view payload) {
        const auto message = wire::Release::decode(payload);
        if (!message) return false;
        // Steps that run may break: no business of a group that looks after disks.
        if (client.uid != 0 && client.uid != ::geteuid()) {
            return refuse(client, Error(Kind::denied, "cannot release leases: only root and senvd's own user may"));
        }
        const bool of_user = (message->flags & wire::Release::flag_user) != 0;
        const auto released = of_user ? leases_.drop_user(message->number) : leases_.drop_job(message->number);
        for (const auto& lease : released) {
            log(Level::info, "released",
                {{"profile", lease.profile.absolute()}, {"job", lease.job}, {"step", lease.step}, {"uid", lease.uid}});
        }
        say_last(client, std::make_shared<const std::string>(wire::encode_text(released_to_json(released))));
        return true;
    }

    bool verify(Client& client, std::string_view payload) {
        const auto message = wire::Verify::decode(payload);
        if (!message) return false;
        if (!may(client, "verify")) return true;
        std::vector<StorePath> roots;
        for (const auto& path : message->paths) {
            auto root = StorePath::parse_absolute(path);
            if (!root) return refuse(client, Error(Kind::usage, root.error().what()));
            roots.push_back(*std::move(root));
        }
        actions_->verify(client.id, roots, (message->flags & wire::Verify::flag_repair) != 0);
        return true;
    }

    bool refuse(Client& client, const Error& error) {
        log_error(Level::warning, "refused", error,
                  {{"request", name_of(client.request)},
                   {"job", client.requester.job},
                   {"step", client.requester.step},
                   {"uid", client.requester.uid}});
        if (client.request == wire::Type::provision) metrics_.answered(RequestEnd::refused);
        say_last(client, std::make_shared<const std::string>(wire::encode_error(error)));
        return true;
    }

    void tell_complete(Client& client, const StorePath& profile, Board::PlanFrame plan, bool warm) {
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - client.accepted);
        log(Level::info, "provisioned",
            {{"profile", profile.absolute()},
             {"job", client.requester.job},
             {"step", client.requester.step},
             {"uid", client.requester.uid},
             {"warm", warm ? "yes" : "no"},
             {"us", static_cast<std::uint64_t>(took.count())}});
        if (warm) {
            metrics_.answered_warm(took);
        } else {
            metrics_.answered(RequestEnd::miss);
        }
        say_last(client, std::move(plan));
    }

    // ---------------------------------------------------------------------------------------------- from other threads

    Result<void> take_events() {
        std::uint64_t count = 0;
        (void)!::read(wake_.get(), &count, sizeof count);
        std::deque<Event> events;
        {
            const std::lock_guard lock(mutex_);
            events.swap(events_);
        }
        for (auto& event : events) std::visit([&](auto& one) { tell(one); }, event);
        return {};
    }

    /// Calls say_it(client), unless the client is gone.
    template <class F>
    void tell_one(std::uint64_t id, F&& say_it) {
        const auto found = clients_.find(id);
        if (found == clients_.end()) return;
        say_it(found->second);
        if (!flush(found->second)) drop(found);
    }

    void tell(Answer& answer) {
        tell_one(answer.client, [&](Client& client) {
            say_last(client, std::make_shared<const std::string>(std::move(answer.frame)));
        });
    }

    void tell(Said& said) {
        tell_one(said.client, [&](Client& client) {
            if (said.fd) client.awaits_lease = false;
            say(client, std::move(said.frame), std::move(said.fd));
        });
    }

    void tell(const Refused& refused) {
        tell_one(refused.client, [&](Client& client) {
            stop_waiting(client);
            refuse(client, refused.error);
        });
    }

    void tell(const Told& told) {
        if (told.what != Told::What::pending) {
            for (auto it = prefetches_.lower_bound({told.profile, 0});
                 it != prefetches_.end() && it->first == told.profile; it = prefetches_.erase(it)) {
                count_out(it->second);
            }
        }
        std::vector<std::uint64_t> ids;
        const auto [begin, end] = waiting_.equal_range(told.profile);
        for (auto it = begin; it != end; ++it) {
            if (!clients_.at(it->second).awaits_lease) ids.push_back(it->second);
        }
        for (const auto id : ids) {
            const auto found = clients_.find(id);
            Client& client = found->second;
            if (told.what == Told::What::pending) {
                if (!std::exchange(client.told_pending, true)) {
                    log(Level::info, "pending",
                        {{"profile", told.profile.absolute()},
                         {"job", client.requester.job},
                         {"step", client.requester.step},
                         {"uid", client.requester.uid}});
                    say(client, wire::encode_empty(wire::Type::pending));
                }
            } else if (told.what == Told::What::complete) {
                stop_waiting(client);
                tell_complete(client, told.profile, told.frame, !client.told_pending);
            } else {
                stop_waiting(client);
                metrics_.answered(RequestEnd::failed);
                log(Level::warning, "not-provisioned",
                    {{"profile", told.profile.absolute()},
                     {"job", client.requester.job},
                     {"step", client.requester.step},
                     {"uid", client.requester.uid},
                     {"kind", name_of(told.kind)}});
                say_last(client, told.frame);
            }
            if (!flush(client)) drop(found);
        }
    }

    // --------------------------------------------------------------------------------------------------------- sending

    void say(Client& client, std::string frame, Fd fd = Fd()) {
        push(client, std::make_shared<const std::string>(std::move(frame)), std::move(fd));
    }
    void say_last(Client& client, Board::PlanFrame frame) {
        client.closing = true;
        push(client, std::move(frame), Fd());
    }
    static void push(Client& client, Board::PlanFrame frame, Fd fd) {
        if (client.out.empty()) client.read_by = Clock::now() + reading_limit;
        client.unread += frame->size();
        client.out.push_back({std::move(frame), 0, std::move(fd)});
    }

    /// Sends what can be sent. False: the connection is over.
    bool flush(Client& client) {
        while (!client.out.empty()) {
            Piece& piece = client.out.front();
            const ssize_t n = send_piece(client.socket.get(), piece);
            if (n < 0) {
                if (errno == EINTR) continue;
                if (errno != EAGAIN) return false;
                if (client.unread > max_unread) return false;
                return want_writable(client, true);
            }
            piece.fd.reset();
            piece.sent += static_cast<std::size_t>(n);
            client.unread -= static_cast<std::size_t>(n);
            client.read_by = Clock::now() + reading_limit;
            if (piece.sent == piece.bytes->size()) client.out.pop_front();
        }
        if (client.closing) return false;
        return want_writable(client, false);
    }

    static ssize_t send_piece(int socket, const Piece& piece) {
        struct iovec bytes = {};
        bytes.iov_base = const_cast<char*>(piece.bytes->data()) + piece.sent;  // NOLINT: sendmsg(2) only reads it
        bytes.iov_len = piece.bytes->size() - piece.sent;
        struct msghdr message = {};
        message.msg_iov = &bytes;
        message.msg_iovlen = 1;
        alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        if (piece.fd) {
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            struct cmsghdr* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            const int fd = piece.fd.get();
            std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
        }
        return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }

    bool want_writable(Client& client, bool wanted) const {
        if (client.writable_wanted == wanted) return true;
        client.writable_wanted = wanted;
        const std::uint32_t events = EPOLLIN | EPOLLRDHUP | (wanted ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
        return static_cast<bool>(watch(EPOLL_CTL_MOD, client.socket.get(), events, client.id));
    }

    // ------------------------------------------------------------------------------------------------------------ time

    void on_time() {
        const auto now = Clock::now();
        if (now < next_tick_) return;
        next_tick_ = now + tick;
        std::vector<std::uint64_t> over;
        for (auto& [id, client] : clients_) {
            // What was late may be this thread, when a disk stood still: the request may be there.
            const bool late =
                !client.asked && now > client.accepted + request_limit_ && !(receive(client) && client.asked);
            const bool deaf = !client.out.empty() && now > client.read_by;
            if (late || deaf) {
                over.push_back(id);
                continue;
            }
            if (!client.profile || !client.wants_progress || now < client.next_progress || !client.out.empty())
                continue;
            client.next_progress = now + progress_period;
            if (const auto progress = board_.progress(*client.profile)) {
                say(client, progress->encode());
                if (!flush(client)) over.push_back(id);
            }
        }
        for (const auto id : over) drop(clients_.find(id));
    }

    void say_goodbye() {
        const auto frame = std::make_shared<const std::string>(wire::encode_error(
            Error(Kind::busy, "senvd is being stopped on this node").hint("submit the job again, or try again")));
        const auto end = Clock::now() + closing_limit;
        for (auto& [id, client] : clients_) {
            if (client.profile) metrics_.answered(RequestEnd::failed);
            if (client.asked && !client.closing) say_last(client, frame);
            // The last words are short; who does not read them is not waited for much longer than the others.
            while (!client.out.empty() && Clock::now() < end && flush(client) && !client.out.empty()) ::usleep(5000);
        }
        clients_.clear();
        metrics_.connections(0);
    }

    Fd listener_;
    const ServerConfig& config_;
    Leases& leases_;
    Board& board_;
    Metrics& metrics_;
    const std::optional<AdminGroup> admins_;
    const milliseconds request_limit_;
    Fd wake_;
    Fd epoll_;
    Fd signals_;
    const ClientActions* actions_ = nullptr;
    bool stopping_ = false;
    std::uint64_t next_id_ = first_client;
    Deadline next_tick_{};
    std::map<std::uint64_t, Client> clients_;
    std::size_t root_connections_ = 0;
    std::size_t user_connections_ = 0;
    std::multimap<StorePath, std::uint64_t> waiting_;
    std::set<std::pair<StorePath, std::uint32_t>> prefetches_;  // under way, and for which uid
    std::map<std::uint32_t, std::size_t> open_;                 // how many of both a uid has
    std::mutex mutex_;
    std::deque<Event> events_;
};

Clients::Clients(Fd listener, const ServerConfig& config, Leases& leases, Board& board, Metrics& metrics,
                 std::optional<AdminGroup> admins, milliseconds request_limit)
    : loop_(std::make_unique<Loop>(std::move(listener), config, leases, board, metrics, std::move(admins),
                                   request_limit)) {}
Clients::~Clients() = default;

void Clients::pending(const StorePath& profile) {
    loop_->post(Told{profile, Told::What::pending, nullptr, Kind::bug});
}
void Clients::complete(const StorePath& profile, Board::PlanFrame plan) {
    loop_->post(Told{profile, Told::What::complete, std::move(plan), Kind::bug});
}
void Clients::failed(const StorePath& profile, const Error& error) {
    loop_->post(Told{profile, Told::What::failed, std::make_shared<const std::string>(wire::encode_error(error)),
                     error.kind()});
}
void Clients::answer(std::uint64_t client, std::string frame) {
    loop_->post(Answer{client, std::move(frame)});
}
void Clients::lease(std::uint64_t client, Fd lease) {
    loop_->post(Said{client, wire::encode_empty(wire::Type::lease), std::move(lease)});
}
void Clients::progress(std::uint64_t client, const wire::Progress& progress) {
    loop_->post(Said{client, progress.encode(), Fd()});
}
void Clients::refused(std::uint64_t client, const Error& error) {
    loop_->post(Refused{client, error});
}
Result<void> Clients::run(const ClientActions& actions) {
    return loop_->run(actions);
}

}  // namespace senv
