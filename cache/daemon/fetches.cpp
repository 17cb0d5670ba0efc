#include "cache/daemon/fetches.h"

#include "cache/base/text.h"
#include "cache/daemon/failures.h"

namespace senv {

void Fetches::want(const StorePath& profile, const Requester& requester, bool is_sure, Deadline now) {
    const auto [entry, is_new] = fetches_.try_emplace(profile, Fetch{profile, requester, now, now + limit_});
    Fetch& fetch = entry->second;
    fetch.abandoned.reset();
    if (is_sure) fetch.is_sure = true;
    if (fetch.is_repair) extend_repair(fetch, requester, now);
    if (is_new) expand(fetch, {profile});
}

void Fetches::repair(const StorePath& item, Deadline now) {
    const auto [entry, is_new] = fetches_.try_emplace(item, Fetch{item, Requester(), now, now + limit_});
    entry->second.is_sure = true;
    if (!is_new) return;  // a job wants the item, and more
    entry->second.is_repair = true;
    expand(entry->second, {item});
}

/// A job wants all that the item reaches.
void Fetches::extend_repair(Fetch& fetch, const Requester& requester, Deadline now) {
    fetch.is_repair = false;
    fetch.requester = requester;
    fetch.begun = now;
    fetch.deadline = now + limit_;
    if (const auto known = narinfo(fetch.profile)) expand(fetch, known->references());
}

void Fetches::abandon(const StorePath& profile, Deadline now) {
    const auto found = fetches_.find(profile);
    if (found != fetches_.end() && !found->second.is_repair) found->second.abandoned = now;
}

void Fetches::make_sure(const StorePath& profile) {
    if (const auto found = fetches_.find(profile); found != fetches_.end()) found->second.is_sure = true;
}

bool Fetches::is_too_large(const Fetch& fetch) {
    std::string what;
    if (fetch.narinfo_bytes > max_narinfo_bytes) what = "narinfos of more than " + human_bytes(max_narinfo_bytes);
    if (fetch.seen.size() > max_items) what = "more than " + std::to_string(max_items) + " items";
    if (what.empty()) return false;
    events_.emplace_back(Failed{fetch.profile, claims_too_much(fetch.profile, what)});
    return true;
}

/// Makes `paths` and all they reach part of the closure, as far as it is known.
void Fetches::expand(Fetch& fetch, std::vector<StorePath> paths) {
    while (!paths.empty()) {
        if (is_too_large(fetch)) return;
        const StorePath path = std::move(paths.back());
        paths.pop_back();
        if (!fetch.seen.insert(path).second) continue;
        if (const auto found = items_.find(path); found != items_.end()) {
            join(fetch, path, found->second, paths);
            continue;
        }
        auto record = find_(path);
        if (!record) {
            events_.emplace_back(Failed{fetch.profile, node_cannot_take(path, record.error())});
            return;
        }
        if (*record) {
            fetch.items_done += 1;
            fetch.bytes_done += (*record)->nar_size;
            fetch.bytes_total += (*record)->nar_size;
            for (auto& reference : (*record)->references) paths.push_back(std::move(reference));
        } else {
            join(fetch, path, items_[path], paths);
            events_.emplace_back(Wanted{path});
        }
    }
    if (is_too_large(fetch)) return;
    if (fetch.open.empty()) {
        plan(fetch);
    } else if (fetch.unsettled == 0) {
        close(fetch);
    }
}

void Fetches::join(Fetch& fetch, const StorePath& path, Item& item, std::vector<StorePath>& paths) {
    item.wanted_by.insert(fetch.profile);
    fetch.open.insert(path);
    if (!item.is_settled) ++fetch.unsettled;
    if (!item.narinfo) return;
    fetch.bytes_total += item.narinfo->nar_size();
    fetch.narinfo_bytes += item.narinfo->text().size();
    if (fetch.is_repair) return;
    const auto& references = item.narinfo->references();
    paths.insert(paths.end(), references.begin(), references.end());
}

void Fetches::close(const Fetch& fetch) {
    if (closed_.insert(fetch.profile).second) events_.emplace_back(Closed{fetch.profile});
}

void Fetches::plan(Fetch& fetch) {
    if (std::exchange(fetch.is_planning, true)) return;
    events_.emplace_back(Complete{fetch.profile});
}

void Fetches::known(const StorePath& path, const std::shared_ptr<const Narinfo>& narinfo) {
    const auto found = items_.find(path);
    if (found == items_.end()) return;
    Item& item = found->second;
    const std::uint64_t before = item.narinfo ? item.narinfo->nar_size() : 0;
    item.narinfo = narinfo;
    // Its references are unsettled before it is settled, so that no closure is closed too early.
    for (const auto& profile : std::set<StorePath>(item.wanted_by)) {
        Fetch& fetch = fetches_.at(profile);
        fetch.bytes_total += narinfo->nar_size() - before;
        fetch.narinfo_bytes += narinfo->text().size();
        if (!fetch.is_repair) expand(fetch, narinfo->references());
    }
    settle(item);
    idle(path);
}

void Fetches::soon(const StorePath& item) {
    if (const auto found = items_.find(item); found != items_.end()) settle(found->second);
}

/// The closures that want the item need not wait for its narinfo any more.
void Fetches::settle(Item& item) {
    if (std::exchange(item.is_settled, true)) return;
    for (const auto& profile : item.wanted_by) {
        Fetch& fetch = fetches_.at(profile);
        if (--fetch.unsettled == 0) close(fetch);
    }
}

void Fetches::idle(const StorePath& item) {
    for (const auto& profile : wanted_by(item)) {
        const Fetch& fetch = fetches_.at(profile);
        if (fetch.unsettled == 0) close(fetch);
    }
}

void Fetches::came(const StorePath& path, std::uint64_t nar_size) {
    for (const auto& profile : wanted_by(path)) {
        Fetch& fetch = fetches_.at(profile);
        fetch.open.erase(path);
        fetch.items_done += 1;
        fetch.bytes_done += nar_size;
        fetch.fetched += 1;
        fetch.fetched_bytes += nar_size;
        if (!fetch.open.empty()) continue;
        if (fetch.is_repair) {
            fetches_.erase(profile);
            events_.emplace_back(Repaired{profile});
        } else {
            plan(fetch);
        }
    }
    items_.erase(path);
}

void Fetches::damaged(const ItemRecord& item) {
    for (auto& [profile, fetch] : fetches_) {
        if (fetch.open.contains(item.path) || fetch.seen.erase(item.path) == 0) continue;
        fetch.items_done -= 1;
        fetch.bytes_done -= item.nar_size;
        fetch.bytes_total -= item.nar_size;
        expand(fetch, {item.path});
    }
}

bool Fetches::planned(const StorePath& profile) {
    const auto found = fetches_.find(profile);
    if (found == fetches_.end()) return false;
    found->second.is_planning = false;
    return found->second.open.empty();
}

std::optional<Fetch> Fetches::give_up(const StorePath& profile) {
    auto found = fetches_.extract(profile);
    if (found.empty()) return std::nullopt;
    Fetch fetch = std::move(found.mapped());
    for (const auto& path : fetch.open) {
        const auto item = items_.find(path);
        item->second.wanted_by.erase(fetch.profile);
        if (!item->second.wanted_by.empty()) continue;
        items_.erase(item);
        events_.emplace_back(Unwanted{path});
    }
    return fetch;
}

std::vector<StorePath> Fetches::overdue(Deadline now) const {
    std::vector<StorePath> all;
    for (const auto& [profile, fetch] : fetches_) {
        if (now >= fetch.deadline) all.push_back(profile);
    }
    return all;
}

std::vector<StorePath> Fetches::abandoned(Deadline now) const {
    std::vector<StorePath> all;
    for (const auto& [profile, fetch] : fetches_) {
        if (fetch.abandoned && now >= *fetch.abandoned + abandoned_limit) all.push_back(profile);
    }
    return all;
}

std::optional<Fetches::Event> Fetches::take() {
    if (events_.empty()) return std::nullopt;
    Event event = std::move(events_.front());
    events_.pop_front();
    if (const auto* closed = std::get_if<Closed>(&event)) closed_.erase(closed->profile);
    return event;
}

const Fetch* Fetches::find(const StorePath& profile) const {
    const auto found = fetches_.find(profile);
    return found == fetches_.end() ? nullptr : &found->second;
}

std::vector<StorePath> Fetches::wanted_by(const StorePath& item) const {
    const auto found = items_.find(item);
    if (found == items_.end()) return {};
    return {found->second.wanted_by.begin(), found->second.wanted_by.end()};
}

std::shared_ptr<const Narinfo> Fetches::narinfo(const StorePath& item) const {
    const auto found = items_.find(item);
    return found == items_.end() ? nullptr : found->second.narinfo;
}

Requester Fetches::one_who_wants(const StorePath& item) const {
    const auto found = items_.find(item);
    if (found == items_.end() || found->second.wanted_by.empty()) return {};
    return fetches_.at(*found->second.wanted_by.begin()).requester;
}

}  // namespace senv
