#include "cache/daemon/desk.h"

#include <utility>
#include <variant>

#include "cache/daemon/log.h"
#include "cache/daemon/report.h"
#include "cache/wire/messages.h"

namespace senv {

namespace {

Desk::Frame frame_of(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
}

}  // namespace

bool Desk::take(Client& client, const Connection::Request& request, const Now& now) {
    client.request = request.type;
    const auto read = request::read(request.type, request.payload, client.peer, admins_, client.requester);
    if (!read) return false;
    if (*read) {
        std::visit([&](const auto& one) { take(client, one, now); }, **read);
    } else {
        refuse(client, read->error(), now);
    }
    return true;
}

void Desk::give(Client& client, const Now& now) {
    if (auto ready = std::exchange(client.ready, std::nullopt)) {
        provisioned(client, ready->profile, std::move(ready->plan), true, now);
    }
}

void Desk::gone(Client& client) {
    if (!client.profile) return;
    const StorePath profile = *client.profile;
    metrics_.answered(RequestEnd::gone);
    stop_waiting(client);
    if (!waiting_.contains(profile) && !quota_.is_prefetched(profile)) actions_->abandon(profile);
}

// ------------------------------------------------------------------------------------------------------- requests

void Desk::take(Client& client, const request::Provision& request, const Now& now) {
    const Requester& who = client.requester;
    // Then the engine decides: it knows what environments take.
    const bool is_weighed = request.wants_lease && config_.user_leased && who.uid != 0;
    std::optional<Fd> lease;
    if (request.wants_lease && !is_weighed) {
        auto taken = leases_.take({request.profile, who.uid, who.job, who.step, request.details});
        if (!taken) return refuse(client, taken.error(), now);
        lease = std::move(taken->fd);
    }
    // Only after the lease is there: evicting looks at leases first and at uses afterwards.
    Board::PlanFrame plan = is_weighed ? nullptr : board_.use(request.profile, now.unix_time);
    if (!plan) {
        if (const auto too_many = quota_.refuse(who.uid)) return refuse(client, *too_many, now);
    }
    if (lease) {
        client.connection.say(frame_of(wire::encode_empty(wire::Type::lease)), *std::move(lease), now.steady);
    }
    if (plan) {
        client.ready = {request.profile, std::move(plan)};
    } else {
        wait(client, request, is_weighed, now);
    }
}

void Desk::wait(Client& client, const request::Provision& request, bool is_weighed, const Now& now) {
    quota_.begin(client.requester.uid);
    client.wants_progress = request.wants_progress;
    client.next_progress = now.steady + progress_period;
    client.profile = request.profile;
    client.awaits_lease = is_weighed;
    board_.add_waiting(request.profile, client.id, client.requester);
    waiting_[request.profile][client.id] = &client;
    std::optional<LeaseFor> lease_for;
    if (is_weighed) lease_for = {client.id, request.details};
    actions_->provision(request.profile, client.requester, lease_for);
}

void Desk::stop_waiting(Client& client) {
    if (!client.profile) return;
    board_.remove_waiting(*client.profile, client.id);
    quota_.end(client.requester.uid);
    const auto found = waiting_.find(*client.profile);
    found->second.erase(client.id);
    if (found->second.empty()) waiting_.erase(found);
    client.profile.reset();
}

void Desk::take(Client& client, const request::Prefetch& request, const Now& now) {
    const Requester& who = client.requester;
    const bool warm = board_.use(request.profile, now.unix_time) != nullptr;
    if (!warm) {
        if (const auto too_many = quota_.refuse(who.uid)) return refuse(client, *too_many, now);
        quota_.begin_prefetch(request.profile, who.uid);
        actions_->provision(request.profile, who, std::nullopt);
    }
    log(Level::info, "prefetch",
        {{"profile", request.profile.absolute()},
         {"job", who.job},
         {"step", who.step},
         {"uid", who.uid},
         {"warm", warm ? "yes" : "no"}});
    client.connection.say_last(frame_of(wire::encode_empty(wire::Type::accepted)), now.steady);
}

void Desk::take(Client& client, const request::Status&, const Now&) {
    actions_->status(client.id);
}

void Desk::take(Client& client, const request::Collect& request, const Now&) {
    actions_->collect(client.id, request.dry_run);
}

void Desk::take(Client& client, const request::Pin& request, const Now&) {
    actions_->pin(client.id, request.profile, request.pinned);
}

void Desk::take(Client& client, const request::List& request, const Now&) {
    actions_->list(client.id, request.after);
}

void Desk::take(Client& client, const request::Verify& request, const Now&) {
    actions_->verify(client.id, request.roots, request.repair);
}

void Desk::take(Client& client, const request::Held& request, const Now& now) {
    const auto held = leases_.held_by(request.uid, request.job);
    std::string told;
    if (held) told = held->profile.absolute() + (held->details.empty() ? "" : " " + held->details);
    client.connection.say_last(frame_of(wire::encode_text(told)), now.steady);
}

void Desk::take(Client& client, const request::Release& request, const Now& now) {
    const auto released = request.of_user ? leases_.drop_user(request.number) : leases_.drop_job(request.number);
    for (const auto& lease : released) {
        log(Level::info, "released",
            {{"profile", lease.profile.absolute()}, {"job", lease.job}, {"step", lease.step}, {"uid", lease.uid}});
    }
    client.connection.say_last(frame_of(wire::encode_text(released_to_json(released))), now.steady);
}

// -------------------------------------------------------------------------------------------------------- answers

void Desk::refuse(Client& client, const Error& error, const Now& now) {
    stop_waiting(client);
    log_error(Level::warning, "refused", error,
              {{"request", request::name_of(client.request)},
               {"job", client.requester.job},
               {"step", client.requester.step},
               {"uid", client.requester.uid}});
    if (client.request == wire::Type::provision) metrics_.answered(RequestEnd::refused);
    client.connection.say_last(frame_of(wire::encode_error(error)), now.steady);
}

void Desk::provisioned(Client& client, const StorePath& profile, Frame plan, bool warm, const Now& now) {
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now.steady - client.connection.accepted());
    log(Level::info, "provisioned",
        {{"profile", profile.absolute()},
         {"job", client.requester.job},
         {"step", client.requester.step},
         {"uid", client.requester.uid},
         {"warm", warm ? "yes" : "no"},
         {"us", static_cast<std::uint64_t>(took.count())}});
    if (warm) {
        metrics_.answered_warm(took);
    } else {
        metrics_.answered(RequestEnd::miss);
    }
    client.connection.say_last(std::move(plan), now.steady);
}

std::vector<std::uint64_t> Desk::waiting_for(const StorePath& profile) const {
    std::vector<std::uint64_t> ids;
    const auto found = waiting_.find(profile);
    if (found == waiting_.end()) return ids;
    for (const auto& [id, client] : found->second) {
        if (!client->awaits_lease) ids.push_back(id);
    }
    return ids;
}

void Desk::pending(Client& client, const Now& now) {
    if (std::exchange(client.told_pending, true)) return;
    log(Level::info, "pending",
        {{"profile", client.profile->absolute()},
         {"job", client.requester.job},
         {"step", client.requester.step},
         {"uid", client.requester.uid}});
    client.connection.say(frame_of(wire::encode_empty(wire::Type::pending)), Fd(), now.steady);
}

void Desk::complete(Client& client, const Frame& plan, const Now& now) {
    const StorePath profile = *client.profile;
    stop_waiting(client);
    provisioned(client, profile, plan, !client.told_pending, now);
}

void Desk::failed(Client& client, const Frame& error, Kind kind, const Now& now) {
    const StorePath profile = *client.profile;
    stop_waiting(client);
    metrics_.answered(RequestEnd::failed);
    log(Level::warning, "not-provisioned",
        {{"profile", profile.absolute()},
         {"job", client.requester.job},
         {"step", client.requester.step},
         {"uid", client.requester.uid},
         {"kind", name_of(kind)}});
    client.connection.say_last(error, now.steady);
}

void Desk::lease(Client& client, Fd lease, const Now& now) {
    client.awaits_lease = false;
    client.connection.say(frame_of(wire::encode_empty(wire::Type::lease)), std::move(lease), now.steady);
}

bool Desk::tell_progress(Client& client, const Now& now) const {
    const bool is_due = client.profile && client.wants_progress && now.steady >= client.next_progress;
    if (!is_due || client.connection.has_unread()) return false;
    client.next_progress = now.steady + progress_period;
    const auto progress = board_.progress(*client.profile);
    if (progress) client.connection.say(frame_of(progress->encode()), Fd(), now.steady);
    return progress.has_value();
}

void Desk::goodbye(Client& client, const Frame& error, const Now& now) const {
    if (client.profile) metrics_.answered(RequestEnd::failed);
    if (client.connection.has_asked() && !client.connection.is_ending()) {
        client.connection.say_last(error, now.steady);
    }
}

}  // namespace senv
