#include "provisioner/ownership.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace senv {

namespace {

constexpr unsigned unmapped = 65534;

bool is_somebodys(unsigned id) {
    return id != 0 && id != unmapped;
}

}  // namespace

bool is_users_own(const std::string& folder) {
    struct stat info {};
    if (::stat(folder.c_str(), &info) != 0) return false;
    if (is_somebodys(info.st_uid) && info.st_uid == ::geteuid()) return true;
    if (!is_somebodys(info.st_gid)) return false;
    if (info.st_gid == ::getegid()) return true;
    const int count = ::getgroups(0, nullptr);
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(count, 0)));
    const int got = ::getgroups(count, groups.data());
    groups.resize(static_cast<std::size_t>(std::max(got, 0)));
    return std::ranges::find(groups, info.st_gid) != groups.end();
}

}  // namespace senv
