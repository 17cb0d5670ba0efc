// memory.h: free memory that the allocator keeps.
#pragma once

#include <malloc.h>

#include <chrono>
#include <mutex>

namespace senv {

/// Gives it back to the kernel. Sanitizers have an allocator of their own; two threads that begin glibc's beside it crash.
inline void give_memory_back() noexcept {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ::malloc_trim(0);
#endif
}

/// Waits until `ready` holds, or `stop`, a stop_token if there is one, is requested. When that takes long, memory
/// goes back: jobs need it, and the allocator keeps it.
template <class Condition, class Ready, class... Stop>
void wait_for_work(Condition& changed, std::unique_lock<std::mutex>& lock, const Ready& ready, const Stop&... stop) {
    if (changed.wait_for(lock, stop..., std::chrono::seconds(1), ready)) return;
    lock.unlock();
    give_memory_back();
    lock.lock();
    changed.wait(lock, stop..., ready);
}

}  // namespace senv
