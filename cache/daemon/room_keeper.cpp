#include "cache/daemon/room_keeper.h"

#include "cache/daemon/failures.h"
#include "cache/daemon/log.h"

namespace senv {

void RoomKeeper::stored(std::uint64_t nar_size, const Room& room) {
    ++totals_.items;
    totals_.bytes += nar_size;
    stored_ += room;
    look_at_marks_ = true;
}

void RoomKeeper::replaced(const ItemRecord& before) {
    totals_.items -= 1;
    totals_.bytes -= before.nar_size;
    stored_ -= before.room;
}

Result<RoomKeeper::Admission> RoomKeeper::admit(const StorePath& profile, const std::map<StorePath, Room>& items,
                                                const Now& now) {
    if (items.empty()) return Admission(Granted());
    Room need;
    for (const auto& [item, room] : items) need += room;
    Room free = SENV_TRY(facts_.disk()).free;
    for (const auto& item : promised_) {
        if (!items.contains(item)) free -= facts_.to_come(item).value_or(Room{});
    }
    look_at_marks_ = true;
    for (const auto& [item, room] : items) promised_.insert(item);
    if (free.covers(need)) return Admission(Granted());
    waiting_.insert(profile);
    if (removals_ > 0) return Admission(Wait());
    const Room missing = need - free;
    auto round = SENV_TRY(
        collector_.collect({missing, missing, true}, facts_.running(), Collector::How::all_or_nothing, now.unix_time));
    if (!round.grave) return Admission(Refused{does_not_fit(profile, need, free, round.eviction)});
    return Admission(Wait{std::move(round)});
}

void RoomKeeper::removing(const Eviction& gone) {
    totals_.items -= gone.items.size();
    totals_.bytes -= gone.nar_bytes;
    stored_ -= gone.room;
    ++removals_;
}

std::vector<StorePath> RoomKeeper::removed() {
    --removals_;
    look_at_marks_ = true;
    const auto waiting = std::exchange(waiting_, {});
    return {waiting.begin(), waiting.end()};
}

Result<std::optional<Collector::Round>> RoomKeeper::keep_below_marks(const Now& now) {
    if (!look_at_marks_ || removals_ > 0 || now.steady < next_marks_) return std::optional<Collector::Round>();
    look_at_marks_ = false;
    const auto disk = SENV_TRY(facts_.disk());
    const Usage usage{disk.free, disk.all, stored_};
    const Room over = above(marks_.high, usage);
    if (!std::exchange(ran_full_, false) && over == Room{}) return std::optional<Collector::Round>();
    auto round = collector_.collect({above(marks_.low, usage), over}, facts_.running(),
                                    Collector::How::as_far_as_possible, now.unix_time);
    if (!round) log_error(Level::warning, "not-evicted", round.error());
    if (!round || !round->grave) {
        next_marks_ = now.steady + vain_period;
        return std::optional<Collector::Round>();
    }
    return std::optional(*std::move(round));
}

Deadline RoomKeeper::next_look() const noexcept {
    return look_at_marks_ && removals_ == 0 ? next_marks_ : Deadline::max();
}

Error RoomKeeper::ran_full(const StorePath& profile, const Error& cause, const Room& need, const Now& now) {
    ran_full_ = true;
    look_at_marks_ = true;
    const auto disk = facts_.disk();
    const auto round = collector_.collect({Wish::everything, Wish::everything, true}, facts_.running(),
                                          Collector::How::dry_run, now.unix_time);
    if (!disk || !round) return became_full(profile, cause);
    return became_full(profile, cause, need, disk->free, round->eviction);
}

}  // namespace senv
