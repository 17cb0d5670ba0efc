// vetting.h: from what an origin said about an item to what may be believed and fetched.
//
// Trust    A narinfo is believed when it is for the item that was asked for and signed by an authorised key. One that is not
//          may still name a place of the bytes that another one vouches for. The place is on the origin that was asked.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "cache/daemon/walk.h"
#include "cache/fetch/transport.h"
#include "cache/formats/acl.h"
#include "cache/formats/narinfo.h"

namespace senv {

struct Vetted {
    std::shared_ptr<const Narinfo> narinfo;
    std::optional<Place> place;     // of the cheapest way
    std::optional<Error> no_place;  // why there is none
    std::optional<Error> doubt;     // why it is not believed; then it has a place

    Contents contents() const { return {narinfo->nar_hash(), narinfo->nar_size()}; }
};

/// A Refusal, and the Errors of Vetted, name the origin.
std::variant<Vetted, Refusal> vet(const std::string& origin, const StorePath& item, const std::string& text,
                                  const Acl& acl);

}  // namespace senv
