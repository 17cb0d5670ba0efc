# What --help promises: every option has its place, and the exit statuses are those.
load helpers

setup() { cd "$BATS_TEST_TMPDIR"; }
teardown() { :; }

senv() { "$build/provisioner/cli/senv" "$@"; }
senvd() { "$build/provisioner/senvd/senvd" "$@"; }

commands() { senv --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p'; }

# helps OPTION… -- COMMAND…: it exits with 0, prints to stdout only, and its options are exactly those and --help.
helps() {
    local wanted=()
    while [[ $1 != -- ]]; do wanted+=("$1"); shift; done
    run -0 --separate-stderr "${@:2}" --help
    [[ -z $stderr ]]
    local found
    found=$(grep -oE '^ +(-[a-zA-Z],)?-{1,2}[a-z-]+' <<<"$output" | tr -d ' ' | sort)
    [[ $found == "$(printf '%s\n' -h,--help "${wanted[@]}" | sort)" ]] || { echo "$* has other options:"; echo "$found"; return 1; }
}

@test "senv --help names every command and option" {
    helps --version --config -- senv
    says resolve lock run export show diff config status release list gc pin unpin verify fetch doctor completion /etc/senv/senv.toml \
        "Exit status: 0 done, 1 it could not be done, 2 the command line or a setting makes no sense."
    helps -m,--manifest --packages -D,--development -f,--file -e,--expression -L,--load-path --transform --tune --amd-gpu -C,--channels --build --refresh -q,--quiet -v,--verbose --lock -p,--profile --rebuild --json --for-slurm --source --partition --constraint -- senv resolve
    helps -m,--manifest --packages -D,--development -f,--file -e,--expression -L,--load-path --transform --tune --amd-gpu -C,--channels --build --refresh -q,--quiet -v,--verbose -o,--output -- senv lock
    helps -m,--manifest --packages -D,--development -f,--file -e,--expression -L,--load-path --transform --tune --amd-gpu -C,--channels --build --refresh -q,--quiet -v,--verbose --lock -p,--profile --pure -E,--preserve --socket -- senv run
    helps --key --store --json -- senv export
    says LOCK DIR /etc/guix/signing-key.sec /gnu/store
    helps --socket --json -- senv show
    says "FILE|PROFILE|JOBID" "senv show environment.lock"
    helps -C,--channels --socket --json -- senv diff
    says FROM TO "senv diff paper.lock today.lock" "Exit status, as of diff(1): 0 they are the same, 1 they differ, 2"
    helps --senvd-config --json -- senv config
    says /etc/senv/senvd.toml "senv config"
    helps --senvd-config --json -- senv doctor
    says "Exit status: 0 there is no problem, perhaps warnings; 1 there is one."
    helps --socket --json -- senv status
    says /run/senv/senvd.sock
    helps --socket --json -- senv list
    helps --socket --json --dry-run -- senv gc
    helps --socket --json -- senv pin
    says PROFILE
    helps --socket --json -- senv unpin
    says PROFILE
    helps --socket --json --uid -- senv release
    says JOB "senv release --uid 1000"
    helps --socket -q,--quiet --json -- senv verify
    says PATH "Exit status: 0 all is whole, 1 something is damaged"
    helps --socket -q,--quiet --json -- senv fetch
    says PROFILE "senv lock"
    helps -- senv completion
    says SHELL bash zsh
}

@test "senv --help, senvd --help: no line is longer than 120 columns" {
    local command
    for command in "" $(commands); do
        run -0 senv $command --help
        [[ ! $output =~ [^$'\n']{121} ]] || { echo "$command: ${BASH_REMATCH[0]}"; return 1; }
    done
    run -0 senvd --help
    [[ ! $output =~ [^$'\n']{121} ]] || { echo "${BASH_REMATCH[0]}"; return 1; }
}

@test "manual pages: one for each command, with the options and examples that --help shows" {
    local man=$build/packaging/man command option
    # page FILE: its text, without what roff adds.
    page() { sed 's/\\f[BIR]//g; s/\\\([-,/ ]\)/\1/g' "$man/$1"; }
    [[ $(page man1/senv.1) == *"GNU Guix environments for Slurm jobs"* ]]
    for command in $(commands); do
        run -0 page "man1/senv-$command.1"
        says "senv-$command - $(senv "$command" --help | head -n 1)" '$ senv '
        [[ $output != *'???'* ]]    # letters that help2man does not know
        for option in $(senv "$command" --help | grep -oE '^ +(-[a-zA-Z],)?-{1,2}[a-z-]+' | tr , '\n'); do
            [[ $output == *$'\n'"$option"* || $output == *", $option"* ]] || { echo "$command: $option"; return 1; }
        done
    done
    [[ -n $option ]]
    # Examples are lines as they are, which fit 80 columns.
    local examples
    for command in "" $(commands); do
        examples=$(senv $command --help | sed -n '/^Examples:/,/^$/s/^  \([^ ].*\)/\1/p' | sed 's/   *.*//')
        [[ -n $examples ]]
        [[ $(page "man1/senv${command:+-$command}.1" | sed -n '/^\.EX$/,/^\.EE$/s/^\$ //p') == "$examples" ]] || { echo "$command"; return 1; }
        ! grep -E '.{72}' <<<"$examples" || return 1
    done
    run -0 page man8/senvd.8
    says --config SIGHUP
    run -0 page man7/senv-options.7
    says "senv-options - Guix environments in srun, sbatch and salloc" --env-manifest= --env-passthrough SLURM_ENV_BUILD
}

@test "senvd --help names every option and signal" {
    helps --check --config --version -- senvd
    says /etc/senv/senvd.toml SIGTERM SIGHUP \
        "Exit status: 0 stopped by a signal, 1 it cannot run, 2 the command line or the configuration makes no sense."
}

@test "exit status 2: the command line or a setting makes no sense" {
    run -2 senv
    run -2 senv nonsense
    run -2 senv resolve --nonsense
    run -2 senv resolve
    run -2 senv resolve --packages 'a b'
    run -2 senv resolve --packages a --json --for-slurm
    run -2 senv fetch
    run -2 senv show
    run -2 senv diff one.lock
    echo 'guiks = 1' >bad.toml
    run -2 senv --config bad.toml resolve --packages a
    says "senv: cannot use 'bad.toml': line 1: unknown key 'guiks'" "hint: the keys are guix, "
    run -2 senv --config bad.toml config
    says "unknown key 'guiks'"
    run -2 senvd --nonsense
    echo 'orgins = []' >bad.toml
    run -2 senvd --config bad.toml
    says "unknown key 'orgins'"
}

@test "exit status 1: it could not be done" {
    run -1 senv resolve -m missing.scm
    says "cannot read manifest 'missing.scm'"
    run -1 senv status --socket "$PWD/nothing"
    says "cannot reach senvd"
    run -1 senv fetch --socket "$PWD/nothing" /gnu/store/88888888888888888888888888888888-profile
}
