// Any text as a narinfo: what is accepted has the form that the rest of senv relies on.
#include "cache/formats/narinfo.h"

#include <cstdint>

#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto url = senv::resolve_url("http://h/guix", text.substr(0, text.find('\n')))) {
        // It stays on the server, whose name may be written in several ways.
        REQUIRE(url->size() >= 8 && (url->substr(4, 4) == "://h" || url->substr(4, 4) == "://H"));
        REQUIRE(url->size() == 8 || (*url)[8] == '/' || (*url)[8] == '?' || (*url)[8] == ':');
    }

    const auto info = senv::Narinfo::parse(text);
    if (!info) return 0;
    REQUIRE(info->text() == text);
    REQUIRE(text.starts_with(info->signed_text()));
    REQUIRE(senv::StorePath::parse(info->path().base()).value() == info->path());
    if (info->signature()) {
        // What was signed says the same by itself.
        REQUIRE(text.substr(info->signed_text().size()).starts_with("Signature:"));
        const auto again = senv::Narinfo::parse(info->signed_text());
        if (again) {
            REQUIRE(again->path() == info->path() && again->nar_hash() == info->nar_hash());
            REQUIRE(again->nar_size() == info->nar_size() && again->references() == info->references());
        }
    }
    for (const senv::Way& way : info->ways()) {
        const auto resolved = senv::resolve_url("https://h", way.url);
        if (resolved) REQUIRE(resolved->find_first_of(std::string_view("\0\r\n \\#", 6)) == std::string::npos);
    }
    if (!info->ways().empty()) (void)senv::cheapest(info->ways());
    return 0;
}
