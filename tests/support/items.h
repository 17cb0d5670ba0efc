// items.h: store items made up for a test: a nar and the signed narinfo that goes with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/formats/narinfo.h"
#include "cache/store/store.h"

namespace senv::test {

/// HASH-NAME, the hash made from the name.
StorePath path_of(std::string_view name);

struct MadeItem {
    Narinfo narinfo;  // signed by the key of tests/golden, with one way: "nar/BASE", not compressed
    std::string nar;

    const StorePath& path() const noexcept { return narinfo.path(); }
};

/// A folder with one file `text` in it. `said_size`: of the nar, when it is to be a lie.
MadeItem make_item(std::string_view name, const std::vector<StorePath>& references = {},
                   std::string_view text = "text", std::uint64_t said_size = 0);

/// The keys that vouch for made items, as a file that AclFile accepts.
std::string write_acl(const std::string& folder);

/// Unpacks the item into a new staging folder of the store.
Staging stage(const Store& store, const MadeItem& item);

}  // namespace senv::test
