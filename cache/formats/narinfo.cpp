#include "cache/formats/narinfo.h"

#include <algorithm>
#include <array>
#include <limits>

#include "cache/base/text.h"
#include "cache/formats/base64.h"
#include "cache/formats/origin.h"

namespace senv {

namespace {

constexpr std::string_view signature_key = "Signature:";
constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

// The fields that we use. None of their values can hold a newline, so continuing one is a mistake; others may go on.
constexpr std::array<std::string_view, 9> one_line_keys = {
    "StorePath", "NarHash", "NarSize", "References", "Deriver", "Signature", "URL", "Compression", "FileSize"};

// From the one that costs the node least to the one that costs it (or its network) most.
constexpr std::array by_cost = {Compression::zstd, Compression::gzip, Compression::lzip, Compression::none};

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

struct Field {
    std::string_view key;
    std::string_view value;
    std::size_t offset = 0;  // of the line in the text
    std::size_t line = 0;    // counted from 1
};

std::string at_line(std::size_t line) {
    return "line " + std::to_string(line);
}

// The fields of the one record of a text, in order, comments skipped.
class Fields {
public:
    explicit Fields(std::string_view text) : text_(text) {}

    // nullopt at the end.
    Result<std::optional<Field>> next() {
        while (at_ < text_.size()) {
            const std::size_t offset = at_;
            const std::size_t end = std::min(text_.find('\n', at_), text_.size());
            const std::string_view text = text_.substr(at_, end - at_);
            at_ = end + 1;
            ++line_;
            if (text.empty()) {
                ended_ = begun_;
                continue;
            }
            if (ended_) return fail("text after the empty line that ends the record");
            begun_ = true;
            if (text.front() == '#') continue;
            if (text.front() == '+') {
                if (!may_continue_) return fail("a continuation of nothing, or of a field that has one line");
                continue;
            }
            const auto colon = text.find(':');
            if (colon == std::string_view::npos ||
                (letters.find(text.front()) == std::string_view::npos && text.front() != '%')) {
                return fail("want 'Key: value'");
            }
            const auto value = std::min(text.find_first_not_of(" \t", colon + 1), text.size());
            const std::string_view key = text.substr(0, colon);
            may_continue_ = std::find(one_line_keys.begin(), one_line_keys.end(), key) == one_line_keys.end();
            return std::optional(Field{key, text.substr(value), offset, line_});
        }
        return std::optional<Field>();
    }

private:
    Error fail(const std::string& cause) const { return {Kind::corrupt, at_line(line_) + ": " + cause}; }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t line_ = 0;
    bool begun_ = false;
    bool ended_ = false;
    bool may_continue_ = false;
};

// At most 2^63-1: fits a signed 64-bit integer of a database, and leaves room for sums.
Result<std::uint64_t> parse_size(std::string_view text) {
    const auto size = parse_decimal(text);
    if (!size || *size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return Error(Kind::corrupt, "want a number of bytes, got '" + printable(text) + "'");
    }
    return *size;
}

Result<std::vector<StorePath>> parse_references(std::string_view text) {
    std::vector<StorePath> references;
    if (text.empty()) return references;
    for (const std::string_view part : split(text, ' ')) references.push_back(SENV_TRY(StorePath::parse(part)));
    return references;
}

// 1;HOST;BASE64
Result<std::string> parse_signature(std::string_view text) {
    const auto parts = split(text, ';');
    if (parts.size() != 3 || parts[0] != "1") {
        return Error(Kind::corrupt, "want '1;HOST;BASE64' as the signature, got '" + printable(text, 40) + "'");
    }
    return base64_decode(parts[2]);
}

std::optional<Compression> parse_compression(std::string_view text) noexcept {
    const auto named = [text](Compression compression) { return name_of(compression) == text; };
    const auto found = std::find_if(by_cost.begin(), by_cost.end(), named);
    return found == by_cost.end() ? std::nullopt : std::optional(*found);
}

struct Url {
    std::string server;     // "http://host:port", lower case, without the port that the scheme implies; empty: relative
    std::string_view path;  // what follows the server, query included
};

// Splits off the server; says nothing about the path. A relative URL is all path.
Result<Url> split_url(std::string_view url) {
    const auto colon = url.find(':');
    if (colon == std::string_view::npos || url.find('/') < colon) return Url{{}, url};
    const std::string scheme = lower(url.substr(0, colon));
    if (scheme != "http" && scheme != "https") return Error(Kind::denied, "want http or https");
    std::string_view rest = url.substr(colon + 1);
    if (!rest.starts_with("//")) return Error(Kind::corrupt, "want '//' after the scheme");
    rest.remove_prefix(2);
    const auto end = std::min(rest.find_first_of("/?"), rest.size());
    std::string host = lower(rest.substr(0, end));
    const std::string_view implied = scheme == "http" ? ":80" : ":443";
    if (host.ends_with(implied)) host.resize(host.size() - implied.size());
    if (host.empty()) return Error(Kind::corrupt, "it names no host");
    return Url{scheme + "://" + host, rest.substr(end)};
}

// Nothing in the path may be understood as another path by any server on the way, encoded or not.
Result<void> check_path(std::string_view path) {
    const auto is_plain = [](char c) { return c > ' ' && c <= '~' && c != '\\' && c != '#'; };
    if (!std::all_of(path.begin(), path.end(), is_plain)) {
        return Error(Kind::corrupt, "blanks, '\\', '#' and bytes other than ASCII must be encoded");
    }
    const auto decoded = percent_decode(path.substr(0, path.find('?')));
    if (!decoded) return Error(Kind::corrupt, "want two hexadecimal digits after '%'");
    for (const std::string_view segment : split(*decoded, '/')) {
        if (segment == "." || segment == "..") return Error(Kind::denied, "it has dot segments");
    }
    return {};
}

// What can be said without knowing the origin.
Result<Url> check_url(std::string_view text) {
    Url url = SENV_TRY(split_url(text));
    if (url.server.empty() && (url.path.empty() || url.path.front() == '/')) {
        return Error(Kind::corrupt, "a relative URL must not be empty and must not begin with '/'");
    }
    if (url.server.find('@') != std::string::npos) return Error(Kind::denied, "it has a user name");
    SENV_TRY(check_path(url.path));
    return url;
}

// Collects the fetch fields. A URL begins a way; the Compression and the FileSize up to the next URL are its own.
class WayList {
public:
    Result<void> add_url(std::string_view url) {
        SENV_TRY(end_way());
        open_ = true;
        way_ = Way{std::string(url), Compression::none, std::nullopt};
        usable_ = static_cast<bool>(check_url(url));
        return {};
    }

    Result<void> add_compression(std::string_view name) {
        if (!open_ || has_compression_) return Error(Kind::corrupt, "a Compression without a URL of its own");
        has_compression_ = true;
        const auto compression = parse_compression(name);
        if (compression) way_.compression = *compression;
        usable_ = usable_ && compression;
        return {};
    }

    Result<void> add_file_size(std::string_view text) {
        if (!open_ || way_.file_size) return Error(Kind::corrupt, "a FileSize without a URL of its own");
        way_.file_size = SENV_TRY(parse_size(text));
        return {};
    }

    Result<void> end_way() {
        if (open_ && !has_compression_) {
            return Error(Kind::corrupt, "URL '" + printable(way_.url) + "' has no Compression");
        }
        if (open_ && usable_) ways_.push_back(std::move(way_));
        open_ = has_compression_ = false;
        return {};
    }

    std::vector<Way> take() && { return std::move(ways_); }

private:
    std::vector<Way> ways_;
    Way way_;
    bool open_ = false;
    bool usable_ = false;
    bool has_compression_ = false;
};

template <class T>
Result<void> set_once(std::optional<T>& place, std::string_view key, Result<T> value) {
    if (place) return Error(Kind::corrupt, "a second " + std::string(key));
    place = SENV_TRY(std::move(value));
    return {};
}

// The fields that the signature covers; each may stand there once.
struct SignedFields {
    std::optional<StorePath> path;
    std::optional<Sha256> nar_hash;
    std::optional<std::uint64_t> nar_size;
    std::optional<std::vector<StorePath>> references;
    std::optional<StorePath> deriver;

    Result<void> read(std::string_view key, std::string_view value) {
        if (key == "StorePath") return set_once(path, key, StorePath::parse_absolute(value));
        if (key == "NarHash") return set_once(nar_hash, key, Sha256::parse_prefixed(value));
        if (key == "NarSize") return set_once(nar_size, key, parse_size(value));
        if (key == "References") return set_once(references, key, parse_references(value));
        // An empty Deriver is none, as for Guix.
        if (key == "Deriver" && !value.empty()) return set_once(deriver, key, StorePath::parse(value));
        return {};
    }

    Result<void> check_complete() const {
        std::string_view lacking;
        if (!references) lacking = "References";
        if (!nar_size) lacking = "NarSize";
        if (!nar_hash) lacking = "NarHash";
        if (!path) lacking = "StorePath";
        if (lacking.empty()) return {};
        return Error(Kind::corrupt, "the signed part has no " + std::string(lacking));
    }
};

}  // namespace

std::string_view name_of(Compression compression) noexcept {
    switch (compression) {
        case Compression::none: return "none";
        case Compression::gzip: return "gzip";
        case Compression::zstd: return "zstd";
        case Compression::lzip: return "lzip";
    }
    return "none";
}

Result<Narinfo> Narinfo::parse(std::string_view text) {
    if (text.size() > max_narinfo_bytes) {
        return Error(Kind::corrupt, "the narinfo has more than " + std::to_string(max_narinfo_bytes) + " bytes");
    }
    // Guix cuts at the first occurrence, wherever it stands. Where that is not a line of its own, the two readings of
    // the text differ, so it is refused.
    const auto cut = text.find(signature_key);
    const bool is_signed = cut != std::string_view::npos;
    if (is_signed && cut > 0 && text[cut - 1] != '\n') {
        return Error(Kind::corrupt, "the first 'Signature:' does not begin a line");
    }

    SignedFields facts;
    WayList ways;
    std::optional<std::string> signature;
    const auto read = [&](const Field& field) -> Result<void> {
        if (field.key == "URL") return ways.add_url(field.value);
        if (field.key == "Compression") return ways.add_compression(field.value);
        if (field.key == "FileSize") return ways.add_file_size(field.value);
        if (field.offset == cut) return set_once(signature, field.key, parse_signature(field.value));
        if (field.offset < cut) return facts.read(field.key, field.value);
        return {};
    };
    for (Fields fields(text);;) {
        const std::optional<Field> field = SENV_TRY(fields.next());
        if (!field) break;
        SENV_TRY(read(*field).in(at_line(field->line)));
    }
    SENV_TRY(ways.end_way());
    SENV_TRY(facts.check_complete());

    Narinfo info(*std::move(facts.path), *facts.nar_hash);
    info.nar_size_ = *facts.nar_size;
    info.references_ = *std::move(facts.references);
    info.deriver_ = std::move(facts.deriver);
    info.ways_ = std::move(ways).take();
    info.text_ = text;
    info.signed_size_ = is_signed ? cut : 0;
    info.signature_ = std::move(signature);
    return info;
}

const Way& cheapest(const std::vector<Way>& ways) {
    const auto cost = [](const Way& way) { return std::find(by_cost.begin(), by_cost.end(), way.compression); };
    return *std::min_element(ways.begin(), ways.end(), [&](const Way& a, const Way& b) { return cost(a) < cost(b); });
}

Result<std::string> resolve_url(std::string_view origin, std::string_view url) {
    const std::string doing = "cannot use URL '" + printable(url) + "' of '" + printable(origin) + "'";
    const Url checked = SENV_TRY(check_url(url).in(doing));
    if (kind_of(origin) == OriginKind::folder) {
        if (!checked.server.empty()) return Error(Kind::denied, doing + ": it is not in that folder");
        return std::string(origin) + "//" + std::string(url);
    }
    const Url base = SENV_TRY(split_url(origin).in(doing));
    if (base.server.empty()) return Error(Kind::usage, doing + ": the server's own address has no scheme");
    if (!checked.server.empty()) {
        if (checked.server != base.server) return Error(Kind::denied, doing + ": it is on another server");
        return std::string(url);
    }
    while (origin.ends_with('/')) origin.remove_suffix(1);
    return std::string(origin) + "/" + std::string(url);
}

}  // namespace senv
