#!/usr/bin/env bats
# senv resolve and senv lock with a made-up guix, for what the real one (tests/cluster/resolve.bats) cannot be made to do,
# and for the sanitizers. Needs no root and no network.
load helpers

setup() {
    [[ -x $build/provisioner/cli/senv ]] || { echo "build senv first: $build" >&2; return 1; }
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

@test "what is used by its lock or its name is not removed as unused" {
    local link=$GUIX_STATE_DIRECTORY/profiles/per-user/ada/senv/${PROFILE##*/} use
    run -0 senv lock -m m.scm -o m.lock
    for use in "--lock m.lock" "--profile $PROFILE"; do
        touch -h -d '100 days ago' "$link"
        run -0 senv show m.lock
        says "kept      by the GC root $link, last used 100 days ago"
        [[ $(senv show --json m.lock | jq -r .kept.root) == "$link" ]]
        resolve $use
        [[ $status -eq 0 && $output == "$PROFILE" ]]
        run -0 senv show m.lock
        says "kept      by the GC root $link, last used today"
        # The next resolution of anything removes what was not used for unused_days.
        echo "(list \"$use\")" >other.scm
        sed "s/${PROFILE##*/}/88888888888888888888888888888888-profile/g" "$DESCRIPTION" >description
        PROFILE=/gnu/store/88888888888888888888888888888888-profile DESCRIPTION=$PWD/description resolve -m other.scm
        [[ $status -eq 0 && $(readlink "$link") == "$PROFILE" ]]
    done
    touch -h -d '100 days ago' "$link"
    echo '(list "more")' >other.scm
    resolve -m m.scm --refresh
    rm "$link"
    run -0 senv show m.lock
    says "kept      by no GC root"
}

@test "--refresh runs guix for what is known, and what it gives is known then" {
    resolve -m m.scm
    PROFILE=/gnu/store/88888888888888888888888888888888-profile
    sed "s/qw85j4ybkj65m9i9ywaypz6a1x094fnc-profile/${PROFILE##*/}/g" "$DESCRIPTION" >description
    DESCRIPTION=$PWD/description
    resolve -m m.scm --refresh --json
    [[ $status -eq 0 && $(jq -r '.cached, .profile' <<<"$output" | paste -sd' ') == "false $PROFILE" && $(calls) -eq 4 ]]
    resolve -m m.scm
    [[ $status -eq 0 && $output == "$PROFILE" && $(calls) -eq 4 ]]
}

@test "-v says how long what took, -q nothing" {
    resolve -v -m m.scm
    [[ $status -eq 0 && $stderr =~ "senv: resolved in "[0-9]+" ms: profile "[0-9]+" ms, lock "[0-9]+" ms"$ ]]
    resolve -v -m m.scm
    [[ $status -eq 0 && $stderr =~ ^"senv: resolved in "[0-9]+" ms: from the cache"$ ]]
    resolve -v -p "$PROFILE"
    [[ $stderr =~ ^"senv: resolved in "[0-9]+" ms: from a profile"$ ]]
    # Where others say after ten seconds that they wait.
    guix '[[ $1 != build ]] || sleep 11'
    senv resolve -q --packages x 2>quiet &
    resolve -m m.scm --refresh
    [[ $status -eq 0 && $stderr == "senv: resolving m.scm with Guix … "* ]]
    wait $!
    [[ ! -s quiet ]]
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
sh -c 'kill -KILL $$' || exit $?	Guix did not finish: it was killed (Killed)
kill -TERM $$	Guix did not finish: it was killed (Terminated)
exit 255	Guix failed and did not say why
exit 1	Guix failed and did not say why
[[ $1 != repl ]] || { echo rubbish; exit; }	it is not JSON
[[ $1 != repl ]] || { echo '{"version": 1}'; exit; }	the description of the profile: 'version' has the wrong type
[[ $1 != build ]] || exit 0	Guix ended early, as if all were well, and built nothing
PROFILE=/etc/passwd	cannot use store path '/etc/passwd'
END
    # None of it was remembered.
    guix ':'
    resolve -m m.scm
    [[ $status -eq 0 && $output == "$PROFILE" ]]
}

@test "a channel file that guix does not like" {
    echo '(list)' >c.scm
    guix '[[ $1 != time-machine ]] || { echo "guix time-machine: error: oops" >&2; exit 1; }'
    resolve -m m.scm -C c.scm
    [[ $status -eq 1 && $stderr == "senv: cannot resolve 'm.scm' with 'c.scm': oops
senv: hint: try the same with \`guix time-machine -C c.scm -- describe\`, to see all that Guix says" ]]
}

@test "a channel file that ends guix early" {
    echo '(primitive-exit 0)' >c.scm
    guix '[[ $1 != time-machine ]] || exit 0'
    resolve -m m.scm -C c.scm
    [[ $status -eq 1 && $stderr == "senv: cannot resolve 'm.scm' with 'c.scm': Guix ended early, as if all were well, and built nothing
senv: hint: a call of "*" in a channel file does that" ]]
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
    export PATH=$BATS_TEST_TMPDIR/bin:/usr/bin:/bin
    resolve -m m.scm -C c.scm
    [[ $status -eq 0 && $output == "$PROFILE" ]]
    # On a node the roots of Guix are not to be seen; where they are, one has to stand.
    mv "$GUIX_STATE_DIRECTORY" away
    resolve -m m.scm -C c.scm
    [[ $status -eq 0 && $output == "$PROFILE" && -z $stderr ]]
    mkdir "$GUIX_STATE_DIRECTORY"
    resolve -m m.scm -C c.scm
    [[ $status -eq 1 && $stderr == "senv: cannot resolve 'm.scm': there is no command 'guix' here"*"hint: "*"a lock or a profile needs no Guix" ]]
    rmdir "$GUIX_STATE_DIRECTORY"
    guix ':'
    resolve -m m.scm -C c.scm
    [[ $status -eq 0 && $(calls) -eq 6 ]]
}

@test "a lock: its profile, digest and channels, without Guix" {
    resolve -m m.scm --json
    local digest
    digest=$(jq -r .lock.digest <<<"$output")
    senv lock -m m.scm -o m.lock
    : >"$CALLS"
    rm -r bin/guix "$HOME/.cache/senv" "$GUIX_STATE_DIRECTORY"
    resolve --lock m.lock
    [[ $status -eq 0 && $output == "$PROFILE" && -z $stderr ]]
    resolve --lock m.lock --json
    [[ $(jq -c '[.profile, .lock.digest, .lock.file, .cached, (.channels | length)]' <<<"$output") == "[\"$PROFILE\",\"$digest\",\"m.lock\",false,2]" ]]
    resolve --lock m.lock --for-slurm --source test
    [[ $output =~ ^"1 $PROFILE lock=$digest channels=guix@"[0-9a-f]{40}",senv-test@"[0-9a-f]{40}" enter=plain from=test"$ ]]
    [[ ! -e $HOME/.cache/senv && ! -e $GUIX_STATE_DIRECTORY && $(calls) -eq 0 ]]
    mkdir -p "$HOME/.cache/senv"    # for teardown
}

@test "--rebuild says what differs, and names senv diff where that shows it" {
    local item
    senv lock -m m.scm -o m.lock
    resolve --lock m.lock --rebuild
    [[ $status -eq 0 && $output == "$PROFILE" && -z $stderr ]]
    item=$(jq -r '.closure[0].path' m.lock)
    jq '.closure[0].size = 1' m.lock >size.lock
    resolve --lock size.lock --rebuild
    [[ $status -eq 1 && -z $output ]]
    [[ $stderr == "senv: cannot rebuild 'size.lock': Guix makes the same profile of it, but not the same items
  $item has $(jq '.closure[0].size' m.lock) bytes, the lock has 1" ]]
    sed "s/${PROFILE##*/}/88888888888888888888888888888888-profile/" m.lock | jq '.closure |= sort_by(.path)' >profile.lock
    resolve --lock profile.lock --rebuild
    [[ $status -eq 1 && $stderr == "senv: cannot rebuild 'profile.lock': Guix makes another environment of it
  the profile is $PROFILE, the lock has /gnu/store/88888888888888888888888888888888-profile
"*"
senv: hint: compare them with \`senv diff profile.lock $PROFILE\`" ]]
}

@test "a lock that is none" {
    local file wanted
    senv lock -m m.scm -o m.lock
    head -c 2000 m.lock >cut.lock
    jq '."senv-lock" = 2' m.lock >new.lock
    jq '.profile = "/etc/passwd"' m.lock >forged.lock
    jq '.channels[0].name = "a b"' m.lock >channel.lock
    echo '{}' >other.lock
    mkdir folder
    while IFS=$'\t' read -r file wanted; do
        resolve --lock "$file"
        [[ $status -eq 1 && -z $output && $stderr == "senv: $wanted"* ]] || { echo "$file: $stderr"; return 1; }
    done <<'END'
none.lock	cannot read lock 'none.lock': No such file or directory
folder	cannot read lock 'folder': Is a directory
cut.lock	cannot use the lock 'cut.lock': it is not JSON, or not all of it
new.lock	cannot use the lock 'new.lock': its version is 2, this senv reads version 1
forged.lock	cannot use the lock 'forged.lock': cannot use store path '/etc/passwd'
channel.lock	cannot use the lock 'channel.lock': channel: bad name or commit 'a b@
other.lock	cannot use the lock 'other.lock': the lock: 'senv-lock' is missing
END
    resolve --lock new.lock
    [[ $stderr == *"senv: hint: use the senv that wrote it, or a newer one" ]]
}

@test "a profile, or a link to one, without Guix" {
    rm bin/guix
    ln -s "$PROFILE" guix-profile-1-link
    ln -s guix-profile-1-link guix-profile
    resolve -p guix-profile
    [[ $status -eq 0 && $output == "$PROFILE" && -z $stderr ]]
    resolve --profile "$PROFILE" --json
    [[ $(jq -c '[.profile, .lock, .channels]' <<<"$output") == "[\"$PROFILE\",null,[]]" ]]
    resolve --profile guix-profile --for-slurm
    [[ $output == "1 $PROFILE lock=none channels= enter=plain from=senv" ]]
    resolve --profile m.scm
    [[ $status -eq 1 && $stderr == "senv: cannot use profile 'm.scm': '$PWD/m.scm' is neither a profile nor a link to one" ]]
    ln -s a b
    ln -s b a
    resolve --profile a
    [[ $status -eq 1 && $stderr == "senv: cannot use profile 'a': it leads over more than 40 links" ]]
    [[ $(calls) -eq 0 ]]
    mkdir -p "$HOME/.cache/senv"
}

@test "options that do not go together, in the words of who wrote them" {
    local options wanted
    while IFS='|' read -r options wanted; do
        run -2 --separate-stderr eval "senv resolve $options"
        [[ -z $output && $stderr == "senv: $wanted"* ]] || { echo "$options: $stderr"; return 1; }
    done <<'END'
|cannot resolve nothing: no manifest and no package is given
--lock x --profile y|cannot use --lock together with --profile: --lock names a whole environment
--lock x --packages a|cannot use --lock together with --packages: --lock names a whole environment
--profile x -m y --for-slurm|cannot use --env-profile together with --env-manifest: --env-profile names a whole environment
-C x|cannot use --channels alone: it says where packages come from, not which
-C x --for-slurm|cannot use --env-channels alone: it says where packages come from, not which
-m m.scm -C ''|cannot use --channels without a value
-m '' --for-slurm|cannot use --env-manifest without a value
--lock x --refresh --for-slurm|cannot use --env-lock together with --env-refresh: --env-lock names a whole environment
--profile x --transform a=b|cannot use --profile together with --transform
--transform 'with-input=a=b' --for-slurm|cannot use --env-transform alone: it says how packages are changed, not which
--amd-gpu x --tune y|cannot use --tune alone: it says how packages are changed, not which
--load-path .|cannot use --load-path alone: it says where packages come from, not which
--refresh|cannot use --refresh alone: it says when to resolve, not what
--build never|cannot use --build alone: it says what may be built, not what is wanted
-m m.scm --build always --for-slurm|cannot use the value of --env-build: want never or here
--lock x --build here|cannot use --lock together with --build: --lock names a whole environment
--rebuild|cannot use --rebuild without --lock: it makes the environment of a lock anew
-m m.scm --rebuild|cannot use --rebuild without --lock
--lock x --rebuild -m m.scm|cannot use --lock together with --manifest
--rebuild-cache --for-slurm|cannot use --env-refresh alone: it says when to resolve, not what
-m m.scm --transform ' ' --for-slurm|cannot use --env-transform without a value
-m m.scm --tune 'a b'|cannot use transformation 'tune=a b'
-m m.scm --expression ''|cannot use --expression without a value
--lock ''|cannot use --lock without a value
--packages ''|cannot use --packages without a value
END
    mkdir -p "$HOME/.cache/senv"
}

@test "senv lock -o says which lock it replaces" {
    senv lock -m m.scm -o m.lock
    run -0 --separate-stderr senv lock -m m.scm -o m.lock
    [[ -z $stderr ]]
    echo ';; another one' >>m.scm
    run -0 --separate-stderr senv lock -m m.scm -o m.lock
    [[ $stderr == "senv: 'm.lock' was the lock of $PROFILE, and is replaced" ]]
}

@test "--tune: where Guix tunes nothing, that is said each time, also of what is known" {
    local i
    for i in 1 2; do
        resolve --packages senv-hello --tune skylake
        [[ $status -eq 0 && $stderr == "senv: warning: nothing in this environment can be tuned for a CPU: --tune changes nothing" ]]
    done
    [[ $(calls) -eq 2 ]]
    guix '[[ $1 != build ]] || echo "guix build: tuning senv-hello@1.0 for CPU haswell" >&2'
    for i in 1 2; do
        resolve --packages senv-hello --tune haswell
        [[ $status -eq 0 && -z $stderr ]]
    done
}

@test "where Guix stumbles over a file that is another kind than it was given as, the kind is named" {
    echo "(list (channel (name 'guix) (url \"u\")))" >c.scm
    guix 'echo "guix $1: error: unbound variable" >&2; exit 1'
    resolve -m c.scm
    [[ $status -eq 2 && $stderr == "senv: cannot use 'c.scm' as manifest: it is a channel file"$'\n'"senv: hint: give it with --channels=c.scm" ]]
    resolve -m m.scm -C m.scm
    [[ $status -eq 2 && $stderr == "senv: cannot use 'm.scm' as channel file: it is a manifest"$'\n'"senv: hint: give it with --manifest=m.scm" ]]
    resolve -f m.scm
    [[ $status -eq 2 && $stderr == "senv: cannot use 'm.scm' as file: it is a manifest"* ]]
    # What names both is a manifest.
    echo '(packages->manifest (list (channel x)))' >both.scm
    resolve -m both.scm
    [[ $status -eq 1 && $stderr == "senv: cannot resolve 'both.scm': unbound variable"* ]]
}

@test "an unknown package without a channel file: which Guix was asked" {
    guix 'case $1 in
        --version) echo "guix (GNU Guix) 1.5.0"; exit ;;
        package) echo senv-hello; exit ;;
        build) echo "guix build: error: senv-helo: unknown package" >&2; exit 1 ;;
    esac'
    resolve --packages senv-helo
    [[ $status -eq 1 && $stderr == "senv: cannot resolve packages 'senv-helo': senv-helo: unknown package; no channel file was given, so the Guix of this host (1.5.0) was asked"$'\n'"senv: hint: did you mean senv-hello?" ]]
}

@test "what the dynamic linker reads is not for Guix" {
    guix "env >$BATS_TEST_TMPDIR/environment"
    LD_LIBRARY_PATH=$BATS_TEST_TMPDIR LD_BIND_NOW=1 MINE=1 resolve -m m.scm
    [[ $status -eq 0 ]]
    grep -x MINE=1 environment
    run -1 grep '^LD_' environment
}

@test "options given twice add up" {
    run -0 --separate-stderr senv lock -m m.scm --amd-gpu gfx90a --amd-gpu gfx942 --transform a=1 --transform 'b=2 c=3'
    [[ $(jq -c .transformations <<<"$output") == '["a=1","b=2","c=3","amd-gpu=gfx90a,gfx942"]' ]]
}
