#!/usr/bin/env bats
# senv resolve and senv lock on the login host, as the ordinary user, with the real Guix.
bats_require_minimum_version 1.5.0
load helpers

channels_1=/srv/channels/channels-1.scm
channels_2=/srv/channels/channels-2.scm
manifests=/srv/channels/manifests

setup_file() {
    start_cluster resolve-bats --nodes 1
    count_guix_starts
}

teardown_file() {
    cluster stop
}

# Files of one test in one folder of alice's home, which is where commands run.
setup() {
    here=/home/alice/$BATS_TEST_NUMBER
    alice mkdir "$here"
}

teardown() {
    left_in_cache
}

a() { cluster exec --cwd "$here" "$@"; }
file() { a tee "$1" >/dev/null; }
resolve() { run --separate-stderr a senv resolve "$@"; }

# What a resolution must not leave, however it ended: files in work, processes.
left_in_cache() {
    local left
    left=$(alice sh -c 'ls -d .cache/senv/work.* .cache/guile/ccache/*/home/alice/.cache/senv/work.* 2>/dev/null'
           cluster root login pgrep -u alice -f -l 'guix|senv' || true)
    [[ -z $left ]] || { echo "left: $left"; return 1; }
}

# error TEXT…: the last resolve failed with the messages, and printed nothing else.
error() {
    [[ $status -eq 1 && -z $output ]] || { echo "status $status, output: $output"; return 1; }
    output=$stderr
    says "$@"
}

# shell_profile OPTION…: the profile that the real guix shell makes of them.
shell_profile() {
    a guix time-machine -q -C $channels_1 -- shell "$@" -- sh -c 'echo "$GUIX_ENVIRONMENT"' 2>/dev/null
}

# quiet: nothing on stderr but progress, which a slow machine gets to see.
quiet() { ! grep -v '^senv: \(resolving\|waiting\) ' <<<"$stderr" | grep .; }

@test "resolve: a profile that is built, kept from collection, and the one that guix shell makes" {
    resolve -m $manifests/hello.scm -C $channels_1
    works
    [[ $output == /gnu/store/*-profile ]]
    quiet
    local profile=$output
    run -0 a "$profile/bin/senv-hello"
    says "senv-hello 1.0 /gnu/store/"
    run -0 --separate-stderr a guix time-machine -C $channels_1 -- shell -m $manifests/hello.scm -- \
        sh -c 'echo "$GUIX_ENVIRONMENT"'
    [[ $output == "$profile" ]]
    cluster root login guix gc --list-live >"$BATS_TEST_TMPDIR/live"
    grep -qxF "$profile" "$BATS_TEST_TMPDIR/live"
    run -0 a readlink "/var/guix/profiles/per-user/alice/senv/${profile##*/}"
    [[ $output == "$profile" ]]
}

@test "a lock in daily use keeps its environment from guix gc; a root that was lost is made again" {
    a senv lock -m $manifests/hello.scm -C $channels_1 -o daily.lock
    local profile link
    profile=$(a cat daily.lock | jq -r .profile)
    link=/var/guix/profiles/per-user/alice/senv/${profile##*/}
    a touch -h -d '100 days ago' "$link"
    resolve --lock daily.lock
    [[ $status -eq 0 && $output == "$profile" ]]
    # Any resolution removes what was not used for unused_days.
    resolve -m $manifests/other.scm -C $channels_1 --refresh
    works
    run -0 a senv show daily.lock
    says "kept      by the GC root $link, last used today"
    a rm "$link"
    run -0 a senv show daily.lock
    says "kept      by no GC root"
    resolve --profile "$profile"
    [[ $status -eq 0 && $(a readlink "$link") == "$profile" ]]
    cluster root login guix gc --list-live >"$BATS_TEST_TMPDIR/live"
    grep -qxF "$profile" "$BATS_TEST_TMPDIR/live"
}

@test "resolve: what is known starts no guix" {
    resolve -m $manifests/hello.scm -C $channels_1
    works
    local before profile=$output
    before=$(guix_starts)
    # The contents count, not the name: a copy is the same.
    a cp $manifests/hello.scm mine.scm
    a cp $channels_1 c.scm
    resolve -m mine.scm -C c.scm --for-slurm --source test
    works
    [[ $output =~ ^"1 $profile lock="[0-9a-f]{64}" channels=guix@"[0-9a-f]{40}",senv-test@"[0-9a-f]{40}" enter=plain from=test"$ ]]
    resolve -m mine.scm -C c.scm --json
    works
    [[ $(jq -r '.profile, .cached, .channels[1].name' <<<"$output" | paste -sd' ') == "$profile true senv-test" ]]
    [[ $(guix_starts) == "$before" ]]
}

@test "resolve: once per content, again when the root is gone" {
    resolve -m $manifests/hello.scm -C $channels_1
    works
    local before profile=$output
    alice rm "/var/guix/profiles/per-user/alice/senv/${profile##*/}"
    before=$(guix_starts)
    resolve -m $manifests/hello.scm -C $channels_1
    [[ $output == "$profile" && $(guix_starts) -gt $before ]]
    before=$(guix_starts)
    resolve -m $manifests/hello.scm -C $channels_1
    [[ $output == "$profile" && $(guix_starts) == "$before" ]]
}

@test "resolve: two channel files give two versions" {
    resolve -m $manifests/hello.scm -C $channels_1
    works
    local one=$output
    resolve -m $manifests/hello.scm -C $channels_2
    works
    [[ $output != "$one" ]]
    run -0 a "$output/bin/senv-hello"
    says "senv-hello 2.0 /gnu/store/"
}

@test "resolve: packages, manifests and both" {
    resolve --packages senv-hello,senv-bash -C $channels_1
    works
    run -0 a ls "$output/bin/senv-hello" "$output/bin/bash"
    echo '(specifications->manifest (list "senv-bash"))' | file bash.scm
    resolve -m $manifests/hello.scm -m bash.scm --packages senv-zlib -C $channels_1
    works
    run -0 a ls -d "$output/bin/senv-hello" "$output/bin/bash" "$output/lib"
    # A manifest may come through a pipe: it is read once.
    run -0 --separate-stderr a bash -c "senv resolve -m <(echo '(specifications->manifest (list \"senv-bash\"))') -C $channels_1"
    [[ $output == /gnu/store/*-profile ]]
}

@test "resolve: development inputs, files and expressions, as guix shell has them" {
    echo '(use-modules (senv-test packages)) (list senv-zlib (list senv-numactl "out"))' | file f.scm
    local expression='(list (@ (senv-test packages) senv-attr))'
    resolve -m $manifests/hello.scm --packages senv-sed,senv-grep -D senv-bash -f f.scm -e "$expression" -C $channels_1
    works
    quiet
    local profile=$output
    # The order is the same, too.
    [[ $profile == "$(shell_profile -m $manifests/hello.scm senv-sed senv-grep -D senv-bash -f f.scm -e "$expression")" ]]
    run -0 a sh -c "ls $profile/bin/sed $profile/bin/grep && grep -o '\"senv-ncurses\"' $profile/manifest"
    says '"senv-ncurses"'
    # Of these, all is said by the texts.
    resolve -D senv-bash -f f.scm -e "$expression" -C $channels_1
    works
    run ! a test -e "$output/bin/bash"
    resolve -D senv-bash -f f.scm -e "$expression" -C $channels_1 --json
    [[ $(jq .cached <<<"$output") == true ]]
    run -0 --separate-stderr a senv lock -D senv-bash -f f.scm -e "$expression" -C $channels_1
    [[ $(jq -c '[.development, .files, .expressions, ."load-path"]' <<<"$output") == \
        "$(jq -nc --arg file "$(alice cat "$here/f.scm")" --arg e "$expression" '[["senv-bash"], [$file + "\n"], [$e], 0]')" ]]
    # From a pipe, and with more than the texts say.
    run -0 --separate-stderr a bash -c "senv resolve -v -f <(echo '(load \"$here/f.scm\")') -C $channels_1"
    [[ $output == "$(shell_profile -f f.scm)" ]]
    [[ $stderr == *"resolved each time: /dev/fd/"*", line 1, column 2: 'load' may depend on more"* ]]
}

@test "resolve: a folder with modules, as guix shell has it, looked at each time" {
    a mkdir modules
    echo '(define-module (own) #:use-module (guix packages) #:use-module (senv-test packages))
          (define-public own (package (inherit senv-attr) (name "own")))' | file modules/own.scm
    resolve -v -L modules --packages own -C $channels_1
    works
    [[ $stderr == *"resolved each time: the modules in '$here/modules' may change"* ]]
    [[ $output == "$(shell_profile -L modules own)" ]]
    a sed -i 's/senv-attr/senv-zlib/' modules/own.scm
    resolve -L modules --packages own -C $channels_1
    works
    run -0 a sh -c "ls $output/lib"
    says libz.so.1
    run -0 --separate-stderr a senv lock -L modules --packages own -C $channels_1
    [[ $(jq '."load-path"' <<<"$output") == 1 ]]
}

@test "transform: with-input, with-graft and with-source, as guix shell has them; for manifests, too" {
    local word text profile=''
    a mkdir modules
    file modules/own.scm <"$BATS_TEST_DIRNAME/own.scm"
    echo '(specifications->manifest (list "own-app"))' | file m.scm
    echo "other source" | file other.txt
    while read -r word text; do
        resolve -L modules --packages own-app --transform "$word" -C $channels_1
        works
        [[ $output != "$profile" ]]
        profile=$output
        [[ $profile == "$(shell_profile -L modules own-app --"$word")" ]]
        run -0 a "$profile/bin/own-app"
        [[ $output == "$text" ]]
        resolve -L modules -m m.scm --transform "$word" -C $channels_1
        [[ $output == "$profile" ]]
    done <<'END'
with-input=own-lib=own-new new library
with-graft=own-lib=own-new new library
with-source=own-lib=other.txt other source
END
    word=with-input=own-lib=own-new
    # Where else it has an effect.
    resolve -L modules -D own-app --transform $word -C $channels_1
    [[ $output == "$(shell_profile -L modules --$word -D own-app)" ]]
    run -0 a cat "$output/text"
    says "new library"
    resolve -L modules -e '(@ (own) own-app)' --transform $word -C $channels_1
    run -0 a "$output/bin/own-app"
    says "new library"
    # Entries that are more than packages keep what is theirs.
    echo '(use-modules (guix profiles))
          (manifest (map (lambda (entry) (manifest-entry (inherit entry) (properties (quote ((mine . "kept"))))))
                         (manifest-entries (specifications->manifest (list "own-app")))))' | file entries.scm
    resolve -L modules -m entries.scm --transform $word -C $channels_1
    run -0 a sh -c "$output/bin/own-app; cat $output/manifest"
    says "new library" "(transformations (with-input . \"own-lib=own-new\"))" "kept"
    run -0 --separate-stderr a senv lock -L modules --packages own-app --transform "$word tune=skylake" -C $channels_1
    [[ $(jq -c .transformations <<<"$output") == "[\"$word\",\"tune=skylake\"]" ]]
}

# derivation OPTION…: of the profile that senv resolve would build, without grafts.
derivation() { a env XDG_CACHE_HOME="$here/cache" senv --config derivations.toml resolve "$@"; }
shell_derivation() { a guix shell --no-grafts --dry-run "$@" 2>&1 | grep -o '/gnu/store/.*-profile\.drv'; }

@test "transform: all that need no network, at the level of derivations; for manifests, too" {
    local package words word found seen='' repository=/srv/channels/senv-test.git
    printf '%s\n' '#!/bin/bash' '[[ $1 != build ]] || set -- build --no-grafts --derivations "${@:2}"' 'exec guix "$@"' |
        file derivations
    a chmod 755 derivations
    echo "guix = \"$here/derivations\"" | file derivations.toml
    echo patch | file a.patch
    local git=with-git-url=hello=file://$repository
    while read -r package words; do
        local -a options=()
        for word in $words; do options+=("--$word"); done
        found=$(derivation --packages "$package" --transform "$words")
        [[ $found == /gnu/store/*-profile.drv && $seen != *"$found"* ]] || { echo "$words: $found"; return 1; }
        seen+=" $found"
        [[ $found == "$(shell_derivation "$package" "${options[@]}")" ]] || { echo "$words: not as guix shell"; return 1; }
        echo "(specifications->manifest (list \"$package\"))" | file m.scm
        [[ $found == "$(derivation -m m.scm --transform "$words")" ]] || { echo "$words: not for manifests"; return 1; }
    done <<END
gsl tune=generic
gsl tune=skylake
hello with-c-toolchain=hello=gcc-toolchain@12
hello with-debug-info=hello
hello without-tests=hello
hello with-configure-flag=hello=--disable-nls with-configure-flag=hello=--x=y
hello with-patch=hello=a.patch
hello $git
hello $git with-branch=hello=master
hello $git with-commit=hello=$(alice git -C $repository rev-parse master)
hello without-tests=hello with-debug-info=hello
END
    [[ $(derivation --packages gsl --tune skylake) == "$(shell_derivation gsl --tune=skylake)" ]]
}

@test "transform: what the words decide alone is remembered" {
    resolve --packages senv-hello --transform 'with-input=senv-zlib=senv-attr' --tune skylake -C $channels_1
    works
    [[ $stderr == *"senv: warning: nothing in this environment can be tuned for a CPU: --tune changes nothing"* ]]
    resolve --packages senv-hello --transform 'with-input=senv-zlib=senv-attr tune=skylake' -C $channels_1 --json
    [[ $(jq .cached <<<"$output") == true && $stderr == *"can be tuned for a CPU"* ]]
    resolve --packages senv-hello --transform 'with-input=senv-zlib=senv-attr tune=haswell' -C $channels_1 --json
    [[ $(jq .cached <<<"$output") == false ]]
    echo text | file x
    resolve -v --packages senv-hello --transform with-patch=senv-hello=x -C $channels_1
    [[ $stderr == *"resolved each time: transformation 'with-patch=senv-hello=x' may depend on more than it says"* ]]
}

@test "failure: transformations" {
    local options wanted
    while IFS='|' read -r options wanted; do
        run --separate-stderr a sh -c "senv resolve --packages senv-hello -C $channels_1 $options"
        error "$wanted" || { echo "$options"; return 1; }
    done <<'END'
--transform with-imput=a=b|: this Guix has no transformation 'with-imput'; it has with-source, with-input, with-graft, with-branch
--transform with-imput=a=b|senv: hint: did you mean `with-input'?
--transform help-transform|: this Guix has no transformation 'help-transform'; it has
--transform with-input=a|: invalid replacement specification: "a"
--transform with-input=senv-bash=no-such|: no-such: unknown package
--transform with-input|: invalid argument: Missing required argument after `--with-input'
--amd-gpu gfx90a,gfx942|: this Guix has no transformation 'amd-gpu', which exists since 2026-01-25, after 1.5.0; it has
--amd-gpu gfx90a|senv: hint: use channels of that day or later
--transform with-latest=senv-hello -L /none|senv: cannot use modules in '/none'
END
    resolve --packages gsl --tune no-such-cpu
    error "compiler gcc@" " does not support micro-architecture no-such-cpu" "micro-architectures: " " skylake, "
}

@test "resolve: without a channel file the Guix on the PATH answers, and another one is another key" {
    alice mkdir -p .config/guix
    alice ln -sfn /srv/channels/guix-2 .config/guix/current
    run -0 --separate-stderr a env PATH=/home/alice/.config/guix/current/bin:/usr/bin:/bin \
        /usr/bin/senv resolve -m $manifests/hello.scm --json
    local first=$output
    [[ $(jq -r '.cached, .channels[0].name' <<<"$first" | paste -sd' ') == "false guix" ]]
    run -0 a "$(jq -r .profile <<<"$first")/bin/senv-hello"
    says "senv-hello 2.0"
    run -0 --separate-stderr a env PATH=/home/alice/.config/guix/current/bin:/usr/bin:/bin \
        /usr/bin/senv resolve -m $manifests/hello.scm --json
    [[ $(jq -r .cached <<<"$output") == true ]]
    alice ln -sfn /srv/channels/guix-1 .config/guix/current
    run -0 --separate-stderr a env PATH=/home/alice/.config/guix/current/bin:/usr/bin:/bin \
        /usr/bin/senv resolve -m $manifests/hello.scm --json
    [[ $(jq -r .cached <<<"$output") == false ]]
    run -0 a "$(jq -r .profile <<<"$output")/bin/senv-hello"
    says "senv-hello 1.0"
    alice rm .config/guix/current
}

@test "resolve: a manifest that loads another file follows its changes" {
    echo '(load "names.scm")
          (specifications->manifest names)' | file m.scm
    echo '(define names (list "senv-hello"))' | file names.scm
    resolve -v -m m.scm -C $channels_1
    works
    local one=$output
    [[ $stderr == *"resolved each time: m.scm, line 1, column 2: 'load' may depend on more"* ]]
    echo '(define names (list "senv-hello" "senv-bash"))' | file names.scm
    resolve -m m.scm -C $channels_1
    works
    [[ $output != "$one" ]]
    quiet
    run -0 a ls "$output/bin/bash"
    resolve -m $manifests/hello-loads-other-file.scm -C $channels_1
    works
}

@test "resolve: what user code prints is not taken for the result" {
    echo '(display "/gnu/store/00000000000000000000000000000000-profile\n")
          (display "guix build: error: not one\n" (current-error-port))
          (specifications->manifest (list "senv-hello"))' | file m.scm
    resolve -m m.scm -C $channels_1
    works
    run -0 a "$output/bin/senv-hello"
}

@test "sbatch: two hundred at once with a new manifest run guix once" {
    echo '(specifications->manifest (list "senv-hello" "senv-attr"))' | file m.scm
    local before after
    before=$(guix_starts)
    run -0 a sh -c "for i in \$(seq 200); do
                        sbatch --hold --parsable --env-manifest=m.scm --env-channels=$channels_1 --wrap true >out.\$i 2>err.\$i &
                    done; wait; cat out.* | grep -cx '[0-9]*'"
    [[ $output -eq 200 ]]
    after=$(guix_starts)
    [[ $((after - before)) -eq 3 ]]    # time-machine, build, describe
    # What the jobs will start with is with slurmctld.
    run -0 cluster root login sh -c 'cat /var/lib/slurm/slurmctld/hash.*/job.*/environment | tr "\0" "\n" |
                                     grep -a ^SLURM_SENV_RESOLUTION= | sort | uniq -c'
    [[ $output =~ ^\ *200\ SLURM_SENV_RESOLUTION=1\ /gnu/store/[a-z0-9]{32}-profile\ lock=[0-9a-f]{64}\  ]]
    [[ ${#lines[@]} -eq 1 ]]
    alice scancel -u alice
}

@test "a node without Guix: what the login host has resolved counts, other things say what needs no Guix" {
    a cp $manifests/hello.scm $channels_1 .
    resolve -m hello.scm -C channels-1.scm
    works
    local profile=$output
    cat <<'JOB' | file job.sh
#!/bin/bash
srun --env-manifest=hello.scm --env-channels=channels-1.scm printenv GUIX_ENVIRONMENT
srun --env-packages=no-such --env-channels=channels-1.scm true
JOB
    run -1 --separate-stderr a sbatch --wait -o job.out job.sh
    run -0 a cat job.out
    says "$profile"$'\n' "there is no command 'guix' here, on a compute node" "hint: resolve it on the host where jobs are submitted, and name the profile or a lock here"
}

@test "resolve: a file that changes while Guix reads it is an error" {
    echo '(load "slow.scm") (specifications->manifest (list "senv-hello"))' | file m.scm
    echo '(sleep 4)' | file slow.scm
    run --separate-stderr a sh -c "(sleep 3; echo ';;' >>m.scm) & exec senv resolve -m m.scm -C $channels_1"
    error "senv: cannot resolve 'm.scm': it changed while Guix read it" "senv: hint: try again"
}

@test "resolve: Ctrl-C ends everything at once and leaves nothing; so does kill -9, but for a folder" {
    # A shell without job control lets its background ignore SIGINT, hence env. Prints the status and the seconds.
    interrupted="env --default-signal=INT,TERM,HUP senv resolve -m m.scm -C $channels_1 & pid=\$!
        for i in {1..200}; do pgrep -f '[p]rofile.scm' >/dev/null && break; sleep 0.1; done; sleep 0.7
        begin=\$EPOCHREALTIME; kill -\$SIGNAL \$pid; wait \$pid; status=\$?
        while pgrep -f '[p]rofile.scm' >/dev/null; do sleep 0.05; done
        echo \$status \$(((\${EPOCHREALTIME/./} - \${begin/./}) / 1000000))"
    echo '(display "started") (sleep 60)' | file m.scm
    local signal
    for signal in INT:130 TERM:143 HUP:129; do
        run --separate-stderr a env SIGNAL=${signal%:*} bash -c "$interrupted"
        [[ $output == "${signal#*:} "[012] ]]
        [[ $stderr != *senv:* ]]
        left_in_cache
    done
    run --separate-stderr a env SIGNAL=KILL bash -c "$interrupted"
    [[ $output == "137 "[012] ]]
    # A later resolution removes it when it is a day old.
    alice sh -c 'touch -d "2 days ago" .cache/senv/work.*'
    resolve -m $manifests/hello-loads-other-file.scm -C $channels_1
    works
}

@test "lock: everything needed to have the same bits again" {
    run -0 --separate-stderr a senv lock -m $manifests/hello.scm -C $channels_1 -o hello.lock
    [[ -z $output ]]
    run -0 a cat hello.lock
    local lock=$output
    [[ $(jq -r '."senv-lock", .system, (.channels | length), (.manifests | length)' <<<"$lock" | paste -sd' ') == "1 x86_64-linux 2 1" ]]
    [[ $(jq -r '.manifests[0]' <<<"$lock") == "$(alice cat $manifests/hello.scm)" ]]
    [[ $(jq -r '."channel-file"' <<<"$lock") == "$(alice cat $channels_1)" ]]
    [[ $(jq -r '.closure[].path' <<<"$lock") == "$(alice sh -c "guix gc -R $(jq -r .profile <<<"$lock")" | LC_ALL=C sort)" ]]
    # Hash and size are the substitute server's.
    local item hash
    item=$(jq -r '.closure[] | select(.path | contains("senv-hello")) | .path' <<<"$lock")
    hash=${item#/gnu/store/}
    run -0 cluster root n1 curl -sS "http://10.77.0.1:8080/${hash%%-*}.narinfo"
    says "NarHash: $(jq -r --arg p "$item" '.closure[] | select(.path == $p) | .hash' <<<"$lock")" \
         "NarSize: $(jq -r --arg p "$item" '.closure[] | select(.path == $p) | .size' <<<"$lock")"
    run -0 --separate-stderr a senv resolve -m $manifests/hello.scm -C $channels_1 --json
    [[ $(jq -r .lock.digest <<<"$output") == "$(a sha256sum hello.lock | cut -d' ' -f1)" ]]
    # The same for another user, to the byte.
    run -0 cluster as bob login sh -c "senv lock -m $manifests/hello.scm -C $channels_1 2>/dev/null"
    [[ $output == "$lock" ]]
}

@test "rebuild: a lock gives the same again, or what differs is said" {
    run -0 a senv lock -m $manifests/hello.scm --packages senv-attr -C $channels_1 -o one.lock
    run -0 a senv lock -m $manifests/hello.scm --packages senv-attr -C $channels_2 -o two.lock
    local one two before
    one=$(a jq -r .profile one.lock) two=$(a jq -r .profile two.lock)
    before=$(guix_starts)
    resolve --lock one.lock --rebuild
    works
    [[ $output == "$one" ]]
    quiet
    [[ $(($(guix_starts) - before)) -eq 3 ]]    # time-machine, build, describe: nothing is taken for known
    # Guix's channels alone count, not the channel file that they came from.
    a sh -c 'jq ".\"channel-file\" = null" one.lock >no-file.lock'
    resolve --lock no-file.lock --rebuild
    works

    a sh -c 'jq --slurpfile two two.lock ".channels = \$two[0].channels" one.lock >channels.lock'
    resolve --lock channels.lock --rebuild
    error "senv: cannot rebuild 'channels.lock': Guix makes another environment of it" \
        "  the profile is $two, the lock has $one" "  - $one" "  + $two" "-senv-hello-2.0" \
        "senv: hint: compare them with \`senv diff channels.lock $two\`"
    a sh -c 'jq ".closure[0].hash = .closure[1].hash" one.lock >hash.lock'
    resolve --lock hash.lock --rebuild
    error "  $(a jq -r '.closure[0].path' one.lock) is $(a jq -r '.closure[0].hash' one.lock), the lock has $(a jq -r '.closure[1].hash' one.lock)"
    [[ $stderr != *"  the profile is"* && $stderr != *"senv diff"* ]]
    resolve --lock hash.lock
    works
    a sh -c 'jq ".manifests[0] = \"(specifications->manifest\\n (liste))\"" one.lock >manifest.lock'
    resolve --lock manifest.lock --rebuild
    error "manifest 1 of manifest.lock:2:2: liste: unbound variable" "   (liste))"
}

@test "rebuild: what a lock does not hold" {
    a mkdir modules
    echo '(define-module (own) #:use-module (guix packages) #:use-module (senv-test packages))
          (define-public own (package (inherit senv-attr) (name "own")))' | file modules/own.scm
    run -0 a senv lock -L modules --packages own -C $channels_1 -o modules.lock
    run -2 --separate-stderr a senv resolve --lock modules.lock --rebuild
    [[ $stderr == *"senv: cannot rebuild 'modules.lock': it was made with 1 folder of modules, which no lock holds; 0 given"* ]]
    resolve --lock modules.lock --rebuild -L modules
    works
    [[ $output == "$(a jq -r .profile modules.lock)" ]]
    [[ $stderr == *"senv: warning: the lock does not hold all that decides what it makes: the modules in '$here/modules' may change"* ]]
    a sed -i 's/senv-attr/senv-zlib/' modules/own.scm
    resolve --lock modules.lock --rebuild -L modules
    error "senv: cannot rebuild 'modules.lock': Guix makes another environment of it" "-own-1"
    echo '(load "names.scm") (specifications->manifest names)' | file m.scm
    echo '(define names (list "senv-hello"))' | file names.scm
    run -0 a senv lock -m m.scm -C $channels_1 -o load.lock
    resolve --lock load.lock --rebuild
    error "senv: warning: the lock does not hold all that decides what it makes: manifest 1 of load.lock, line 1, column 2: 'load'" \
        "senv: cannot resolve 'manifest 1 of load.lock' with 'the channels of load.lock': failed to load" "No such file or directory"
    a jq '.channels = [] | ."channel-file" = null' load.lock | file here.lock
    resolve --lock here.lock --rebuild
    error "senv: cannot rebuild 'here.lock': it names no channels: the Guix that made it was not made by guix pull" "senv: hint: make a lock with --channels"
}

# Nobody has what own.scm defines, under versions that no other test has built.
own_version() { sed "s/(version \"1\")/(version \"$1\")/" "$BATS_TEST_DIRNAME/own.scm" | file modules/own.scm; }

@test "build: never is an error that names what would be built; grafts need packages, too" {
    a mkdir modules
    own_version 2
    local mark="senv: no server has these, they are built here: "
    resolve -L modules --packages own-app --build never -C $channels_1
    error "senv: cannot resolve packages 'own-app' with '$channels_1': nothing may be built, and no server has own-app-2, own-lib-2"$'\n' \
        "senv: hint: let it be built with --build=here"
    [[ $stderr != *"$mark"* ]]
    run ! cluster root login sh -c 'ls -d /gnu/store/*-own-lib-2'
    # What the site says is in force unless the user says something else.
    echo 'build = "never"' | file senv.toml
    run --separate-stderr a senv --config senv.toml resolve -L modules --packages own-lib -C $channels_1 --for-slurm
    error "nothing may be built, and no server has own-lib-2"$'\n' "senv: hint: let it be built with --env-build=here"
    run -0 --separate-stderr a senv --config senv.toml resolve -L modules --packages own-app --build here -C $channels_1
    [[ $stderr == *"${mark}own-app-2, own-lib-2"* ]]
    local built=$output
    # What is there, and profiles, are no building.
    resolve -L modules --packages own-app,own-lib --build never -C $channels_1
    works
    [[ $stderr != *"$mark"* && $output == "$(shell_profile -L modules own-app own-lib)" ]]
    resolve -L modules --packages own-app --build never -C $channels_1
    [[ $output == "$built" ]]

    local graft=with-graft=own-lib=own-new
    resolve -L modules --packages own-app --transform $graft --build never -C $channels_1
    error "nothing may be built, and no server has own-new-2"$'\n'
    resolve -L modules --packages own-app --transform $graft -C $channels_1
    works
    [[ $stderr == *"${mark}own-new-2"* ]]
    run -0 a "$output/bin/own-app"
    [[ $output == "new library" ]]
    # A graft is made where Guix runs, in any case.
    resolve -L modules --packages own-app,own-new --transform $graft --build never -C $channels_1
    works
    # To make a graft, Guix has to look into what it changes.
    own_version 3
    resolve -L modules --packages own-app --transform $graft --build never -C $channels_1
    error "nothing may be built, and no server has " own-app-3 own-lib-3
}

@test "build: what is known needs none, and long lists are cut" {
    echo '(use-modules (guix packages) (guix profiles) (senv-test packages) (srfi srfi-1))
          (packages->manifest (map (lambda (n) (package (inherit senv-attr) (name (format #f "own-~a" n)))) (iota 23)))' | file m.scm
    resolve -m m.scm --build never -C $channels_1
    [[ $(grep -o 'own-[0-9]*-2' <<<"$stderr" | sort -u | wc -l) -eq 20 ]]
    error " and 3 more"$'\n'
    resolve --packages senv-sed,senv-zlib -C $channels_1
    works
    resolve --packages senv-sed,senv-zlib -C $channels_1 --build never --json
    [[ $(jq .cached <<<"$output") == true ]]
}

@test "failure: manifest or channel file missing" {
    resolve -m none.scm -C $channels_1
    error "senv: cannot read manifest 'none.scm': No such file or directory" "senv: hint: file names are relative to"
    resolve -m $manifests/hello.scm -C none.scm
    error "senv: cannot read channel file 'none.scm': No such file or directory"
}

@test "failure: Scheme error, with file, line and column" {
    resolve -m $manifests/bad-scheme.scm -C $channels_1
    error "senv: cannot resolve '$manifests/bad-scheme.scm' with '$channels_1': $manifests/bad-scheme.scm:" "missing closing parenthesis"
    printf '(specifications->manifest\n (liste "senv-hello"))\n' | file m.scm
    resolve -m m.scm -C $channels_1
    error "m.scm:2:2: liste: unbound variable" '   (liste "senv-hello"))' '    ^' "senv: hint: did you forget"
    echo '42' | file m.scm
    resolve -m m.scm -C $channels_1
    error "m.scm does not return a manifest"
}

@test "failure: what gives no packages" {
    local options wanted
    echo '(specifications->manifest (list "senv-hello"))' | file m.scm
    echo '(use-modules (gnu packages) (guix profiles)) (load "m.scm")' | file manifest.scm
    printf '(list\n  (second)' | file open.scm
    echo '(first)' | file unbound.scm
    echo '42' | file number.scm
    while IFS='|' read -r options wanted; do
        run --separate-stderr a sh -c "senv resolve $options -C $channels_1"
        error "$wanted" || { echo "$options"; return 1; }
    done <<'END'
-f none.scm|senv: cannot read file 'none.scm': No such file or directory
-f number.scm|senv: cannot resolve 'number.scm' with '/srv/channels/channels-1.scm': number.scm is no package and no list of packages
-f manifest.scm|: manifest.scm is a manifest, want a package or a list of packages
-f open.scm|: open.scm:2:11: missing closing parenthesis
-f unbound.scm|: first: unbound variable
-f unbound.scm|senv: hint: did you forget `(use-modules (srfi srfi-1))'
-e 42|senv: cannot resolve expression '42' with '/srv/channels/channels-1.scm': the expression is no package and no list
-e '(list 42)'|: the expression is no package and no list of packages
-e 'hello'|: failed to evaluate expression 'hello': Unbound variable: hello
-e 'hello'|senv: hint: name the module too, as in (@ (gnu packages base) hello)
-e '('|: expression:1:0: unexpected end of input while searching for: )
-D no-such-package|senv: cannot resolve the inputs of 'no-such-package'
-D no-such-package|: no-such-package: unknown package
-L none --packages senv-hello|senv: cannot use modules in 'none': No such file or directory
-L number.scm --packages senv-hello|senv: cannot use modules in 'number.scm': it is no folder
END
}

@test "failure: unknown package, named" {
    resolve -m $manifests/unknown-package.scm -C $channels_1
    error "no-such-package: unknown package" "senv: hint: look for the name with \`guix search\`"
    resolve --packages senv-hello,no-such-package -C $channels_1
    error "senv: cannot resolve packages 'senv-hello,no-such-package'" "no-such-package: unknown package"
    resolve --packages senv-hello,senv-zilb -C $channels_1
    error "senv-zilb: unknown package" "senv: hint: did you mean senv-zlib?"
    resolve --packages senv-hello@7 -C $channels_1
    error "package not found for version 7"
}

@test "failure: no Guix on this host" {
    run --separate-stderr a env PATH=/nowhere /usr/bin/senv resolve --packages senv-hello
    error "senv: cannot resolve packages 'senv-hello': there is no command 'guix' here" "senv: hint: load or install Guix"
}

@test "failure: guix-daemon cannot be reached" {
    run --separate-stderr a env GUIX_DAEMON_SOCKET=/none senv resolve --packages senv-zlib -C $channels_1
    error "failed to connect to \`/none'" "senv: hint: start guix-daemon"
}

@test "failure: channel that nobody authorised signed" {
    resolve -m $manifests/hello.scm -C /srv/channels/channels-unsigned.scm
    error "with '/srv/channels/channels-unsigned.scm': commit" "lacks a signature" "senv: hint: check the channel's"
}

@test "failure: wrong use is exit status 2" {
    run -2 --separate-stderr a senv resolve
    run -2 --separate-stderr a senv resolve --no-such-option
    run -2 --separate-stderr a senv nothing
    run -2 --separate-stderr a senv resolve --packages 'a b'
    run -2 --separate-stderr a senv resolve --json --for-slurm --packages x
    echo 'guiks = 1' | file senv.toml
    run -2 --separate-stderr a senv --config senv.toml resolve --packages x
    [[ $stderr == *"cannot use 'senv.toml': line 1: unknown key 'guiks'"* ]]
}

@test "settings: a remote command, its result kept for an hour" {
    printf '#!/bin/sh\nshift\nexec guix "$@"\n' | file far
    a chmod 755 far
    echo "guix = [\"$here/far\", \"host\"]" | file senv.toml
    run -0 --separate-stderr a senv --config senv.toml resolve -m $manifests/hello.scm -C $channels_1
    local profile=$output
    [[ $stderr == *"senv: warning: the GC root is /home/alice/.cache/senv/roots/"* ]]
    run -0 cluster root login guix gc --list-roots
    says "/home/alice/.cache/senv/roots/${profile##*/}"
    run -0 --separate-stderr a senv --config senv.toml resolve -m $manifests/hello.scm -C $channels_1 --json
    [[ $(jq -r .cached <<<"$output") == true ]]
    alice sh -c 'touch -h -d "2 hours ago" .cache/senv/keys/*'
    run -0 --separate-stderr a senv --config senv.toml resolve -m $manifests/hello.scm -C $channels_1 --json
    [[ $(jq -r .cached <<<"$output") == false ]]
}

@test "settings: limits" {
    echo '(display "x") (sleep 60)' | file m.scm
    echo 'silence_limit = 3' | file senv.toml
    run --separate-stderr a senv --config senv.toml resolve -m m.scm -C $channels_1
    error "cannot resolve 'm.scm' with '$channels_1': it printed nothing for longer than the site allows" "senv: hint:"
    echo 'resolve_limit = 3' | file senv.toml
    run --separate-stderr a senv --config senv.toml resolve -m m.scm -C $channels_1
    error "it took longer than the site allows"
}

@test "show, diff: what Guix says of the same profiles" {
    local one two
    run -0 --separate-stderr a senv lock -m $manifests/hello.scm -C $channels_1 -o one.lock
    resolve -m $manifests/hello.scm -C $channels_1
    works
    one=$output
    run -0 --separate-stderr a senv show --json one.lock
    [[ $(jq -r .store <<<"$output") == /gnu/store ]]
    [[ $(jq .closure.items <<<"$output") -eq $(a guix gc --requisites "$one" | wc -l) ]]
    [[ $(jq -r '.packages[] | [.name, .version, .output, .item] | @tsv' <<<"$output" | sort) == \
        "$(a guix package -p "$one" -I | tr -d ' ' | sort)" ]]
    [[ $(jq -r '.variables[] | select(.separator) | "export \(.name)=\"\(.value)${\(.name):+\(.separator)}$\(.name)\""' <<<"$output") == \
        "$(a guix time-machine -C $channels_1 -- shell -m $manifests/hello.scm --search-paths)" ]]
    # The root that keeps it is a link to the profile, of which no lock is known.
    local shown=$output
    run -0 --separate-stderr a senv show --json "/var/guix/profiles/per-user/alice/senv/${one##*/}"
    [[ $(jq -c '[.profile, .packages, .variables, .channels]' <<<"$output") == "$(jq -c '[.profile, .packages, .variables, null]' <<<"$shown")" ]]

    resolve -m $manifests/hello.scm -C $channels_2
    works
    two=$output
    run -0 --separate-stderr a senv diff one.lock "$one"
    [[ -z $output$stderr ]]
    run -1 --separate-stderr a senv diff "$one" "$two"
    [[ -z $stderr ]]
    says "- $one" "+ $two"
    grep -qxE 'package +changed +senv-hello +1\.0 -> 2\.0' <<<"$output"
    run -0 --separate-stderr a senv lock -m $manifests/hello.scm -C $channels_2 -o two.lock
    run -1 --separate-stderr a senv diff --json one.lock two.lock
    [[ $(jq -c '[.packages.changed[].from.name, .channels.changed[].from.name]' <<<"$output") == *'"senv-hello"'*'"senv-test"'* ]]
    # Manifests are resolved.
    a cp $manifests/hello.scm mine.scm
    run -0 --separate-stderr a senv diff one.lock mine.scm -C $channels_1
    [[ -z $output ]]
    run -1 --separate-stderr a senv diff two.lock mine.scm -C $channels_1
    says "- $two" "+ $one  mine.scm (" "senv-hello  2.0 -> 1.0"
}

@test "the environment: what changes a manifest's meaning does not reach Guix" {
    echo '(for-each (lambda (name) (when (getenv name) (error name)))
            (list "GUIX_BUILD_OPTIONS" "GUIX_EXTENSIONS_PATH" "GUIX_PULL_URL" "GUILE_LOAD_COMPILED_PATH"
                  "GUIX_ENVIRONMENT" "GUIX_PROFILE"))
          (unless (getenv "KEPT") (error "KEPT"))
          (specifications->manifest (list "senv-hello"))' | file m.scm
    run -0 --separate-stderr a env GUIX_BUILD_OPTIONS=--bogus GUIX_EXTENSIONS_PATH=/x GUIX_PULL_URL=/x GUILE_LOAD_PATH=/x \
        GUILE_LOAD_COMPILED_PATH=/x GUIX_ENVIRONMENT=/x GUIX_PROFILE=/x KEPT=1 LC_ALL=de_DE.UTF-8 \
        senv resolve -m m.scm -C $channels_1
    quiet
    run -0 --separate-stderr a env GUIX_PACKAGE_PATH=/none senv resolve -v --packages senv-hello -C $channels_1
    [[ $stderr == *"resolved each time: GUIX_PACKAGE_PATH is set"* ]]
}
