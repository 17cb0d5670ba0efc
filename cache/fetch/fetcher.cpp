#include "cache/fetch/fetcher.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <thread>

#include "cache/base/memory.h"
#include "cache/fetch/channel.h"
#include "cache/fetch/confine.h"
#include "cache/fetch/ring.h"
#include "cache/fetch/sources.h"

namespace senv {

namespace {

constexpr std::size_t receive_bytes = 65536;
// A transfer needs its stack, a window or dictionary of at most 33 MiB, and what curl and the decompressor hold beside it.
constexpr std::size_t memory_base = std::size_t{256} << 20U;
constexpr std::size_t memory_per_transfer = std::size_t{64} << 20U;

/// The channel to senvd. Everybody may send; one thread receives.
class Channel {
public:
    explicit Channel(Fd socket) : socket_(std::move(socket)) {}

    Result<void> send(const channel::FromFetcher& message) {
        const std::string bytes = channel::encode(message);
        std::string_view rest = bytes;
        const std::lock_guard lock(mutex_);
        while (!rest.empty()) {
            const ssize_t sent = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0) return Error::sys(errno, "cannot write to senvd");
            rest.remove_prefix(static_cast<std::size_t>(sent));
        }
        return {};
    }

    /// The next message; nullopt when senvd has closed.
    Result<std::optional<channel::ToFetcher>> receive() {
        for (;;) {
            if (const auto frame = SENV_TRY(frames_.next())) {
                return std::optional(SENV_TRY(channel::decode_to_fetcher(*frame)));
            }
            const ssize_t got = ::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0 && errno != ECONNRESET) return Error::sys(errno, "cannot read from senvd");
            if (got <= 0) return std::optional<channel::ToFetcher>();
            frames_.add({buffer_.data(), static_cast<std::size_t>(got)});
        }
    }

private:
    Fd socket_;
    std::mutex mutex_;
    channel::Frames frames_;
    std::string buffer_ = std::string(receive_bytes, '\0');
};

/// One slot of the shared memory and the thread that fills it.
class Slot {
public:
    Slot(std::byte* memory, NarSource& source) : ring_(memory), source_(source), thread_([this] { run(); }) {}

    void start(const channel::FetchNar& message) {
        {
            const std::lock_guard lock(mutex_);
            next_ = message;
            stop_ = std::stop_source();
        }
        changed_.notify_one();
    }

    void cancel(std::uint32_t ticket) {
        const std::lock_guard lock(mutex_);
        if (ticket_ == ticket || (next_ && next_->ticket == ticket)) stop_.request_stop();
    }

private:
    void run() {
        for (;;) {
            const channel::FetchNar message = take();
            ring_.begin(message.ticket);
            const auto refusal = contained([&]() -> Result<std::optional<Refusal>> { return fetch(message); });
            ring_.end(refusal ? *refusal : Refusal{Outcome::again, refusal.error(), std::nullopt});
        }
    }

    channel::FetchNar take() {
        std::unique_lock lock(mutex_);
        wait_for_work(changed_, lock, [&] { return next_.has_value(); });
        channel::FetchNar message = *std::move(next_);
        next_.reset();
        ticket_ = message.ticket;
        token_ = stop_.get_token();
        return message;
    }

    std::optional<Refusal> fetch(const channel::FetchNar& message) {
        const NarRequest request{message.url, message.compression, message.nar_size, Clock::now() + message.left};
        return source_.fetch(request,
                             ByteSink([this](std::span<const std::byte> bytes) { return ring_.take(bytes); },
                                      [this] { return ring_.place(); }),
                             token_);
    }

    RingWriter ring_;  // of the thread
    std::stop_token token_;
    NarSource& source_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<channel::FetchNar> next_;
    std::uint32_t ticket_ = 0;
    std::stop_source stop_;
    std::thread thread_;  // ends with the process
};

Result<void> serve(Channel& channel, NarinfoSource& narinfos, std::vector<std::unique_ptr<Slot>>& slots) {
    const auto slot = [&](std::uint32_t number) -> Result<Slot*> {
        if (number < slots.size()) return slots[number].get();
        return Error(Kind::corrupt, "there is no slot " + std::to_string(number));
    };
    while (auto message = SENV_TRY(channel.receive())) {
        if (auto* ask = std::get_if<channel::AskNarinfo>(&*message)) {
            narinfos.ask(ask->origin, ask->item, [&channel, id = ask->id](NarinfoAnswer answer) {
                // Where this fails, senvd is gone, which the loop sees.
                (void)channel.send(channel::NarinfoCame{id, std::move(answer)});
            });
        } else if (auto* fetch = std::get_if<channel::FetchNar>(&*message)) {
            SENV_TRY(slot(fetch->slot))->start(*fetch);
        } else if (auto* cancel = std::get_if<channel::Cancel>(&*message)) {
            SENV_TRY(slot(cancel->slot))->cancel(cancel->ticket);
        } else {
            return Error(Kind::corrupt, "a second SETUP came");
        }
    }
    return {};
}

// The threads have nothing that would have to be put away.
[[noreturn]] void end(const Result<void>& done, const std::function<void(const Error&)>& tell) {
    if (!done) tell(done.error());
    ::_exit(done ? 0 : 1);
}

Result<void> run(const std::function<void(const Error&)>& tell, const std::function<void()>& once_confined) {
    Channel channel{Fd(fetcher_control_fd)};
    const auto first = SENV_TRY(channel.receive());
    if (!first) return {};
    const auto* setup = std::get_if<channel::Setup>(&*first);
    if (setup == nullptr) return Error(Kind::corrupt, "the first message is not SETUP");
    const SharedMemory memory = SENV_TRY(SharedMemory::map(Fd(fetcher_memory_fd), setup->transfers));
    SENV_TRY(init_curl());

    const auto confined = SENV_TRY(confine({setup->folders, memory_base + setup->transfers * memory_per_transfer}));
    if (once_confined) once_confined();

    const CurlLimits limits{setup->user_agent, setup->connect, setup->stall};
    const auto narinfos = SENV_TRY(make_narinfo_source(limits));
    const auto nars = make_nar_source(limits);
    std::vector<std::unique_ptr<Slot>> slots;
    for (std::uint32_t i = 0; i < setup->transfers; ++i) {
        slots.push_back(std::make_unique<Slot>(memory.slot(i), *nars));
    }
    const auto served = contained([&]() -> Result<void> {
        // Where this fails, senvd is gone, which the loop sees.
        (void)channel.send(channel::Ready{confined.landlock, confined.seccomp, confined.missing});
        return serve(channel, *narinfos, slots);
    });
    end(served, tell);
}

}  // namespace

bool is_fetcher(int argc, const char* const* argv) noexcept {
    return argc == 2 && std::string_view(argv[1]) == fetcher_word;
}

int fetcher_main(const std::function<void(const Error&)>& tell, const std::function<void()>& once_confined) {
    struct stat found = {};
    if (::fstat(fetcher_control_fd, &found) != 0 || !S_ISSOCK(found.st_mode)) {
        std::fprintf(stderr, "senvd: %s is for senvd itself\n", fetcher_word);
        return 2;
    }
    // If senvd died before this, the channel is closed.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    ::prctl(PR_SET_NAME, "senvd-fetcher", 0, 0, 0);
    ::closefrom(fetcher_memory_fd + 1);
    (void)::chdir("/");
    // Only from the first arena does malloc_trim() give back all that is free. Threads seldom allocate at the same time.
    ::mallopt(M_ARENA_MAX, 1);
    const auto done = contained([&] { return run(tell, once_confined); });
    end(done, tell);
}

}  // namespace senv
