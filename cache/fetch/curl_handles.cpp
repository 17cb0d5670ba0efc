#include "cache/fetch/curl_handles.h"

#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace senv {

namespace {

constexpr long receive_buffer = 128L * 1024;

/// libcurl itself reads the variables for proxies, but not those for authorities, which only its command line tool honours.
void set_authorities(CURL* easy) {
    const char* file = ::getenv("SSL_CERT_FILE");    // NOLINT(concurrency-mt-unsafe): nothing here changes it
    const char* folders = ::getenv("SSL_CERT_DIR");  // NOLINT(concurrency-mt-unsafe)
    if (file == nullptr && folders == nullptr) return;
    ::curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    ::curl_easy_setopt(easy, CURLOPT_CAPATH, folders);
}

std::string with_lower_first(std::string text) {
    // "SSL …" and the like stay as they are.
    if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z') {
        text[0] = static_cast<char>(text[0] - 'A' + 'a');
    }
    return text;
}

}  // namespace

std::size_t CurlHeaders::receive(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    auto& headers = *static_cast<CurlHeaders*>(self);
    const std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) headers = {};  // of the answer after a redirect
    constexpr std::string_view baking = "X-Baking:";
    if (line.size() > baking.size() && ::strncasecmp(line.data(), baking.data(), baking.size()) == 0) {
        headers.baking = true;
    }
    return line.size();
}

void set_up(CURL* easy, const CurlLimits& limits, CurlHeaders& headers) {
    set_authorities(easy);
    ::curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(easy, CURLOPT_USERAGENT, limits.user_agent.c_str());
    ::curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(limits.connect.count()));
    ::curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    ::curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(limits.stall.count()));
    ::curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, receive_buffer);
    ::curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &CurlHeaders::receive);
    ::curl_easy_setopt(easy, CURLOPT_HEADERDATA, &headers);
}

Refusal curl_refusal(Outcome outcome, Kind kind, const std::string& url, const std::string& cause) {
    return {outcome, Error(kind, shown_url(url) + ": " + cause), std::nullopt};
}

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
                return curl_refusal(
                    Outcome::unreachable, Kind::io, url,
                    "stalled: nothing more, or too little, came within " + std::to_string(limits.stall.count()) + " s");
            }
            return curl_refusal(Outcome::unreachable, Kind::io, url,
                                "cannot be reached within " + std::to_string(limits.connect.count()) + " s");
        }
        case CURLE_UNSUPPORTED_PROTOCOL:
            return curl_refusal(Outcome::unusable, Kind::untrusted, url, "redirects to what is neither http nor https");
        case CURLE_TOO_MANY_REDIRECTS:
            return curl_refusal(Outcome::unusable, Kind::io, url,
                                "redirects more than " + std::to_string(max_redirects) + " times");
        case CURLE_PARTIAL_FILE:
            return curl_refusal(Outcome::again, Kind::io, url, "closed the connection before the end");
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_CONNECT: return curl_refusal(Outcome::unreachable, Kind::io, url, text);
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
        case CURLE_SSL_CONNECT_ERROR: return curl_refusal(Outcome::again, Kind::io, url, text);
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR: {
            Refusal refusal = curl_refusal(Outcome::unusable, Kind::untrusted, url, text);
            refusal.error = std::move(refusal.error)
                                .hint(
                                    "ask the administrator to trust the authority of that server's certificate on this "
                                    "host: senv reads the file that SSL_CERT_FILE names, else the host's own");
            return refusal;
        }
        default: return curl_refusal(Outcome::unusable, Kind::io, url, text);
    }
}

std::optional<Refusal> of_status(CURL* easy, const CurlHeaders& headers, const std::string& url) {
    long status = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) return std::nullopt;
    const std::string answered = "answered " + std::to_string(status);
    if (status == 404 && headers.baking) {
        return curl_refusal(Outcome::soon, Kind::busy, url, "is still preparing it (404, X-Baking)");
    }
    if (status == 404 || status == 410)
        return curl_refusal(Outcome::absent, Kind::missing, url, "does not have it (404)");
    if (status >= 300 && status < 400) return curl_refusal(Outcome::unusable, Kind::io, url, answered + ", a redirect");
    if (status == 408 || status == 429 || status >= 500) {
        Refusal refusal = curl_refusal(Outcome::again, Kind::io, url, answered);
        curl_off_t seconds = 0;
        ::curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
        if (seconds > 0) refusal.wished = std::chrono::seconds(std::min<curl_off_t>(seconds, 86'400));
        return refusal;
    }
    return curl_refusal(Outcome::unusable, Kind::io, url, answered);
}

bool answered_ok(CURL* easy) {
    long status = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200;
}

Result<void> init_curl() {
    if (::curl_global_init(CURL_GLOBAL_DEFAULT) != 0) return Error(Kind::io, "cannot start libcurl");
    return {};
}

}  // namespace senv
