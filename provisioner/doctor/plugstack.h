// plugstack.h: Slurm's list of SPANK plugins, as far as it is about senv's.
//
// Shape    Lines "required|optional FILE WORD…" and "include PATTERN"; '#' begins a comment. A pattern that is not absolute
//          starts at the folder of the file it stands in. Other lines are Slurm's to complain about.
// Errors   Error::sys where a file that is there cannot be read; corrupt where files include each other without end.
// Source   Slurm, src/common/plugstack.c.
#pragma once

#include <string>
#include <vector>

#include "cache/base/result.h"

namespace senv {

struct PluginLine {
    std::string file;  // where the line is
    unsigned line = 0;
    bool required = false;
    std::string plugin;  // the path of the .so, or a name in Slurm's PluginDir
    std::vector<std::string> words;

    std::string place() const { return file + ":" + std::to_string(line); }
};

/// The lines that name spank_senv.so or spank_senv_prolog.so, in the order of loading.
Result<std::vector<PluginLine>> senv_plugins(const std::string& plugstack);

}  // namespace senv
