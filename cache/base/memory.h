// memory.h: free memory that the allocator keeps.
#pragma once

#include <malloc.h>

namespace senv {

/// Gives it back to the kernel. Sanitizers have an allocator of their own; two threads that begin glibc's beside it crash.
inline void give_memory_back() noexcept {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ::malloc_trim(0);
#endif
}

}  // namespace senv
