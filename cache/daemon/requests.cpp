#include "cache/daemon/requests.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cache/wire/messages.h"

namespace senv {

namespace {

bool is_in(int socket, gid_t wanted) {
    // The kernel says how much room the groups take when it was not enough.
    std::vector<gid_t> groups(64);
    for (int tries = 0; tries < 2; ++tries) {
        auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        const bool got = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0;
        if (!got && errno != ERANGE) return false;
        groups.resize(size / sizeof(gid_t));
        if (got) return std::ranges::find(groups, wanted) != groups.end();
    }
    return false;
}

}  // namespace

std::optional<Peer> Peer::of(int socket, const std::optional<AdminGroup>& admins) {
    struct ucred peer = {};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
    const bool is_owner = peer.uid == 0 || peer.uid == ::geteuid();
    return Peer{peer.uid, is_owner || (admins && (peer.gid == admins->gid || is_in(socket, admins->gid))), is_owner};
}

namespace request {

namespace {

using Read = std::optional<Result<Any>>;

/// One function for each type.
class Reader {
public:
    Reader(std::string_view payload, const Peer& peer, const std::optional<AdminGroup>& admins, Requester& requester)
        : payload_(payload), peer_(peer), admins_(admins), requester_(requester) {}

    Read provision() {
        auto message = wire::Provision::decode(payload_);
        if (!message) return std::nullopt;
        requester_ = {said(message->uid), message->job, message->step};
        auto profile = path(message->profile);
        if (!profile) return profile.error();
        return Any(Provision{*std::move(profile), (message->flags & wire::Provision::flag_lease) != 0,
                             (message->flags & wire::Provision::flag_progress) != 0, std::move(message->details)});
    }

    Read prefetch() {
        const auto message = wire::Prefetch::decode(payload_);
        if (!message) return std::nullopt;
        requester_ = {said(message->uid), message->job, 0};
        auto profile = path(message->profile);
        if (!profile) return profile.error();
        return Any(Prefetch{*std::move(profile)});
    }

    Read status() const {
        if (!payload_.empty()) return std::nullopt;
        return Any(Status());
    }

    Read collect() const {
        const auto message = wire::Gc::decode(payload_);
        if (!message) return std::nullopt;
        if (auto allowed = may("evict"); !allowed) return allowed.error();
        return Any(Collect{(message->flags & wire::Gc::flag_dry_run) != 0});
    }

    Read pin() const {
        const auto message = wire::Pin::decode(payload_);
        if (!message) return std::nullopt;
        const bool pinned = (message->flags & wire::Pin::flag_unpin) == 0;
        if (auto allowed = may(pinned ? "pin" : "unpin"); !allowed) return allowed.error();
        auto profile = path(message->profile);
        if (!profile) return profile.error();
        return Any(Pin{*std::move(profile), pinned});
    }

    Read list() const {
        const auto message = wire::List::decode(payload_);
        if (!message) return std::nullopt;
        if (message->after.empty()) return Any(List());
        auto after = path(message->after);
        if (!after) return after.error();
        return Any(List{*std::move(after)});
    }

    Read verify() const {
        const auto message = wire::Verify::decode(payload_);
        if (!message) return std::nullopt;
        if (auto allowed = may("verify"); !allowed) return allowed.error();
        Verify verify{{}, (message->flags & wire::Verify::flag_repair) != 0};
        for (const auto& text : message->paths) {
            auto root = path(text);
            if (!root) return root.error();
            verify.roots.push_back(*std::move(root));
        }
        return Any(std::move(verify));
    }

    Read held() const {
        const auto message = wire::Held::decode(payload_);
        if (!message) return std::nullopt;
        return Any(Held{said(message->uid), message->job});
    }

    Read release() const {
        const auto message = wire::Release::decode(payload_);
        if (!message) return std::nullopt;
        // Steps that run may break: no business of a group that looks after disks.
        if (!peer_.is_owner) {
            return Error(Kind::denied, "cannot release leases: only root and senvd's own user may");
        }
        return Any(Release{(message->flags & wire::Release::flag_user) != 0, message->number});
    }

private:
    /// Only root may speak for others.
    std::uint32_t said(std::uint32_t uid) const { return peer_.uid == 0 ? uid : peer_.uid; }

    static Result<StorePath> path(const std::string& text) {
        auto parsed = StorePath::parse_absolute(text);
        if (!parsed) return Error(Kind::usage, parsed.error().what());
        return parsed;
    }

    Result<void> may(const std::string& doing) const {
        if (peer_.is_admin) return {};
        const std::string who = admins_ ? "root, senvd's own user and members of the group '" + admins_->name + "' may"
                                        : "root and senvd's own user may";
        return Error(Kind::denied, "cannot " + doing + ": only " + who)
            .hint(admins_ ? "ask a member of that group"
                          : "ask the administrator, who can let a group do this with admin_group in senvd.toml");
    }

    std::string_view payload_;
    const Peer& peer_;
    const std::optional<AdminGroup>& admins_;
    Requester& requester_;
};

}  // namespace

std::string_view name_of(wire::Type type) noexcept {
    switch (type) {
        case wire::Type::provision: return "provision";
        case wire::Type::prefetch: return "prefetch";
        case wire::Type::status: return "status";
        case wire::Type::gc: return "gc";
        case wire::Type::pin: return "pin";
        case wire::Type::list: return "list";
        case wire::Type::verify: return "verify";
        case wire::Type::held: return "held";
        case wire::Type::release: return "release";
        default: return "other";
    }
}

std::optional<Result<Any>> read(wire::Type type, std::string_view payload, const Peer& peer,
                                const std::optional<AdminGroup>& admins, Requester& requester) {
    Reader reader(payload, peer, admins, requester);
    switch (type) {
        case wire::Type::provision: return reader.provision();
        case wire::Type::prefetch: return reader.prefetch();
        case wire::Type::status: return reader.status();
        case wire::Type::gc: return reader.collect();
        case wire::Type::pin: return reader.pin();
        case wire::Type::list: return reader.list();
        case wire::Type::verify: return reader.verify();
        case wire::Type::held: return reader.held();
        case wire::Type::release: return reader.release();
        default: return std::nullopt;
    }
}

}  // namespace request

}  // namespace senv
