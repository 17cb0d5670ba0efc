#include "provisioner/profile.h"

#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cache/base/text.h"
#include "provisioner/environment.h"
#include "provisioner/pattern.h"
#include "provisioner/scheme_data.h"
#include "provisioner/store_tree.h"

namespace senv {

namespace {

constexpr std::size_t max_walk_depth = 64;
constexpr std::size_t max_walk_entries = 100'000;     // of all patterns of one profile together
constexpr std::size_t max_match_steps = 200'000'000;  // of all patterns of one profile: states times bytes of names
constexpr std::size_t max_walk_bytes = std::size_t{16} << 20U;  // of the names that one walk has to remember

Error beyond(const std::string& what, std::size_t limit, std::string_view unit) {
    return {Kind::corrupt, what + " more than " + std::to_string(limit) + " " + std::string(unit)};
}

// The name that Guile's stat:type has for it.
std::string_view type_of(const struct stat& info) noexcept {
    if (S_ISREG(info.st_mode)) return "regular";
    if (S_ISDIR(info.st_mode)) return "directory";
    return "";
}

std::string absolute(const std::string& name) {
    return std::string(store_prefix) + name;
}

// The value of one search path. It keeps its limit while it grows.
class Value {
public:
    explicit Value(const SearchPath& path) : path_(path) {}

    Result<void> add(const std::string& name) {
        if (text_ && !path_.separator) return {};  // one name only
        const std::size_t separator = text_ ? path_.separator->size() : 0;
        const std::size_t size = (text_ ? text_->size() : 0) + separator + name.size();
        if (size > wire::max_value_bytes) {
            return beyond("the value of '" + printable(path_.variable) + "' has", wire::max_value_bytes, "bytes");
        }
        if (text_) {
            *text_ += *path_.separator + name;
        } else {
            text_ = name;
        }
        return {};
    }

    bool is_complete() const noexcept { return text_ && !path_.separator; }
    std::optional<std::string> take() && { return std::move(text_); }

private:
    const SearchPath& path_;
    std::optional<std::string> text_;
};

// What all walks of a profile have cost so far.
struct Walked {
    std::size_t entries = 0;
    std::size_t match_steps = 0;
};

// As Guix's find-files: follows links, and enters a directory that has several names by the first of them only.
class Walk {
public:
    Walk(StoreTree& tree, const SearchPath& path, const Pattern& pattern, Walked& walked)
        : tree_(tree), path_(path), pattern_(pattern), walked_(walked) {}

    // Names relative to the store, sorted; only the first where the search path takes one only.
    Result<std::vector<std::string>> run(const std::string& start) {
        start_ = start;
        if (++walked_.entries > max_walk_entries) return too_many();
        SENV_TRY(visit(start, SENV_TRY(tree_.find(start)), 0));
        while (!todo_.empty()) {
            const Todo next = std::move(todo_.front());
            todo_.pop_front();
            const Directory& parent = directories_[next.parent];
            const std::size_t depth = parent.depth + 1;
            if (depth > max_walk_depth) {
                return beyond("cannot search '" + printable(start_) + "': it has", max_walk_depth, "levels");
            }
            std::string name = parent.name + "/" + next.name;
            if (name.size() > max_file_name_bytes) {
                return beyond("cannot use '" + printable(name) + "': its name has", max_file_name_bytes, "bytes");
            }
            auto found = SENV_TRY(tree_.find_in(parent.found, next.name));
            SENV_TRY(visit(std::move(name), std::move(found), depth));
        }
        std::sort(matching_.begin(), matching_.end());
        return std::move(matching_);
    }

private:
    struct Directory {
        std::string name;  // by which it was entered
        StoreTree::Found found;
        std::size_t depth;
    };
    struct Todo {
        std::size_t parent;  // in directories_
        std::string name;
    };

    Error too_many() const {
        return beyond("cannot search '" + printable(start_) + "': the patterns of the profile meet", max_walk_entries,
                      "files");
    }

    Result<void> visit(std::string name, std::optional<StoreTree::Found> found, std::size_t depth) {
        if (!found) return {};
        const bool is_directory = S_ISDIR(found->info.st_mode);
        if (is_directory && !entered_.emplace(found->info.st_dev, found->info.st_ino).second) return {};
        if (type_of(found->info) == path_.type && SENV_TRY(matches(name))) SENV_TRY(keep(name));
        if (!is_directory) return {};

        auto names = SENV_TRY(tree_.list(*found, max_walk_entries - walked_.entries));
        if (!names) return too_many();
        walked_.entries += names->size();
        SENV_TRY(remember(name.size() + found->real.size()));
        directories_.push_back({std::move(name), *std::move(found), depth});
        for (std::string& child : *names) {
            SENV_TRY(remember(child.size()));
            todo_.push_back({directories_.size() - 1, std::move(child)});
        }
        return {};
    }

    Result<bool> matches(std::string_view name) {
        const std::string_view base = name.substr(name.rfind('/') + 1);
        walked_.match_steps += pattern_.states() * (base.size() + 1);
        if (walked_.match_steps <= max_match_steps) return pattern_.matches(base);
        return beyond("cannot search '" + printable(start_) + "' for '" + printable(*path_.pattern) +
                          "': the patterns of the profile take",
                      max_match_steps, "steps");
    }

    Result<void> keep(const std::string& name) {
        if (path_.separator || matching_.empty()) {
            SENV_TRY(remember(name.size()));
            matching_.push_back(name);
        } else if (name < matching_[0]) {
            matching_[0] = name;
        }
        return {};
    }

    Result<void> remember(std::size_t bytes) {
        bytes_ += bytes;
        if (bytes_ <= max_walk_bytes) return {};
        return beyond("cannot search '" + printable(start_) + "': its names have", max_walk_bytes, "bytes together");
    }

    StoreTree& tree_;
    const SearchPath& path_;
    const Pattern& pattern_;
    Walked& walked_;
    std::string start_;
    std::size_t bytes_ = 0;
    std::set<std::pair<dev_t, ino_t>> entered_;
    std::deque<Directory> directories_;
    std::deque<Todo> todo_;
    std::vector<std::string> matching_;
};

Result<Pattern> compile(const std::string& text) {
    auto pattern = Pattern::compile(text);
    if (!pattern) return Error(Kind::corrupt, "cannot use pattern: " + pattern.error().what());
    return pattern;
}

class Evaluation {
public:
    Evaluation(StoreTree& tree, const StorePath& profile) : tree_(tree), profile_(profile) {}

    // The names that a search path stands for, as absolute paths in the profile. Nothing if there are none.
    Result<std::optional<std::string>> value_of(const SearchPath& path) {
        std::optional<Pattern> pattern;
        if (path.pattern) pattern = SENV_TRY(compile(*path.pattern));
        Value value(path);
        for (const std::string& file : path.files) {
            if (value.is_complete()) break;
            const std::string start = profile_.base() + "/" + file;
            if (pattern) {
                for (const std::string& name : SENV_TRY(Walk(tree_, path, *pattern, walked_).run(start))) {
                    SENV_TRY(value.add(absolute(name)));
                }
            } else if (const auto found = SENV_TRY(tree_.find(start)); found && type_of(found->info) == path.type) {
                SENV_TRY(value.add(absolute(start)));
            }
        }
        return std::move(value).take();
    }

private:
    StoreTree& tree_;
    const StorePath& profile_;
    Walked walked_;
};

std::string using_profile(const StorePath& profile) {
    return "cannot use profile '" + profile.absolute() + "'";
}

Result<ProfileManifest> manifest_of_profile(StoreTree& tree, const StorePath& profile) {
    const std::string doing = using_profile(profile);
    const auto manifest = SENV_TRY(tree.find(profile.base() + "/manifest").in(doing));
    if (!manifest) return Error(Kind::missing, doing + ": it has no file 'manifest'");
    if (!S_ISREG(manifest->info.st_mode)) return Error(Kind::corrupt, doing + ": its 'manifest' is not a file");
    const std::string text = SENV_TRY(tree.read(*manifest, max_scheme_bytes));
    return read_profile_manifest(text).in(doing + ": manifest");
}

}  // namespace

Result<wire::Plan> plan_of_profile(const std::string& store_dir, const StorePath& profile) {
    const std::string doing = using_profile(profile);
    StoreTree tree = SENV_TRY(StoreTree::open(store_dir));
    const ProfileManifest manifest = SENV_TRY(manifest_of_profile(tree, profile));

    Evaluation evaluation(tree, profile);
    wire::Plan plan;
    plan.profile = profile.absolute();
    std::size_t bytes = 0;
    for (const SearchPath& path : manifest.search_paths) {
        auto value = SENV_TRY(evaluation.value_of(path).in(doing));
        if (!value) continue;
        bytes += path.variable.size() + value->size();
        if (bytes > wire::max_plan_bytes) return beyond(doing + ": its variables have", wire::max_plan_bytes, "bytes");
        plan.variables.push_back({path.variable, *std::move(value), path.separator.value_or("")});
    }
    SENV_TRY(plan.check().in(doing));
    SENV_TRY(check_record_of(plan).in(doing));
    return plan;
}

Result<std::vector<Package>> packages_of_profile(const std::string& store_dir, const StorePath& profile) {
    StoreTree tree = SENV_TRY(StoreTree::open(store_dir));
    return SENV_TRY(manifest_of_profile(tree, profile)).packages;
}

}  // namespace senv
