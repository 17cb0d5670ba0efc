// completion_command.cpp: `senv completion`: what shells need to know, out of the commands and options that there are.
#include <algorithm>
#include <memory>

#include "cache/base/text.h"
#include "provisioner/cli/commands.h"
#include "provisioner/cli/output.h"

namespace senv {

namespace {

std::vector<std::string> names_of(const CLI::Option& option) {
    std::vector<std::string> names;
    for (const std::string& name : option.get_snames()) names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
    return names;
}

bool takes_value(const CLI::Option& option) {
    return option.get_items_expected_max() > 0;
}

/// What shells call files is all that is in folders.
bool takes_file(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    return takes_value(option) && (type == "FILE" || type == "DIR" || type == "PATH");
}

/// What is to be run: a command, and words of its own.
bool takes_command(const CLI::Option& option) {
    return option.get_positional() && option.get_name(true) == "COMMAND";
}

/// The values that an option's type names: CLI11 has "TEXT:{bash,zsh}", we have "never|here". In "CPU|auto" there is one:
/// capitals stand for others.
std::string choices_of(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    if (const auto begin = type.find(":{"); begin != std::string::npos && type.ends_with('}')) {
        std::string choices = type.substr(begin + 2, type.size() - begin - 3);
        std::ranges::replace(choices, ',', ' ');
        return choices;
    }
    const std::vector<std::string_view> all = split(type, '|');
    std::vector<std::string> choices;
    for (const std::string_view one : all) {
        if (all.size() > 1 && std::ranges::none_of(one, [](char c) { return 'A' <= c && c <= 'Z'; })) {
            choices.emplace_back(one);
        }
    }
    return join(choices, " ");
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App*) { return true; });
}

// ---- bash -----------------------------------------------------------------------------------------------------------

constexpr const char* bash_begin = R"(# Completion of `senv` in bash, made by `senv completion bash`.
_senv() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} i
    local command= options= files= others= words= values= program=
    COMPREPLY=()
    # --option=value comes as three words.
    [[ $word != = ]] || word=
    [[ $before != = ]] || before=${COMP_WORDS[COMP_CWORD - 2]}
    for ((i = 1; i < COMP_CWORD; ++i)); do
        case ${COMP_WORDS[i]} in
)";

constexpr const char* bash_middle = R"(            -*) ;;
            *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $command in
)";

// Without an answer, bash completes names of files itself.
constexpr const char* bash_end = R"(    esac
    for ((++i; i < COMP_CWORD; ++i)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then
            # Behind it there are no options of senv.
            options= files= others=
            ((i + 1 == COMP_CWORD)) || program=
            break
        elif [[ " $files $others " == *" ${COMP_WORDS[i]} "* ]]; then
            i=$((i + 1)); [[ ${COMP_WORDS[i]-} != = ]] || i=$((i + 1))
        elif [[ ${COMP_WORDS[i]} != -* ]]; then
            program=
        fi
    done
    if [[ " $others " == *" $before "* ]]; then
        compopt +o default 2>/dev/null
        COMPREPLY=($(compgen -W "$values" -- "$word"))
    elif [[ " $files " == *" $before "* ]]; then
        return
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [[ -n $program && $word != */* ]]; then
        COMPREPLY=($(compgen -c -- "$word"))
    elif [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    fi
}
complete -o default -F _senv senv
)";

std::string bash_lists(const CLI::App& app) {
    std::vector<std::string> all;
    std::vector<std::string> files;
    std::vector<std::string> others;
    std::string words;
    std::string values;
    std::string program;
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_positional()) words += choices_of(*option);
        if (takes_command(*option)) program = " program=yes";
        const std::vector<std::string> names = names_of(*option);
        if (const std::string choices = choices_of(*option); !names.empty() && !choices.empty()) {
            values += " " + join(names, " | ") + ") values='" + choices + "' ;;";
        }
        all.insert(all.end(), names.begin(), names.end());
        auto& list = takes_file(*option) ? files : others;
        if (takes_value(*option)) list.insert(list.end(), names.begin(), names.end());
    }
    return "options='" + join(all, " ") + "' files='" + join(files, " ") + "' others='" + join(others, " ") +
           "' words='" + words + "'" + program + (values.empty() ? "" : "; case $before in" + values + " esac");
}

std::string for_bash(const CLI::App& app) {
    std::vector<std::string> valued;
    for (const CLI::Option* option : app.get_options()) {
        if (!takes_value(*option)) continue;
        for (const std::string& name : names_of(*option)) valued.push_back(name);
    }
    std::vector<std::string> commands;
    std::string lists;
    for (const CLI::App* command : commands_of(app)) {
        commands.push_back(command->get_name());
        lists += "        " + command->get_name() + ") " + bash_lists(*command) + " ;;\n";
    }
    return bash_begin + ("            " + join(valued, " | ")) +
           ") i=$((i + 1)); [[ ${COMP_WORDS[i]-} != = ]] || i=$((i + 1)) ;;\n" + bash_middle + "        '') " +
           bash_lists(app) + " words='" + join(commands, " ") + "' ;;\n" + lists + bash_end;
}

// ---- zsh ------------------------------------------------------------------------------------------------------------

constexpr const char* zsh_next = " \\\n            '";

/// Where the command to run is behind --, it and its words are completed as if they stood alone.
constexpr const char* zsh_behind = R"(        if (($words[(i)--] < CURRENT)); then
            ((CURRENT -= $words[(i)--]))
            shift $words[(i)--] words
            _normal
            return
        fi
)";

/// Within single quotes and [ ]: what zsh's _arguments would take for syntax.
std::string zsh_text(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '\'') {
            out += "'\\''";
            continue;
        }
        if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

/// ":MESSAGE:ACTION"
std::string zsh_value(const CLI::Option& option, const std::string& message, bool file) {
    const std::string choices = choices_of(option);
    return ":" + zsh_text(message) + ":" + (choices.empty() ? (file ? "_files" : " ") : "(" + choices + ")");
}

/// A specification for each of its names. Where it can be given once only, each excludes the others.
std::string zsh_option(const CLI::Option& option) {
    const std::vector<std::string> names = names_of(option);
    const std::string front = option.get_items_expected_max() > 1 ? "*" : "(" + join(names, " ") + ")";
    std::string out;
    for (const std::string& name : names) {
        out += zsh_next + front + name;
        if (takes_value(option) && name.starts_with("--")) out += "=";
        out += "[" + zsh_text(option.get_description()) + "]";
        if (takes_value(option)) out += zsh_value(option, option.get_type_name(), takes_file(option));
        out += "'";
    }
    return out;
}

std::string zsh_options(const CLI::App& app) {
    std::string out;
    unsigned place = 0;
    for (const CLI::Option* option : app.get_options()) {
        if (!option->get_positional()) {
            out += zsh_option(*option);
        } else if (takes_command(*option)) {
            const std::string name = option->get_name(true);
            out += zsh_next + ("1:" + name) + ": _command_names -e'" + zsh_next + "*:" + name + ":_files'";
        } else {
            out += zsh_next + (option->get_items_expected_max() > 1 ? "*" : std::to_string(++place)) +
                   zsh_value(*option, option->get_name(true), true) + "'";
        }
    }
    return out;
}

std::string for_zsh(const CLI::App& app) {
    std::string commands;
    std::string cases;
    for (const CLI::App* command : commands_of(app)) {
        commands += "        '" + command->get_name() + ":" + zsh_text(command->get_description()) + "'\n";
        cases += "        " + command->get_name() + ")\n";
        if (std::ranges::any_of(command->get_options(), [](const auto* one) { return takes_command(*one); })) {
            cases += zsh_behind;
        }
        cases += "        _arguments -S" + zsh_options(*command) + "\n        ;;\n";
    }
    return "#compdef senv\n"
           "# Completion of `senv` in zsh, made by `senv completion zsh`.\n"
           "_senv() {\n"
           "    local curcontext=$curcontext state line\n"
           "    local -a subcommands\n"  // `commands` is zsh's own
           "    subcommands=(\n" +
           commands +
           "    )\n"
           "    _arguments -C" +
           zsh_options(app) +
           " \\\n            '1: :->command' '*:: :->rest'\n"
           "    case $state in\n"
           "        command) _describe command subcommands; return ;;\n"
           "        rest) ;;\n"
           "        *) return ;;\n"
           "    esac\n"
           "    case $words[1] in\n" +
           cases +
           "    esac\n"
           "}\n"
           "if [[ $funcstack[1] == _senv ]]; then _senv \"$@\"; else compdef _senv senv; fi\n";
}

}  // namespace

void add_completion_command(CLI::App& app, Action& action) {
    const auto shell = std::make_shared<std::string>();
    CLI::App* command = app.add_subcommand("completion", "Print what a shell needs to complete commands and options");
    command->add_option("SHELL", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
    command->footer(
        "It is installed with senv. Where it is not, or for one user only, write it where the shell looks.\n\n"
        "Examples:\n"
        "  senv completion bash >~/.local/share/bash-completion/completions/senv\n"
        "  senv completion zsh >~/.zfunc/_senv     a folder of $fpath");
    command->callback([&app, &action, shell] {
        action = [&app, shell] { return print(*shell == "bash" ? for_bash(app) : for_zsh(app)); };
    });
}

}  // namespace senv
