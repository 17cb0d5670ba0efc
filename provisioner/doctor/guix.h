// guix.h: the submit side: settings, Guix, its daemon, and the roots that the daemon has to see.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "provisioner/doctor/check.h"
#include "provisioner/doctor/commands.h"
#include "provisioner/doctor/doctor.h"
#include "provisioner/resolve/config.h"
#include "provisioner/resolve/guix.h"

namespace senv {

/// What a submit host has.
class SubmitSide {
public:
    SubmitSide(const Installation& installation, const Commands& commands);

    bool has_guix() const { return guix_ && *guix_; }
    /// "senv.toml", "guix", "guix-daemon", "gc-roots".
    std::vector<Check> checks() const;

private:
    Check settings() const;
    Check program() const;
    Check daemon() const;
    Check roots() const;

    const Commands& commands_;
    std::string file_;
    Result<Config> config_;
    std::optional<Result<Guix>> guix_;  // nullopt where the settings cannot be used
};

}  // namespace senv
