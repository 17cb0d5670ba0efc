#include "provisioner/command.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t max_folders = 64;
constexpr std::size_t max_names = 20000;
constexpr std::size_t max_proposals = 3;
constexpr std::size_t short_name = 4;

std::vector<std::string_view> folders_of(std::string_view path) {
    auto folders = split(path, ':');
    if (folders.size() > max_folders) folders.resize(max_folders);
    return folders;
}

std::string lower(std::string_view text) {
    std::string lowered(text);
    for (char& c : lowered) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return lowered;
}

// Letters to insert, remove, replace or exchange with their neighbour to make one of the other; above `limit` any more.
std::size_t distance(std::string_view a, std::string_view b, std::size_t limit) {
    if (a.size() > b.size() + limit || b.size() > a.size() + limit) return limit + 1;
    std::vector<std::size_t> before_last(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
            const bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (exchanged) row[j] = std::min(row[j], before_last[j - 2] + 1);
        }
        std::swap(before_last, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
    if (!dir) return names;
    while (const dirent* entry = ::readdir(dir.get())) {
        if (names.size() == max_names) break;
        if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    return names;
}

}  // namespace

bool can_be_found(std::string_view command, std::string_view path) {
    if (command.find('/') != std::string_view::npos) return true;
    const auto is_file = [&](const std::string& file) {
        struct stat info {};
        return ::stat(file.c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
    };
    const std::string name(command);
    return std::ranges::any_of(folders_of(path),
                               [&](auto folder) { return is_file(std::string(folder) + "/" + name); }) ||
           is_file(name);
}

std::vector<std::string> close_commands(std::string_view command, std::string_view path, std::string_view profile) {
    const std::size_t limit = command.size() <= short_name ? 1 : 2;
    const std::string wanted = lower(command);
    std::vector<std::pair<std::size_t, std::string>> found;
    for (const auto folder : folders_of(path)) {
        if (!folder.starts_with(std::string(profile) + "/")) continue;
        for (auto& name : names_in(std::string(folder))) {
            const auto away = distance(wanted, lower(name), limit);
            if (away <= limit) found.emplace_back(away, std::move(name));
        }
    }
    std::ranges::sort(found);
    std::vector<std::string> close;
    for (auto& [away, name] : found) {
        if (close.size() < max_proposals && std::ranges::find(close, name) == close.end())
            close.push_back(std::move(name));
    }
    return close;
}

}  // namespace senv
