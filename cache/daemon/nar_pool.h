// nar_pool.h: the threads that fetch items, a fixed number of them; the largest item that waits goes first.
//
// Threads  add() and withdraw() from any; `done` is called on a thread of the pool. When the destructor returns, all
//          transfers have ended, those that were running by being stopped.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "cache/daemon/fetch_item.h"

namespace senv {

class NarPool {
public:
    using Done = std::function<void(const FetchJob&, FetchResult)>;

    NarPool(unsigned threads, const Store& store, NarSource& source, Done done);
    ~NarPool();
    NarPool(const NarPool&) = delete;
    NarPool& operator=(const NarPool&) = delete;

    void add(FetchJob job);
    /// True when the job had not begun; then `done` is not called for it. Else its transfer is asked to stop.
    bool withdraw(const std::shared_ptr<Transfer>& transfer);
    /// Takes the jobs for this origin back that have not begun; `done` is not called for them.
    /// When an origin has asked for time, no job for it begins until this was called.
    std::vector<StorePath> take_back(OriginId origin);

private:
    using Waiting = std::multimap<std::uint64_t, FetchJob>;  // by size

    void work(const std::stop_token& stop);
    Waiting::iterator largest();

    const Store& store_;
    NarSource& source_;
    Done done_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    Waiting waiting_;
    std::set<OriginId> held_;
    std::vector<std::shared_ptr<Transfer>> running_;
    std::vector<std::jthread> threads_;
};

}  // namespace senv
