// inputs.h: what a resolution is made from, read once.
//
// Shape    The texts themselves, with what the user called them. Paths are relative to the current directory. A manifest may
//          be a pipe ("<(echo …)"): it is read once in any case.
// Limits   1 MiB a file, 16 manifests, files, expressions of 16 KiB and folders each, 1,000 package specifications.
// Errors   usage: nothing was asked for, or a specification that cannot be one. missing, denied: a file that cannot be read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cache/base/result.h"
#include "provisioner/resolve/config.h"
#include "provisioner/resolve/lock.h"

namespace senv {

/// What the command line asks for.
struct Request {
    std::vector<std::string> manifests;
    std::vector<std::string> packages;          // specifications, also several with commas between them
    std::string channels;                       // empty: none
    std::vector<std::string> development = {};  // the same
    std::vector<std::string> files = {};
    std::vector<std::string> expressions = {};
    std::vector<std::string> load_path = {};        // folders
    std::vector<std::string> transformations = {};  // "with-input=openmpi=mpich tune=skylake", each
    std::string tune = {};                          // a CPU, or "auto" (resolve.h); empty: none
    std::string amd_gpu = {};                       // "gfx90a,gfx942"; empty: none
    std::string lock = {};                          // an environment that is there already (given.h); empty: none
    std::string profile = {};                       // the same
    std::string build = {};                         // "here" or "never"; empty: as the site has it
    bool refresh = false;                           // do not take it from the cache
    bool rebuild = false;                           // make the lock's environment anew, and compare
    bool for_slurm = false;
    Destination destination = {};  // of the job, for tune

    /// "--manifest", or "--env-manifest" when the user wrote options of srun, sbatch or salloc.
    std::string option(std::string_view name) const;
    /// usage, unless what is asked for makes sense together.
    Result<void> check() const;
};

struct SourceFile {
    std::string name;      // as the user wrote it
    std::string absolute;  // where it lies
    std::string text;
};

/// What a file seems to be, by its text: what it can be taken for where another kind is wanted.
enum class FileKind : unsigned char { unknown, lock, manifest, channels };
FileKind likely_kind(std::string_view text);
/// usage: "cannot use 'm.scm' as WANTED: it is a manifest", with the option that takes it. `request`: for its name.
Error mistaken(const Request& request, const std::string& name, std::string_view wanted, FileKind kind);

/// A file that the user named. `what` it is, for errors: "manifest".
Result<SourceFile> read_source(const std::string& name, std::string_view what, std::size_t limit);

struct Inputs {
    std::vector<SourceFile> manifests;
    std::vector<std::string> packages;
    std::vector<std::string> development;
    std::vector<SourceFile> files;
    std::vector<std::string> expressions;
    std::vector<std::string> load_path;        // absolute names
    std::vector<std::string> transformations;  // one a word: "tune=skylake"
    std::optional<SourceFile> channels;
    std::string system;  // as Guix calls it: "x86_64-linux"

    static Result<Inputs> read(const Request& request, const std::string& system);
    /// What the lock `name` records, with its channels at their commits. Its folders with modules are those of `load_path`.
    static Result<Inputs> from_lock(const Lock& lock, const std::string& name,
                                    const std::vector<std::string>& load_path);

    /// "'manifest.scm'", "packages 'hello,openmpi'": for messages.
    std::string shown() const;
    /// Nothing when the texts decide the result, else why not; see closed.h.
    std::optional<std::string> why_open() const;
    /// SHA-256 over everything above but names and places of files, and over `identity`; hex.
    std::string key(const std::vector<std::string>& identity) const;
};

/// The system that this machine's programs are built for.
Result<std::string> system_of_this_host();

}  // namespace senv
