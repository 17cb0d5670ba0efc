#include "cache/fetch/handover.h"

#include <algorithm>
#include <utility>

namespace senv {

bool Handover::give(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto piece = bytes.first(std::min(bytes.size(), block_bytes));
        bytes = bytes.subspan(piece.size());
        Block block(piece.begin(), piece.end());
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return closed_ || blocks_.size() < max_blocks; });
        if (closed_) return false;
        blocks_.push_back(std::move(block));
        lock.unlock();
        changed_.notify_all();
    }
    return true;
}

void Handover::finish(std::optional<Refusal> refusal) {
    {
        const std::lock_guard lock(mutex_);
        end_ = End{std::move(refusal)};
    }
    changed_.notify_all();
}

std::variant<Handover::Block, Handover::End, Handover::Cut> Handover::take(const std::stop_token& stop,
                                                                           Deadline deadline) {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_until(lock, stop, deadline, [&] { return !blocks_.empty() || end_; });
    if (stop.stop_requested()) return Cut::stopped;
    if (!came) return Cut::late;
    if (blocks_.empty()) return *end_;
    Block block = std::move(blocks_.front());
    blocks_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return block;
}

void Handover::close() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        blocks_.clear();
    }
    changed_.notify_all();
}

bool Handover::is_finished() const {
    const std::lock_guard lock(mutex_);
    return end_.has_value();
}

}  // namespace senv
