// store_path.h: the name of a store item.
//
// Shape    HASH-NAME: 32 nix-base32 characters, '-', then 1 to 211 of A-Z a-z 0-9 + - . _ ? =, not beginning with '.'.
//          A StorePath has no directory; the absolute form in Guix's own world is "/gnu/store/" in front of it.
// Errors   corrupt, with the text and what is wrong in it.
// Source   Guix, nix/libstore/store-api.cc checkStoreName; the length limit is Nix's.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "cache/base/result.h"

namespace senv {

/// Where store items say that they live. Part of every item's bytes, hence not configurable.
inline constexpr std::string_view store_prefix = "/gnu/store/";

class StorePath {
public:
    /// From HASH-NAME.
    static Result<StorePath> parse(std::string_view base_name);
    /// From /gnu/store/HASH-NAME: nothing below the item, no other directory.
    static Result<StorePath> parse_absolute(std::string_view path);

    const std::string& base() const noexcept { return base_; }
    std::string_view hash_part() const noexcept { return std::string_view(base_).substr(0, 32); }
    std::string_view name() const noexcept { return std::string_view(base_).substr(33); }
    std::string absolute() const { return std::string(store_prefix) + base_; }
    auto operator<=>(const StorePath&) const = default;

private:
    explicit StorePath(std::string base) : base_(std::move(base)) {}
    std::string base_;
};

}  // namespace senv
