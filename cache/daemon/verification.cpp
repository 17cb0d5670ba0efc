#include "cache/daemon/verification.h"

#include <string>

namespace senv {

namespace {

/// Else an error says nothing about the item: this node could not read it, now.
bool is_damage(const Error& error) {
    return error.kind() == Kind::corrupt || error.kind() == Kind::missing;
}

}  // namespace

void Verification::begin(std::uint64_t client, bool repair, Task task) {
    const auto items = static_cast<std::uint32_t>(task.items.size());
    run_ = Run{client, repair, std::move(task.items), items, task.bytes};
}

std::optional<Verification::Step> Verification::next(const FindItem& row) {
    if (!run_) return std::nullopt;
    while (!run_->checking && !run_->to_check.empty()) {
        const StorePath path = std::move(run_->to_check.back());
        run_->to_check.pop_back();
        auto record = row(path);
        if (!record) {
            run_->result.not_repaired.push_back({path, record.error().what()});
        } else if (*record && (*record)->damaged) {
            if (auto repair = damaged(path, Error(Kind::corrupt, "it was found damaged before"))) return *repair;
        } else if (*record) {
            run_->checking = path;
            return Check{**std::move(record)};
        }
    }
    return std::nullopt;
}

Verification::Judgement Verification::checked(const StorePath& item, const Result<void>& found,
                                              const Result<std::optional<ItemRecord>>& row) {
    run_->checking.reset();
    const bool disturbed = std::exchange(run_->disturbed, false);
    if (!row) {
        run_->result.not_repaired.push_back({item, row.error().what()});
        return Judgement::nothing;
    }
    if (!*row) return Judgement::nothing;  // evicted
    if (disturbed) {
        run_->to_check.push_back(item);
        return Judgement::nothing;
    }
    if (!found && !is_damage(found.error())) {
        run_->result.unreadable.push_back({item, found.error().what()});
        return Judgement::unreadable;
    }
    run_->result.checked += 1;
    run_->result.bytes += (*row)->nar_size;
    return found ? Judgement::nothing : Judgement::damaged;
}

std::optional<Verification::Repair> Verification::condemned(const StorePath& item, const Error& why,
                                                            const Result<void>& done) {
    if (done) return damaged(item, why);
    run_->result.not_repaired.push_back({item, done.error().what()});
    return std::nullopt;
}

std::optional<Verification::Repair> Verification::damaged(const StorePath& item, const Error& why) {
    run_->result.damaged.push_back({item, why.what()});
    if (!run_->repair) return std::nullopt;
    run_->repairing.insert(item);
    return Repair{item};
}

void Verification::repaired(const StorePath& item) {
    if (!run_) return;
    if (run_->checking == item) run_->disturbed = true;
    if (run_->repairing.erase(item) > 0) run_->result.repaired.push_back(item);
}

bool Verification::not_repaired(const StorePath& item, const Error& why) {
    if (!run_ || run_->repairing.erase(item) == 0) return false;
    run_->result.not_repaired.push_back({item, why.what()});
    return true;
}

void Verification::evicted(const StorePath& item) {
    if (run_ && run_->checking == item) run_->disturbed = true;
}

std::optional<std::pair<std::uint64_t, wire::Progress>> Verification::progress(Deadline now) {
    if (!run_ || now < run_->next_progress) return std::nullopt;
    run_->next_progress = now + progress_period;
    wire::Progress progress;
    progress.items_done = static_cast<std::uint32_t>(run_->result.checked);
    progress.items_total = run_->items;
    progress.bytes_done = run_->result.bytes;
    progress.bytes_total = run_->bytes;
    progress.what = run_->checking ? "checking " + run_->checking->base()
                                   : "fetching what is damaged: " + std::to_string(run_->repairing.size()) + " to come";
    return std::pair(run_->client, std::move(progress));
}

std::optional<Verification::Ended> Verification::done() {
    if (!run_ || run_->checking || !run_->to_check.empty() || !run_->repairing.empty()) return std::nullopt;
    Run ended = *std::exchange(run_, std::nullopt);
    return Ended{ended.client, ended.repair, std::move(ended.result)};
}

}  // namespace senv
