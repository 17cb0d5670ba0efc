// plugin_file.h: a SPANK plugin as a file. It is read, not loaded: nothing in it runs.
//
// Errors   Error::sys; corrupt: not an ELF file of this machine's kind, or without the symbol.
// Source   elf(5); Slurm, slurm/spank.h: SPANK_PLUGIN.
#pragma once

#include <string>

#include "cache/base/result.h"

namespace senv {

/// The Slurm series that a plugin was built for, out of its symbol `plugin_version`: "22.05". Since 21.08 Slurm loads no other.
Result<std::string> slurm_series_of(const std::string& plugin);

}  // namespace senv
