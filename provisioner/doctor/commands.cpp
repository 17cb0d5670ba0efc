#include "provisioner/doctor/commands.h"

#include <sys/wait.h>

#include <algorithm>

#include "provisioner/resolve/child.h"
#include "provisioner/resolve/guix.h"

namespace senv {

namespace {

std::string first_line(std::string_view text) {
    while (text.starts_with('\n')) text.remove_prefix(1);
    return std::string(text.substr(0, text.find('\n')));
}

}  // namespace

Commands::Commands(const Environment& user, const Signals& signals, Deadline end)
    : environment_(environment_for_guix(user)), signals_(signals), end_(end) {}

Deadline Commands::within(std::chrono::seconds limit) const {
    return std::min(Clock::now() + limit, end_);
}

std::string Commands::variable(std::string_view name) const {
    const auto found = environment_.find(name);
    return found == environment_.end() ? std::string() : found->second;
}

std::string Commands::find(const std::string& program) const {
    return find_program(program, variable("PATH"));
}

Result<std::string> Commands::output(std::vector<std::string> words, std::chrono::seconds limit) const {
    const std::string name = words[0];
    words[0] = find(name);
    if (words[0].empty()) return Error(Kind::missing, "there is no command '" + name + "' here");
    const Command command = {std::move(words), environment_, true};
    const auto nobody = [](std::string_view) {};
    auto finished = run(command, Limits{within(limit), limit}, signals_, nobody);
    if (!finished && finished.error().kind() == Kind::busy) {
        return Error(Kind::busy, "'" + name + "' gave no answer within " + std::to_string(limit.count()) + " s");
    }
    if (!finished) return std::move(finished).error();
    if (finished->succeeded()) return std::move(finished->result);
    const std::string said = first_line(finished->messages.empty() ? finished->result : finished->messages);
    return Error(Kind::io, said.empty() ? "'" + name + "' failed without a word" : said);
}

}  // namespace senv
