#include "cache/daemon/supply.h"

#include <algorithm>
#include <utility>

#include "cache/daemon/failures.h"
#include "cache/fetch/retry.h"

namespace senv {

namespace {

using std::chrono::seconds;

bool is_answer(Outcome outcome) {
    return outcome == Outcome::absent || outcome == Outcome::soon || outcome == Outcome::unusable;
}

bool is_answer(Fetched outcome) {
    return outcome == Fetched::placed || outcome == Fetched::absent || outcome == Fetched::soon ||
           outcome == Fetched::refused;
}

}  // namespace

Supply::Item* Supply::find(const StorePath& path) {
    const auto found = items_.find(path);
    return found == items_.end() ? nullptr : &found->second;
}

void Supply::forget(const StorePath& path) {
    events_.emplace_back(Gone{path});
    items_.erase(path);
}

void Supply::start(const StorePath& path, Deadline now) {
    if (Item* item = find(path)) {
        // It is on its way still, since it could not be stopped at once; and what is known of it counts.
        item->is_wanted = true;
        if (item->narinfo) {
            events_.emplace_back(Known{path, item->narinfo});
        } else if (item->is_soon) {
            events_.emplace_back(Soon{path});
        }
        return;
    }
    advance(items_.try_emplace(path, path, Walk(origins_.candidates(path))).first->second, now);
}

void Supply::withdraw(const StorePath& path) {
    Item* item = find(path);
    if (item == nullptr) return;
    item->is_wanted = false;
    switch (item->state) {
        case Item::State::asking: return;  // ends with the answer
        case Item::State::fetching: events_.emplace_back(Withdraw{path, item->transfer}); return;
        case Item::State::queued:
        case Item::State::retrying:
        case Item::State::idle: return forget(path);
        case Item::State::ended: return;
    }
}

void Supply::withdrawn(const StorePath& path) {
    if (const Item* item = find(path); item != nullptr && !item->is_wanted) forget(path);
}

void Supply::fetch(const StorePath& path, Deadline now) {
    if (Item* item = find(path)) advance(*item, now);
}

void Supply::taken_back(const std::vector<StorePath>& items, Deadline now) {
    for (const auto& path : items) {
        Item* item = find(path);
        if (item == nullptr) continue;
        item->transfer.reset();
        advance(*item, now);
    }
}

void Supply::tick(Deadline now) {
    if (now < next_retry_) return;
    next_retry_ = Deadline::max();
    for (auto& [path, item] : items_) {
        if (item.state != Item::State::retrying) continue;
        if (item.retry_at > now) {
            next_retry_ = std::min(next_retry_, item.retry_at);
        } else {
            advance(item, now);
        }
    }
}

std::optional<Supply::Event> Supply::take() {
    if (events_.empty()) return std::nullopt;
    Event event = std::move(events_.front());
    events_.pop_front();
    if (const auto* lost = std::get_if<NobodyHasIt>(&event)) forget(lost->item);
    if (const auto* lost = std::get_if<NodeFailed>(&event)) forget(lost->item);
    return event;
}

// ------------------------------------------------------------------------------------------------------------- the way

Walk::Step Supply::next_step(Item& item, Deadline now) {
    return item.walk.next([&](OriginId origin) { return origins_.at(origin).state.access(now); });
}

/// Does the next thing to be done for the item, whatever it is.
void Supply::advance(Item& item, Deadline now) {
    const auto step = next_step(item, now);
    if (step.what == Walk::Step::What::end) return end(item);
    item.origin = step.origin;
    if (item.walk.tries(step.origin) == 0) item.first_try = now;
    switch (step.what) {
        case Walk::Step::What::ask: return ask(item, now);
        case Walk::Step::What::fetch: return fetch_from(item, now);
        case Walk::Step::What::rest: return rest(item, now);
        case Walk::Step::What::wait:
            return try_again_at(item, origins_.next_opening(now), origins_.at(step.origin).wish);
        case Walk::Step::What::end: break;
    }
}

void Supply::ask(Item& item, Deadline now) {
    const Origin& origin = origins_.at(item.origin);
    if (const auto age = absences_.age(item.origin, item.path, now)) {
        item.walk.failed(item.origin, still_absent(origin.shown, *age), Walk::Failure::passing);
        return advance(item, now);
    }
    if (asks_ == max_asks) return wait_to_ask(item);
    ++asks_;
    item.state = Item::State::asking;
    events_.emplace_back(AskNarinfo{item.origin, origin.url, item.path});
}

void Supply::wait_to_ask(Item& item) {
    item.state = Item::State::queued;
    to_ask_.push_back(item.path);
}

void Supply::fetch_from(Item& item, Deadline now) {
    item.state = Item::State::fetching;
    item.transfer = std::make_shared<Transfer>();
    const Place& place = item.walk.place(item.origin);
    events_.emplace_back(FetchNar{{item.narinfo,
                                   {place.url, place.compression, item.narinfo->nar_size(), now + nar_limit_},
                                   item.transfer,
                                   item.origin}});
}

/// Some origin prepares it: all are asked again later, until the limit of the closure.
void Supply::rest(Item& item, Deadline now) {
    const auto delay = retry_delay(soon_rule, ++item.rests, dice_());
    try_again_at(item, now + *delay, item.walk.complaint(item.origin).what());
    item.walk.begin_round();
    if (!std::exchange(item.is_soon, true)) events_.emplace_back(Soon{item.path});
}

void Supply::end(Item& item) {
    item.state = Item::State::ended;
    events_.emplace_back(NobodyHasIt{item.path, item.walk.complaints()});
}

void Supply::try_again_at(Item& item, Deadline when, std::string why) {
    item.state = Item::State::retrying;
    item.retry_at = when;
    item.why = std::move(why);
    next_retry_ = std::min(next_retry_, when);
}

// ------------------------------------------------------------------------------------------------------------- origins

void Supply::answered(OriginId origin) {
    if (origins_.at(origin).state.answered()) events_.emplace_back(Reachable{origin});
}

/// That it does not have an item, or not yet, is none.
void Supply::note_trouble(const NarinfoVetted& message) {
    std::string& trouble = origins_.at(message.origin).trouble;
    if (const auto* refusal = std::get_if<Refusal>(&*message.answer)) {
        const bool is_none = refusal->outcome == Outcome::absent || refusal->outcome == Outcome::soon ||
                             refusal->outcome == Outcome::stopped;
        if (!is_none) trouble = refusal->error.what();
    } else {
        const auto& doubt = std::get<Vetted>(*message.answer).doubt;
        trouble = doubt ? doubt->what() : "";
    }
}

void Supply::give_time(OriginId id, const Error& error, seconds wished, Deadline now) {
    Origin& origin = origins_.at(id);
    origin.state.asked_for_time(now, wished, dice_());
    origin.wish = error.what() + ", and asked to wait";
    events_.emplace_back(TakeBack{id});
}

/// The item's origin did not give what it was asked for; `wished`, if it asked for time.
void Supply::failed(Item& item, Outcome outcome, Error error, std::optional<seconds> wished, Deadline now) {
    auto failure = Walk::Failure::passing;
    switch (outcome) {
        case Outcome::absent: break;
        case Outcome::soon: failure = Walk::Failure::soon; break;
        case Outcome::unusable:
        case Outcome::stopped: failure = Walk::Failure::lasting; break;
        case Outcome::again:
        case Outcome::unreachable:
            if (may_try_again(item, outcome, now)) {
                if (wished) return advance(item, now);  // at another origin, or later
                const auto delay = retry_delay(transient_rule, item.walk.tries(item.origin), dice_());
                return try_again_at(item, now + *delay, error.what());
            }
            if (origins_.at(item.origin).state.failed(now, dice_())) {
                events_.emplace_back(Unreachable{item.origin, error});
                events_.emplace_back(TakeBack{item.origin});
            }
            break;
    }
    item.walk.failed(item.origin, std::move(error), failure);
    advance(item, now);
}

bool Supply::may_try_again(Item& item, Outcome outcome, Deadline now) {
    if (outcome == Outcome::unreachable) {
        // Once the first item has given up it is known to be down.
        const bool is_down = origins_.at(item.origin).state.access(now) == Walk::Access::unwise;
        if (is_down || now >= item.first_try + retry_within) return false;
    }
    return item.walk.count_try(item.origin) < transient_rule.attempts;
}

// ------------------------------------------------------------------------------------------------------------- answers

void Supply::narinfo(NarinfoVetted message, Deadline now) {
    --asks_;
    if (Item* item = find(message.item)) heard(*item, std::move(message), now);
    while (!to_ask_.empty() && asks_ < max_asks) {
        const StorePath path = std::move(to_ask_.front());
        to_ask_.pop_front();
        if (Item* next = find(path); next != nullptr && next->state == Item::State::queued) advance(*next, now);
    }
}

void Supply::heard(Item& item, NarinfoVetted message, Deadline now) {
    if (!message.answer) return item.is_wanted ? wait_to_ask(item) : forget(message.item);
    auto* refusal = std::get_if<Refusal>(&*message.answer);
    note_trouble(message);
    if (refusal == nullptr || is_answer(refusal->outcome)) answered(message.origin);
    if (refusal != nullptr && refusal->wished) give_time(message.origin, refusal->error, *refusal->wished, now);
    if (refusal != nullptr && refusal->outcome == Outcome::absent) absences_.add(message.origin, message.item, now);
    if (!item.is_wanted) return forget(message.item);
    if (refusal != nullptr) return failed(item, refusal->outcome, std::move(refusal->error), refusal->wished, now);
    auto& vetted = std::get<Vetted>(*message.answer);
    if (vetted.doubt) {
        item.walk.claimed(item.origin, vetted.contents(), *std::move(vetted.place), *std::move(vetted.doubt));
        return advance(item, now);
    }
    item.walk.signed_for(item.origin, vetted.contents(), vetted.place, vetted.no_place);
    // When nobody can have the bytes, what it refers to need not be asked for.
    if (next_step(item, now).what == Walk::Step::What::end) return end(item);
    item.narinfo = std::move(vetted.narinfo);
    item.state = Item::State::idle;
    events_.emplace_back(Known{item.path, item.narinfo});
}

void Supply::nar(NarFetched message, Deadline now) {
    Item* item = find(message.item);
    if (item == nullptr) return;
    FetchResult& result = message.result;
    item->transfer.reset();
    if (is_answer(result.outcome)) answered(message.origin);
    if (result.wished) give_time(message.origin, *result.error, *result.wished, now);
    if (result.outcome == Fetched::placed) {
        events_.emplace_back(Placed{message.item, item->narinfo, message.origin, std::move(result)});
        forget(message.item);
    } else if (!item->is_wanted) {
        forget(message.item);
    } else {
        judge(*item, std::move(result), now);
    }
}

void Supply::judge(Item& item, FetchResult result, Deadline now) {
    const auto failed_with = [&](Outcome outcome, std::optional<seconds> wished) {
        failed(item, outcome, *std::move(result.error), wished, now);
    };
    switch (result.outcome) {
        case Fetched::absent: return failed_with(Outcome::absent, {});
        case Fetched::soon: return failed_with(Outcome::soon, {});
        case Fetched::again: return failed_with(Outcome::again, result.wished);
        case Fetched::unreachable: return failed_with(Outcome::unreachable, result.wished);
        case Fetched::refused: return failed_with(Outcome::unusable, {});
        case Fetched::stopped:  // by a closure that was given up, before another one came to want the item
            item.state = Item::State::idle;
            events_.emplace_back(Idle{item.path});
            return;
        case Fetched::failed:
        case Fetched::placed: break;
    }
    item.state = Item::State::ended;
    events_.emplace_back(NodeFailed{item.path, *std::move(result.error)});
}

// --------------------------------------------------------------------------------------------------------------- views

std::optional<Supply::Sight> Supply::look(const StorePath& path) const {
    const auto found = items_.find(path);
    if (found == items_.end()) return std::nullopt;
    const Item& item = found->second;
    return Sight{item.origin, item.narinfo ? item.narinfo->nar_size() : 0, item.transfer.get(),
                 item.state == Item::State::retrying ? &item.why : nullptr};
}

bool Supply::is_idle(const StorePath& path) const {
    const auto found = items_.find(path);
    return found != items_.end() && found->second.state == Item::State::idle;
}

std::optional<Room> Supply::room_to_come(const StorePath& path) const {
    const auto found = items_.find(path);
    if (found == items_.end() || !found->second.narinfo) return std::nullopt;
    const Item& item = found->second;
    const std::uint64_t size = item.narinfo->nar_size();
    const Room whole = guessed_room(size);
    const std::uint64_t written =
        item.transfer ? std::min(size, item.transfer->bytes.load(std::memory_order_relaxed)) : 0;
    if (written == 0) return whole;
    const double left = 1 - static_cast<double>(written) / static_cast<double>(size);
    return Room{static_cast<std::uint64_t>(static_cast<double>(whole.bytes) * left),
                static_cast<std::uint64_t>(static_cast<double>(whole.inodes) * left)};
}

}  // namespace senv
