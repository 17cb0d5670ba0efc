// node.h: the compute node: senvd and what it needs.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "cache/daemon/config.h"
#include "provisioner/doctor/check.h"
#include "provisioner/doctor/commands.h"
#include "provisioner/doctor/doctor.h"
#include "provisioner/doctor/plugstack.h"

namespace senv {

/// What senvd answers.
struct NodeStatus {
    uid_t uid = 0;  // that it runs as
    std::string version;
    std::string store;
    std::vector<std::string> origins;
    Usage usage;
    std::string high_water;
};

class ComputeNode {
public:
    /// Reads senvd.toml.
    explicit ComputeNode(const Installation& installation);

    bool has_settings() const;  // there is a senvd.toml
    bool has_socket() const;

    /// Asks senvd. "senvd.toml", "senvd", "disk", "keys", and an "origin" for each.
    std::vector<Check> checks(const Commands& commands);
    /// "plugin-words": whether what a line of plugstack.conf says is so. After checks().
    Check agrees_with(const PluginLine& line, const Findings& host, const Commands& commands) const;
    /// "gnu-store"
    Check gnu_store(const Findings& host) const;

private:
    Check settings() const;
    Check daemon() const;
    Check disk() const;
    Check keys() const;
    std::vector<Check> origins(const Commands& commands) const;

    const Installation& installation_;
    Result<ServerConfig> config_;
    ServerConfig in_force_;  // the defaults where the file cannot be used
    Result<NodeStatus> status_;
};

}  // namespace senv
