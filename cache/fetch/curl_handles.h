// curl_handles.h: what all that uses libcurl shares: its handles, how they are set up, and what becomes of its errors.
//
// Errors   A Refusal names the server and the cause, as transport.h says.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <optional>
#include <string>

#include "cache/fetch/curl_transport.h"

namespace senv {

inline constexpr long max_redirects = 5;  // of a nar

struct EasyDeleter {
    void operator()(CURL* handle) const noexcept { ::curl_easy_cleanup(handle); }
};
struct MultiDeleter {
    void operator()(CURLM* handle) const noexcept { ::curl_multi_cleanup(handle); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;
using Multi = std::unique_ptr<CURLM, MultiDeleter>;

/// What one transfer needs to know from its headers.
struct CurlHeaders {
    bool baking = false;

    /// For CURLOPT_HEADERFUNCTION.
    static std::size_t receive(char* data, std::size_t size, std::size_t count, void* self) noexcept;
};

/// The limits, and where headers go, which must outlive the transfer.
void set_up(CURL* easy, const CurlLimits& limits, CurlHeaders& headers);

Refusal curl_refusal(Outcome outcome, Kind kind, const std::string& url, const std::string& cause);
/// What a transfer that did not end well means.
Refusal of_curl(CURL* easy, CURLcode code, const std::string& url, const CurlLimits& limits);
/// What an answer that is not 200 means; nullopt for 200.
std::optional<Refusal> of_status(CURL* easy, const CurlHeaders& headers, const std::string& url);
bool answered_ok(CURL* easy);

}  // namespace senv
