#include "provisioner/cli/inspected.h"

#include "cache/base/text.h"
#include "provisioner/cli/output.h"

namespace senv {

using Json = nlohmann::ordered_json;

Json json_of(const Package& package) {
    return {{"name", package.name},
            {"version", package.version},
            {"output", package.output},
            {"item", package.item.absolute()}};
}

Json json_of(const LockedChannel& channel) {
    const auto known = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
    return {{"name", channel.name},
            {"url", known(channel.url)},
            {"branch", known(channel.branch)},
            {"commit", channel.commit}};
}

Json closure_json(const Inspected& found) {
    if (found.lock) {
        Json json = {{"items", found.lock->closure.size()}, {"nar_bytes", nar_bytes(*found.lock)}};
        if (found.node) json["disk_bytes"] = found.node->disk_bytes;
        return json;
    }
    if (found.node) return {{"items", found.node->items}, {"disk_bytes", found.node->disk_bytes}};
    return nullptr;
}

std::string closure_text(const Inspected& found) {
    // What a nar has and what a tree takes on a disk are two sizes: each says which it is.
    const std::string on_disk = found.node ? human_bytes(found.node->disk_bytes) + " on this node's disk" : "";
    if (found.lock) {
        return count(found.lock->closure.size(), "item") + ", " + human_bytes(nar_bytes(*found.lock)) + " as nars" +
               (on_disk.empty() ? "" : ", " + on_disk);
    }
    if (found.node) return count(found.node->items, "item") + ", " + on_disk;
    return "not known: only its lock says what it takes";
}

std::string dump(const Json& json) {
    return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace senv
