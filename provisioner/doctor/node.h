// node.h: the compute node: senvd and what it needs.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cache/daemon/config.h"
#include "cache/formats/acl.h"
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
    std::map<std::string, std::string> troubles;  // of origins that were of no use when senvd asked them last
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
    Check keys();
    std::vector<Check> origins(const Commands& commands) const;
    void tell_trouble(Check& check, const std::string& shown) const;

    const Installation& installation_;
    Result<ServerConfig> config_;
    ServerConfig in_force_;  // the defaults where the file cannot be used
    Result<NodeStatus> status_;
    std::optional<Acl> acl_;  // after keys(), where it could be read
};

}  // namespace senv
