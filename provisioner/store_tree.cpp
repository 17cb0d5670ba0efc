#include "provisioner/store_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "cache/base/text.h"
#include "cache/formats/store_path.h"

namespace senv {

namespace {

// What is left to walk of a path or of the target of a link.
class Rest {
public:
    explicit Rest(std::string text) : text_(std::move(text)) {}
    // "a//b/" has the names "a", "", "b" and "".
    std::string_view take() noexcept {
        const std::size_t end = std::min(text_.find('/', at_), text_.size());
        const std::string_view name = std::string_view(text_).substr(at_, end - at_);
        at_ = end + 1;
        return name;
    }
    bool is_empty() const noexcept { return at_ > text_.size(); }

private:
    std::string text_;
    std::size_t at_ = 0;
};

}  // namespace

struct StoreTree::Lookup {
    std::string_view path;   // for messages
    Found at;                // what was reached
    std::size_t depth = 0;   // names in at.real
    std::vector<Rest> rest;  // the last is next
    std::size_t steps = 0;

    void go_up() {
        const std::size_t slash = at.real.rfind('/');
        at.real.resize(slash == std::string::npos ? 0 : slash);
        --depth;
    }
};

Result<StoreTree> StoreTree::open(const std::string& store_dir) {
    return StoreTree(SENV_TRY(open_file(store_dir, O_RDONLY | O_DIRECTORY)));
}

Result<std::optional<StoreTree::Found>> StoreTree::find(std::string_view path) {
    return resolve({}, path);
}

Result<std::optional<StoreTree::Found>> StoreTree::find_in(const Found& directory, std::string_view name) {
    return resolve(directory, name);
}

Result<std::optional<StoreTree::Found>> StoreTree::resolve(Found from, std::string_view path) {
    Lookup lookup{path, std::move(from), 0, {}, 0};
    if (!lookup.at.real.empty()) {
        lookup.depth = 1 + static_cast<std::size_t>(std::ranges::count(lookup.at.real, '/'));
    }
    lookup.rest.emplace_back(std::string(path));
    while (!lookup.rest.empty()) {
        const std::string name(lookup.rest.back().take());
        if (lookup.rest.back().is_empty()) lookup.rest.pop_back();
        SENV_TRY(charge(1, lookup));
        if (name.empty() || name == ".") continue;
        if (name == "..") {
            if (lookup.depth == 0) return std::optional<Found>();
            lookup.go_up();
        } else if (!SENV_TRY(go_to(name, lookup))) {
            return std::optional<Found>();
        }
    }
    // Looked at once more, since ".." may have come last.
    if (lookup.depth == 0 || !SENV_TRY(inspect(lookup.at.real, lookup.at.info))) return std::optional<Found>();
    return std::optional<Found>(std::move(lookup.at));
}

// Whether there is such an entry, and the look-up may go on.
Result<bool> StoreTree::go_to(std::string_view name, Lookup& lookup) {
    if (lookup.depth == 0 && !StorePath::parse(name)) return false;
    if (lookup.depth > 0) lookup.at.real += '/';
    lookup.at.real += name;
    SENV_TRY(charge(lookup.depth++, lookup));
    if (!SENV_TRY(inspect(lookup.at.real, lookup.at.info))) return false;
    if (!S_ISLNK(lookup.at.info.st_mode)) return lookup.rest.empty() || S_ISDIR(lookup.at.info.st_mode);

    if (++lookup.at.links > max_links) return false;
    std::string target = SENV_TRY(link_target(lookup.at.real));
    lookup.go_up();
    if (target.starts_with('/')) {
        if (!target.starts_with(store_prefix)) return false;
        target.erase(0, store_prefix.size());
        lookup.at.real.clear();
        lookup.depth = 0;
    }
    lookup.rest.emplace_back(std::move(target));
    return true;
}

Result<void> StoreTree::charge(std::size_t steps, Lookup& lookup) {
    lookup.steps += steps;
    steps_ += steps;
    const auto fail = [&](const std::string& whose, std::size_t limit) {
        return Error(Kind::corrupt, "cannot look up '" + printable(lookup.path) + "': " + whose + " more than " +
                                        std::to_string(limit) + " steps");
    };
    if (lookup.steps > max_lookup_steps) return fail("it takes", max_lookup_steps);
    if (steps_ > max_steps) return fail("all look-ups together take", max_steps);
    return {};
}

Result<std::optional<std::vector<std::string>>> StoreTree::list(const Found& directory, std::size_t limit) const {
    Fd fd = SENV_TRY(open_at(dir_, directory.real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), ::closedir);
    if (!stream) return Error::sys(errno, "cannot read '" + printable(directory.real) + "'");
    fd.release();
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(stream.get());
        if (entry == nullptr) break;
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        if (names.size() == limit) return std::optional<std::vector<std::string>>();
        names.emplace_back(name);
    }
    if (errno != 0) return Error::sys(errno, "cannot read '" + printable(directory.real) + "'");
    std::sort(names.begin(), names.end());
    return std::optional(std::move(names));
}

Result<std::string> StoreTree::read(const Found& file, std::size_t limit) const {
    const Fd fd = SENV_TRY(open_at(dir_, file.real, O_RDONLY | O_NOFOLLOW));
    return read_to_end(fd.get(), limit, file.real);
}

Result<bool> StoreTree::inspect(const std::string& path, struct stat& info) const {
    if (::fstatat(dir_.get(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) return false;
    return Error::sys(errno, "cannot look at '" + printable(path) + "'");
}

Result<std::string> StoreTree::link_target(const std::string& path) const {
    char buffer[4096];
    const ssize_t n = ::readlinkat(dir_.get(), path.c_str(), buffer, sizeof buffer);
    if (n < 0) return Error::sys(errno, "cannot read link '" + printable(path) + "'");
    return std::string(buffer, static_cast<std::size_t>(n));
}

}  // namespace senv
