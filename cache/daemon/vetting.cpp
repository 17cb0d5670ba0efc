#include "cache/daemon/vetting.h"

#include <vector>

#include "cache/verify/signature.h"

namespace senv {

namespace {

Refusal refuse(Error error) {
    return {Outcome::unusable, std::move(error), std::nullopt};
}

Result<Place> cheapest_place(const std::string& origin, const Narinfo& narinfo) {
    std::vector<Way> ways;
    Error last(Kind::corrupt, "its narinfo names no compression that senvd knows");
    for (const Way& way : narinfo.ways()) {
        auto url = resolve_url(origin, way.url);
        if (url) {
            ways.push_back({*std::move(url), way.compression, way.file_size});
        } else {
            last = std::move(url).error();
        }
    }
    if (ways.empty()) return last;
    const Way& way = cheapest(ways);
    return Place{way.url, way.compression};
}

}  // namespace

std::variant<Vetted, Refusal> vet(const std::string& origin, const StorePath& item, const std::string& text,
                                  const Acl& acl) {
    const std::string who = shown_url(origin);
    if (text.starts_with("\x1f\x8b")) {
        return refuse(Error(Kind::corrupt, who + ": its narinfo is compressed with gzip, want plain text")
                          .hint("ask the administrator of that server to send narinfos without Content-Encoding"));
    }
    auto narinfo = Narinfo::parse(text);
    if (!narinfo) return refuse(std::move(narinfo).error().in("its narinfo cannot be read").in(who));
    if (narinfo->path() != item) {
        return refuse(Error(Kind::untrusted, who + ": its narinfo is for '" + narinfo->path().absolute() + "'"));
    }
    auto place = cheapest_place(origin, *narinfo).in(who);
    auto trusted = verify_signature(*narinfo, acl).in(who);
    if (!trusted && !place) return refuse(std::move(trusted).error());

    Vetted vetted;
    vetted.narinfo = std::make_shared<const Narinfo>(*std::move(narinfo));
    if (place) {
        vetted.place = *std::move(place);
    } else {
        vetted.no_place = std::move(place).error();
    }
    if (!trusted) vetted.doubt = std::move(trusted).error();
    return vetted;
}

}  // namespace senv
