// plan_child.h: a process of its own for each plan, since the author of a profile is whoever may build on the site.
//
// Shape    senvd starts itself with plan_child_word, the store's folder and the profile as arguments; stdin is
//          /dev/null, the child writes one frame to stdout, PLAN or ERROR, and ends. It is confined as the fetcher is
//          (cache/fetch/confine.h), to reading the store, without a network.
// Limits   256 MiB of memory, 5 s of processor time, 10 s in all; a frame has max_reply_bytes at most
//          (cache/wire/frame.h).
// Errors   Those of plan_of_profile(); corrupt: a limit ended it, or it broke off; busy: `stop` was requested; io.
// Threads  Any, several at once. It waits for the child, and ends it at once when `stop` is requested.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "cache/base/result.h"
#include "cache/formats/store_path.h"
#include "cache/wire/messages.h"

namespace senv {

inline constexpr const char* plan_child_word = "--plan";  // not an option for people

inline constexpr std::chrono::milliseconds plan_time(10'000);

/// `program`: a senvd. `time`: for all of it.
Result<wire::Plan> plan_in_child(const std::string& program, const std::string& store_dir, const StorePath& profile,
                                 const std::stop_token& stop, std::chrono::milliseconds time = plan_time);

/// Is this process started as such a child? Then main() does nothing but plan_child_main().
bool is_plan_child(int argc, const char* const* argv) noexcept;
int plan_child_main(const char* const* argv);

}  // namespace senv
