#include "cache/store/closure.h"

namespace senv {

Result<Closure> closure_of(std::span<const StorePath> roots, const FindItem& find) {
    Closure closure;
    std::vector<StorePath> open(roots.begin(), roots.end());
    while (!open.empty()) {
        const StorePath path = std::move(open.back());
        open.pop_back();
        if (closure.valid.contains(path) || closure.missing.contains(path)) continue;
        auto record = SENV_TRY(find(path));
        if (!record) {
            closure.missing.insert(path);
            continue;
        }
        closure.valid.insert(path);
        closure.bytes += record->nar_size;
        closure.room += record->room;
        for (auto& reference : record->references) open.push_back(std::move(reference));
    }
    return closure;
}

}  // namespace senv
