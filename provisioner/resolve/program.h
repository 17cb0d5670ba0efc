// program.h: the Scheme program that `guix build -f` makes a profile from. Pure.
//
// Shape    The profile has the contents that `guix shell -m FILE… PACKAGE… -D PACKAGE… -f FILE… -e EXPRESSION…` gives it, in
//          that order, which decides between packages that have the same file: for the same Guix it is the same store item.
//          Transformations are those of the Guix that runs the program, with the meaning that its command line gives them. They
//          apply to packages and development inputs as in guix shell, and to the packages in manifests, which guix shell
//          leaves as they are: an entry becomes what it would be if its package stood on the command line.
// Errors   What the program refuses it says as Guix does ("guix build: error: …", "hint: …"), for guix_output.h.
// Source   Guix 1.5.0, guix/scripts/environment.scm: options/resolve-packages, which goes through the options backwards;
//          guix/scripts/shell.scm.
#pragma once

#include <string>
#include <vector>

#include "provisioner/resolve/inputs.h"

namespace senv {

/// `manifests` and `files` are where Guix finds what is in `inputs` under these names.
std::string profile_program(const Inputs& inputs, const std::vector<std::string>& manifests,
                            const std::vector<std::string>& files);

}  // namespace senv
