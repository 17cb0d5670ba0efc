// slurm_api.h: where the series of Slurm differ, and nothing else: the calls of libslurm that changed between 22.05 and 26.05.
//
// Source   slurm/slurm.h of each series. A new series is added here once the plugins compile with its headers and its cluster
//          tests pass (tests/matrix).
#pragma once

extern "C" {
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
}

#include <cstdint>

#ifndef SLURM_VERSION_NUMBER
#error \
    "senv: slurm/slurm.h does not say which Slurm it belongs to (SLURM_VERSION_NUMBER): is this Slurm older than 21.08?"
#elif SLURM_VERSION_NUMBER < SLURM_VERSION_NUM(22, 5, 0)
#error "senv: these are headers of a Slurm older than 22.05, the first that senv knows: see spank/slurm_api.h"
#elif SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(26, 6, 0)
#error "senv: these are headers of a Slurm newer than 26.05, the last that senv knows: see spank/slurm_api.h"
#endif

namespace senv::slurm {

#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(25, 11, 0)
/// SLURM_STEP_ID_INITIALIZER is C only.
inline slurm_step_id_t step_id(std::uint32_t job, std::uint32_t step = NO_VAL) {
    slurm_step_id_t id = {};
    id.job_id = job;
    id.step_id = step;
    id.step_het_comp = NO_VAL;
    return id;
}
#endif

inline int load_job(job_info_msg_t** found, std::uint32_t job) {
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(26, 5, 0)
    return slurm_load_job(found, step_id(job), 0);
#else
    return slurm_load_job(found, job, 0);
#endif
}

inline int kill_step(std::uint32_t job, std::uint32_t step, std::uint16_t signal) {
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(25, 11, 0)
    auto id = step_id(job, step);
    return slurm_kill_job_step(&id, signal, 0);
#elif SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(23, 11, 0)
    return slurm_kill_job_step(job, step, signal, 0);
#else
    return slurm_kill_job_step(job, step, signal);
#endif
}

inline void free_conf(slurm_conf_t* conf) {
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(26, 5, 0)
    slurm_free_conf(conf);
#else
    slurm_free_ctl_conf(conf);
#endif
}

}  // namespace senv::slurm
