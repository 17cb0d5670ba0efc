// jobs.h: which environments the jobs have that a user submitted from this home. For `senv show JOBID`.
//
// Shape    FOLDER/jobs: a line for each job, the latest last:
//            TIME CLUSTER JOB RESOLUTION
//          TIME is UTC ("2026-11-28T10:00:00Z"), JOB the number of the job, of an array or of a heterogeneous job's first
//          component, RESOLUTION as in resolution.h. With 1 MiB, some thousand jobs, the file becomes FOLDER/jobs.old.
// Sharing  Any number of processes and hosts (NFS): a lock (fcntl, open file description) is held while a line is written.
// Errors   Error::sys with the file's name; busy when the lock is not to be had within two seconds. Lines that make no sense
//          are skipped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "provisioner/environment.h"
#include "provisioner/resolution.h"

namespace senv {

struct SubmittedJob {
    std::string time;
    std::string cluster;
    std::uint32_t number = 0;
    Resolution resolution;
};

/// Seconds by which the clocks of the host that submits and of slurmctld may differ.
inline constexpr std::int64_t clock_difference = 600;

/// The number in Slurm's name of a job: of all of it (123), of tasks of an array (123_4, 123_[5-9%2]), of a component of a
/// heterogeneous job (123+1). nullopt: not such a name.
std::optional<std::uint32_t> job_number(std::string_view name);

/// Where a user's senv keeps what it remembers: ${XDG_CACHE_HOME:-~/.cache}/senv. It need not exist.
Result<std::string> cache_folder(const Environment& environment);

/// The time, as in SubmittedJob.
std::string utc_time(std::int64_t seconds_since_1970);

/// Adds the line; makes the folder and those above it.
Result<void> remember_job(const std::string& folder, const SubmittedJob& job);

/// The jobs with that number, the latest first: those of several clusters can share a home.
Result<std::vector<SubmittedJob>> jobs_called(const std::string& folder, std::uint32_t number);

}  // namespace senv
