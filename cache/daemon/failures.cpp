#include "cache/daemon/failures.h"

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t most_holders = 8;

std::string cannot_fetch(const StorePath& path) {
    return "cannot fetch '" + path.absolute() + "'";
}

/// How much a complaint says about what to do.
int rank(Kind kind) {
    switch (kind) {
        case Kind::untrusted:
        case Kind::denied: return 3;
        case Kind::corrupt: return 2;
        case Kind::missing: return 0;
        default: return 1;
    }
}

/// Adds what is held by others than `profile`, and what to do about it.
Error with_holders(std::string text, const StorePath& profile, const Eviction& all) {
    auto kept = all.kept;
    std::erase_if(kept, [&](const auto& one) { return one.profile == profile; });
    if (kept.empty()) {
        return Error(Kind::busy, text + "; nothing there is held by jobs or pinned")
            .hint("ask the administrator what else fills that disk");
    }
    return Error(Kind::busy, text + "; held are " + text_of(kept, most_holders))
        .hint(
            "try again when those jobs have ended, or ask the administrator for room: `senv list` shows what is "
            "pinned");
}

}  // namespace

Error nobody_gives(const StorePath& item, const StorePath& profile, std::span<const Error> complaints) {
    std::string text = cannot_fetch(item);
    if (item != profile) text += ", which '" + profile.absolute() + "' needs";
    Kind kind = Kind::missing;
    std::string hint;  // of the complaint that counts, where it knows better than we
    for (std::size_t i = 0; i < complaints.size(); ++i) {
        text += (i == 0 ? ": " : "; ") + complaints[i].what();
        const int more = rank(complaints[i].kind()) - rank(kind);
        if (more > 0) kind = complaints[i].kind();
        if (more > 0 || (more == 0 && hint.empty())) hint = complaints[i].hint();
    }
    if (!hint.empty()) return Error(kind, text).hint(std::move(hint));
    switch (rank(kind)) {
        case 3: return Error(kind, text).hint("ask the administrator which keys and servers this node may use");
        case 2:
            return Error(kind, text)
                .hint("ask the administrator to look at that server: it sends something else than was signed");
        case 1: return Error(Kind::io, text).hint("ask the administrator whether that server is up");
        default: break;
    }
    return Error(kind, text)
        .hint(
            item == profile
                ? "resolve the environment again, a lock with `senv resolve --lock FILE --rebuild` where Guix is: the "
                  "server may have garbage-collected this profile"
                : "ask the administrator why the server has the profile, but not all that it needs");
}

Error node_cannot_take(const StorePath& item, const Error& cause) {
    return Error(cause).in(cannot_fetch(item)).hint("ask the administrator to look into senvd's log on this node");
}

Error claims_too_much(const StorePath& profile, const std::string& what) {
    return Error(Kind::corrupt, cannot_fetch(profile) + ": it claims to need " + what)
        .hint("ask the administrator who signed for it");
}

Error not_complete_in_time(const StorePath& profile, std::chrono::seconds limit, const wire::Progress& progress) {
    return Error(Kind::busy, cannot_fetch(profile) + ": it was not complete after " + std::to_string(limit.count()) +
                                 " s: " + std::to_string(progress.items_done) + " of " +
                                 std::to_string(progress.items_total) + " items, " + human_bytes(progress.bytes_done) +
                                 " of " + human_bytes(progress.bytes_total) + " came; the next is " + progress.what)
        .hint("ask the administrator about the server, or for a longer fetch_limit");
}

Error not_admitted(const StorePath& profile, Error cause) {
    return std::move(cause).in(cannot_fetch(profile));
}

Error no_plan(const StorePath& profile, Error cause) {
    return std::move(cause).in("cannot use '" + profile.absolute() + "'");
}

Error does_not_fit(const StorePath& profile, const Room& need, const Room& free, const Eviction& all) {
    const Room& makeable = all.room;
    std::string text = cannot_fetch(profile) + ": it needs ";
    const Room most = free + makeable;
    if (most.bytes >= need.bytes && most.inodes < need.inodes) {
        text += "about " + std::to_string(need.inodes) + " inodes more on this node's disk; " +
                std::to_string(free.inodes) + " are free, and evicting can free " + std::to_string(makeable.inodes);
    } else {
        text += human_bytes(need.bytes) + " more on this node's disk; " + human_bytes(free.bytes) +
                " are free, and evicting can free " + human_bytes(makeable.bytes);
    }
    return with_holders(std::move(text), profile, all);
}

Error became_full(const StorePath& profile, const Error& cause, const Room& need, const Room& free,
                  const Eviction& all) {
    const auto text_of_room = [&](const Room& room) {
        return human_bytes(room.bytes) +
               (free.inodes == UINT64_MAX ? "" : " and " + std::to_string(room.inodes) + " inodes");
    };
    return with_holders(cannot_fetch(profile) + ": this node's disk became full: " + cause.what() + "; about " +
                            text_of_room(need) + " are needed, " + text_of_room(free) +
                            " are free now, and evicting can free " + text_of_room(all.room),
                        profile, all);
}

Error became_full(const StorePath& profile, const Error& cause) {
    return Error(cause).in(cannot_fetch(profile));
}

Error still_absent(const std::string& origin, std::chrono::seconds age) {
    return {Kind::missing, origin + ": does not have it, as it said " + std::to_string(age.count()) + " s ago"};
}

Error holds_too_much(const StorePath& profile, std::uint32_t uid, std::uint64_t own, std::uint64_t others,
                     std::uint64_t limit) {
    if (own > limit) {
        return Error(Kind::denied, "cannot hold '" + profile.absolute() + "' for uid " + std::to_string(uid) +
                                       ": it takes " + human_bytes(own) + ", and the limit for one user is " +
                                       human_bytes(limit) + ", so it can never fit")
            .hint("ask the administrator to raise user_leased in senvd.toml, or make the environment smaller");
    }
    return Error(Kind::busy, "cannot hold '" + profile.absolute() + "' for uid " + std::to_string(uid) + ": it takes " +
                                 human_bytes(own) + ", what else this user's jobs hold on this node " +
                                 human_bytes(others) + ", and the limit for one user is " + human_bytes(limit))
        .hint(
            "try again when other jobs of this user have ended; the administrator can raise user_leased in senvd.toml");
}

Error verifies_already() {
    return Error(Kind::busy, "cannot verify: senvd does so already on this node")
        .hint("try again when that has ended: senvd's log will say event=verified");
}

Error nothing_to_verify(const StorePath& root) {
    return {Kind::missing, "cannot verify '" + root.absolute() + "': it is not on this node"};
}

Error not_complete_to_pin(const StorePath& profile) {
    return Error(Kind::missing, "cannot pin '" + profile.absolute() + "': it is not complete on this node")
        .hint("bring it here first: senv fetch " + profile.absolute());
}

Error not_pinned(const StorePath& profile) {
    return Error(Kind::missing, "cannot unpin '" + profile.absolute() + "': it is not pinned here")
        .hint("see `senv list`");
}

}  // namespace senv
