// origin_state.h: what is remembered of an origin between two questions. Pure: the time is given.
//
// Shape    An origin that could not be reached is asked last for a while: 5 s at first, doubling to a minute, half of
//          it random. It is never given up, since a job that fails costs more than a question in vain; so a server
//          that is back needs no notice. One that asks for time (Retry-After) gets it, up to 5 minutes, and up to a
//          quarter more, so that the nodes of a site do not come back together. That it has no narinfo of an item is
//          remembered for 3 s: long enough that a job array which is tried again and again asks a server once in a
//          while, short enough that whoever publishes the item need not know of it. Nothing else is: "soon", errors
//          and nars that are missing may change with the next question.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "cache/base/fd.h"
#include "cache/daemon/walk.h"
#include "cache/formats/store_path.h"

namespace senv {

class OriginState {
public:
    static constexpr std::chrono::seconds longest_wait{300};

    Walk::Access access(Deadline now) const noexcept;
    /// When it is no longer `later`.
    Deadline opens() const noexcept { return waits_until_; }

    /// It could not be reached. True when that is news. `random` is in [0, 1).
    bool failed(Deadline now, double random);
    /// It answered something. True when it was down.
    bool answered() noexcept;
    void asked_for_time(Deadline now, std::chrono::seconds wish, double random);

private:
    unsigned failures_ = 0;
    Deadline avoided_until_{};
    Deadline waits_until_{};
};

/// Which origin did not have which item.
class Absences {
public:
    static constexpr std::chrono::seconds kept{3};
    static constexpr std::size_t most = 8192;  // the oldest are forgotten first

    void add(OriginId origin, const StorePath& item, Deadline now);
    /// How long ago it said so; nullopt when that is not known (any more).
    std::optional<std::chrono::seconds> age(OriginId origin, const StorePath& item, Deadline now);

private:
    using Key = std::pair<OriginId, StorePath>;

    void forget_oldest();

    std::map<Key, Deadline> said_;
    std::deque<std::pair<Key, Deadline>> order_;  // an entry that does not agree with said_ is out of date
};

}  // namespace senv
