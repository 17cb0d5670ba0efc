// child.h: runs another program and takes what it prints. Used by srun, sbatch and salloc to call `senv`.
//
// Effects  stdin of the child is /dev/null, its stderr is ours: the user reads its messages and progress. Its variables are
//          ours but for LD_*: a module's libraries are not for it. Signals are at
//          their defaults in it, whatever Slurm's command does with them, so that Ctrl-C ends it; it dies with its parent.
//          A signal that would end the parent, but is blocked there, ends the child.
// Errors   missing, io; busy when a signal ended it. An exit status other than 0 is no Error: the child said why.
#pragma once

#include <string>
#include <vector>

#include "cache/base/result.h"

namespace senv {

struct Finished {
    int status = 0;      // as it gave to exit(3)
    std::string output;  // what it wrote to stdout
};

/// Runs `words[0]`, an absolute path, with `words` as its arguments, and waits for its end. `limit`: bytes of output.
Result<Finished> run_to_end(const std::vector<std::string>& words, std::size_t limit);

}  // namespace senv
