#include "cache/daemon/report.h"

#include <nlohmann/json.hpp>

namespace senv {

namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
    // Texts of servers may hold bytes that are not UTF-8; they must not cost the whole answer.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class T, class F>
void list(Json& into, const std::string& name, const std::vector<T>& values, F&& show) {
    Json shown = Json::array();
    std::size_t bytes = 0;
    for (const auto& value : values) {
        Json one = show(value);
        bytes += text_of(one).size();
        if (shown.size() == most_listed || bytes > most_list_bytes) break;
        shown.push_back(std::move(one));
    }
    const std::size_t more = values.size() - shown.size();
    into[name] = std::move(shown);
    if (more > 0) into["more_" + name] = more;
}

Json shown(const SpaceStatus& space) {
    const Usage& usage = space.usage;
    Json disk = {{"bytes", usage.all.bytes}, {"free", usage.free.bytes}};
    if (usage.all.inodes != UINT64_MAX) {
        disk["inodes"] = usage.all.inodes;
        disk["inodes_free"] = usage.free.inodes;
    }
    return {{"disk", std::move(disk)},
            {"store", {{"bytes", usage.store.bytes}, {"inodes", usage.store.inodes}}},
            {"high_water", space.high_water},
            {"low_water", space.low_water},
            {"evicting", space.evicting},
            {"pins", space.pins}};
}

Json shown_lease(const HeldLease& lease) {
    return {{"profile", lease.profile.absolute()},
            {"job", lease.job},
            {"step", lease.step},
            {"uid", lease.uid},
            {"file", lease.id}};
}

}  // namespace

std::string to_json(const Status& status) {
    Json json = {{"version", status.version}, {"uptime_s", status.uptime_s}, {"store", status.store},
                 {"items", status.items},     {"bytes", status.bytes},       {"profiles", status.profiles}};
    list(json, "leases", status.leases, shown_lease);
    list(json, "fetches", status.fetches, [](const FetchStatus& fetch) {
        Json shown = {{"profile", fetch.profile.absolute()},
                      {"seconds", fetch.seconds},
                      {"items_done", fetch.progress.items_done},
                      {"items_total", fetch.progress.items_total},
                      {"bytes_done", fetch.progress.bytes_done},
                      {"bytes_total", fetch.progress.bytes_total},
                      {"what", fetch.progress.what}};
        list(shown, "transfers", fetch.transfers, [](const FetchStatus::Transfer& transfer) {
            return Json{{"item", transfer.item.absolute()},
                        {"origin", transfer.origin},
                        {"bytes_done", transfer.bytes_done},
                        {"bytes_total", transfer.bytes_total}};
        });
        shown["waiting"] = fetch.waiting.size();
        list(shown, "waiters", fetch.waiting, [](const Requester& who) {
            return Json{{"uid", who.uid}, {"job", who.job}, {"step", who.step}};
        });
        return shown;
    });
    list(json, "origins", status.origins, [](const std::string& origin) { return Json(origin); });
    list(json, "troubles", status.troubles, [](const OriginTrouble& trouble) {
        return Json{{"origin", trouble.origin}, {"why", trouble.why}};
    });
    json["space"] = shown(status.space);
    return text_of(json);
}

std::string to_json(const Eviction& eviction, bool dry_run) {
    Json json = {{"dry_run", dry_run}};
    list(json, "evicted", eviction.profiles, [](const StorePath& profile) { return Json(profile.absolute()); });
    json["items"] = eviction.items.size();
    json["bytes"] = eviction.nar_bytes;
    json["disk_bytes"] = eviction.room.bytes;
    json["inodes"] = eviction.room.inodes;
    list(json, "kept", eviction.kept, [](const Eviction::Kept& kept) {
        return Json{{"profile", kept.profile.absolute()}, {"why", kept.why}, {"disk_bytes", kept.room.bytes}};
    });
    return text_of(json);
}

std::string to_json(const List& list) {
    Json json = {{"profiles", Json::array()}};
    for (const auto& one : list.profiles) {
        json["profiles"].push_back({{"profile", one.profile.absolute()},
                                    {"items", one.items},
                                    {"bytes", one.bytes},
                                    {"disk_bytes", one.disk_bytes},
                                    {"last_use", one.last_use},
                                    {"pinned", one.pinned},
                                    {"leases", one.leases},
                                    {"complete", one.complete}});
    }
    json["next"] = list.next ? Json(list.next->absolute()) : Json();
    return text_of(json);
}

std::string to_json(const Verified& verified) {
    const auto flaw = [](const Verified::Flaw& one) { return Json{{"item", one.item.absolute()}, {"why", one.why}}; };
    Json json = {{"checked", verified.checked}, {"bytes", verified.bytes}};
    list(json, "damaged", verified.damaged, flaw);
    list(json, "repaired", verified.repaired, [](const StorePath& item) { return Json(item.absolute()); });
    list(json, "not_repaired", verified.not_repaired, flaw);
    list(json, "unreadable", verified.unreadable, flaw);
    return text_of(json);
}

std::string released_to_json(const std::vector<HeldLease>& leases) {
    Json json = Json::object();
    list(json, "released", leases, shown_lease);
    return text_of(json);
}

std::string pin_to_json(const StorePath& profile, bool pinned) {
    return text_of({{"profile", profile.absolute()}, {"pinned", pinned}});
}

}  // namespace senv
