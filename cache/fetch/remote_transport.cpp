#include "cache/fetch/remote_transport.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "cache/base/text.h"
#include "cache/fetch/channel.h"
#include "cache/fetch/confine.h"
#include "cache/fetch/fetcher_process.h"
#include "cache/fetch/ring.h"
#include "cache/formats/origin.h"

namespace senv {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds first_delay{100};
constexpr milliseconds longest_delay{10'000};
constexpr seconds long_life{60};
constexpr int slacks_to_start = 4;
constexpr milliseconds look_slice{2};
constexpr seconds folder_limit{5};  // for a folder to answer; it may be mounted on use
constexpr milliseconds ring_slice{250};
constexpr milliseconds slot_slice{20};
constexpr int look_period = 1000;  // ms, between two looks at the limits while something is asked of it
constexpr int redirects = 5;
constexpr std::size_t receive_bytes = 262144;

/// One process, its channel and its memory. Shared by those who still use its memory after it is gone.
struct Fetcher {
    struct Slot {
        Slot(std::uint32_t place, std::byte* memory) : number(place), ring(memory) {}
        const std::uint32_t number;
        RingReader ring;
        std::uint32_t ticket = 0;
        enum class State : unsigned char { idle, busy, ending } state = State::idle;
        Deadline ends_by{};  // while ending

        /// Nobody uses it any more, on either side.
        bool is_free() const { return state == State::idle || (state == State::ending && ring.ended()); }
    };

    Fetcher(Fd socket, SharedMemory shared, Process started)
        : control(std::move(socket)), memory(std::move(shared)), process(std::move(started)) {}

    const Fd control;
    const SharedMemory memory;
    Process process;                           // of the thread
    std::vector<std::unique_ptr<Slot>> slots;  // the ring of a busy one belongs to whoever made it busy
    std::string outgoing;
    bool ready = false;
    bool is_outdated = false;     // it is idle, and files that it reads were replaced
    std::optional<Error> broken;  // then it is of no use any more
};

class Supervisor {
public:
    Supervisor(RemoteConfig config, std::function<void(const Renewal&)> on_renewal)
        : config_(std::move(config)), on_renewal_(std::move(on_renewal)) {}

    ~Supervisor() { shut_down(); }
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    /// Waits for the first fetcher.
    Result<Sandbox> start() {
        wakeup_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!wakeup_) return Error::sys(errno, "cannot make an event descriptor");
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return sandbox_ || last_failure_; });
        if (sandbox_) return *sandbox_;
        return *last_failure_;
    }

    void shut_down() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            thread_.request_stop();
            if (wakeup_) wake();
        }
        changed_.notify_all();
        if (thread_.joinable()) thread_.join();
    }

    void ask(const std::string& origin, const StorePath& item, std::function<void(NarinfoAnswer)> answer) {
        const std::lock_guard lock(mutex_);
        leave_idleness();
        const std::uint64_t id = next_id_++;
        if (queries_.empty()) last_answer_ = Clock::now();
        const auto added = queries_.emplace(id, Query{origin, item, std::move(answer)}).first;
        if (current_) send_query(id, added->second);
    }

    std::optional<Refusal> fetch(const NarRequest& request, const ByteSink& sink, const std::stop_token& stop) {
        auto taken = take_slot(request, stop);
        if (auto* refusal = std::get_if<Refusal>(&taken)) return std::move(*refusal);
        const auto& [fetcher, slot] = std::get<SlotInUse>(taken);
        const std::stop_callback wake(stop, [&ring = slot->ring] { ring.wake(); });
        try {
            return receive(request, sink, stop, *fetcher, *slot);
        } catch (...) {  // of the sink: the slot must not stay taken
            (void)give_up(*fetcher, *slot, stopped(request, "was given up"));
            throw;
        }
    }

private:
    struct Query {
        std::string origin;
        StorePath item;
        std::function<void(NarinfoAnswer)> answer;
        bool sent = false;
    };
    using SlotInUse = std::pair<std::shared_ptr<Fetcher>, Fetcher::Slot*>;

    static Refusal stopped(const NarRequest& request, const std::string& cause) {
        return {Outcome::stopped, Error(Kind::busy, shown_url(request.url) + ": the transfer " + cause), std::nullopt};
    }

    static Refusal hangs(const std::string& url) {
        const std::string limit = std::to_string(folder_limit.count());
        return {Outcome::unreachable,
                Error(Kind::io, shown_url(url) + ": hangs: the folder could not be opened within " + limit + " s"),
                std::nullopt};
    }

    Refusal again(const std::string& server, const Error& why) const {
        return {Outcome::again, Error(Kind::io, shown_url(server) + ": " + why.what()), std::nullopt};
    }

    // ------------------------------------------------------------------------------------------------- callers' threads

    std::variant<SlotInUse, Refusal> take_slot(const NarRequest& request, const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        const auto failures_before = failures_;
        for (;;) {
            if (stop.stop_requested() || stopping_) return stopped(request, "was given up");
            if (failures_ != failures_before) return again(request.url, *last_failure_);
            leave_idleness();
            const auto place = split_folder_url(request.url);
            if (current_ && place && hanging_.contains(place->folder)) return hangs(request.url);
            if (Fetcher::Slot* slot = idle_slot()) return begin(request, *slot);
            if (Clock::now() >= request.deadline) return stopped(request, "did not begin in time");
            const auto until = std::min(request.deadline, Clock::now() + slot_slice);
            changed_.wait_until(lock, stop, until,
                                [&] { return stopping_ || failures_ != failures_before || idle_slot() != nullptr; });
        }
    }

    // With the lock, before something is asked: the thread looks after it from here on, and resolv.conf and its like are those
    // of now.
    void leave_idleness() {
        if (!current_ || !is_idle(*current_)) return;
        const bool has_come_back =
            std::ranges::any_of(hanging_, [](auto& one) { return one.second.gone_within(milliseconds(0)); });
        if (has_come_back || replaced_files(config_.folders) != replaced_) {
            current_->is_outdated = true;
            current_.reset();
        }
        wake();
    }

    // With the lock.
    Fetcher::Slot* idle_slot() {
        if (!current_) return nullptr;
        const auto found = std::ranges::find_if(current_->slots, [](const auto& slot) { return slot->is_free(); });
        return found == current_->slots.end() ? nullptr : found->get();
    }

    // With the lock.
    SlotInUse begin(const NarRequest& request, Fetcher::Slot& slot) {
        slot.state = Fetcher::Slot::State::busy;
        if (++slot.ticket == 0) ++slot.ticket;
        slot.ring.begin(slot.ticket);
        const auto left = std::chrono::duration_cast<milliseconds>(request.deadline - Clock::now());
        send(channel::FetchNar{slot.number, slot.ticket, request.url, request.compression, request.nar_size, left});
        return {current_, &slot};
    }

    std::optional<Refusal> receive(const NarRequest& request, const ByteSink& sink, const std::stop_token& stop,
                                   Fetcher& fetcher, Fetcher::Slot& slot) {
        const seconds silence = (config_.limits.connect + config_.limits.stall) * (redirects + 1) + config_.slack;
        auto last = Clock::now();
        for (;;) {
            const auto now = Clock::now();
            if (stop.stop_requested()) return give_up(fetcher, slot, stopped(request, "was given up"));
            if (now - config_.slack >= request.deadline) {
                return give_up(fetcher, slot, stopped(request, "was too slow"));
            }
            const auto step = slot.ring.next();
            if (!step) return give_up(fetcher, slot, again(request.url, broke(fetcher, step.error())));
            if (step->state == RingReader::State::bytes) {
                if (auto taken = sink(step->bytes); !taken) {
                    return give_up(fetcher, slot, {Outcome::stopped, std::move(taken).error(), std::nullopt});
                }
                last = now;
                continue;
            }
            if (step->state == RingReader::State::ended) {
                auto outcome = slot.ring.outcome();
                if (!outcome) return give_up(fetcher, slot, again(request.url, broke(fetcher, outcome.error())));
                give_back(slot);
                return *std::move(outcome);
            }
            if (const auto error = broken(fetcher)) return give_up(fetcher, slot, again(request.url, *error));
            if (now >= last + silence) {
                const Error error(
                    Kind::io, "neither a byte of a nar nor its end came for " + std::to_string(silence.count()) + " s");
                return give_up(fetcher, slot, again(request.url, broke(fetcher, error)));
            }
            slot.ring.wait(ring_slice);
        }
    }

    void give_back(Fetcher::Slot& slot) {
        {
            const std::lock_guard lock(mutex_);
            slot.state = Fetcher::Slot::State::idle;
        }
        changed_.notify_all();
    }

    /// The fetcher has yet to end the transfer; the slot is free then.
    Refusal give_up(Fetcher& fetcher, Fetcher::Slot& slot, Refusal refusal) {
        slot.ring.cancel();
        const std::lock_guard lock(mutex_);
        slot.state = Fetcher::Slot::State::ending;
        slot.ends_by = Clock::now() + config_.slack;
        if (current_.get() == &fetcher) send(channel::Cancel{slot.number, slot.ticket});
        return refusal;
    }

    std::optional<Error> broken(const Fetcher& fetcher) {
        const std::lock_guard lock(mutex_);
        return fetcher.broken;
    }

    /// The fetcher is of no use any more: the thread ends it. What is told to those who waited for it.
    Error broke(Fetcher& fetcher, const Error& error) {
        const std::lock_guard lock(mutex_);
        if (!fetcher.broken) fetcher.broken = blame(error.what());
        if (current_.get() == &fetcher) current_.reset();  // what is asked from here on waits for the next one
        wake();
        return *fetcher.broken;
    }

    static Error blame(const std::string& text) { return {Kind::io, "senvd's fetcher broke off: " + text}; }

    void wake() {
        const std::uint64_t one = 1;
        (void)::write(wakeup_.get(), &one, sizeof one);
    }

    // With the lock. What the socket does not take is left to the thread.
    void send(const channel::ToFetcher& message) {
        Fetcher& fetcher = *current_;
        const bool idle = fetcher.outgoing.empty();
        fetcher.outgoing += channel::encode(message);
        if (!idle) return;
        flush(fetcher);
        if (!fetcher.outgoing.empty()) wake();
    }

    // With the lock.
    void send_query(std::uint64_t id, Query& query) {
        if (const auto folder = folder_of(query.origin); folder && hanging_.contains(*folder)) {
            hopeless_.push_back(id);
            return wake();
        }
        query.sent = true;
        send(channel::AskNarinfo{id, query.origin, query.item});
    }

    // With the lock.
    static void flush(Fetcher& fetcher) {
        while (!fetcher.outgoing.empty()) {
            const ssize_t sent = ::send(fetcher.control.get(), fetcher.outgoing.data(), fetcher.outgoing.size(),
                                        MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0) return;  // it is full; or the other end is gone, which the thread sees
            fetcher.outgoing.erase(0, static_cast<std::size_t>(sent));
        }
    }

    // ------------------------------------------------------------------------------------------------------- the thread

    /// Why a fetcher is not used any more.
    struct End {
        std::optional<Error> lost;  // none: it was idle, and is to be renewed
    };

    void run(const std::stop_token& stop) {
        milliseconds delay = first_delay;
        while (!stop.stop_requested()) {
            const auto begun = Clock::now();
            std::shared_ptr<Fetcher> fetcher;
            const auto ended = contained([&]() -> Result<End> {
                fetcher = SENV_TRY(begin_fetcher());
                return attend(fetcher, stop);
            });
            if (stop.stop_requested()) {
                {
                    const std::lock_guard lock(mutex_);
                    queries_.clear();  // who asked is gone
                }
                put_away(fetcher, blame("senvd stops"));
                return;
            }
            const End end = ended ? *ended : End{ended.error()};
            if (!end.lost || Clock::now() - begun >= long_life) delay = first_delay;
            put_away(fetcher, end.lost);
            if (!sandbox_) return;  // the first one: an Error of start()
            on_renewal_({end.lost, end.lost ? delay : milliseconds(0)});
            if (!end.lost) continue;
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, stop, delay, [&] { return stopping_.load(); });
            delay = std::min(delay * 2, longest_delay);
        }
    }

    /// Which folders do not answer. The fetcher does without them: it opens those that it may read before it is ready.
    void find_hanging() {
        std::map<std::string, Process> looking;
        for (const auto& folder : config_.folders) {
            if (looking.contains(folder)) continue;
            if (auto process = look_into(folder)) looking.emplace(folder, *std::move(process));
        }
        const auto until = Clock::now() + folder_limit;
        while (!stopping_ && Clock::now() < until) {
            for (auto one = looking.begin(); one != looking.end();) {
                one = one->second.gone_within(milliseconds(0)) ? looking.erase(one) : std::next(one);
            }
            if (looking.empty()) break;
            std::this_thread::sleep_for(look_slice);
        }
        const std::lock_guard lock(mutex_);
        hanging_.swap(looking);
        for (auto& [folder, process] : looking) {
            if (!process.end(milliseconds(0))) lingering_.push_back(std::move(process));
        }
    }

    Result<std::shared_ptr<Fetcher>> begin_fetcher() {
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
            return Error::sys(errno, "cannot make a socket for senvd's fetcher");
        }
        Fd ours(pair[0]);
        const Fd theirs(pair[1]);
        SharedMemory memory = SENV_TRY(SharedMemory::make(config_.transfers));
        std::vector<std::string> folders = config_.folders;
        {
            const std::lock_guard lock(mutex_);
            replaced_ = replaced_files(config_.folders);
        }
        find_hanging();
        std::erase_if(folders, [&](const std::string& folder) { return hanging_.contains(folder); });
        Process process = SENV_TRY(spawn_fetcher(config_.program, theirs, memory.fd()));
        auto fetcher = std::make_shared<Fetcher>(std::move(ours), std::move(memory), std::move(process));
        for (std::uint32_t i = 0; i < config_.transfers; ++i) {
            fetcher->slots.push_back(std::make_unique<Fetcher::Slot>(i, fetcher->memory.slot(i)));
        }
        fetcher->outgoing =
            channel::encode(channel::Setup{config_.limits.user_agent, config_.limits.connect, config_.limits.stall,
                                           config_.transfers, std::move(folders)});
        return fetcher;
    }

    /// Serves the channel until the fetcher ends or breaks a rule.
    Result<End> attend(const std::shared_ptr<Fetcher>& fetcher, const std::stop_token& stop) {
        const auto start_limit = config_.slack * slacks_to_start;
        const auto ready_by = Clock::now() + start_limit;
        channel::Frames frames;
        while (!stop.stop_requested()) {
            refuse_hopeless();
            bool more_to_send = false;
            int most = -1;
            {
                const std::lock_guard lock(mutex_);
                flush(*fetcher);
                more_to_send = !fetcher->outgoing.empty();
                const auto now = Clock::now();
                if (fetcher->broken) return End{fetcher->broken};
                if (fetcher->is_outdated) return End{};
                if (!fetcher->ready && now >= ready_by) {
                    return blame("it was not ready after " + std::to_string(start_limit.count()) + " s");
                }
                SENV_TRY(check_limits(*fetcher, now));
                if (!fetcher->ready || !is_idle(*fetcher)) most = look_period;
            }
            std::array<pollfd, 2> watched = {
                {{fetcher->control.get(), static_cast<short>(more_to_send ? POLLIN | POLLOUT : POLLIN), 0},
                 {wakeup_.get(), POLLIN, 0}}};
            ::poll(watched.data(), watched.size(), most);
            if (watched[1].revents != 0) {
                std::uint64_t count = 0;
                (void)::read(wakeup_.get(), &count, sizeof count);
            }
            if ((watched[0].revents & ~POLLOUT) != 0) SENV_TRY(receive(fetcher, frames));
        }
        return End{};
    }

    void refuse_hopeless() {
        std::vector<Query> refused;
        {
            const std::lock_guard lock(mutex_);
            for (const auto id : std::exchange(hopeless_, {})) {
                refused.push_back(std::move(queries_.extract(id).mapped()));
            }
        }
        for (auto& query : refused) query.answer(hangs(query.origin));
    }

    // With the lock.
    bool is_idle(const Fetcher& fetcher) const {
        return queries_.empty() && std::ranges::all_of(fetcher.slots, [](const auto& slot) { return slot->is_free(); });
    }

    // With the lock.
    Result<void> check_limits(const Fetcher& fetcher, Deadline now) const {
        const seconds answering = config_.limits.connect + config_.limits.stall + config_.slack;
        if (fetcher.ready && !queries_.empty() && now >= last_answer_ + answering) {
            return blame("no answer came for " + std::to_string(answering.count()) + " s");
        }
        for (const auto& slot : fetcher.slots) {
            if (slot->state == Fetcher::Slot::State::ending && now >= slot->ends_by && !slot->ring.ended()) {
                return blame("it did not end a transfer that was cancelled");
            }
        }
        return {};
    }

    Result<void> receive(const std::shared_ptr<Fetcher>& fetcher, channel::Frames& frames) {
        const ssize_t got = ::recv(fetcher->control.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
        if (got <= 0) {
            (void)fetcher->process.gone_within(Process::reap_limit);
            return blame(fetcher->process.text());
        }
        frames.add({buffer_.data(), static_cast<std::size_t>(got)});
        for (;;) {
            const auto frame = frames.next();
            if (!frame) return blame(frame.error().what());
            if (!*frame) return {};
            auto message = channel::decode_from_fetcher(**frame);
            if (!message) return blame(message.error().what());
            SENV_TRY(std::visit([&](auto& one) { return take(fetcher, one); }, *message));
        }
    }

    Result<void> take(const std::shared_ptr<Fetcher>& fetcher, channel::Ready& message) {
        {
            const std::lock_guard lock(mutex_);
            if (fetcher->ready) return blame("it was ready twice");
            fetcher->ready = true;
            current_ = fetcher;
            sandbox_ = Sandbox{message.landlock, message.seccomp, std::move(message.missing)};
            last_answer_ = Clock::now();
            for (auto& [id, query] : queries_) send_query(id, query);
        }
        changed_.notify_all();
        return {};
    }

    Result<void> take(const std::shared_ptr<Fetcher>& /*fetcher*/, channel::NarinfoCame& message) {
        std::function<void(NarinfoAnswer)> answer;
        {
            const std::lock_guard lock(mutex_);
            const auto found = queries_.find(message.id);
            if (found == queries_.end() || !found->second.sent) return blame("it answered what nobody had asked");
            answer = std::move(found->second.answer);
            queries_.erase(found);
            last_answer_ = Clock::now();
        }
        answer(std::move(message.answer));
        return {};
    }

    /// Ends it, and refuses what was asked of it when it was lost; when it never was ready, all that waits.
    void put_away(const std::shared_ptr<Fetcher>& fetcher, const std::optional<Error>& lost) {
        const bool was_ready = fetcher && fetcher->ready;
        std::vector<Query> refused;
        {
            const std::lock_guard lock(mutex_);
            current_.reset();
            hopeless_.clear();  // they wait for the next one, which may do with more folders
            if (fetcher && !fetcher->broken) fetcher->broken = lost;
            if (lost && !was_ready) {
                ++failures_;
                last_failure_ = lost;
            }
            std::erase_if(queries_, [&](auto& entry) {
                const bool is_refused = lost && (entry.second.sent || !was_ready);
                if (is_refused) refused.push_back(std::move(entry.second));
                return is_refused;
            });
        }
        changed_.notify_all();
        std::erase_if(lingering_, [](Process& process) { return process.gone_within(milliseconds(0)); });
        if (fetcher) {
            for (const auto& slot : fetcher->slots) slot->ring.wake();
            if (!fetcher->process.end(Process::reap_limit)) lingering_.push_back(std::move(fetcher->process));
        }
        for (auto& query : refused) query.answer(again(query.origin, *lost));
    }

    const RemoteConfig config_;
    const std::function<void(const Renewal&)> on_renewal_;
    Fd wakeup_;

    // Of the thread:
    std::string buffer_ = std::string(receive_bytes, '\0');
    std::vector<Process> lingering_;  // killed, and not gone yet

    std::mutex mutex_;
    std::string replaced_;  // what replaced_files() said when it was started
    std::condition_variable_any changed_;
    std::shared_ptr<Fetcher> current_;  // the one that is ready
    std::map<std::uint64_t, Query> queries_;
    std::map<std::string, Process> hanging_;  // folders, each with who still waits for it; written by the thread
    std::vector<std::uint64_t> hopeless_;     // queries of one of them
    std::uint64_t next_id_ = 1;
    Deadline last_answer_{};
    std::optional<Sandbox> sandbox_;
    std::uint64_t failures_ = 0;  // to start one
    std::optional<Error> last_failure_;
    std::atomic<bool> stopping_{false};
    std::jthread thread_;
};

class RemoteNarinfoSource final : public NarinfoSource {
public:
    explicit RemoteNarinfoSource(std::shared_ptr<Supervisor> supervisor) : supervisor_(std::move(supervisor)) {}
    ~RemoteNarinfoSource() override { supervisor_->shut_down(); }

    void ask(const std::string& origin, const StorePath& item, std::function<void(NarinfoAnswer)> answer) override {
        supervisor_->ask(origin, item, std::move(answer));
    }

private:
    std::shared_ptr<Supervisor> supervisor_;
};

class RemoteNarSource final : public NarSource {
public:
    explicit RemoteNarSource(std::shared_ptr<Supervisor> supervisor) : supervisor_(std::move(supervisor)) {}

    std::optional<Refusal> fetch(const NarRequest& request, const ByteSink& sink, std::stop_token stop) override {
        return supervisor_->fetch(request, sink, stop);
    }

private:
    std::shared_ptr<Supervisor> supervisor_;
};

}  // namespace

Result<RemoteSources> make_remote_sources(RemoteConfig config, std::function<void(const Renewal&)> on_renewal) {
    auto supervisor = std::make_shared<Supervisor>(std::move(config), std::move(on_renewal));
    Sandbox sandbox = SENV_TRY(supervisor->start());
    return RemoteSources{std::make_unique<RemoteNarinfoSource>(supervisor),
                         std::make_unique<RemoteNarSource>(supervisor), std::move(sandbox)};
}

}  // namespace senv
