#!/usr/bin/env bats
# senv resolve and senv lock with a made-up guix, for what the real one (tests/cluster/resolve.bats) cannot be made to do,
# and for the sanitizers. Needs no root and no network.
bats_require_minimum_version 1.5.0

setup() {
    checkout=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    build=${SENV_BUILD:-$checkout/build/dev}
    [[ -x $build/provisioner/cli/senv ]] || { echo "build senv first: $build" >&2; return 1; }
    export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99    # a finding is no error of the program: see helpers.bash
    export HOME=$BATS_TEST_TMPDIR/home USER=ada GUIX_STATE_DIRECTORY=$BATS_TEST_TMPDIR/guix
    unset XDG_CACHE_HOME GUIX_DAEMON_SOCKET GUIX_PACKAGE_PATH
    export PROFILE=/gnu/store/qw85j4ybkj65m9i9ywaypz6a1x094fnc-profile
    export DESCRIPTION=$checkout/tests/golden/lock/hello.description CALLS=$BATS_TEST_TMPDIR/calls
    mkdir -p "$HOME" "$GUIX_STATE_DIRECTORY/profiles/per-user/ada" "$BATS_TEST_TMPDIR/bin"
    cd "$BATS_TEST_TMPDIR"
    : >"$CALLS"
    guix ':'
    export PATH=$BATS_TEST_TMPDIR/bin:$PATH
    echo '(specifications->manifest (list "senv-hello" "senv-coreutils" "senv-bash"))' >m.scm
}

teardown() {
    run -0 find "$HOME/.cache/senv" -name 'work.*'
    [[ -z $output ]]
}

# guix SCRIPT: what the made-up guix does before it does what is asked of it.
guix() {
    cat >bin/guix <<END
#!/bin/bash
echo "\$*" >>"\$CALLS"
$1
[[ \$1 == time-machine ]] && { [[ \$4 == -- ]] || { echo /gnu/store/guix; exit; }; shift 4; }
case \$1 in
    build) for word; do [[ \$word != --root=* ]] || ln -s "\$PROFILE" "\${word#--root=}"; done ;;
    repl) cat "\$DESCRIPTION" ;;
esac
END
    chmod 755 bin/guix
}

senv() { "$build/provisioner/cli/senv" "$@"; }
resolve() { run --separate-stderr senv resolve "$@"; }
calls() { wc -l <"$CALLS"; }

@test "a resolution and its lock, then from the cache" {
    resolve -m m.scm
    [[ $status -eq 0 && $output == "$PROFILE" && -z $stderr && $(calls) -eq 2 ]]
    [[ $(readlink "$GUIX_STATE_DIRECTORY/profiles/per-user/ada/senv/${PROFILE##*/}") == "$PROFILE" ]]
    resolve -m m.scm --json
    [[ $status -eq 0 && $(jq -r '.cached, .profile' <<<"$output" | paste -sd' ') == "true $PROFILE" && $(calls) -eq 2 ]]
    run -0 senv lock -m m.scm -o m.lock
    [[ $(sha256sum <m.lock) == "$(jq -r .lock.digest < <(senv resolve -m m.scm --json))  -" ]]
    [[ $(calls) -eq 2 ]]
}

@test "an upgraded guix answers anew" {
    resolve -m m.scm
    guix ': another one'
    resolve -m m.scm
    [[ $status -eq 0 && $(calls) -eq 4 ]]
}

@test "a setting of guix that is no program" {
    echo 'guix = "/no/such/guix"' >senv.toml
    run -1 --separate-stderr senv --config senv.toml resolve -m m.scm
    [[ $stderr == "senv: cannot resolve 'm.scm': there is no command '/no/such/guix' here"* ]]
}

@test "a guix that cannot run" {
    printf '#!/no/such/interpreter\n' >bin/guix
    resolve -m m.scm
    [[ $status -eq 1 && $stderr == "senv: cannot resolve 'm.scm': cannot start '"*"/bin/guix': No such file or directory" ]]
}

@test "a guix that is killed, says nothing, prints rubbish, makes no root" {
    local script wanted
    while IFS=$'\t' read -r script wanted; do
        guix "$script"
        resolve -m m.scm
        [[ $status -eq 1 && $stderr == "senv: cannot resolve 'm.scm': $wanted"* ]] || { echo "$script: $stderr"; return 1; }
    done <<'END'
kill -SEGV $$	Guix did not finish: it was killed (Segmentation fault)
exit 1	Guix failed and did not say why
[[ $1 != repl ]] || { echo rubbish; exit; }	it is not JSON
[[ $1 != repl ]] || { echo '{"version": 1}'; exit; }	the description of the profile: 'version' has the wrong type
[[ $1 != build ]] || exit 0	cannot read Guix's GC root
PROFILE=/etc/passwd	cannot use store path '/etc/passwd'
END
    # None of it was remembered.
    guix ':'
    resolve -m m.scm
    [[ $status -eq 0 && $output == "$PROFILE" ]]
}

@test "a guix that prints without end is no danger, one that hangs is stopped" {
    guix '[[ $1 != build ]] || head -c 30000000 /dev/zero | tr "\0" "x"'
    resolve -m m.scm
    [[ $status -eq 0 ]]
    echo 'silence_limit = 0.5' >senv.toml
    guix 'sleep 60 & sleep 60'
    rm -r "$HOME/.cache"
    run -1 --separate-stderr senv --config senv.toml resolve -m m.scm
    [[ $stderr == "senv: cannot resolve 'm.scm': it printed nothing for longer than the site allows"* ]]
}

@test "the cache may be damaged, and is then not believed" {
    resolve -m m.scm
    local file
    file=$(senv resolve -m m.scm --json | jq -r .lock.file)
    for damage in "truncate -s 100 $file" "sed -i s/hello/jello/ $file" "rm $file" "truncate -s 100 $HOME/.cache/senv/keys/*" \
        "rm -r $HOME/.cache/senv/keys"; do
        $damage
        : >"$CALLS"
        run -0 --separate-stderr senv lock -m m.scm
        [[ $(jq -r .profile <<<"$output") == "$PROFILE" && $(calls) -eq 2 ]]
        run -0 --separate-stderr senv lock -m m.scm
        [[ $(calls) -eq 2 ]]
    done
}

@test "where Guix has no place for roots, the cache has, with a warning" {
    rm -r "$GUIX_STATE_DIRECTORY"
    resolve -m m.scm
    [[ $status -eq 0 && $output == "$PROFILE" ]]
    [[ $stderr == "senv: warning: the GC root is $HOME/.cache/senv/roots/${PROFILE##*/}: a guix-daemon that cannot read it"* ]]
    [[ $(tail -n 1 "$CALLS") == "repl -- "*" $PROFILE $HOME/.cache/senv/roots/${PROFILE##*/} none" ]]
    resolve -m m.scm
    [[ $status -eq 0 && -z $stderr && $(calls) -eq 2 ]]
}

@test "known with pinned channels, it needs no guix at all" {
    cat >c.scm <<'END'
(list (channel (name 'guix) (url "https://example.org/guix.git") (commit "0123456789abcdef0123456789abcdef01234567")))
END
    resolve -m m.scm -C c.scm
    [[ $status -eq 0 && $(calls) -eq 3 ]]
    rm bin/guix
    resolve -m m.scm -C c.scm
    [[ $status -eq 0 && $output == "$PROFILE" ]]
}
