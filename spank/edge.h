// edge.h: where Slurm's C ends and senv begins: what every plugin of ours has to show, and the way back for errors.
#pragma once

extern "C" {
// spank.h declares the callbacks outside its own extern "C".
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <slurm/spank.h>
}

#include "spank/options.h"
#include "spank/slurm_host.h"

/// In C++ a const object is private to its file unless declared extern, and Slurm would see no plugin.
#define SENV_SPANK_PLUGIN(name)                                      \
    extern "C" {                                                     \
    extern const char plugin_name[] = name;                          \
    extern const char plugin_type[] = "spank";                       \
    extern const unsigned int plugin_version = SLURM_VERSION_NUMBER; \
    extern const unsigned int spank_plugin_version = 1;              \
    }

namespace senv {

inline void report(Host& host, const Error& error) {
    host.error("senv: " + error.what());
    if (!error.hint().empty()) host.error("senv: hint: " + error.hint());
}

/// Nothing thrown leaves a callback. Gives what Slurm takes for success and failure; -1 is the only failure that all
/// releases take for one.
template <class F>
int at_slurm_edge(SlurmHost& host, spank_t handle, F&& body) noexcept {
    host.at(handle);
    const Result<void> done = contained(body);
    if (done) return ESPANK_SUCCESS;
    report(host, done.error());
    return -1;
}

/// The same where failing would drain the node: always a success.
template <class F>
int on_node(SlurmHost& host, spank_t handle, F&& body) noexcept {
    at_slurm_edge(host, handle, [&]() -> Result<void> {
        body();
        return {};
    });
    return ESPANK_SUCCESS;
}

inline Result<Settings> settings_of(int count, char** words) {
    return Settings::parse(std::span<const char* const>(words, static_cast<std::size_t>(count)));
}

}  // namespace senv
