#!/usr/bin/env bats
# What `senv completion` prints, in the shells that it is for.
load helpers

setup() { cd "$BATS_TEST_TMPDIR"; }
teardown() { :; }

senv() { "$build/provisioner/cli/senv" "$@"; }

# completed WORD…: what bash would complete the last word to, one a line.
completed() {
    bash --noprofile --norc -c '
        source ./senv.bash
        COMP_WORDS=(senv "$@") COMP_CWORD=$#
        $(complete -p senv | sed "s/.* -F \([^ ]*\) .*/\1/") senv "${@: -1}" "${@: -2:1}"
        ((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}"' - "$@"
}

completes() {    # WANTED-IN-ONE-LINE WORD…
    local got
    got=$(completed "${@:2}" | paste -sd' ')
    [[ $got == "$1" ]] || { echo "senv ${*:2}: $got, not: $1"; return 1; }
}

# program: senvtest-tool, which shells find.
program() {
    mkdir bin
    printf '#!/bin/sh\n' >bin/senvtest-tool
    chmod 755 bin/senvtest-tool
    PATH=$PWD/bin:$PATH
}

# options COMMAND…: the names that --help shows, sorted.
options() {
    "$@" --help | sed -nE 's/^ +((-[a-zA-Z],)?-{1,2}[a-z-]+(,--[a-z-]+)*).*/\1/p' | tr , '\n' | sort
}

@test "completion bash: every command, and of each the options that --help shows" {
    senv completion bash >senv.bash
    local command commands
    commands=$(completed '')
    [[ $commands == "$(senv --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p')" && $commands == *resolve*completion* ]]
    [[ $(completed - | sort) == "$(options senv)" ]]
    for command in $commands; do
        [[ $(completed "$command" - | sort) == "$(options senv "$command")" ]] || { echo "$command"; return 1; }
    done
}

@test "completion bash: by what stands in front" {
    senv completion bash >senv.bash
    completes "resolve release" re
    completes "show status" s
    completes --json show --j
    completes --json show one --j
    completes "bash zsh" completion ''
    completes --json --config file config --j
    completes --json --config = file config --j
    completes config --config = file con
    # Nothing: bash completes names of files then.
    completes "" show ''
    completes "" show --socket -
    completes "" resolve -m ''
    completes "" resolve --manifest = ''
    completes "" resolve --manifest =
    completes "" nonsense ''
    # What the type names.
    completes "never here" resolve --build ''
    completes here run -m one.scm --build = h
    completes auto lock --tune ''
    completes "" lock --tune sky
    completes "" lock --packages ''
    # What is to be run, and behind it files.
    program
    completes senvtest-tool run senvtest
    completes senvtest-tool run -m one.scm senvtest
    completes senvtest-tool run --manifest = one.scm -q senvtest
    completes senvtest-tool run -- senvtest
    completes senvtest-tool run --pure -- senvtest
    completes --json show --socket file --j
    completes "" run -- -
    completes "" run -- "$PWD/senvtest"
    completes "" run -- ls -
    completes "" run -- ls --build -
    completes "" run -- ls senvtest
    completes "" run -m one.scm ls senvtest
    completes "" run -m senvtest
    completes "" show senvtest
    completes "" show -- -
    run -0 bash --noprofile --norc -c 'source ./senv.bash; complete -p senv'
    [[ $output == "complete -o default -F _senv senv" ]]
}

# zsh_types TEXT WANTED: a zsh on a terminal shows WANTED when it is asked to complete TEXT.
zsh_types() {
    TERM=xterm timeout 60 zsh -f -c '
        zmodload zsh/zpty
        zpty z "zsh -f -i"
        zpty -w z "unsetopt zle_bracketed_paste; PROMPT=; autoload -Uz compinit && compinit -D -u; source ./_senv; print re\"\"ady"
        zpty -r z out "*ready*" && zpty -w -n z "$1"$'"'\t\t'"' && zpty -r z out "*$2*"' - "$@" ||
        { echo "zsh does not complete '$1' to '$2'"; return 1; }
}

@test "completion zsh: commands, options, values" {
    senv completion zsh >_senv
    touch one.lock
    zsh_types "senv res" "senv resolve"
    zsh_types "senv " "export*Write a lock's items"
    zsh_types "senv sho" "senv show"
    zsh_types "senv s" "Tell what is in an environment: packages"
    zsh_types "senv resolve --pac" "resolve --packages"
    zsh_types "senv diff --so" "diff --socket="
    zsh_types "senv diff one.lock o" "one.lock one.lock"
    zsh_types "senv export one.lock --ke" "one.lock --key="
    zsh_types "senv --config=x show --js" "show --json"
    zsh_types "senv completion " "bash*zsh"
    zsh_types "senv resolve --build " "never*here"
    zsh_types "senv run --build=h" "--build=here"
    program
    zsh_types "senv run senvte" "run senvtest-tool"
    zsh_types "senv run -m one.scm senvte" "one.scm senvtest-tool"
    zsh_types "senv run --pure -- senvte" "-- senvtest-tool"
    zsh_types "senv run -- senvte" "-- senvtest-tool"
    zsh_types "senv run -- senvtest-tool one" "senvtest-tool one.lock"
    zsh_types "senv run -- ls --alm" "ls --almost-all"
    zsh_types "senv run one.scm --pu" "one.scm --pure"
}

@test "completion: of other shells there is none" {
    run -2 senv completion fish
    says "senv: cannot use this command line: SHELL: fish not in {bash,zsh}"
}
