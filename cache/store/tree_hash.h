// tree_hash.h: the hash of a tree on disk, to compare what is there with what was signed.
//
// Errors   As those of unpack/nar_dump.h.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "cache/base/fd.h"
#include "cache/formats/hash.h"

namespace senv {

struct TreeHash {
    Sha256 hash;
    std::uint64_t nar_size = 0;
};
Result<TreeHash> hash_tree(const Fd& parent, const std::string& name);

/// Whether it is what was signed, with the modes of trees in the store. Errors: corrupt also when it is not, with what
/// differs; busy when it was stopped.
Result<void> check_tree(const Fd& parent, const std::string& name, const TreeHash& signed_hash,
                        const std::stop_token& stop);

}  // namespace senv
