// config.h: /etc/senv/senvd.toml.
//
// Shape    TOML; every key is explained in etc/senvd.toml. Only `origins` must be there.
// Errors   usage, with file and line: not TOML, an unknown key, a value of the wrong type or out of its bounds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/daemon/config.h"
#include "provisioner/settings.h"

namespace senv {

inline constexpr const char* default_config = "/etc/senv/senvd.toml";

/// `file` is the name used in errors.
Result<ServerConfig> parse_config(std::string_view text, const std::string& file);
/// What parse_config() makes of the text, key by key. `origins` may be missing, as on submit hosts, where the installation has
/// put the file and nobody runs senvd: its value is then an empty list.
Result<std::vector<InForce>> config_in_force(std::string_view text, const std::string& file);

}  // namespace senv
