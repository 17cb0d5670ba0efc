#include "cache/daemon/nar_pool.h"

#include <algorithm>

#include "cache/base/memory.h"
#include "cache/base/threads.h"
#include "cache/daemon/clock.h"

namespace senv {

NarPool::NarPool(unsigned threads, const Store& store, NarSource& source, Done done)
    : store_(store), source_(source), done_(std::move(done)) {
    for (unsigned i = 0; i < threads; ++i) {
        threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
}

NarPool::~NarPool() {
    for (auto& thread : threads_) thread.request_stop();
    {
        const std::lock_guard lock(mutex_);
        for (const auto& transfer : running_) transfer->stop.request_stop();
    }
    threads_.clear();
}

void NarPool::add(FetchJob job) {
    {
        const std::lock_guard lock(mutex_);
        waiting_.emplace(job.narinfo->nar_size(), std::move(job));
    }
    changed_.notify_one();
}

bool NarPool::withdraw(const std::shared_ptr<Transfer>& transfer) {
    transfer->stop.request_stop();
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const auto& entry) { return entry.second.transfer == transfer; });
    if (found == waiting_.end()) return false;
    waiting_.erase(found);
    return true;
}

std::vector<StorePath> NarPool::take_back(OriginId origin) {
    std::vector<StorePath> items;
    const std::lock_guard lock(mutex_);
    held_.erase(origin);
    std::erase_if(waiting_, [&](const auto& entry) {
        if (entry.second.origin != origin) return false;
        items.push_back(entry.second.narinfo->path());
        return true;
    });
    return items;
}

/// The job that may begin; end() when none may.
NarPool::Waiting::iterator NarPool::largest() {
    for (auto job = waiting_.end(); job != waiting_.begin();) {
        if (!held_.contains((--job)->second.origin)) return job;
    }
    return waiting_.end();
}

void NarPool::work(const std::stop_token& stop) {
    name_thread("senvd-nar");
    for (;;) {
        std::unique_lock lock(mutex_);
        wait_for_work(
            changed_, lock, [&] { return largest() != waiting_.end(); }, stop);
        if (stop.stop_requested()) return;
        const auto next = largest();
        const FetchJob job = std::move(next->second);
        waiting_.erase(next);
        running_.push_back(job.transfer);
        lock.unlock();

        const auto begun = now().steady;
        FetchResult result = fetch_item(store_, source_, job);
        result.took = std::chrono::duration_cast<std::chrono::microseconds>(now().steady - begun);

        lock.lock();
        std::erase(running_, job.transfer);
        if (result.wished) held_.insert(job.origin);
        lock.unlock();
        done_(job, std::move(result));
    }
}

}  // namespace senv
