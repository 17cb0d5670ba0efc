// holders.h: which processes hold leases of senvd, as far as /proc shows it: for root.
//
// Trust    The files of leases belong to senvd's user, and nobody else can make files that do.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace senv {

/// For each of these files that some process has open: the processes, in order. `owner`: senvd's user.
std::map<std::string, std::vector<pid_t>> holders(const std::set<std::string>& files, uid_t owner);

}  // namespace senv
