// lending.h: who may hold an environment: takes leases for those who wait, and weighs them where one user may only
// hold so much (user_leased).
//
// Shape    What an environment takes is known when it is here, or when all its narinfos came. Until then its leases
//          are taken and wait to be weighed; one that turns out to be too much is void.
// Errors   busy: over a limit (also those of leases.h). io, of the lease files.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cache/daemon/board.h"
#include "cache/daemon/space.h"
#include "cache/formats/store_path.h"
#include "cache/store/leases.h"

namespace senv {

/// What environments take.
struct Sizes {
    /// A fetch of it is under way that does not know yet.
    std::function<bool(const StorePath& profile)> is_open;
    /// It is here, or a fetch of it knows.
    std::function<Result<bool>(const StorePath& profile)> is_known;
    /// Bytes of the disk, as far as known.
    std::function<Result<std::uint64_t>(const StorePath& profile)> of;
    /// All bytes of the disk.
    std::function<Result<std::uint64_t>()> disk;
};

class Lending {
public:
    struct Lent {
        Fd lease;
        bool is_weighed;  // else weigh() follows
    };
    struct Weighed {
        bool is_wanted = false;                                  // somebody may hold it
        std::vector<std::pair<std::uint64_t, Error>> refused{};  // clients, whose leases are void now
    };

    /// `leases` must outlive this. Without a limit everybody may hold everything.
    Lending(Leases& leases, std::optional<Mark> limit, Sizes sizes)
        : leases_(leases), limit_(limit), sizes_(std::move(sizes)) {}

    Result<Lent> lend(const StorePath& profile, const Requester& who, const LeaseFor& lease_for);
    /// Now it is known what the profile takes: weighs all that was lent without that.
    Result<Weighed> weigh(const StorePath& profile);
    /// The profile cannot be had: what was lent and not weighed is void.
    void withdraw(const StorePath& profile);

private:
    struct Unweighed {
        std::uint64_t client;
        std::uint32_t uid;
        std::string lease;
    };

    std::vector<Unweighed> take_unweighed(const StorePath& profile);
    std::set<StorePath> held_by(std::uint32_t uid) const;
    Result<void> check_limit(std::uint32_t uid, const StorePath& profile, const std::set<StorePath>& held) const;

    Leases& leases_;
    std::optional<Mark> limit_;
    Sizes sizes_;
    std::multimap<StorePath, Unweighed> unweighed_;  // by profile
};

}  // namespace senv
