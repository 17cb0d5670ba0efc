// program.h: the Scheme program that `guix build -f` makes a profile from. Pure.
//
// Shape    The profile has the contents that `guix shell -m FILE… PACKAGE… -D PACKAGE… -f FILE… -e EXPRESSION…` gives it, in
//          that order, which decides between packages that have the same file: for the same Guix it is the same store item.
//          Transformations are those of the Guix that runs the program, with the meaning that its command line gives them. They
//          apply to packages and development inputs as in guix shell, and to the packages in manifests, which guix shell
//          leaves as they are: an entry becomes what it would be if its package stood on the command line.
// Builds   Before anything is built the program lists it, and with Build::never gives up: at the end, and where computing the
//          derivations of grafts needs packages. What Guix always makes where it runs (profiles, their hooks, modules for
//          builders, downloads of sources) says so itself, preferLocalBuild, and does not count.
// Errors   What the program refuses it says as Guix does ("guix build: error: …", "hint: …"), for guix_output.h.
// Source   Guix 1.5.0, guix/scripts/environment.scm: options/resolve-packages, which goes through the options backwards;
//          guix/scripts/shell.scm; guix/ui.scm: build-notifier.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "provisioner/resolve/config.h"
#include "provisioner/resolve/inputs.h"

namespace senv {

struct BuildPolicy {
    Build build = Build::here;
    std::string hint = {};  // for who may not: how to allow it
};

/// What the program says, on a line of its own, before it has something built; names follow.
inline constexpr std::string_view building_mark = "senv: no server has these, they are built here: ";

/// `manifests` and `files` are where Guix finds what is in `inputs` under these names.
std::string profile_program(const Inputs& inputs, const std::vector<std::string>& manifests,
                            const std::vector<std::string>& files, const BuildPolicy& policy);

}  // namespace senv
