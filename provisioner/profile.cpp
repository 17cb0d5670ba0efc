#include "provisioner/profile.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "provisioner/pattern.h"
#include "provisioner/scheme_data.h"

namespace senv {

namespace {

constexpr std::size_t max_links = 40;
constexpr std::size_t max_walk_depth = 64;
constexpr std::size_t max_walk_entries = 100'000;  // of all patterns of one profile together
constexpr std::size_t max_pattern_bytes = 256;

// A search path specification, as in guix/search-paths.scm.
struct SearchPath {
    std::string variable;
    std::vector<std::string> files;
    std::optional<std::string> separator;
    std::string type;
    std::optional<std::string> pattern;
    auto operator<=>(const SearchPath&) const = default;
};

// ---- The manifest -------------------------------------------------------------------------------------------------

Error malformed(const Datum& where, const std::string& want) {
    return {Kind::corrupt, where.place() + ": want " + want};
}

Result<std::string> string_of(const Datum& datum) {
    if (!datum.is_string()) return malformed(datum, "a string");
    return datum.text;
}

Result<std::optional<std::string>> string_or_false(const Datum& datum) {
    if (datum.is_false()) return std::optional<std::string>();
    if (!datum.is_string()) return malformed(datum, "a string or #f");
    return std::optional<std::string>(datum.text);
}

// (VARIABLE (FILE ...) SEPARATOR-or-#f TYPE PATTERN-or-#f)
Result<SearchPath> search_path_of(const Datum& datum) {
    if (!datum.is_proper_list() || datum.items.size() != 5 || !datum.items[1].is_proper_list() ||
        datum.items[3].type != Datum::Type::symbol) {
        return malformed(datum, "a search path");
    }
    SearchPath path;
    path.variable = SENV_TRY(string_of(datum.items[0]));
    for (const Datum& file : datum.items[1].items) path.files.push_back(SENV_TRY(string_of(file)));
    path.separator = SENV_TRY(string_or_false(datum.items[2]));
    path.type = datum.items[3].text;
    path.pattern = SENV_TRY(string_or_false(datum.items[4]));
    return path;
}

Result<std::vector<SearchPath>> search_paths_of(const Datum& datum) {
    if (!datum.is_proper_list()) return malformed(datum, "a list of search paths");
    std::vector<SearchPath> paths;
    for (const Datum& item : datum.items) paths.push_back(SENV_TRY(search_path_of(item)));
    return paths;
}

struct Entry {
    Package package;
    std::vector<SearchPath> search_paths;
};

// Reads entries of both versions; remembers the finished ones, for `repeated`.
class Entries {
public:
    explicit Entries(bool version_3) : version_3_(version_3) {}

    Result<Entry> read(const Datum& entry) {
        if (!version_3_ && entry.is_form("repeated")) return repeated(entry);
        if (!entry.is_proper_list() || entry.items.size() < 4) return malformed(entry, "a package");
        for (std::size_t i = 0; i < 4; ++i) SENV_TRY(string_of(entry.items[i]));
        StorePath item = SENV_TRY(StorePath::parse_absolute(entry.items[3].text).in(entry.items[3].place()));

        const Datum* inputs = field(entry, "propagated-inputs");
        const Datum* paths = field(entry, "search-paths");
        if (version_3_ && (inputs == nullptr || paths == nullptr)) return malformed(entry, "a package of version 3");
        if (inputs != nullptr) {
            if (!inputs->is_proper_list()) return malformed(*inputs, "a list of packages");
            for (const Datum& input : inputs->items) SENV_TRY(read(input));
        }
        std::vector<SearchPath> own;
        if (paths != nullptr) own = SENV_TRY(search_paths_of(*paths));
        Entry read = {{entry.items[0].text, entry.items[1].text, entry.items[2].text, std::move(item)}, std::move(own)};
        finished_.insert_or_assign(key(entry, 0, 1, 3), read);
        return read;
    }

private:
    using Key = std::tuple<std::string, std::string, std::string>;

    static Key key(const Datum& entry, std::size_t name, std::size_t version, std::size_t path) {
        return {entry.items[name].text, entry.items[version].text, entry.items[path].text};
    }

    // The value of the first field of that name: (NAME VALUE).
    static const Datum* field(const Datum& entry, std::string_view name) {
        for (std::size_t i = 4; i < entry.items.size(); ++i) {
            const Datum& candidate = entry.items[i];
            if (candidate.is_form(name) && candidate.items.size() == 2) return &candidate.items[1];
        }
        return nullptr;
    }

    Result<Entry> repeated(const Datum& entry) {
        if (entry.items.size() != 4) return malformed(entry, "(repeated NAME VERSION PATH)");
        for (std::size_t i = 1; i < 4; ++i) SENV_TRY(string_of(entry.items[i]));
        const auto found = finished_.find(key(entry, 1, 2, 3));
        if (found == finished_.end()) return malformed(entry, "a package that came before");
        return found->second;
    }

    bool version_3_;
    std::map<Key, Entry> finished_;
};

// The top-level entries.
Result<std::vector<Entry>> read_manifest(std::string_view text) {
    const std::vector<Datum> data = SENV_TRY(read_scheme(text));
    if (data.size() != 1) return Error(Kind::corrupt, "want one value");
    const Datum& top = data[0];
    if (!top.is_form("manifest") || top.items.size() != 3 || !top.items[1].is_form("version") ||
        top.items[1].items.size() < 2 || !top.items[2].is_form("packages") || top.items[2].items.size() != 2 ||
        !top.items[2].items[1].is_proper_list()) {
        return malformed(top, "(manifest (version N) (packages (…)))");
    }
    const Datum& version = top.items[1].items[1];
    if (version.type != Datum::Type::number || (version.text != "3" && version.text != "4")) {
        return malformed(version, "version 3 or 4");
    }

    Entries entries(version.text == "3");
    std::vector<Entry> all;
    for (const Datum& entry : top.items[2].items[1].items) all.push_back(SENV_TRY(entries.read(entry)));
    return all;
}

// PATH, then the search paths of the entries without exact repeats.
std::vector<SearchPath> search_paths_of(const std::vector<Entry>& entries) {
    std::vector<SearchPath> paths = {{"PATH", {"bin", "sbin"}, ":", "directory", std::nullopt}};
    std::set<SearchPath> seen(paths.begin(), paths.end());
    for (const Entry& entry : entries) {
        for (const SearchPath& path : entry.search_paths) {
            if (seen.insert(path).second) paths.push_back(path);
        }
    }
    return paths;
}

// ---- Files in the store -------------------------------------------------------------------------------------------

// The store as the step will see it at /gnu/store, read where the node keeps it.
class StoreTree {
public:
    struct Found {
        std::string real;  // relative to the store, free of links
        struct stat info {};
    };

    static Result<StoreTree> open(const std::string& store_dir) {
        return StoreTree(SENV_TRY(open_file(store_dir, O_RDONLY | O_DIRECTORY)));
    }

    // What stat(2) would say about /gnu/store/PATH. Nothing for what is missing, leads out of the store or in circles.
    Result<std::optional<Found>> find(const std::string& path) const {
        std::vector<std::string> real;
        std::deque<std::string> rest = parts_of(path);
        std::size_t links = 0;
        Found found;
        while (!rest.empty()) {
            const std::string name = std::move(rest.front());
            rest.pop_front();
            if (name.empty() || name == ".") continue;
            if (name == "..") {
                if (real.empty()) return std::optional<Found>();
                real.pop_back();
                continue;
            }
            if (real.empty() && !StorePath::parse(name)) return std::optional<Found>();
            real.push_back(name);
            const std::string joined = join(real, "/");
            if (!SENV_TRY(inspect(joined, found.info))) return std::optional<Found>();
            if (!S_ISLNK(found.info.st_mode)) {
                if (!rest.empty() && !S_ISDIR(found.info.st_mode)) return std::optional<Found>();
                continue;
            }

            if (++links > max_links) return std::optional<Found>();
            const std::string target = SENV_TRY(link_target(joined));
            real.pop_back();
            if (target.starts_with('/')) {
                if (!target.starts_with(store_prefix)) return std::optional<Found>();
                real.clear();
            }
            const auto behind = parts_of(target.starts_with('/') ? target.substr(store_prefix.size()) : target);
            rest.insert(rest.begin(), behind.begin(), behind.end());
        }
        // Looked at once more, since ".." may have come last.
        found.real = join(real, "/");
        if (real.empty() || !SENV_TRY(inspect(found.real, found.info))) return std::optional<Found>();
        return std::optional<Found>(std::move(found));
    }

    // Names in a directory that find() returned, sorted.
    Result<std::vector<std::string>> list(const Found& directory) const {
        Fd fd = SENV_TRY(open_at(dir_, directory.real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), ::closedir);
        if (!stream) return Error::sys(errno, "cannot read '" + directory.real + "'");
        fd.release();
        std::vector<std::string> names;
        for (;;) {
            errno = 0;
            const dirent* entry = ::readdir(stream.get());
            if (entry == nullptr) break;
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") names.emplace_back(name);
        }
        if (errno != 0) return Error::sys(errno, "cannot read '" + directory.real + "'");
        std::sort(names.begin(), names.end());
        return names;
    }

    Result<std::string> read(const Found& file, std::size_t limit) const {
        const Fd fd = SENV_TRY(open_at(dir_, file.real, O_RDONLY | O_NOFOLLOW));
        return read_to_end(fd.get(), limit, file.real);
    }

private:
    explicit StoreTree(Fd dir) : dir_(std::move(dir)) {}

    static std::deque<std::string> parts_of(std::string_view path) {
        std::deque<std::string> parts;
        for (const std::string_view part : split(path, '/')) parts.emplace_back(part);
        return parts;
    }

    Result<bool> inspect(const std::string& path, struct stat& info) const {
        if (::fstatat(dir_.get(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return true;
        if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) return false;
        return Error::sys(errno, "cannot look at '" + path + "'");
    }

    Result<std::string> link_target(const std::string& path) const {
        char buffer[4096];
        const ssize_t n = ::readlinkat(dir_.get(), path.c_str(), buffer, sizeof buffer);
        if (n < 0) return Error::sys(errno, "cannot read link '" + path + "'");
        return std::string(buffer, static_cast<std::size_t>(n));
    }

    Fd dir_;
};

// ---- Search paths in the store ------------------------------------------------------------------------------------

// The name that Guile's stat:type has for it.
std::string_view type_of(const struct stat& info) noexcept {
    if (S_ISREG(info.st_mode)) return "regular";
    if (S_ISDIR(info.st_mode)) return "directory";
    return "";
}

// A POSIX extended regular expression, matched anywhere in the text.
Result<Pattern> compile(const std::string& text) {
    if (text.size() > max_pattern_bytes) {
        return Error(Kind::corrupt, "cannot use pattern '" + printable(text) + "': it is too complex");
    }
    auto pattern = Pattern::compile(text);
    if (!pattern) return Error(Kind::corrupt, "cannot use pattern: " + pattern.error().what());
    return pattern;
}

class Evaluation {
public:
    Evaluation(const StoreTree& tree, const StorePath& profile) : tree_(tree), profile_(profile) {}

    // The names that a specification stands for, as absolute paths in the profile.
    Result<std::vector<std::string>> matches(const SearchPath& path) {
        std::vector<std::string> all;
        for (const std::string& file : path.files) {
            const std::string start = profile_.base() + "/" + file;
            if (path.pattern) {
                const Pattern pattern = SENV_TRY(compile(*path.pattern));
                std::vector<std::string> some = SENV_TRY(walk(start, path.type, pattern));
                std::sort(some.begin(), some.end());
                for (std::string& name : some) all.push_back(std::move(name));
            } else if (const auto found = SENV_TRY(tree_.find(start)); found && type_of(found->info) == path.type) {
                all.push_back(std::string(store_prefix) + start);
            }
        }
        return all;
    }

private:
    // As Guix's find-files: follows links, and enters a directory that has several names by the first of them only.
    Result<std::vector<std::string>> walk(const std::string& start, const std::string& type, const Pattern& pattern) {
        struct Todo {
            std::string name;
            std::size_t depth;
        };
        std::vector<std::string> matching;
        std::set<std::string> entered;
        std::deque<Todo> todo = {{start, 0}};
        while (!todo.empty()) {
            const Todo next = std::move(todo.front());
            todo.pop_front();
            if (++walked_ > max_walk_entries || next.depth > max_walk_depth) {
                return Error(Kind::corrupt, "cannot search '" + printable(start) + "': it holds too much");
            }
            const auto found = SENV_TRY(tree_.find(next.name));
            if (!found) continue;
            const bool directory = S_ISDIR(found->info.st_mode);
            if (directory && !entered.insert(found->real).second) continue;
            const std::string base = next.name.substr(next.name.rfind('/') + 1);
            if (type_of(found->info) == type && pattern.matches(base)) {
                matching.push_back(std::string(store_prefix) + next.name);
            }
            if (!directory) continue;
            for (const std::string& name : SENV_TRY(tree_.list(*found))) {
                todo.push_back({next.name + "/" + name, next.depth + 1});
            }
        }
        return matching;
    }

    const StoreTree& tree_;
    const StorePath& profile_;
    std::size_t walked_ = 0;
};

std::string using_profile(const StorePath& profile) {
    return "cannot use profile '" + profile.absolute() + "'";
}

Result<std::vector<Entry>> entries_of_profile(const StoreTree& tree, const StorePath& profile) {
    const std::string doing = using_profile(profile);
    const auto manifest = SENV_TRY(tree.find(profile.base() + "/manifest"));
    if (!manifest) return Error(Kind::missing, doing + ": it has no file 'manifest'");
    if (!S_ISREG(manifest->info.st_mode)) return Error(Kind::corrupt, doing + ": its 'manifest' is no file");
    const std::string text = SENV_TRY(tree.read(*manifest, max_scheme_bytes));
    return read_manifest(text).in(doing + ": manifest");
}

}  // namespace

Result<wire::Plan> plan_of_profile(const std::string& store_dir, const StorePath& profile) {
    const std::string doing = using_profile(profile);
    const StoreTree tree = SENV_TRY(StoreTree::open(store_dir));
    const std::vector<Entry> entries = SENV_TRY(entries_of_profile(tree, profile));

    Evaluation evaluation(tree, profile);
    wire::Plan plan;
    plan.profile = profile.absolute();
    for (const SearchPath& path : search_paths_of(entries)) {
        const std::vector<std::string> matches = SENV_TRY(evaluation.matches(path).in(doing));
        if (matches.empty()) continue;
        plan.variables.push_back(
            {path.variable, path.separator ? join(matches, *path.separator) : matches[0], path.separator.value_or("")});
    }
    SENV_TRY(plan.check().in(doing));
    return plan;
}

Result<std::vector<Package>> packages_of_profile(const std::string& store_dir, const StorePath& profile) {
    const StoreTree tree = SENV_TRY(StoreTree::open(store_dir));
    std::vector<Package> packages;
    for (Entry& entry : SENV_TRY(entries_of_profile(tree, profile))) {
        if (std::ranges::find(packages, entry.package) == packages.end()) packages.push_back(std::move(entry.package));
    }
    return packages;
}

}  // namespace senv
