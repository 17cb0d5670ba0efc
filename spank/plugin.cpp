// plugin.cpp: spank_senv.so, Slurm's door to senv. Each callback is one line through at_slurm_edge; the work is in
// submit.cpp (srun, sbatch, salloc) and node.cpp (slurmstepd).

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "spank/edge.h"
#include "spank/node.h"
#include "spank/submit.h"

SENV_SPANK_PLUGIN("senv")

namespace {

using namespace senv;

// A process is one of srun, sbatch, salloc and slurmstepd, and has one step at most. Tasks get copies by fork.
SlurmHost host;
Given given;          // on a submit host
Forwarded forwarded;  // on a node
std::optional<NodeStep> node_step;
bool may_have_environment = false;
bool lost_path = false;
int lines = 0;  // of plugstack.conf that name this plugin
std::optional<std::string> first_component;

/// Slurm calls each callback once for each line of plugstack.conf that names the plugin, one line after another. All lines
/// share these variables, so the first one does the work for all.
class Turn {
public:
    bool is_ours() { return calls_++ % std::max(lines, 1) == 0; }

private:
    int calls_ = 0;
};

/// Before there is a job: srun, sbatch or salloc ends here, also where plugstack.conf says `optional`.
template <class F>
int or_refuse(spank_t handle, F&& body) noexcept {
    if (at_slurm_edge(host, handle, body) != ESPANK_SUCCESS) std::exit(EXIT_FAILURE);
    return ESPANK_SUCCESS;
}

/// Of a value that Slurm has just read.
Place place_of(const char* value) {
    if (host.program() != Program::sbatch) return Place::command_line;
    if (value == nullptr) return Place::nowhere;
    return host.is_on_command_line(value) ? Place::command_line : Place::batch_script;
}

int take_option(int which, const char* value, int remote) noexcept {
    if (remote != 0) {
        // Read only where nothing was resolved. Slurm gives it twice to a step of srun (22.05).
        return on_node(host, nullptr,
                       [&] { forwarded[static_cast<std::size_t>(which)] = value != nullptr ? value : ""; });
    }
    const Result<void> taken = contained([&]() -> Result<void> {
        const auto option = Option{static_cast<unsigned char>(which)};
        const bool is_flag = text_of(option).form == Form::flag;
        const std::string_view text = value != nullptr ? value : is_flag ? flag_value : "";
        SENV_TRY(check_value(option, text, std::string("--") + text_of(option).name));
        given.add(option, {std::string(text), place_of(value)});
        return {};
    });
    if (taken) return ESPANK_SUCCESS;
    report(host, taken.error());
    return -1;
}

Result<void> register_options(spank_t handle) {
    for (std::size_t i = 0; i < option_texts.size(); ++i) {
        const auto& text = option_texts[i];
        const int has_argument = text.form == Form::flag ? 2 : 1;
        struct spank_option option = {const_cast<char*>(text.name),  const_cast<char*>(text.argument),
                                      const_cast<char*>(text.usage), has_argument,
                                      static_cast<int>(i),           take_option};
        if (spank_option_register(handle, &option) != ESPANK_SUCCESS) {
            return Error(Kind::bug, std::string("cannot register --") + text.name);
        }
    }
    return {};
}

bool is_submitting() {
    const auto context = spank_context();
    return context == S_CTX_LOCAL || context == S_CTX_ALLOCATOR;
}

Result<void> init(spank_t handle) {
    if (!is_submitting() && spank_context() != S_CTX_REMOTE) return {};
    if (++lines > 1) return {};
    if (is_submitting()) before_options(host);
    return register_options(handle);
}

Result<void> submit(int count, char** words) {
    lost_path = has_lost_path(host);
    switch (SENV_TRY(after_options(host, settings_of(count, words), given))) {
        case Outcome::plain: break;
        case Outcome::environment:
        case Outcome::joining: may_have_environment = true; break;
        case Outcome::refused: std::exit(EXIT_FAILURE);
    }
    const bool is_later = first_component.has_value();
    SENV_TRY(agree_with_first(host, given, first_component));
    given.next_component();
    const bool is_srun = host.program() == Program::srun;
    if (is_srun && may_have_environment && (is_later || has_components(host))) mark_components(host);
    if (is_srun && may_have_environment) SENV_TRY(mark_async(host));
    return {};
}

void prepare(int count, char** words) {
    node_step.emplace(host, settings_of(count, words)).prepare(forwarded);
}

}  // namespace

extern "C" {

int slurm_spank_init(spank_t handle, int, char**) {
    return at_slurm_edge(host, handle, [&] { return init(handle); }) == ESPANK_SUCCESS || !is_submitting()
               ? ESPANK_SUCCESS
               : -1;
}

int slurm_spank_init_post_opt(spank_t handle, int count, char** words) {
    static Turn turn;
    if (!turn.is_ours()) return ESPANK_SUCCESS;
    if (is_submitting()) return or_refuse(handle, [&] { return submit(count, words); });
    return on_node(host, handle, [&] { prepare(count, words); });
}

int slurm_spank_local_user_init(spank_t handle, int, char**) {
    static Turn turn;
    if (!turn.is_ours()) return ESPANK_SUCCESS;
    if (!may_have_environment) return ESPANK_SUCCESS;
    return or_refuse(handle, []() -> Result<void> {
        if (lost_path) tell_lost_path(host);
        mark_command(host);
        return {};
    });
}

int slurm_spank_task_init_privileged(spank_t handle, int, char**) {
    static Turn turn;
    if (!turn.is_ours()) return ESPANK_SUCCESS;
    return on_node(host, handle, [] {
        if (node_step) node_step->enter();
    });
}

int slurm_spank_task_init(spank_t handle, int, char**) {
    static Turn turn;
    if (!turn.is_ours()) return ESPANK_SUCCESS;
    const auto start = []() -> Result<void> {
        if (node_step) node_step->start();
        return {};
    };
    // Whatever went wrong, the command must not run on the node's own software.
    if (at_slurm_edge(host, handle, start) != ESPANK_SUCCESS) host.end_task(EXIT_FAILURE);
    return ESPANK_SUCCESS;
}
}
