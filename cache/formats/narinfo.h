// narinfo.h: what a substitute server says about one store item.
//
// Shape    UTF-8 text, at most 1 MiB (our limit: a profile refers to every package in it, with 60 bytes each), "Key: value"
//          lines, '#' comments, '+' continuations of unknown keys; an empty line ends it. Each URL begins a way to fetch
//          the same nar; the Compression (always) and the FileSize (perhaps) up to the next URL describe that way.
// Units    sizes are bytes; FileSize counts compressed bytes.
// Trust    parse() checks shape, never truth; verify/signature.h checks truth. signed_text() is the exact text above the
//          first "Signature:", which must begin a line; it is kept, never rebuilt. StorePath, NarHash, NarSize, References
//          and Deriver are taken from it only, and may stand in it once. Without a signature they are taken from the
//          whole text, which says nothing by itself. Ways are unsigned: any may be a lie, which the hash then shows.
// Errors   corrupt, with the line. Unknown keys are skipped, ways that nobody could use are left out.
// Source   Guix, guix/narinfo.scm and guix/records.scm; tests/golden/narinfo.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/hash.h"
#include "cache/formats/sexp.h"
#include "cache/formats/store_path.h"

namespace senv {

inline constexpr std::size_t max_narinfo_bytes = std::size_t{1} << 20U;

enum class Compression : unsigned char { none, gzip, zstd, lzip };
std::string_view name_of(Compression compression) noexcept;

/// One way to fetch the nar. The URL is as written: absolute http(s), or relative to the server.
struct Way {
    std::string url;
    Compression compression = Compression::none;
    std::optional<std::uint64_t> file_size;
};

class Narinfo {
public:
    static Result<Narinfo> parse(std::string_view text);

    const StorePath& path() const noexcept { return path_; }
    const Sha256& nar_hash() const noexcept { return nar_hash_; }
    std::uint64_t nar_size() const noexcept { return nar_size_; }
    const std::vector<StorePath>& references() const noexcept { return references_; }
    const std::optional<StorePath>& deriver() const noexcept { return deriver_; }

    /// Ways with a URL that resolve_url() accepts for some origin and a known compression, in the server's order. May be empty.
    const std::vector<Way>& ways() const noexcept { return ways_; }

    /// The whole text, as received.
    const std::string& text() const noexcept { return text_; }
    /// Empty when there is no signature.
    std::string_view signed_text() const noexcept { return std::string_view(text_).substr(0, signed_size_); }
    /// The s-expression of the signature; nullopt when the narinfo has none (Guix: "unsigned").
    const std::optional<std::string>& signature() const noexcept { return signature_; }

private:
    Narinfo(StorePath path, Sha256 nar_hash) : path_(std::move(path)), nar_hash_(nar_hash) {}

    StorePath path_;
    Sha256 nar_hash_;
    std::uint64_t nar_size_ = 0;
    std::vector<StorePath> references_;
    std::optional<StorePath> deriver_;
    std::vector<Way> ways_;
    std::string text_;
    std::size_t signed_size_ = 0;
    std::optional<std::string> signature_;
};

/// The way that costs the node least: zstd, then gzip, then lzip, then none. `ways` must not be empty. Pure.
const Way& cheapest(const std::vector<Way>& ways);

/// The absolute URL of a way of a narinfo that came from `origin` ("http://host/path", no final slash needed, or
/// "file:///folder"). A relative URL is appended with one '/' between, as Guix does, or as origin.h says for a folder;
/// nothing else of RFC 3986 is applied.
/// Errors: denied for schemes but http and https, other servers (scheme, host, port) than the origin's, user names and
/// dot segments, encoded or not; corrupt for what is no URL; usage when the origin has no scheme.
Result<std::string> resolve_url(std::string_view origin, std::string_view url);

}  // namespace senv
