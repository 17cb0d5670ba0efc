// planning.h: makes the plans of complete profiles, and keeps them.
//
// Shape    A plan that was made is kept in the state folder, in plans/HASH-NAME: the line "senv plan FORMAT NAR-HASH"
//          and then the whole PLAN frame. It is used as long as the profile's narinfo names that hash, so a restart of
//          senvd makes none again. What cannot be read, or is of another format, is made again. A plan that cannot be
//          kept is used all the same. Store removes it with the item.
// Order    Two plans are made at once, but one at most for each user, and users take turns: whoever asks for plans that
//          take long waits for them alone.
// Threads  push() and request_stop() from any. `tell` is called on a thread of this.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "cache/daemon/board.h"
#include "cache/daemon/config.h"
#include "cache/daemon/workers.h"
#include "cache/store/state_dir.h"

namespace senv {

/// Raised when another plan is made of the same profile, or the file looks different.
inline constexpr unsigned plan_format = 1;

struct PlanJob {
    StorePath profile;
    std::uint32_t uid = 0;       // of the user that it is made for
    std::shared_ptr<void> turn;  // while it exists, no other job of this user is given out
};

class PlanQueue {
public:
    void push(PlanJob job);
    /// The next job of the user whose turn it is; nullopt when `stop` was requested and none is left that can be given
    /// out.
    std::optional<PlanJob> pop(const std::stop_token& stop);

private:
    struct User {
        std::deque<PlanJob> jobs;
        std::uint64_t served = 0;  // when, in the order of all
        bool is_busy = false;
    };
    std::map<std::uint32_t, User>::iterator next();
    void end_turn(std::uint32_t uid);

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::map<std::uint32_t, User> users_;
    std::uint64_t served_ = 0;
};

class Planning {
public:
    using Tell = std::function<void(const StorePath& profile, Result<Board::PlanFrame> plan)>;

    /// `state` must outlive this. An Error of `tell`: the profile has no plan, or senvd stops.
    Planning(const StateDir& state, Planner planner, Tell tell);

    void push(const StorePath& profile, std::uint32_t uid) { workers_.push({profile, uid, nullptr}); }
    /// Ends what runs; the destructor waits for that.
    void request_stop() { workers_.request_stop(); }

private:
    Result<Board::PlanFrame> plan_of(const StorePath& profile, const std::stop_token& stop) const;

    const StateDir& state_;
    Planner planner_;
    Tell tell_;
    Workers<PlanJob, PlanQueue> workers_;  // last: its threads use the others
};

}  // namespace senv
