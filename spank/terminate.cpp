// terminate.cpp: what happens to an exception that nobody catches: abort().
//
// The C++ runtime would print its name first. That alone brings a demangler of 40 kB into slurmstepd, for what
// at_slurm_edge() (edge.h) lets never happen. The runtime takes this function in place of its own when it is linked in
// (-static-libstdc++).
#include <cstdlib>

namespace __gnu_cxx {

void __verbose_terminate_handler();  // NOLINT(bugprone-reserved-identifier): its name in the runtime

void __verbose_terminate_handler() {  // NOLINT(bugprone-reserved-identifier)
    std::abort();
}

}  // namespace __gnu_cxx
