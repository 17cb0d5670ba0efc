#include "provisioner/profile_manifest.h"

#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "provisioner/scheme_data.h"

namespace senv {

namespace {

Error malformed(const Datum& where, const std::string& want) {
    return {Kind::corrupt, where.place() + ": want " + want};
}

Error too_much(const Datum& where, const std::string& what, std::size_t limit) {
    return {Kind::corrupt, where.place() + ": " + what + ", the limit is " + std::to_string(limit)};
}

Result<std::string_view> text_of(const Datum& datum, std::size_t limit = max_manifest_text_bytes) {
    if (datum.text.size() <= limit) return std::string_view(datum.text);
    return too_much(datum, "the text has " + std::to_string(datum.text.size()) + " bytes", limit);
}

Result<std::string_view> string_of(const Datum& datum, std::size_t limit = max_manifest_text_bytes) {
    if (!datum.is_string()) return malformed(datum, "a string");
    return text_of(datum, limit);
}

Result<std::optional<std::string>> string_or_false(const Datum& datum) {
    if (datum.is_false()) return std::optional<std::string>();
    if (!datum.is_string()) return malformed(datum, "a string or #f");
    return std::optional<std::string>(SENV_TRY(string_of(datum)));
}

// (VARIABLE (FILE ...) SEPARATOR-or-#f TYPE PATTERN-or-#f)
Result<SearchPath> search_path_of(const Datum& datum) {
    if (!datum.is_proper_list() || datum.items.size() != 5 || !datum.items[1].is_proper_list() ||
        datum.items[3].type != Datum::Type::symbol) {
        return malformed(datum, "a search path");
    }
    const std::vector<Datum>& files = datum.items[1].items;
    if (files.size() > max_files_of_search_path) {
        return too_much(datum, "the search path has " + std::to_string(files.size()) + " files",
                        max_files_of_search_path);
    }
    SearchPath path;
    path.variable = SENV_TRY(string_of(datum.items[0]));
    for (const Datum& file : files) path.files.emplace_back(SENV_TRY(string_of(file, max_file_name_bytes)));
    path.separator = SENV_TRY(string_or_false(datum.items[2]));
    path.type = SENV_TRY(text_of(datum.items[3]));
    path.pattern = SENV_TRY(string_or_false(datum.items[4]));
    return path;
}

// Reads entries of both versions. Entries and search paths are numbers from 0, so that what is repeated costs a number.
class Reader {
public:
    explicit Reader(bool version_3) : version_3_(version_3) {
        number_of({"PATH", {"bin", "sbin"}, ":", "directory", std::nullopt});
    }

    // The number of the entry.
    Result<std::size_t> read(const Datum& entry) {
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
        std::vector<std::size_t> own;
        if (paths != nullptr) own = SENV_TRY(search_paths_of(*paths));
        entries_.push_back({&entry, std::move(item), std::move(own)});
        finished_.insert_or_assign(key(entry, 0, 1, 3), entries_.size() - 1);
        return entries_.size() - 1;
    }

    // The manifest with these entries at its top.
    ProfileManifest finish(const std::vector<std::size_t>& top) {
        ProfileManifest manifest;
        std::vector<bool> has_entry(entries_.size());
        std::vector<bool> has_path(paths_.size());
        std::set<std::tuple<std::string_view, std::string_view, std::string_view, StorePath>> packages;
        take_path(0, has_path, manifest);
        for (const std::size_t number : top) {
            if (has_entry[number]) continue;
            has_entry[number] = true;
            const Entry& entry = entries_[number];
            const std::vector<Datum>& texts = entry.datum->items;
            if (packages.emplace(texts[0].text, texts[1].text, texts[2].text, entry.item).second) {
                manifest.packages.push_back({texts[0].text, texts[1].text, texts[2].text, entry.item});
            }
            for (const std::size_t path : entry.search_paths) take_path(path, has_path, manifest);
        }
        return manifest;
    }

private:
    struct Entry {
        const Datum* datum;  // a list that begins with the name, the version and the output
        StorePath item;
        std::vector<std::size_t> search_paths;
    };
    using Key = std::tuple<std::string_view, std::string_view, std::string_view>;

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

    std::size_t number_of(SearchPath path) {
        const auto [place, is_new] = numbers_.try_emplace(std::move(path), paths_.size());
        if (is_new) paths_.push_back(&place->first);
        return place->second;
    }

    Result<std::vector<std::size_t>> search_paths_of(const Datum& datum) {
        if (!datum.is_proper_list()) return malformed(datum, "a list of search paths");
        std::vector<std::size_t> numbers;
        for (const Datum& item : datum.items) {
            numbers.push_back(number_of(SENV_TRY(search_path_of(item))));
            if (paths_.size() > max_search_paths) {
                return too_much(item, "the manifest has too many different search paths", max_search_paths);
            }
        }
        return numbers;
    }

    Result<std::size_t> repeated(const Datum& entry) {
        if (entry.items.size() != 4) return malformed(entry, "(repeated NAME VERSION PATH)");
        for (std::size_t i = 1; i < 4; ++i) SENV_TRY(string_of(entry.items[i]));
        const auto found = finished_.find(key(entry, 1, 2, 3));
        if (found == finished_.end()) return malformed(entry, "a package that came before");
        return found->second;
    }

    void take_path(std::size_t path, std::vector<bool>& taken, ProfileManifest& manifest) const {
        if (taken[path]) return;
        taken[path] = true;
        manifest.search_paths.push_back(*paths_[path]);
    }

    bool version_3_;
    std::map<SearchPath, std::size_t> numbers_;
    std::vector<const SearchPath*> paths_;  // by number
    std::vector<Entry> entries_;            // by number
    std::map<Key, std::size_t> finished_;   // for `repeated`
};

}  // namespace

Result<ProfileManifest> read_profile_manifest(std::string_view text) {
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

    Reader reader(version.text == "3");
    std::vector<std::size_t> entries;
    for (const Datum& entry : top.items[2].items[1].items) entries.push_back(SENV_TRY(reader.read(entry)));
    return reader.finish(entries);
}

}  // namespace senv
