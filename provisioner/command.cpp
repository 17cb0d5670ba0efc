#include "provisioner/command.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "cache/base/text.h"
#include "provisioner/close_names.h"

namespace senv {

namespace {

constexpr std::size_t max_folders = 64;
constexpr std::size_t max_names = 20000;

// Those of `path` below `profile`, each once.
std::vector<std::string_view> folders_below(std::string_view profile, std::string_view path) {
    const std::string begin = std::string(profile) + "/";
    std::vector<std::string_view> folders;
    for (const auto folder : split(path, ':')) {
        if (folders.size() == max_folders) break;
        if (folder.starts_with(begin) && std::ranges::find(folders, folder) == folders.end()) folders.push_back(folder);
    }
    return folders;
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
    return std::ranges::any_of(split(path, ':'),
                               [&](auto folder) { return is_file(std::string(folder) + "/" + name); }) ||
           is_file(name);
}

std::vector<std::string> close_commands(std::string_view command, std::string_view path, std::string_view profile) {
    std::vector<std::string> names;
    for (const auto folder : folders_below(profile, path)) {
        for (auto& name : names_in(std::string(folder))) names.push_back(std::move(name));
    }
    return close_names(command, names);
}

}  // namespace senv
