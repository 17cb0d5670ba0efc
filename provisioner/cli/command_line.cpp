#include "provisioner/cli/command_line.h"

#include <algorithm>
#include <optional>

#include "cache/base/text.h"
#include "provisioner/close_names.h"

namespace senv {

namespace {

Error with_closest(Error error, std::string_view wanted, const std::vector<std::string>& names,
                   const std::string& otherwise) {
    const auto close = close_names(wanted, names);
    return std::move(error).hint(close.empty() ? otherwise : "did you mean " + join(close, " or ") + "?");
}

Error no_such_command(const CLI::App& app, const std::string& word) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
    return with_closest(Error(Kind::usage, "cannot use '" + printable(word) + "': there is no such command"), word,
                        names, "see `senv --help`");
}

Error no_such_option(const CLI::App& app, const CLI::App& command, const std::string& name) {
    const std::string whole = &app == &command ? "senv" : "senv " + command.get_name();
    std::vector<std::string> names;
    for (const CLI::Option* option : command.get_options()) {
        for (const auto& one : option->get_lnames()) names.push_back("--" + one);
    }
    std::string otherwise = "see `" + whole + " --help`";
    if (app.get_option_no_throw(name) != nullptr) otherwise = "put it in front of the command: senv " + name;
    return with_closest(Error(Kind::usage, "cannot use '" + printable(name) + "': " + whole + " has no such option"),
                        name, names, otherwise);
}

// Part of the command that is to be run, most likely, and taken for an option of ours.
Error stands_after(const std::string& word, const std::string& program) {
    return Error(Kind::usage,
                 "cannot use '" + printable(word) + "': it stands after the command '" + printable(program) + "'")
        .hint("put -- in front of a command with options of its own");
}

bool takes_value(const CLI::Option& option) {
    return option.get_items_expected_max() > 0;
}

/// One word of options. True: the next one is its value.
Result<bool> check_options(const CLI::App& app, const CLI::App& command, const std::string& word) {
    if (word.starts_with("--")) {
        const auto equals = word.find('=');
        const std::string name = word.substr(0, equals);
        const CLI::Option* option = command.get_option_no_throw(name);
        if (option == nullptr) return no_such_option(app, command, name);
        if (equals == word.size() - 1) return Error(Kind::usage, "cannot use " + name + " without a value");
        return equals == word.npos && takes_value(*option);
    }
    for (std::size_t i = 1; i < word.size(); ++i) {
        const std::string name = {'-', word[i]};
        const CLI::Option* option = command.get_option_no_throw(name);
        if (option == nullptr) return no_such_option(app, command, name);
        if (takes_value(*option)) return i + 1 == word.size();
    }
    return false;
}

}  // namespace

Result<void> check_command_line(const CLI::App& app, std::span<const char* const> words) {
    const CLI::App* command = &app;
    std::optional<std::string> program;  // what `senv run` is to run
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string word = words[i];
        if (word == "--") return {};
        if (word.size() > 1 && word.starts_with('-')) {
            if (program) return stands_after(word, *program);
            if (SENV_TRY(check_options(app, *command, word))) ++i;
        } else if (command == &app) {
            const auto found = app.get_subcommands([&](const CLI::App* one) { return one->get_name() == word; });
            if (found.empty()) return no_such_command(app, word);
            command = found[0];
        } else if (command->get_name() == "run" && !program) {
            program = word;
        }
    }
    return {};
}

}  // namespace senv
