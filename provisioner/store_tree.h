// store_tree.h: look-ups in the store as a step sees it at /gnu/store, read where the node keeps it.
//
// Shape    Paths are relative to the store. Links are followed only inside the store, at most 40 in one look-up.
// Limits   A step is one name that somebody has to walk: looking at a/b/c takes three, ".." one. One look-up takes at
//          most 10,000 steps (Guix's own take below 500), all look-ups of one StoreTree 2,000,000, which is about a
//          second.
// Errors   corrupt when a limit is passed; io.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/fd.h"
#include "cache/base/result.h"

namespace senv {

class StoreTree {
public:
    static constexpr std::size_t max_links = 40;
    static constexpr std::size_t max_lookup_steps = 10'000;
    static constexpr std::size_t max_steps = 2'000'000;

    struct Found {
        std::string real;  // relative to the store, free of links
        struct stat info {};
        std::size_t links = 0;  // that were followed on the way
    };

    /// `store_dir`: the folder that holds the items.
    static Result<StoreTree> open(const std::string& store_dir);

    /// What stat(2) would say about /gnu/store/PATH. Nothing for what is missing, leads out of the store or in circles.
    Result<std::optional<Found>> find(std::string_view path);
    /// The same for an entry of a directory that was found.
    Result<std::optional<Found>> find_in(const Found& directory, std::string_view name);

    /// Names in a directory that was found, sorted. Nothing if there are more than `limit`.
    Result<std::optional<std::vector<std::string>>> list(const Found& directory, std::size_t limit) const;
    Result<std::string> read(const Found& file, std::size_t limit) const;

private:
    struct Lookup;
    explicit StoreTree(Fd dir) : dir_(std::move(dir)) {}

    Result<bool> go_to(std::string_view name, Lookup& lookup);
    Result<std::optional<Found>> resolve(Found from, std::string_view path);
    Result<void> charge(std::size_t steps, Lookup& lookup);
    Result<bool> inspect(const std::string& path, struct stat& info) const;
    Result<std::string> link_target(const std::string& path) const;

    Fd dir_;
    std::size_t steps_ = 0;
};

}  // namespace senv
