// doctor.h: looks at every part of an installation that can be seen from this host as this user.
//
// Shape    One Check for each part, always in the same order; those of other hosts are State::not_here. What it takes the host
//          for: a submit host has srun, and Guix unless it is a compute node; a compute node is in Slurm's list (or, where
//          Slurm does not say, has a senvd.toml), or has senvd's socket.
// Limits   Each look has its own limit, all together half a minute. Changes nothing, needs no privileges.
// Errors   busy: a signal came. What is wrong with the installation is in the Checks.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "cache/base/result.h"
#include "provisioner/doctor/check.h"
#include "provisioner/environment.h"
#include "provisioner/resolve/signals.h"

namespace senv {

/// Where to look.
struct Installation {
    Environment environment;  // of who asks: PATH, HOME, SLURM_CONF, GUIX_DAEMON_SOCKET, …
    std::string version;      // of this senv
    std::string senv_config;
    std::string senvd_config;
    std::string gnu_store = "/gnu/store";
    std::vector<std::string> slurm_confs = {"/etc/slurm/slurm.conf",
                                            "/run/slurm/conf/slurm.conf"};  // unless Slurm says
    std::string sent_slurm_conf =
        "/run/slurm/conf/slurm.conf";  // what slurmctld sent to slurmd, if it did ("configless")
    uid_t administrator = 0;           // whom plugins and keys must belong to
};

struct Findings {
    bool is_submit_host = false;
    bool is_compute_node = false;
    std::vector<Check> checks;

    bool has_problem() const;
};

Result<Findings> examine(const Installation& installation, const Signals& signals);

}  // namespace senv
