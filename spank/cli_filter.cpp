// cli_filter.cpp: cli_filter_senv.so, which remembers for `senv show JOBID` which job got which environment. A plugin of this
// kind, because Slurm tells no SPANK plugin in sbatch the number of the job.
//
// Source   Slurm, src/interfaces/cli_filter.h and its documentation of cli_filter plugins.

#include <unistd.h>

#include <ctime>

#include "provisioner/jobs.h"
#include "provisioner/trust.h"
#include "spank/edge.h"
#include "spank/submit.h"

extern "C" {
extern const char plugin_name[] = "senv";
extern const char plugin_type[] = "cli_filter/senv";
extern const unsigned int plugin_version = SLURM_VERSION_NUMBER;
}

namespace {

using namespace senv;

SlurmHost host;
bool is_new_job = false;

Result<void> remember(std::uint32_t job) {
    const auto text = host.own_variable(resolution_variable);
    if (!text || text == leaving) return {};
    const auto resolution = SENV_TRY(Resolution::parse(*text));
    const auto folder = SENV_TRY(cache_folder(with_own_folders(environment_from(environ), host.effective_user())));
    return remember_job(folder, {utc_time(std::time(nullptr)), host.cluster(), job, resolution});
}

}  // namespace

extern "C" {

int cli_filter_p_setup_defaults(void*, bool) {
    return SLURM_SUCCESS;
}

// The components of a heterogeneous job come one after another, and are one job here.
int cli_filter_p_pre_submit(void*, int component) {
    if (component == 0) is_new_job = makes_a_job(host);
    return SLURM_SUCCESS;
}

void cli_filter_p_post_submit(int component, uint32_t job, uint32_t) {
    if (component != 0 || !is_new_job) return;
    const Result<void> done = contained([&] { return remember(job); });
    // The job is there all the same.
    if (!done) host.info("senv: cannot remember what job " + std::to_string(job) + " is in: " + done.error().what());
}
}
