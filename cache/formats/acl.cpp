#include "cache/formats/acl.h"

#include <algorithm>

namespace senv {

namespace {

Sexp import_tag() {
    const auto atom = [](std::string_view text) { return Sexp{true, std::string(text), {}}; };
    return {false, {}, {atom("tag"), Sexp{false, {}, {atom("guix"), atom("import")}}}};
}

}  // namespace

Result<Acl> Acl::parse(std::string_view text) {
    Sexp list = SENV_TRY(Sexp::parse(text).in("cannot read the list of authorised keys"));
    if (!list.is_list_named("acl")) {
        return Error(Kind::corrupt, "cannot read the list of authorised keys: want (acl …)");
    }
    const Sexp tag = import_tag();
    Acl acl;
    for (std::size_t i = 1; i < list.items.size(); ++i) {
        Sexp& entry = list.items[i];
        if (!entry.is_list_named("entry") || entry.items.size() != 3 || !entry.items[1].is_list_named("public-key") ||
            entry.items[2] != tag) {
            return Error(Kind::corrupt, "cannot read the list of authorised keys: entry " + std::to_string(i) +
                                            " is not (entry (public-key …) (tag (guix import)))");
        }
        acl.keys_.push_back(std::move(entry.items[1]));
    }
    return acl;
}

bool Acl::authorizes(const Sexp& public_key) const noexcept {
    return std::find(keys_.begin(), keys_.end(), public_key) != keys_.end();
}

}  // namespace senv
