#include "provisioner/cli/holders.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "cache/base/text.h"

namespace senv {

namespace fs = std::filesystem;

std::map<std::string, std::vector<pid_t>> holders(const std::set<std::string>& files, uid_t owner) {
    std::map<std::string, std::vector<pid_t>> found;
    std::error_code failed;  // processes come and go
    for (fs::directory_iterator process("/proc", failed); process != fs::directory_iterator();
         process.increment(failed)) {
        const auto pid = parse_decimal(process->path().filename().string());
        if (!pid) continue;
        for (fs::directory_iterator fd(process->path() / "fd", failed); fd != fs::directory_iterator();
             fd.increment(failed)) {
            // Its last part: the folder has other names in senvd's mount namespace.
            const std::string file = fs::read_symlink(fd->path(), failed).filename().string();
            struct stat info = {};
            if (!files.contains(file) || ::stat(fd->path().c_str(), &info) != 0 || info.st_uid != owner) continue;
            auto& pids = found[file];
            if (pids.empty() || pids.back() != static_cast<pid_t>(*pid)) pids.push_back(static_cast<pid_t>(*pid));
        }
    }
    for (auto& [file, pids] : found) std::ranges::sort(pids);
    return found;
}

}  // namespace senv
