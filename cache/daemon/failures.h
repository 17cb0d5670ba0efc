// failures.h: why senvd did not do what it was asked: every Error that it makes of several facts, in one place. Pure.
//
// Shape    "cannot VERB 'OBJECT': CAUSE" and a hint. tests/golden/failures/senvd.txt has each of them.
// Limits   A text is below 4 KiB where it lists what senvd chose itself; it grows with the number of origins where it
//          lists what they said.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "cache/base/result.h"
#include "cache/base/room.h"
#include "cache/daemon/space.h"
#include "cache/formats/store_path.h"
#include "cache/wire/messages.h"

namespace senv {

// An environment cannot be fetched.

/// No origin gives the item, which `profile` needs or is. The complaint that says most about what to do gives kind
/// and hint.
Error nobody_gives(const StorePath& item, const StorePath& profile, std::span<const Error> complaints);
/// This node could not take the item.
Error node_cannot_take(const StorePath& item, const Error& cause);
/// Who signed for the profile names more than any environment has: `what`, such as "more than 20000 items".
Error claims_too_much(const StorePath& profile, const std::string& what);
Error not_complete_in_time(const StorePath& profile, std::chrono::seconds limit, const wire::Progress& progress);
/// Something went wrong while room for it was looked for.
Error not_admitted(const StorePath& profile, Error cause);
/// It is complete, but no plan can be made of it.
Error no_plan(const StorePath& profile, Error cause);
/// A request that is refused: `need` is what it needs, `free` what is there. `all`: all that may go, and what is kept.
Error does_not_fit(const StorePath& profile, const Room& need, const Room& free, const Eviction& all);
/// The disk was full, by `cause`, although that request seemed to fit. `need`: of what is missing still.
Error became_full(const StorePath& profile, const Error& cause, const Room& need, const Room& free,
                  const Eviction& all);
/// The disk was full, by `cause`, and nothing more is known.
Error became_full(const StorePath& profile, const Error& cause);

/// An origin's complaint that it made before: it need not be asked. `origin` as shown_url() shows it.
Error still_absent(const std::string& origin, std::chrono::seconds age);

// A request is refused.

/// user_leased: `own` bytes are of `profile`, `others` of what else the jobs of `uid` hold.
Error holds_too_much(const StorePath& profile, std::uint32_t uid, std::uint64_t own, std::uint64_t others,
                     std::uint64_t limit);
Error verifies_already();
Error nothing_to_verify(const StorePath& root);
Error not_complete_to_pin(const StorePath& profile);
Error not_pinned(const StorePath& profile);

}  // namespace senv
