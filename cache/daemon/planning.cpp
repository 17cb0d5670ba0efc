#include "cache/daemon/planning.h"

#include <algorithm>
#include <utility>

#include "cache/formats/narinfo.h"
#include "cache/wire/frame.h"

namespace senv {

namespace {

constexpr unsigned plans_at_once = 2;
constexpr std::size_t max_head_bytes = 200;

/// The first line of the file, which says what the plan was made of.
Result<std::string> head_of(const StateDir& state, const StorePath& profile) {
    const auto text = SENV_TRY(read_small_file(state.narinfo, profile.base(), max_narinfo_bytes));
    const auto narinfo = SENV_TRY(Narinfo::parse(text));
    return "senv plan " + std::to_string(plan_format) + " " + narinfo.nar_hash().hex() + "\n";
}

bool is_plan_of(const StorePath& profile, std::string_view frame) {
    if (frame.size() < wire::header_bytes) return false;
    const auto bytes = std::as_bytes(std::span(frame));
    const auto header = wire::Header::parse(bytes.first<wire::header_bytes>(), wire::max_reply_bytes);
    if (!header || header->type != wire::Type::plan) return false;
    const auto plan = wire::Plan::decode(frame.substr(wire::header_bytes));
    return plan && plan->profile == profile.absolute();
}

/// Null when none is kept that can be used.
Board::PlanFrame kept_plan(const StateDir& state, const StorePath& profile, std::string_view head) {
    const auto text = read_small_file(state.plans, profile.base(), max_head_bytes + wire::max_reply_bytes);
    if (!text || !text->starts_with(head)) return nullptr;
    const std::string_view frame = std::string_view(*text).substr(head.size());
    return is_plan_of(profile, frame) ? std::make_shared<const std::string>(frame) : nullptr;
}

}  // namespace

void PlanQueue::push(PlanJob job) {
    {
        const std::lock_guard lock(mutex_);
        users_[job.uid].jobs.push_back(std::move(job));
    }
    changed_.notify_one();
}

std::optional<PlanJob> PlanQueue::pop(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [&] { return next() != users_.end(); });
    const auto user = next();
    if (user == users_.end()) return std::nullopt;
    PlanJob job = std::move(user->second.jobs.front());
    user->second.jobs.pop_front();
    user->second.is_busy = true;
    user->second.served = ++served_;
    job.turn =
        std::shared_ptr<void>(this, [uid = job.uid](void* queue) { static_cast<PlanQueue*>(queue)->end_turn(uid); });
    return job;
}

std::map<std::uint32_t, PlanQueue::User>::iterator PlanQueue::next() {
    auto best = users_.end();
    for (auto user = users_.begin(); user != users_.end(); ++user) {
        if (user->second.is_busy || user->second.jobs.empty()) continue;
        if (best == users_.end() || user->second.served < best->second.served) best = user;
    }
    return best;
}

void PlanQueue::end_turn(std::uint32_t uid) {
    {
        const std::lock_guard lock(mutex_);
        const auto user = users_.find(uid);
        user->second.is_busy = false;
        if (user->second.jobs.empty()) users_.erase(user);
    }
    changed_.notify_one();
}

Planning::Planning(const StateDir& state, Planner planner, Tell tell)
    : state_(state),
      planner_(std::move(planner)),
      tell_(std::move(tell)),
      workers_("senvd-planner", plans_at_once, [this](const PlanJob& job, const std::stop_token& stop) {
          tell_(job.profile, contained([&] { return plan_of(job.profile, stop); }));
      }) {}

Result<Board::PlanFrame> Planning::plan_of(const StorePath& profile, const std::stop_token& stop) const {
    const auto head = head_of(state_, profile);
    if (head) {
        if (auto kept = kept_plan(state_, profile, *head)) return kept;
    }
    auto plan = SENV_TRY(planner_(state_.store_path(), profile, stop));
    SENV_TRY(plan.check());
    auto frame = std::make_shared<const std::string>(plan.encode());
    // Without it, the next start takes longer.
    if (head) (void)replace_file(state_.path + "/plans/" + profile.base(), *head + *frame, 0644);
    return Board::PlanFrame(std::move(frame));
}

}  // namespace senv
