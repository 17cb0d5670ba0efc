#include "cache/daemon/clients.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <deque>
#include <map>
#include <mutex>
#include <variant>

#include "cache/daemon/clock.h"
#include "cache/daemon/log.h"
#include "cache/wire/messages.h"

namespace senv {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned max_accepted = 64;  // before those that are there have their turn again
constexpr seconds closing_limit{2};    // for the last words at the end of the daemon
constexpr milliseconds tick{200};

struct Pending {
    StorePath profile;
};
struct Complete {
    StorePath profile;
    Board::PlanFrame plan;
};
struct Failed {
    StorePath profile;
    Connection::Frame error;
    Kind kind;
};
struct Answer {
    std::uint64_t client;
    std::string frame;
};
struct Progress {
    std::uint64_t client;
    std::string frame;
};
struct Lent {
    std::uint64_t client;
    Fd lease;
};
struct Refused {
    std::uint64_t client;
    Error error;
};
using Event = std::variant<Pending, Complete, Failed, Answer, Progress, Lent, Refused>;

Connection::Frame frame_of(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
}

}  // namespace

class Clients::Loop {
public:
    Loop(Fd listener, const ServerConfig& config, Leases& leases, Board& board, Metrics& metrics,
         std::optional<AdminGroup> admins)
        : listener_(std::move(listener)),
          metrics_(metrics),
          desk_(config, leases, board, metrics, std::move(admins)),
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
        desk_.use(actions);
        hang_up_ = &actions.hang_up;
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

    using Found = std::map<std::uint64_t, Client>::iterator;

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
            attempt([&] { return handle(event.data.u64, event.events); });
        }
        attempt([&] { return on_time(); });
        return {};
    }

    /// One client's bad luck is not that of the others.
    template <class F>
    static void attempt(F&& body) {
        if (const auto done = contained(body); !done) log_error(Level::error, "client", done.error());
    }

    Result<void> handle(std::uint64_t id, std::uint32_t events) {
        if (id == id_listener) return accept_some();
        if (id == id_wake) return take_events();
        if (id == id_signals) return take_signals();
        const auto found = clients_.find(id);
        if (found == clients_.end()) return {};
        bool alive = (events & EPOLLERR) == 0;
        if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) != 0) alive = receive(found->second);
        if (alive && (events & EPOLLOUT) != 0) alive = flush(found->second);
        if (!alive) drop(found);
        return {};
    }

    Result<void> take_signals() {
        struct signalfd_siginfo info = {};
        while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGHUP) {
                (*hang_up_)();
            } else {
                stopping_ = true;
            }
        }
        return {};
    }

    // ---------------------------------------------------------------------------------------------------- connections

    Result<void> accept_some() {
        for (unsigned i = 0; i < max_accepted; ++i) {
            Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            if (!socket) {
                // Without a free descriptor the connection stays in the queue, and epoll would report it without pause.
                if (errno == EMFILE || errno == ENFILE) ::usleep(10'000);
                return {};
            }
            const auto peer = Peer::of(socket.get(), desk_.admins());
            if (!peer) continue;
            if (!desk_.quota().connect(peer->uid)) {
                const auto frame = wire::encode_error(
                    Error(Kind::busy, "senvd has too many connections on this node").hint("try again later"));
                (void)::send(socket.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
                continue;
            }
            const std::uint64_t id = next_id_++;
            if (auto watched = watch(EPOLL_CTL_ADD, socket.get(), EPOLLIN | EPOLLRDHUP, id); !watched) {
                desk_.quota().disconnected(peer->uid);
                return watched;
            }
            clients_.emplace(id, Client{id, *peer, Connection(std::move(socket), now().steady)});
            metrics_.connections(clients_.size());
        }
        return {};
    }

    void drop(Found client) {
        desk_.gone(client->second);
        desk_.quota().disconnected(client->second.peer.uid);
        clients_.erase(client);  // closing takes it out of epoll
        metrics_.connections(clients_.size());
    }

    /// False: the connection is over.
    bool receive(Client& client) {
        std::optional<Connection::Request> request;
        if (client.connection.receive(request) == Connection::State::over) return false;
        return !request || take(client, *request);
    }

    bool take(Client& client, const Connection::Request& request) {
        if (!desk_.take(client, request, now())) return false;
        desk_.give(client, now());
        return flush(client);
    }

    /// Sends what can be sent. False: the connection is over.
    bool flush(Client& client) {
        const auto state = client.connection.flush(now().steady);
        if (state == Connection::State::over) return false;
        const bool wanted = state == Connection::State::waiting;
        if (client.writable_wanted == wanted) return true;
        client.writable_wanted = wanted;
        const std::uint32_t events = EPOLLIN | EPOLLRDHUP | (wanted ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
        return static_cast<bool>(watch(EPOLL_CTL_MOD, client.connection.socket(), events, client.id));
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
    /// Calls say_it(client) for all that wait for the profile.
    template <class F>
    void tell_waiting(const StorePath& profile, F&& say_it) {
        for (const auto id : desk_.waiting_for(profile)) tell_one(id, say_it);
    }

    void tell(const Pending& event) {
        tell_waiting(event.profile, [&](Client& client) { Desk::pending(client, now()); });
    }
    void tell(const Complete& event) {
        desk_.ended(event.profile);
        tell_waiting(event.profile, [&](Client& client) { desk_.complete(client, event.plan, now()); });
    }
    void tell(const Failed& event) {
        desk_.ended(event.profile);
        tell_waiting(event.profile, [&](Client& client) { desk_.failed(client, event.error, event.kind, now()); });
    }
    void tell(Answer& event) {
        tell_one(event.client,
                 [&](Client& client) { client.connection.say_last(frame_of(std::move(event.frame)), now().steady); });
    }
    void tell(Progress& event) {
        tell_one(event.client,
                 [&](Client& client) { client.connection.say(frame_of(std::move(event.frame)), Fd(), now().steady); });
    }
    void tell(Lent& event) {
        tell_one(event.client, [&](Client& client) { desk_.lease(client, std::move(event.lease), now()); });
    }
    void tell(const Refused& event) {
        tell_one(event.client, [&](Client& client) { desk_.refuse(client, event.error, now()); });
    }

    // ------------------------------------------------------------------------------------------------------------ time

    Result<void> on_time() {
        const Now time = now();
        if (time.steady < next_tick_) return {};
        next_tick_ = time.steady + tick;
        std::vector<std::uint64_t> over;
        for (auto& [id, client] : clients_) {
            std::optional<Connection::Request> request;
            bool alive = client.connection.check(time.steady, request) != Connection::State::over;
            if (alive && request) alive = take(client, *request);
            if (alive && desk_.tell_progress(client, time)) alive = flush(client);
            if (!alive) over.push_back(id);
        }
        for (const auto id : over) drop(clients_.find(id));
        return {};
    }

    void say_goodbye() {
        const auto frame = frame_of(wire::encode_error(
            Error(Kind::busy, "senvd is being stopped on this node").hint("submit the job again, or try again")));
        const auto end = now().steady + closing_limit;
        for (auto& [id, client] : clients_) {
            desk_.goodbye(client, frame, now());
            // The last words are short; who does not read them is not waited for much longer than the others.
            while (client.connection.has_unread() && now().steady < end && flush(client) &&
                   client.connection.has_unread()) {
                ::usleep(5000);
            }
        }
        clients_.clear();
        metrics_.connections(0);
    }

    Fd listener_;
    Metrics& metrics_;
    Desk desk_;
    Fd wake_;
    Fd epoll_;
    Fd signals_;
    const std::function<void()>* hang_up_ = nullptr;
    bool stopping_ = false;
    std::uint64_t next_id_ = first_client;
    Deadline next_tick_{};
    std::map<std::uint64_t, Client> clients_;
    std::mutex mutex_;
    std::deque<Event> events_;
};

Clients::Clients(Fd listener, const ServerConfig& config, Leases& leases, Board& board, Metrics& metrics,
                 std::optional<AdminGroup> admins)
    : loop_(std::make_unique<Loop>(std::move(listener), config, leases, board, metrics, std::move(admins))) {}
Clients::~Clients() = default;

void Clients::pending(const StorePath& profile) {
    loop_->post(Pending{profile});
}
void Clients::complete(const StorePath& profile, Board::PlanFrame plan) {
    loop_->post(Complete{profile, std::move(plan)});
}
void Clients::failed(const StorePath& profile, const Error& error) {
    loop_->post(Failed{profile, frame_of(wire::encode_error(error)), error.kind()});
}
void Clients::answer(std::uint64_t client, std::string frame) {
    loop_->post(Answer{client, std::move(frame)});
}
void Clients::lease(std::uint64_t client, Fd lease) {
    loop_->post(Lent{client, std::move(lease)});
}
void Clients::progress(std::uint64_t client, const wire::Progress& progress) {
    loop_->post(Progress{client, progress.encode()});
}
void Clients::refused(std::uint64_t client, const Error& error) {
    loop_->post(Refused{client, error});
}
Result<void> Clients::run(const ClientActions& actions) {
    return loop_->run(actions);
}

}  // namespace senv
