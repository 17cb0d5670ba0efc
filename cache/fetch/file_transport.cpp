#include "cache/fetch/file_transport.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cache/fetch/handover.h"
#include "cache/formats/origin.h"
#include "cache/unpack/decompress.h"
#include "cache/unpack/nar_dump.h"

namespace senv {

namespace {

using std::chrono::seconds;

constexpr unsigned threads_per_folder = 4;  // for narinfos: the answers of a network's file system take their time
constexpr std::size_t max_hanging = 16;     // threads for nars

constexpr int open_directory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr int open_regular = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

Refusal refuse(Outcome outcome, Kind kind, const std::string& url, const std::string& cause) {
    return {outcome, Error(kind, shown_url(url) + ": " + cause), std::nullopt};
}

Refusal hangs(const std::string& url, seconds stall) {
    return refuse(Outcome::unreachable, Kind::io, url,
                  "hangs: nothing came within " + std::to_string(stall.count()) + " s");
}

Refusal of_errno(int error, const std::string& url) {
    const std::string cause = std::string("cannot be read: ") + ::strerror(error);
    switch (error) {
        case ENOENT: return refuse(Outcome::absent, Kind::missing, url, "does not have it");
        case ELOOP:
            return refuse(Outcome::unusable, Kind::denied, url, "has a symbolic link there, which is not followed");
        case EACCES:
        case EPERM: return refuse(Outcome::unusable, Kind::denied, url, cause);
        case EIO:
        case ESTALE:
        case ETIMEDOUT: return refuse(Outcome::again, Kind::io, url, cause);
        default: return refuse(Outcome::unusable, Kind::io, url, cause);
    }
}

std::variant<Fd, Refusal> open_folder(const std::string& folder, const std::string& url) {
    Fd opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (opened) return opened;
    const std::string cause = ::strerror(errno);
    const auto after_scheme = url.find("://") + 3;
    return refuse(Outcome::unreachable, Kind::io, url.substr(0, after_scheme) + folder, "cannot be opened: " + cause);
}

/// Opens the regular file of that path, name by name.
std::variant<Fd, Refusal> open_below(const InFolder& place, const std::string& url) {
    auto opened = open_folder(place.folder, url);
    if (std::holds_alternative<Refusal>(opened)) return opened;
    Fd at = std::get<Fd>(std::move(opened));
    for (std::size_t i = 0; i < place.path.size(); ++i) {
        const bool is_last = i + 1 == place.path.size();
        Fd next(::openat(at.get(), place.path[i].c_str(), is_last ? open_regular : open_directory));
        if (!next) {
            const int error = errno;
            struct stat found = {};
            // With O_DIRECTORY a link counts as no directory.
            const bool is_link = error == ENOTDIR &&
                                 ::fstatat(at.get(), place.path[i].c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
                                 S_ISLNK(found.st_mode);
            return of_errno(is_link ? ELOOP : error, url);
        }
        at = std::move(next);
    }
    struct stat found = {};
    if (::fstat(at.get(), &found) != 0) return of_errno(errno, url);
    if (!S_ISREG(found.st_mode)) return refuse(Outcome::unusable, Kind::corrupt, url, "is no regular file");
    return at;
}

// ------------------------------------------------------------------------------------------------------------- narinfos

NarinfoAnswer read_narinfo(const std::string& origin, const StorePath& item) {
    const std::string url = origin + "//" + std::string(item.hash_part()) + ".narinfo";
    const auto place = split_folder_url(url);
    if (!place) return refuse(Outcome::unusable, place.error().kind(), origin, place.error().what());
    auto opened = open_below(*place, url);
    if (auto* refusal = std::get_if<Refusal>(&opened)) {
        if (refusal->outcome != Outcome::absent) return std::move(*refusal);
        return refuse(Outcome::absent, Kind::missing, origin, "does not have it");
    }
    auto text = read_to_end(std::get<Fd>(opened).get(), max_narinfo_bytes, "its narinfo");
    if (text) return *std::move(text);
    const bool is_too_long = text.error().kind() == Kind::corrupt;
    return refuse(is_too_long ? Outcome::unusable : Outcome::again, text.error().kind(), origin, text.error().what());
}

class FileNarinfoSource final : public NarinfoSource {
public:
    explicit FileNarinfoSource(seconds stall)
        : stall_(stall), watch_([this](const std::stop_token& stop) { watch_until(stop); }) {}

    ~FileNarinfoSource() override {
        {
            const std::lock_guard lock(mutex_);
            for (auto& [origin, folder] : folders_) {
                for (auto& thread : folder.threads) thread.request_stop();
                folder.waiting.clear();
            }
            unanswered_.clear();
        }
        watch_.request_stop();
        watch_.join();
        folders_.clear();
    }

    void ask(const std::string& origin, const StorePath& item, std::function<void(NarinfoAnswer)> answer) override {
        auto query = std::make_shared<Query>(Query{origin, item, std::move(answer), Clock::now() + stall_});
        {
            const std::lock_guard lock(mutex_);
            Folder& folder = folders_[origin];
            while (folder.threads.size() < threads_per_folder) {
                folder.threads.emplace_back([this, &folder](const std::stop_token& stop) { work(folder, stop); });
            }
            folder.waiting.push_back(query);
            unanswered_.push_back(std::move(query));
        }
        changed_.notify_all();
    }

private:
    struct Query {
        std::string origin;
        StorePath item;
        std::function<void(NarinfoAnswer)> answer;
        Deadline deadline;
    };
    struct Folder {
        std::deque<std::shared_ptr<Query>> waiting;
        std::vector<std::jthread> threads;
    };

    void work(Folder& folder, const std::stop_token& stop) {
        for (;;) {
            std::unique_lock lock(mutex_);
            if (!changed_.wait(lock, stop, [&] { return !folder.waiting.empty(); }) || stop.stop_requested()) return;
            const auto query = std::move(folder.waiting.front());
            folder.waiting.pop_front();
            lock.unlock();
            auto read = contained([&]() -> Result<NarinfoAnswer> { return read_narinfo(query->origin, query->item); });
            lock.lock();
            // Once only: it may have been given up meanwhile.
            if (std::erase(unanswered_, query) == 0) continue;
            lock.unlock();
            query->answer(read ? *std::move(read)
                               : refuse(Outcome::unusable, read.error().kind(), query->origin, read.error().what()));
        }
    }

    /// Answers what nobody answered in time.
    void watch_until(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (!stop.stop_requested()) {
            if (unanswered_.empty()) {
                changed_.wait(lock, stop, [&] { return !unanswered_.empty(); });
                continue;
            }
            const auto query = unanswered_.front();
            if (Clock::now() < query->deadline) {
                changed_.wait_until(lock, stop, query->deadline,
                                    [&] { return unanswered_.empty() || unanswered_.front() != query; });
                continue;
            }
            unanswered_.pop_front();
            std::erase(folders_.at(query->origin).waiting, query);
            lock.unlock();
            query->answer(hangs(query->origin, stall_));
            lock.lock();
        }
    }

    const seconds stall_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::map<std::string, Folder> folders_;          // entries stay where they are
    std::deque<std::shared_ptr<Query>> unanswered_;  // the oldest first
    std::jthread watch_;
};

// ----------------------------------------------------------------------------------------------------------------- nars

std::optional<Refusal> give_file(const InFolder& place, const std::string& url, Handover& handover) {
    auto opened = open_below(place, url);
    if (auto* refusal = std::get_if<Refusal>(&opened)) return std::move(*refusal);
    const int file = std::get<Fd>(opened).get();
    std::vector<std::byte> buffer(Handover::block_bytes);
    for (;;) {
        const ssize_t n = ::read(file, buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return of_errno(errno, url);
        if (n == 0 || !handover.give(std::span(buffer).first(static_cast<std::size_t>(n)))) return std::nullopt;
    }
}

std::optional<Refusal> give_tree(const InFolder& place, const std::string& url, std::uint64_t nar_size,
                                 Handover& handover) {
    auto opened = open_folder(place.folder, url);
    if (auto* refusal = std::get_if<Refusal>(&opened)) return std::move(*refusal);
    const Fd& folder = std::get<Fd>(opened);
    const std::string& name = place.path.front();
    struct stat found = {};
    if (::fstatat(folder.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return of_errno(errno, url);
    bool is_closed = false;
    const auto dumped = dump_nar(
        folder, name,
        [&](std::span<const std::byte> bytes) -> Result<void> {
            is_closed = !handover.give(bytes);
            if (is_closed) return Error(Kind::busy, "nobody takes it");
            return {};
        },
        nar_size);
    if (dumped || is_closed) return std::nullopt;
    const Kind kind = dumped.error().kind();
    return refuse(kind == Kind::io ? Outcome::again : Outcome::unusable, kind, url, dumped.error().what());
}

class FileNarSource final : public NarSource {
public:
    explicit FileNarSource(seconds stall) : stall_(stall) {}

    ~FileNarSource() override {
        for (auto& [handover, thread] : left_) thread.join();
    }

    std::optional<Refusal> fetch(const NarRequest& request, const ByteSink& sink, std::stop_token stop) override {
        const auto place = split_folder_url(request.url);
        if (!place) return refuse(Outcome::unusable, place.error().kind(), request.url, place.error().what());
        if (count_hanging() >= max_hanging) return hangs(request.url, stall_);

        auto handover = std::make_shared<Handover>();
        std::thread reader([handover, place = *place, url = request.url, nar_size = request.nar_size] {
            auto given = contained([&]() -> Result<std::optional<Refusal>> {
                return kind_of(url) == OriginKind::store ? give_tree(place, url, nar_size, *handover)
                                                         : give_file(place, url, *handover);
            });
            handover->finish(given ? *std::move(given)
                                   : refuse(Outcome::unusable, given.error().kind(), url, given.error().what()));
        });
        auto taken =
            contained([&]() -> Result<std::optional<Refusal>> { return take(*handover, request, sink, stop); });
        handover->close();
        leave(std::move(handover), std::move(reader));
        if (!taken) return refuse(Outcome::unusable, taken.error().kind(), request.url, taken.error().what());
        return *std::move(taken);
    }

private:
    std::optional<Refusal> take(Handover& handover, const NarRequest& request, const ByteSink& sink,
                                const std::stop_token& stop) const {
        bool sink_failed = false;
        const auto noted = [&](auto result) {
            if (!result) sink_failed = true;
            return result;
        };
        auto decompressor = make_decompressor(
            request.compression, ByteSink([&](std::span<const std::byte> bytes) { return noted(sink(bytes)); },
                                          [&] { return noted(sink.place()); }));
        const auto judged = [&](Error error) -> Refusal {
            if (sink_failed) return {Outcome::stopped, std::move(error), std::nullopt};
            return refuse(Outcome::unusable, error.kind(), request.url, error.what());
        };
        if (!decompressor) return judged(std::move(decompressor).error());
        std::uint64_t received = 0;
        for (;;) {
            auto next = handover.take(stop, std::min(request.deadline, Clock::now() + stall_));
            if (const auto* cut = std::get_if<Handover::Cut>(&next)) {
                if (*cut == Handover::Cut::late && Clock::now() < request.deadline) return hangs(request.url, stall_);
                return refuse(Outcome::stopped, Kind::busy, request.url,
                              *cut == Handover::Cut::late ? "was too slow" : "the transfer was given up");
            }
            if (auto* end = std::get_if<Handover::End>(&next)) {
                if (end->refusal) return std::move(end->refusal);
                if (auto finished = (*decompressor)->finish(); !finished) return judged(std::move(finished).error());
                return std::nullopt;
            }
            const auto& block = std::get<Handover::Block>(next);
            received += block.size();
            if (request.is_exceeded_by(received)) {
                return refuse(Outcome::unusable, Kind::corrupt, request.url, "has more than twice the size of the nar");
            }
            if (auto fed = (*decompressor)->feed(block); !fed) return judged(std::move(fed).error());
        }
    }

    /// Ends a reader that has finished; one that hangs is left to end by itself.
    void leave(std::shared_ptr<Handover> handover, std::thread reader) {
        if (handover->is_finished()) {
            reader.join();
            return;
        }
        const std::lock_guard lock(mutex_);
        left_.emplace_back(std::move(handover), std::move(reader));
    }

    std::size_t count_hanging() {
        const std::lock_guard lock(mutex_);
        std::erase_if(left_, [](auto& one) {
            if (!one.first->is_finished()) return false;
            one.second.join();
            return true;
        });
        return left_.size();
    }

    const seconds stall_;
    std::mutex mutex_;
    std::list<std::pair<std::shared_ptr<Handover>, std::thread>> left_;
};

}  // namespace

std::unique_ptr<NarinfoSource> make_file_narinfo_source(seconds stall) {
    return std::make_unique<FileNarinfoSource>(stall);
}

std::unique_ptr<NarSource> make_file_nar_source(seconds stall) {
    return std::make_unique<FileNarSource>(stall);
}

}  // namespace senv
