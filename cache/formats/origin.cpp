#include "cache/formats/origin.h"

#include <algorithm>
#include <array>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::string_view file_scheme = "file://";
constexpr std::string_view store_scheme = "store://";

std::string_view scheme_of(std::string_view url) noexcept {
    for (const std::string_view scheme :
         {std::string_view("http://"), std::string_view("https://"), file_scheme, store_scheme}) {
        if (url.starts_with(scheme)) return scheme;
    }
    return {};
}

Result<void> check_host(std::string_view rest) {
    if (rest.empty() || rest.front() == '/' || rest.find_first_of(" ?#@\\") != std::string_view::npos) {
        return Error(Kind::usage, "want a host, with neither user name nor query");
    }
    return {};
}

Result<void> check_folder(std::string_view folder) {
    if (!folder.starts_with('/')) return Error(Kind::usage, "want an absolute folder, so three slashes");
    for (const std::string_view segment : split(folder.substr(1), '/')) {
        if (segment.empty() || segment == "." || segment == "..") {
            return Error(Kind::usage, "want a folder without empty or dot segments that is not '/'");
        }
    }
    const auto is_plain = [](char c) {
        return static_cast<unsigned char>(c) >= ' ' && c != '\x7f' && c != '?' && c != '#' && c != '%' && c != '\\';
    };
    if (!std::ranges::all_of(folder, is_plain)) {
        return Error(Kind::usage, "want a folder without '?', '#', '%', '\\' and control characters");
    }
    return {};
}

}  // namespace

OriginKind kind_of(std::string_view url) noexcept {
    if (url.starts_with(file_scheme)) return OriginKind::folder;
    return url.starts_with(store_scheme) ? OriginKind::store : OriginKind::server;
}

Result<std::string> parse_origin(std::string_view text) {
    // A user name may have a password beside it.
    const bool may_be_shown = text.find('@') == std::string_view::npos;
    const std::string doing = "cannot use the origin" + (may_be_shown ? " '" + printable(text) + "'" : std::string());
    const std::string_view scheme = scheme_of(text);
    if (scheme.empty()) return Error(Kind::usage, doing + ": want http://, https://, file:/// or store:///");
    std::string_view rest = text.substr(scheme.size());
    while (rest.size() > 1 && rest.ends_with('/')) rest.remove_suffix(1);
    SENV_TRY((kind_of(text) == OriginKind::server ? check_host(rest) : check_folder(rest)).in(doing));
    return std::string(scheme) + std::string(rest);
}

std::optional<std::string> folder_of(std::string_view origin) {
    if (kind_of(origin) == OriginKind::server) return std::nullopt;
    return std::string(origin.substr(scheme_of(origin).size()));
}

std::string url_in_store(std::string_view origin, const StorePath& item) {
    return std::string(origin) + "//" + item.base();
}

Result<InFolder> split_folder_url(std::string_view url) {
    const std::string doing = "cannot use the URL '" + printable(url) + "'";
    std::string_view rest = url.substr(scheme_of(url).size());
    const auto end = rest.find("//");
    if (kind_of(url) == OriginKind::server || end == std::string_view::npos) {
        return Error(Kind::corrupt, doing + ": it names nothing in a folder");
    }
    InFolder found{std::string(rest.substr(0, end)), {}};
    SENV_TRY(check_folder(found.folder).in(doing));
    rest.remove_prefix(end + 2);
    if (kind_of(url) == OriginKind::store) {  // an item's name may have a '?' in it
        found.path.push_back(SENV_TRY(StorePath::parse(rest).in(doing)).base());
        return found;
    }
    const auto path = percent_decode(rest.substr(0, rest.find('?')));
    if (!path) return Error(Kind::corrupt, doing + ": want two hexadecimal digits after '%'");
    for (const std::string_view name : split(*path, '/')) {
        if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string_view::npos) {
            return Error(Kind::denied, doing + ": it has empty or dot segments");
        }
        found.path.emplace_back(name);
    }
    return found;
}

}  // namespace senv
