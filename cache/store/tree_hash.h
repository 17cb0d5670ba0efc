// tree_hash.h: the hash of a tree on disk, to compare what is there with what was signed.
//
// Errors   As those of unpack/nar_dump.h.
#pragma once

#include <cstdint>
#include <string>

#include "cache/base/fd.h"
#include "cache/formats/hash.h"

namespace senv {

struct TreeHash {
    Sha256 hash;
    std::uint64_t nar_size = 0;
};
Result<TreeHash> hash_tree(const Fd& parent, const std::string& name);

}  // namespace senv
