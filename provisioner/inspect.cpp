#include "provisioner/inspect.h"

#include <sys/stat.h>

#include <algorithm>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "provisioner/resolve/given.h"

namespace senv {

namespace {

constexpr const char* what_to_name = "name a file that `senv lock` wrote, a profile in /gnu/store, or a link to one";

Result<Lock> read_lock(const std::string& file) {
    auto text = read_small_file(file, max_lock_bytes);
    if (!text) return std::move(text).error().hint(what_to_name);
    auto lock = Lock::read(*text).in("cannot use the lock '" + printable(file) + "'");
    if (!lock) return std::move(lock).error().hint(what_to_name);
    return lock;
}

Result<Contents> read_contents(const std::string& store, const StorePath& profile) {
    Contents contents{store, {}, {}};
    contents.packages = SENV_TRY(packages_of_profile(store, profile));
    contents.variables = SENV_TRY(plan_of_profile(store, profile)).variables;
    return contents;
}

bool has_item(const std::string& store, const StorePath& item) {
    struct stat info {};
    return ::lstat((store + "/" + item.base()).c_str(), &info) == 0;
}

}  // namespace

Result<std::optional<StorePath>> profile_behind(const std::string& path) {
    const auto doing = "cannot use '" + printable(path) + "'";
    auto place = place_in_store(path).in(doing);
    if (!place && place.error().kind() == Kind::missing) return std::optional<StorePath>();
    if (!place) return std::move(place).error().hint(what_to_name);
    if (!*place) return std::optional<StorePath>();
    auto profile = StorePath::parse_absolute(**place).in(doing);
    if (!profile) return std::move(profile).error().hint(what_to_name);
    return std::optional(*std::move(profile));
}

Result<Inspected> inspect(const std::string& name, const Stores& stores) {
    std::optional<StorePath> named = SENV_TRY(profile_behind(name));
    std::optional<Lock> lock;
    if (!named) lock = SENV_TRY(read_lock(name));

    Inspected found = {name, named ? *named : lock->profile, std::move(lock), std::nullopt, {}, std::nullopt};
    if (has_item(stores.guix, found.profile)) {
        found.contents = SENV_TRY(read_contents(stores.guix, found.profile));
        return found;
    }
    const Result<NodeClosure> node = stores.node(found.profile);
    if (node) {
        found.node = *node;
        found.contents = SENV_TRY(read_contents(node->store, found.profile));
    } else {
        found.absence = "it is neither in " + stores.guix + " nor in senvd's store (" + node.error().what() + ")";
    }
    return found;
}

std::vector<StorePath> direct_references(const Lock& lock) {
    const auto item = std::ranges::find(lock.closure, lock.profile, &LockedItem::path);
    std::vector<StorePath> references = item == lock.closure.end() ? std::vector<StorePath>() : item->references;
    std::erase(references, lock.profile);
    std::ranges::sort(references, {}, [](const StorePath& path) { return std::pair(path.name(), path.hash_part()); });
    return references;
}

std::uint64_t nar_bytes(const Lock& lock) {
    std::uint64_t bytes = 0;
    for (const LockedItem& item : lock.closure) bytes += item.nar_size;
    return bytes;
}

}  // namespace senv
