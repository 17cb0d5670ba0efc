#include "provisioner/trust.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <deque>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr int max_links = 40;

constexpr std::array folder_variables = {"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
                                         "XDG_RUNTIME_DIR"};

bool belongs_to(std::string path, uid_t user) {
    if (!path.starts_with('/')) return false;
    struct stat info {};
    while (::stat(path.c_str(), &info) != 0) {
        if (errno != ENOENT || path.size() == 1) return false;
        path.resize(std::max<std::size_t>(path.rfind('/'), 1));
    }
    return info.st_uid == user;
}

std::string home_in_passwd(uid_t user) {
    struct passwd entry = {};
    struct passwd* found = nullptr;
    std::array<char, 16384> buffer = {};
    ::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found);
    return found == nullptr || found->pw_dir == nullptr ? "" : found->pw_dir;
}

Error not_roots(const std::string& path, const std::string& cause) {
    return Error(Kind::denied, "'" + printable(path) + "' " + cause + ", and root evaluates nothing of other users")
        .hint("run the command as that user: `runuser -u USER -- senv ...`");
}

// A folder with the sticky bit lets nobody replace what belongs to others.
Result<void> check_part(const std::string& path, const struct stat& info) {
    if (info.st_uid != 0) return not_roots(path, "belongs to uid " + std::to_string(info.st_uid));
    const bool is_sticky = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;
    const bool is_open = (info.st_mode & S_IWOTH) != 0 || ((info.st_mode & S_IWGRP) != 0 && info.st_gid != 0);
    if (is_open && !is_sticky && !S_ISLNK(info.st_mode)) return not_roots(path, "can be written to by others");
    return {};
}

// Puts the parts of `path` in front of those that are still to come.
void put_in_front(std::deque<std::string>& parts, const std::string& path) {
    const auto words = split(path, '/');
    for (auto word = words.rbegin(); word != words.rend(); ++word) {
        if (!word->empty() && *word != ".") parts.emplace_front(*word);
    }
}

}  // namespace

Environment with_own_folders(Environment environment, uid_t user) {
    for (const char* name : folder_variables) {
        const auto found = environment.find(name);
        if (found != environment.end() && !belongs_to(found->second, user)) environment.erase(found);
    }
    if (belongs_to(value_of(environment, "HOME"), user)) return environment;
    if (std::string home = home_in_passwd(user); !home.empty()) {
        environment["HOME"] = std::move(home);
    } else {
        environment.erase("HOME");
    }
    return environment;
}

Result<void> check_is_roots(const std::string& path) {
    std::deque<std::string> parts;
    put_in_front(parts, path);
    if (!path.starts_with('/')) {
        std::array<char, PATH_MAX> here = {};
        if (::getcwd(here.data(), here.size()) == nullptr) return Error::sys(errno, "cannot find the current folder");
        put_in_front(parts, here.data());
    }
    std::string at;
    int links = 0;
    while (!parts.empty()) {
        const std::string part = std::move(parts.front());
        parts.pop_front();
        if (part == "..") {
            at.resize(at.empty() ? 0 : at.rfind('/'));
            continue;
        }
        at += '/' + part;
        struct stat info {};
        if (::lstat(at.c_str(), &info) != 0) return Error::sys(errno, "cannot look at '" + printable(at) + "'");
        SENV_TRY(check_part(at, info));
        if (!S_ISLNK(info.st_mode)) continue;
        std::array<char, PATH_MAX> target = {};
        if (++links > max_links || ::readlink(at.c_str(), target.data(), target.size() - 1) < 0) {
            return Error::sys(ELOOP, "cannot follow '" + printable(at) + "'");
        }
        // "<(echo …)": a link of the kernel's to a pipe, which has no name.
        if (at.starts_with("/proc/") && std::string_view(target.data()).starts_with("pipe:[")) return {};
        put_in_front(parts, target.data());
        at.resize(target[0] == '/' ? 0 : at.rfind('/'));
    }
    return {};
}

Result<void> check_may_be_used_by(uid_t user, const std::string& path) {
    return user == 0 ? check_is_roots(path) : Result<void>();
}

}  // namespace senv
