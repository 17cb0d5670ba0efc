#include "cache/base/text.h"
#include "cache/fetch/transport.h"
#include "cache/formats/origin.h"

namespace senv {

std::string shown_url(std::string_view url) {
    const auto scheme = url.find("://");
    if (const auto kind = kind_of(url); kind != OriginKind::server) {
        if (kind == OriginKind::folder) url = url.substr(0, url.find('?'));
        const auto folder_end = url.find("//", scheme + 3);
        if (folder_end == std::string_view::npos) return printable(url);
        return printable(std::string(url.substr(0, folder_end)) + std::string(url.substr(folder_end + 1)));
    }
    url = url.substr(0, url.find_first_of("?#"));
    if (scheme == std::string_view::npos || scheme > url.size()) return printable(url);
    const auto host = scheme + 3;
    const auto slash = url.find('/', host);
    const auto at = url.substr(0, slash).rfind('@');
    if (at == std::string_view::npos || at < host) return printable(url);
    return printable(std::string(url.substr(0, host)) + std::string(url.substr(at + 1)));
}

}  // namespace senv
