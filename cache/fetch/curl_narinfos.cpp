// Narinfos from substitute servers: one thread, many requests in flight. See curl_transport.h.
#include <algorithm>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cache/base/text.h"
#include "cache/fetch/curl_handles.h"

namespace senv {

namespace {

constexpr std::size_t max_error_page = 65536;  // of an answer that is not 200, read so that the connection can be kept
constexpr std::size_t asked_at_once = 64;      // narinfos
constexpr long connections_per_server = 16;    // for narinfos

class CurlNarinfoSource final : public NarinfoSource {
public:
    CurlNarinfoSource(CurlLimits limits, Multi multi) : limits_(std::move(limits)), multi_(std::move(multi)) {
        ::curl_multi_setopt(multi_.get(), CURLMOPT_MAX_HOST_CONNECTIONS, connections_per_server);
        ::curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, connections_per_server * 4);
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }

    ~CurlNarinfoSource() override {
        thread_.request_stop();
        ::curl_multi_wakeup(multi_.get());
        thread_.join();
        for (const auto& query : active_) ::curl_multi_remove_handle(multi_.get(), query->easy.get());
    }

    void ask(const std::string& origin, const StorePath& item, std::function<void(NarinfoAnswer)> answer) override {
        auto query = std::make_unique<Query>();
        query->origin = origin;
        query->url = origin + (origin.ends_with('/') ? "" : "/") + std::string(item.hash_part()) + ".narinfo";
        query->answer = std::move(answer);
        {
            const std::lock_guard lock(mutex_);
            waiting_.push_back(std::move(query));
        }
        ::curl_multi_wakeup(multi_.get());
    }

private:
    struct Query {
        std::string origin;
        std::string url;
        std::function<void(NarinfoAnswer)> answer;
        Easy easy;
        CurlHeaders headers;
        std::string text;
        CurlNarinfoSource* source = nullptr;
        std::size_t skipped = 0;
        bool is_large = false;  // one of source->large_
        bool too_long = false;
        bool too_many = false;  // is large when there were enough of these

        static std::size_t receive(char* data, std::size_t size, std::size_t count, void* self) noexcept {
            auto& query = *static_cast<Query*>(self);
            const std::size_t bytes = size * count;
            if (!answered_ok(query.easy.get())) {
                query.skipped += bytes;
                return query.skipped <= max_error_page ? bytes : 0;
            }
            if (query.text.size() + bytes > max_narinfo_bytes) {
                query.too_long = true;
                return 0;
            }
            if (!query.is_large && query.text.size() + bytes > large_narinfo_bytes) {
                query.too_many = query.source->large_ == most_large_narinfos;
                if (query.too_many) return 0;
                query.is_large = true;
                ++query.source->large_;
            }
            try {
                query.text.append(data, bytes);
            } catch (...) {
                return 0;
            }
            return bytes;
        }
    };

    void run(const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const auto done = contained([&]() -> Result<void> {
                begin_waiting();
                int running = 0;
                ::curl_multi_perform(multi_.get(), &running);
                finish_done();
                return {};
            });
            // Out of memory or a bug: what was asked gets no answer from here, but its deadline.
            if (!done) std::this_thread::sleep_for(std::chrono::milliseconds(100));
            ::curl_multi_poll(multi_.get(), nullptr, 0, 1000, nullptr);
        }
    }

    void begin_waiting() {
        while (active_.size() < asked_at_once) {
            std::unique_ptr<Query> query;
            {
                const std::lock_guard lock(mutex_);
                if (waiting_.empty()) return;
                query = std::move(waiting_.front());
                waiting_.pop_front();
            }
            if (idle_.empty()) {
                query->easy.reset(::curl_easy_init());
            } else {
                query->easy = std::move(idle_.back());
                idle_.pop_back();
            }
            query->source = this;
            CURL* easy = query->easy.get();
            if (easy == nullptr) {
                query->answer(curl_refusal(Outcome::unusable, Kind::io, query->origin, "out of memory"));
                continue;
            }
            ::curl_easy_reset(easy);
            set_up(easy, limits_, query->headers);
            ::curl_easy_setopt(easy, CURLOPT_URL, query->url.c_str());
            ::curl_easy_setopt(easy, CURLOPT_TIMEOUT, static_cast<long>((limits_.connect + limits_.stall).count()));
            ::curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Query::receive);
            ::curl_easy_setopt(easy, CURLOPT_WRITEDATA, query.get());
            ::curl_easy_setopt(easy, CURLOPT_PRIVATE, query.get());
            ::curl_multi_add_handle(multi_.get(), easy);
            active_.push_back(std::move(query));
        }
    }

    void finish_done() {
        int left = 0;
        while (CURLMsg* message = ::curl_multi_info_read(multi_.get(), &left)) {
            if (message->msg != CURLMSG_DONE) continue;
            const CURLcode code = message->data.result;
            CURL* easy = message->easy_handle;
            const auto found = std::find_if(active_.begin(), active_.end(),
                                            [&](const auto& query) { return query->easy.get() == easy; });
            const std::unique_ptr<Query> query = std::move(*found);
            active_.erase(found);
            ::curl_multi_remove_handle(multi_.get(), easy);
            if (query->too_many) {
                put_off(*query);
            } else {
                query->answer(answer_of(*query, code));
            }
            if (query->is_large) --large_;
            idle_.push_back(std::move(query->easy));
        }
        if (large_ < most_large_narinfos) ask_again();
        begin_waiting();
    }

    /// It begins anew when there are fewer large ones.
    void put_off(Query& query) {
        auto again = std::make_unique<Query>();
        again->origin = std::move(query.origin);
        again->url = std::move(query.url);
        again->answer = std::move(query.answer);
        put_off_.push_back(std::move(again));
    }

    void ask_again() {
        const std::lock_guard lock(mutex_);
        for (auto& query : std::exchange(put_off_, {})) waiting_.push_back(std::move(query));
    }

    NarinfoAnswer answer_of(Query& query, CURLcode code) const {
        if (query.too_long) {
            return curl_refusal(Outcome::unusable, Kind::corrupt, query.origin,
                                "its narinfo has more than " + std::to_string(max_narinfo_bytes) + " bytes");
        }
        // A page of errors that was too long to read is an answer all the same.
        if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && query.skipped > max_error_page)) {
            return of_curl(query.easy.get(), code, query.origin, limits_);
        }
        if (auto refusal = of_status(query.easy.get(), query.headers, query.origin)) return *std::move(refusal);
        return std::move(query.text);
    }

    CurlLimits limits_;
    Multi multi_;
    std::vector<std::unique_ptr<Query>> active_;   // of the thread
    std::vector<std::unique_ptr<Query>> put_off_;  // of the thread
    std::size_t large_ = 0;                        // of the thread: narinfos that are
    std::vector<Easy> idle_;                       // of the thread
    std::mutex mutex_;
    std::deque<std::unique_ptr<Query>> waiting_;
    std::jthread thread_;
};

}  // namespace

Result<std::unique_ptr<NarinfoSource>> make_curl_narinfo_source(CurlLimits limits) {
    Multi multi(::curl_multi_init());
    if (!multi) return Error(Kind::io, "cannot start libcurl: out of memory");
    return std::unique_ptr<NarinfoSource>(std::make_unique<CurlNarinfoSource>(std::move(limits), std::move(multi)));
}

}  // namespace senv
