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

Result<void> check_tree(const Fd& parent, const std::string& name, const TreeHash& signed_hash,
                        const std::stop_token& stop) {
    Sha256Stream digest;
    std::uint64_t size = 0;
    const auto take = [&](std::span<const std::byte> bytes) -> Result<void> {
        if (stop.stop_requested()) return Error(Kind::busy, "stopped");
        digest.update(bytes);
        size += bytes.size();
        return {};
    };
    SENV_TRY(dump_nar(parent, name, take, signed_hash.nar_size, Modes::of_store));
    if (size != signed_hash.nar_size) {
        return Error(Kind::corrupt, "its nar has " + std::to_string(size) + " bytes, " +
                                        std::to_string(signed_hash.nar_size) + " were signed");
    }
    if (digest.finish() != signed_hash.hash) return Error(Kind::corrupt, "it has another hash than the signed one");
    return {};
}

}  // namespace senv
