#include "cache/formats/store_path.h"

#include "cache/base/text.h"
#include "cache/formats/hash.h"

namespace senv {

namespace {

constexpr std::size_t hash_characters = 32;
constexpr std::size_t hash_bytes = 20;
constexpr std::size_t max_name = 211;
constexpr std::string_view name_characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._?=";

Result<void> check_name(std::string_view name) {
    if (name.empty()) return Error(Kind::corrupt, "its name is empty");
    if (name.size() > max_name) {
        return Error(Kind::corrupt, "its name has " + std::to_string(name.size()) + " characters, more than " +
                                        std::to_string(max_name));
    }
    if (name.front() == '.') return Error(Kind::corrupt, "its name begins with '.'");
    const auto bad = name.find_first_not_of(name_characters);
    if (bad != std::string_view::npos) {
        return Error(Kind::corrupt, "'" + printable(name.substr(bad, 1)) + "' cannot stand in a name");
    }
    return {};
}

Result<void> check_base_name(std::string_view base_name) {
    if (base_name.size() <= hash_characters || base_name[hash_characters] != '-') {
        return Error(Kind::corrupt, "want 32 nix-base32 characters, '-' and a name");
    }
    SENV_TRY(nix_base32_decode(base_name.substr(0, hash_characters), hash_bytes));
    return check_name(base_name.substr(hash_characters + 1));
}

}  // namespace

Result<StorePath> StorePath::parse(std::string_view base_name) {
    SENV_TRY(check_base_name(base_name).in("cannot use store item '" + printable(base_name) + "'"));
    return StorePath(std::string(base_name));
}

Result<StorePath> StorePath::parse_absolute(std::string_view path) {
    if (!path.starts_with(store_prefix)) {
        return Error(Kind::corrupt, "cannot use store path '" + printable(path) + "': it does not begin with " +
                                        std::string(store_prefix));
    }
    return parse(path.substr(store_prefix.size()));
}

}  // namespace senv
