#include "cache/store/tree_hash.h"

#include "cache/unpack/nar_dump.h"
#include "cache/verify/digest.h"

namespace senv {

Result<TreeHash> hash_tree(const Fd& parent, const std::string& name) {
    Sha256Stream digest;
    TreeHash result;
    SENV_TRY(dump_nar(parent, name, [&](std::span<const std::byte> bytes) -> Result<void> {
        digest.update(bytes);
        result.nar_size += bytes.size();
        return {};
    }));
    result.hash = digest.finish();
    return result;
}

}  // namespace senv
