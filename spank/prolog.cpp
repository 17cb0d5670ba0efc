// prolog.cpp: spank_senv_prolog.so, which lets a node fetch as soon as it is allocated. A plugin of its own, because one
// that has a prolog makes slurmd start a process for every job of the site, whether it asks for an environment or not.

#include "spank/edge.h"
#include "spank/node.h"

SENV_SPANK_PLUGIN("senv_prolog")

extern "C" int slurm_spank_job_prolog(spank_t handle, int count, char** words) {
    senv::SlurmHost host;
    return senv::on_node(host, handle, [&] { senv::prefetch(host, senv::settings_of(count, words)); });
}
