#include "cache/fetch/curl_transport.h"

#include <curl/curl.h>
#include <strings.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cache/base/text.h"
#include "cache/fetch/reach.h"
#include "cache/unpack/decompress.h"

namespace senv {

namespace {

constexpr std::size_t max_error_page = 65536;  // of an answer that is not 200, read so that the connection can be kept
constexpr std::size_t asked_at_once = 64;      // narinfos
constexpr long connections_per_server = 16;    // for narinfos
constexpr long max_redirects = 5;
constexpr long least_bytes_per_second = 1024;  // of a nar; what comes slower for `stall_limit` counts as stalled
constexpr long receive_buffer = 128L * 1024;

struct EasyDeleter {
    void operator()(CURL* handle) const noexcept { ::curl_easy_cleanup(handle); }
};
struct MultiDeleter {
    void operator()(CURLM* handle) const noexcept { ::curl_multi_cleanup(handle); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;
using Multi = std::unique_ptr<CURLM, MultiDeleter>;

/// What one transfer needs to know from its headers.
struct Headers {
    bool baking = false;

    static std::size_t receive(char* data, std::size_t size, std::size_t count, void* self) noexcept {
        auto& headers = *static_cast<Headers*>(self);
        const std::string_view line(data, size * count);
        if (line.starts_with("HTTP/")) headers = {};  // of the answer after a redirect
        constexpr std::string_view baking = "X-Baking:";
        if (line.size() > baking.size() && ::strncasecmp(line.data(), baking.data(), baking.size()) == 0) {
            headers.baking = true;
        }
        return line.size();
    }
};

/// libcurl itself reads the variables for proxies, but not those for authorities, which only its command line tool honours.
void set_authorities(CURL* easy) {
    const char* file = ::getenv("SSL_CERT_FILE");    // NOLINT(concurrency-mt-unsafe): nothing here changes it
    const char* folders = ::getenv("SSL_CERT_DIR");  // NOLINT(concurrency-mt-unsafe)
    if (file == nullptr && folders == nullptr) return;
    ::curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    ::curl_easy_setopt(easy, CURLOPT_CAPATH, folders);
}

void set_up(CURL* easy, const CurlLimits& limits, Headers& headers) {
    set_authorities(easy);
    ::curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(easy, CURLOPT_USERAGENT, limits.user_agent.c_str());
    ::curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(limits.connect.count()));
    ::curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    ::curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(limits.stall.count()));
    ::curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, receive_buffer);
    ::curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Headers::receive);
    ::curl_easy_setopt(easy, CURLOPT_HEADERDATA, &headers);
}

std::string with_lower_first(std::string text) {
    // "SSL …" and the like stay as they are.
    if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z') {
        text[0] = static_cast<char>(text[0] - 'A' + 'a');
    }
    return text;
}

Refusal refuse(Outcome outcome, Kind kind, const std::string& url, const std::string& cause) {
    return {outcome, Error(kind, shown_url(url) + ": " + cause), std::nullopt};
}

/// What a transfer that did not end well means.
Refusal of_curl(CURL* easy, CURLcode code, const std::string& url, const CurlLimits& limits) {
    long os_error = 0;
    ::curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
    const std::string text =
        with_lower_first(code == CURLE_COULDNT_CONNECT && os_error != 0 ? ::strerror(static_cast<int>(os_error))
                                                                        : ::curl_easy_strerror(code));
    switch (code) {
        case CURLE_OPERATION_TIMEDOUT: {
            double connected = 0;
            ::curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME, &connected);
            if (connected > 0) {
                return refuse(
                    Outcome::unreachable, Kind::io, url,
                    "stalled: nothing more, or too little, came within " + std::to_string(limits.stall.count()) + " s");
            }
            return refuse(Outcome::unreachable, Kind::io, url,
                          "cannot be reached within " + std::to_string(limits.connect.count()) + " s");
        }
        case CURLE_UNSUPPORTED_PROTOCOL:
            return refuse(Outcome::unusable, Kind::untrusted, url, "redirects to what is neither http nor https");
        case CURLE_TOO_MANY_REDIRECTS:
            return refuse(Outcome::unusable, Kind::io, url,
                          "redirects more than " + std::to_string(max_redirects) + " times");
        case CURLE_PARTIAL_FILE: return refuse(Outcome::again, Kind::io, url, "closed the connection before the end");
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_CONNECT: return refuse(Outcome::unreachable, Kind::io, url, text);
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
        case CURLE_SSL_CONNECT_ERROR: return refuse(Outcome::again, Kind::io, url, text);
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR: {
            Refusal refusal = refuse(Outcome::unusable, Kind::untrusted, url, text);
            refusal.error = std::move(refusal.error)
                                .hint(
                                    "ask the administrator to trust the authority of that server's certificate on this "
                                    "host: senv reads the file that SSL_CERT_FILE names, else the host's own");
            return refusal;
        }
        default: return refuse(Outcome::unusable, Kind::io, url, text);
    }
}

/// What an answer that is not 200 means; nullopt for 200.
std::optional<Refusal> of_status(CURL* easy, const Headers& headers, const std::string& url) {
    long status = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) return std::nullopt;
    const std::string answered = "answered " + std::to_string(status);
    if (status == 404 && headers.baking) {
        return refuse(Outcome::soon, Kind::busy, url, "is still preparing it (404, X-Baking)");
    }
    if (status == 404 || status == 410) return refuse(Outcome::absent, Kind::missing, url, "does not have it (404)");
    if (status >= 300 && status < 400) return refuse(Outcome::unusable, Kind::io, url, answered + ", a redirect");
    if (status == 408 || status == 429 || status >= 500) {
        Refusal refusal = refuse(Outcome::again, Kind::io, url, answered);
        curl_off_t seconds = 0;
        ::curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
        if (seconds > 0) refusal.wished = std::chrono::seconds(std::min<curl_off_t>(seconds, 86'400));
        return refusal;
    }
    return refuse(Outcome::unusable, Kind::io, url, answered);
}

bool is_ok(CURL* easy) {
    long status = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200;
}

// ------------------------------------------------------------------------------------------------------------- narinfos

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
        Headers headers;
        std::string text;
        CurlNarinfoSource* source = nullptr;
        std::size_t skipped = 0;
        bool is_large = false;  // one of source->large_
        bool too_long = false;
        bool too_many = false;  // is large when there were enough of these

        static std::size_t receive(char* data, std::size_t size, std::size_t count, void* self) noexcept {
            auto& query = *static_cast<Query*>(self);
            const std::size_t bytes = size * count;
            if (!is_ok(query.easy.get())) {
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
                query->answer(refuse(Outcome::unusable, Kind::io, query->origin, "out of memory"));
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
            return refuse(Outcome::unusable, Kind::corrupt, query.origin,
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

// ----------------------------------------------------------------------------------------------------------------- nars

/// A transfer's handles. They keep their connections when the transfer is over.
struct Line {
    Easy easy{::curl_easy_init()};
    Multi multi{::curl_multi_init()};
};

class CurlNarSource final : public NarSource {
public:
    explicit CurlNarSource(CurlLimits limits) : limits_(std::move(limits)) {}

    std::optional<Refusal> fetch(const NarRequest& request, const ByteSink& sink, std::stop_token stop) override {
        auto line = take_line();
        if (!line->easy || !line->multi) return refuse(Outcome::unusable, Kind::io, request.url, "out of memory");
        auto refusal = transfer(*line, request, sink, stop);
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(line));
        return refusal;
    }

private:
    struct Transfer {
        const NarRequest& request;
        CURL* easy;
        Headers headers{};
        Decompressor* decompressor = nullptr;
        std::uint64_t received = 0;
        std::uint64_t produced = 0;
        bool sink_failed = false;
        bool complete = false;  // the whole nar is here, though the server has not closed
        std::optional<Error> error{};
        bool too_much = false;
        std::optional<Reach> reach{};  // of the server that the administrator named
        bool led_inside = false;

        /// Now and then. Counts also what is not handed to receive(), as the body of a redirect.
        static int count(void* self, curl_off_t, curl_off_t now, curl_off_t, curl_off_t) noexcept {
            auto& transfer = *static_cast<Transfer*>(self);
            transfer.too_much = transfer.request.is_exceeded_by(static_cast<std::uint64_t>(now));
            return transfer.too_much ? 1 : 0;
        }

        /// Before each request of the transfer, when the address is known that it would go to.
        static int allow(void* self, char* address, char*, int, int) noexcept {
            auto& transfer = *static_cast<Transfer*>(self);
            const auto judged = contained([&]() -> Result<void> {
                const Reach reach = reach_of(address);
                if (!transfer.reach) transfer.reach = reach;
                transfer.led_inside = reach > *transfer.reach;
                return {};
            });
            return judged && !transfer.led_inside ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
        }

        static std::size_t receive(char* data, std::size_t size, std::size_t count, void* self) noexcept {
            auto& transfer = *static_cast<Transfer*>(self);
            const std::size_t bytes = size * count;
            const auto fed = contained([&] { return transfer.take(std::as_bytes(std::span(data, bytes))); });
            if (!fed) transfer.error = fed.error();
            return fed && !transfer.complete ? bytes : 0;
        }

        Result<void> take(std::span<const std::byte> bytes) {
            received += bytes.size();
            if (!is_ok(easy)) {
                if (received > max_error_page) return Error(Kind::io, "its error page is too long");
                return {};
            }
            if (request.is_exceeded_by(received)) {
                return Error(Kind::corrupt, "sends more than twice the size of the nar");
            }
            SENV_TRY(decompressor->feed(bytes));
            curl_off_t length = -1;
            ::curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
            complete = length < 0 && request.compression == Compression::none && produced >= request.nar_size;
            return {};
        }
    };

    std::unique_ptr<Line> take_line() {
        const std::lock_guard lock(mutex_);
        if (idle_.empty()) return std::make_unique<Line>();
        auto line = std::move(idle_.back());
        idle_.pop_back();
        return line;
    }

    std::optional<Refusal> transfer(Line& line, const NarRequest& request, const ByteSink& sink,
                                    const std::stop_token& stop) const {
        CURL* easy = line.easy.get();
        Transfer transfer{request, easy};
        const auto noted = [&](auto result) {
            if (!result) transfer.sink_failed = true;
            return result;
        };
        const ByteSink counting(
            [&](std::span<const std::byte> bytes) {
                transfer.produced += bytes.size();
                return noted(sink(bytes));
            },
            [&] { return noted(sink.place()); });
        auto decompressor = make_decompressor(request.compression, counting);
        if (!decompressor) return Refusal{Outcome::unusable, std::move(decompressor).error(), std::nullopt};
        transfer.decompressor = decompressor->get();

        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(request.deadline - Clock::now());
        if (left.count() <= 0 || stop.stop_requested()) return stopped(request);
        ::curl_easy_reset(easy);
        set_up(easy, limits_, transfer.headers);
        ::curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
        ::curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
        ::curl_easy_setopt(easy, CURLOPT_MAXREDIRS, max_redirects);
        ::curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        ::curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &Transfer::count);
        ::curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);
        ::curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &Transfer::allow);
        ::curl_easy_setopt(easy, CURLOPT_PREREQDATA, &transfer);
        ::curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, least_bytes_per_second);
        ::curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
        ::curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::receive);
        ::curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);

        const auto code = perform(line, stop);
        if (!code) return stopped(request);
        return judge(transfer, *code, request);
    }

    static Refusal stopped(const NarRequest& request) {
        return refuse(Outcome::stopped, Kind::busy, request.url, "the transfer was given up");
    }

    /// Runs the transfer; nullopt when `stop` ended it.
    static std::optional<CURLcode> perform(Line& line, const std::stop_token& stop) {
        CURLM* multi = line.multi.get();
        const std::stop_callback wake(stop, [multi] { ::curl_multi_wakeup(multi); });
        ::curl_multi_add_handle(multi, line.easy.get());
        int running = 1;
        while (running > 0 && !stop.stop_requested()) {
            if (::curl_multi_perform(multi, &running) != CURLM_OK) break;
            if (running > 0) ::curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
        }
        std::optional<CURLcode> code;
        int left = 0;
        while (CURLMsg* message = ::curl_multi_info_read(multi, &left)) {
            if (message->msg == CURLMSG_DONE) code = message->data.result;
        }
        ::curl_multi_remove_handle(multi, line.easy.get());
        return code;
    }

    std::optional<Refusal> judge(Transfer& transfer, CURLcode code, const NarRequest& request) const {
        if (transfer.sink_failed) return Refusal{Outcome::stopped, *std::move(transfer.error), std::nullopt};
        // Only an answer that came has a status; after an error of the network it is that of an earlier redirect, or 0.
        const bool answered = code == CURLE_OK || code == CURLE_WRITE_ERROR;
        if (answered) {
            if (auto refusal = of_status(transfer.easy, transfer.headers, request.url)) return refusal;
        }
        if (transfer.error) {
            return refuse(Outcome::unusable, transfer.error->kind(), request.url, transfer.error->what());
        }
        if (code == CURLE_OPERATION_TIMEDOUT && Clock::now() >= request.deadline) {
            return refuse(Outcome::stopped, Kind::busy, request.url, "was too slow");
        }
        if (transfer.too_much) {
            return refuse(Outcome::unusable, Kind::corrupt, request.url, "sends more than twice the size of the nar");
        }
        if (transfer.led_inside) {
            return refuse(Outcome::unusable, Kind::untrusted, request.url,
                          "redirects to an address inside the site's network or this node, which is not followed");
        }
        if (code != CURLE_OK && !transfer.complete) return of_curl(transfer.easy, code, request.url, limits_);
        if (auto finished = transfer.decompressor->finish(); !finished) {
            if (transfer.sink_failed) return Refusal{Outcome::stopped, std::move(finished).error(), std::nullopt};
            return refuse(Outcome::unusable, finished.error().kind(), request.url, finished.error().what());
        }
        return std::nullopt;
    }

    CurlLimits limits_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Line>> idle_;
};

}  // namespace

Result<void> init_curl() {
    if (::curl_global_init(CURL_GLOBAL_DEFAULT) != 0) return Error(Kind::io, "cannot start libcurl");
    return {};
}

Result<std::unique_ptr<NarinfoSource>> make_curl_narinfo_source(CurlLimits limits) {
    Multi multi(::curl_multi_init());
    if (!multi) return Error(Kind::io, "cannot start libcurl: out of memory");
    return std::unique_ptr<NarinfoSource>(std::make_unique<CurlNarinfoSource>(std::move(limits), std::move(multi)));
}

std::unique_ptr<NarSource> make_curl_nar_source(CurlLimits limits) {
    return std::make_unique<CurlNarSource>(std::move(limits));
}

}  // namespace senv
