// leases.h: what keeps a closure on this node as long as somebody uses it.
//
// Shape    leases/ID, mode 0600, one line "PROFILE uid=N job=N step=N[ DETAILS]". The one who may use the closure holds a
//          read-only descriptor whose open file description has the file locked (flock). senvd keeps none: whoever can take
//          the lock knows that the last process which inherited the descriptor is gone.
//          leases/.ID is a lease in the making: written and locked before it gets its name, so that a sweep never sees a
//          lease that is not locked yet. Such a name found at a start was left by a crash.
// Threads  take() and sweep() may run at the same time.
// Errors   io, with the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache/base/fd.h"
#include "cache/formats/store_path.h"

namespace senv {

struct Lease {
    StorePath profile;
    std::uint32_t uid = 0;
    std::uint32_t job = 0;
    std::uint32_t step = 0;
    std::string details = {};  // how the step is in it; no line break
};

struct TakenLease {
    Fd fd;           // locked, to hand over
    std::string id;  // for drop_lease()
};
/// Makes the file.
Result<TakenLease> take_lease(const Fd& dir, const Lease& lease);
/// The lease keeps nothing any more, whoever holds it.
void drop_lease(const Fd& dir, const std::string& id) noexcept;

/// Removes the leases that nobody holds any more; returns the others. A held file that cannot be read keeps its lock but
/// is not listed: nobody but senvd writes here.
Result<std::vector<Lease>> sweep_leases(const Fd& dir);

/// For the start, when nobody can be in take_lease(): removes leases in the making.
Result<void> clear_unfinished_leases(const Fd& dir);

}  // namespace senv
