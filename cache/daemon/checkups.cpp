#include "cache/daemon/checkups.h"

#include "cache/daemon/failures.h"
#include "cache/daemon/log.h"
#include "cache/daemon/report.h"

namespace senv {

void Checkups::begin(std::uint64_t client, const std::vector<StorePath>& roots, bool repair) {
    Verification::Task task;
    const auto gathered = contained([&]() -> Result<void> {
        if (state_.verification.is_running()) return verifies_already();
        if (roots.empty()) {
            return state_.store.catalog().for_each([&](const ItemRecord& record) { task.add(record); });
        }
        const auto reached = SENV_TRY(closure_of(roots, state_.row));
        for (const auto& root : roots) {
            if (!reached.valid.contains(root)) return nothing_to_verify(root);
        }
        for (const auto& path : reached.valid) task.add(*SENV_TRY(state_.row(path)));
        return {};
    });
    if (gathered) {
        state_.verification.begin(client, repair, std::move(task));
    } else {
        state_.answer(client, "verify", gathered.error());
    }
}

Result<void> Checkups::checked(const Checked& message) {
    if (!state_.verification.is_running()) return Error(Kind::bug, "an item was checked that nobody asked for");
    const auto row = contained([&] { return state_.row(message.item); });
    switch (state_.verification.checked(message.item, message.result, row)) {
        case Verification::Judgement::nothing: break;
        case Verification::Judgement::unreadable:
            log_error(Level::warning, "unreadable", message.result.error(), {{"item", message.item.absolute()}});
            break;
        case Verification::Judgement::damaged: condemn(**row, message.result.error()); break;
    }
    return {};
}

/// From here on nobody gets the item as complete.
void Checkups::condemn(const ItemRecord& record, const Error& why) {
    log_error(Level::warning, "damaged", why, {{"item", record.path.absolute()}});
    state_.metrics.item_damaged();
    const auto marked = contained([&]() -> Result<void> {
        SENV_TRY(state_.store.mark_damaged(record.path));
        return state_.store.catalog().record_uses(
            state_.board.forget());  // which plans stand on it takes longer to find out
    });
    if (marked) state_.fetches.damaged(record);
    if (const auto repair = state_.verification.condemned(record.path, why, marked)) {
        state_.fetches.repair(repair->item, state_.now.steady);
    }
}

Result<void> Checkups::go_on() {
    while (const auto step = state_.verification.next(state_.row)) {
        if (const auto* check = std::get_if<Verification::Check>(&*step)) {
            state_.helpers->check(check->record);
        } else {
            state_.fetches.repair(std::get<Verification::Repair>(*step).item, state_.now.steady);
        }
    }
    const auto ended = state_.verification.done();
    if (!ended) return {};
    const Verified& result = ended->result;
    log(Level::info, "verified",
        {{"checked", result.checked},
         {"bytes", result.bytes},
         {"damaged", result.damaged.size()},
         {"repaired", result.repaired.size()},
         {"unreadable", result.unreadable.size()}});
    state_.answer(ended->client, "verify", to_json(result));
    return ended->repair ? evictions_.remove_damaged(result.not_repaired) : Result<void>();
}

}  // namespace senv
