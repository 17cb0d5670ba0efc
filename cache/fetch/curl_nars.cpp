// Nars from substitute servers: each in the thread of its caller. See curl_transport.h.
#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "cache/base/text.h"
#include "cache/fetch/curl_handles.h"
#include "cache/fetch/reach.h"
#include "cache/unpack/decompress.h"

namespace senv {

namespace {

constexpr std::size_t max_error_page = 65536;  // of an answer that is not 200, read so that the connection can be kept
constexpr long least_bytes_per_second = 1024;  // of a nar; what comes slower for `stall_limit` counts as stalled

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
        if (!line->easy || !line->multi) return curl_refusal(Outcome::unusable, Kind::io, request.url, "out of memory");
        auto refusal = transfer(*line, request, sink, stop);
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(line));
        return refusal;
    }

private:
    struct Transfer {
        const NarRequest& request;
        CURL* easy;
        CurlHeaders headers{};
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
            if (!answered_ok(easy)) {
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
        return curl_refusal(Outcome::stopped, Kind::busy, request.url, "the transfer was given up");
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
            return curl_refusal(Outcome::unusable, transfer.error->kind(), request.url, transfer.error->what());
        }
        if (code == CURLE_OPERATION_TIMEDOUT && Clock::now() >= request.deadline) {
            return curl_refusal(Outcome::stopped, Kind::busy, request.url, "was too slow");
        }
        if (transfer.too_much) {
            return curl_refusal(Outcome::unusable, Kind::corrupt, request.url,
                                "sends more than twice the size of the nar");
        }
        if (transfer.led_inside) {
            return curl_refusal(
                Outcome::unusable, Kind::untrusted, request.url,
                "redirects to an address inside the site's network or this node, which is not followed");
        }
        if (code != CURLE_OK && !transfer.complete) return of_curl(transfer.easy, code, request.url, limits_);
        if (auto finished = transfer.decompressor->finish(); !finished) {
            if (transfer.sink_failed) return Refusal{Outcome::stopped, std::move(finished).error(), std::nullopt};
            return curl_refusal(Outcome::unusable, finished.error().kind(), request.url, finished.error().what());
        }
        return std::nullopt;
    }

    CurlLimits limits_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Line>> idle_;
};

}  // namespace

std::unique_ptr<NarSource> make_curl_nar_source(CurlLimits limits) {
    return std::make_unique<CurlNarSource>(std::move(limits));
}

}  // namespace senv
