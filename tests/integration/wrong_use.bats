#!/usr/bin/env bats
# What people, scripts and attackers give to senv by mistake or on purpose: each ends soon, with one message, prints nothing
# on stdout, and starts no Guix. One row = exit status | what stands behind `senv` | how the message begins behind "senv: ".
load helpers

setup() {
    [[ -x $build/provisioner/cli/senv ]] || { echo "build senv first: $build" >&2; return 1; }
    unset XDG_CACHE_HOME GUIX_DAEMON_SOCKET GUIX_PACKAGE_PATH
    root=$(mktemp -d "${TMPDIR:-/tmp}/senv-test.XXXXXX")
    export HOME=$root USER=ada GUIX_STATE_DIRECTORY=$root/guix PATH=$root/bin:$PATH
    cd "$root"
    as_user=()
    if [[ $(id -u) -eq 0 ]]; then    # root can read all files
        as_user=(setpriv --reuid 64001 --regid 64001 --clear-groups)
        chown 64001:64001 .
    fi
    mkdir bin folder
    printf '#!/bin/sh\necho "$*" >>%q\n' "$root/guix-was-called" >bin/guix
    chmod 755 bin/guix
    echo '(specifications->manifest (list "senv-hello"))' >m.scm
    cp "$checkout/tests/golden/lock/hello.lock" good.lock
    long=$(printf '%0130000d' 0)    # the longest that the kernel passes on
    transformations=$(printf 'a=%s ' {1..101})
    names=$(printf 'x,%.0s' {1..1001})
    many() { printf -- "$1 %.0s" {1..17}; }
}

teardown() {
    chmod -R u+w "$root"
    rm -r "$root"
}

refused() {    # EXIT-STATUS COMMAND-LINE MESSAGE
    local begin=$SECONDS words
    eval "words=($2)"
    status=0
    "${as_user[@]}" timeout 10 "$build/provisioner/cli/senv" "${words[@]}" >out 2>err </dev/null || status=$?
    [[ $status -eq $1 && ! -s out && $(<err) == "senv: $3"* && $(wc -c <err) -lt 1500 && ! -e guix-was-called ]] &&
        ((SECONDS - begin <= 5)) ||
        { printf '%.200s\nexit status %s, after %s s\n' "$2" "$status" $((SECONDS - begin)); head -c 2000 err out; rm -f guix-was-called; return 1; }
}

refuses_all() {    # rows on stdin
    local status line message failed=0
    while IFS='|' read -r status line message; do
        refused "$status" "$line" "$message" || failed=1
    done
    ((failed == 0))
}

@test "command lines that make no sense" {
    refuses_all <<'END'
2||cannot use this command line: a subcommand is required
2|resolv|cannot use 'resolv': there is no such command
2|resolve --manifes m.scm|cannot use '--manifes': senv resolve has no such option
2|resolve m.scm|cannot use this command line: the following argument was not expected: m.scm
2|resolve -m|cannot use this command line: --manifest: 1 required FILE missing
2|resolve -m m.scm --refresh=perhaps|cannot use this command line:
2|resolve -m m.scm --json --for-slurm|cannot use this command line: --json excludes --for-slurm
2|resolve -m m.scm --source x|cannot use this command line: --source requires --for-slurm
2|resolve -C a.scm -C b.scm -m m.scm|cannot use this command line:
2|lock --lock good.lock|cannot use '--lock': senv lock has no such option
2|run --lok x -- y|cannot use '--lok': senv run has no such option
2|resolve -qx|cannot use '-x': senv resolve has no such option
2|show|cannot use this command line: FILE|PROFILE|JOBID is required
2|show good.lock good.lock|cannot use this command line:
2|diff good.lock|cannot use this command line: TO is required
1|run -p /gnu/store/88888888888888888888888888888888-profile --socket none -- ''|cannot enter '/gnu/store/8888
2|config all|cannot use this command line:
2|resolve $'--a\nb\e[2J'|cannot use '--a\x0ab\x1b[2J': senv resolve has no such option
2|"$long"|cannot use '000
2|--config|cannot use this command line:
2|--confi x config|cannot use '--confi': senv has no such option
2|config --config x|cannot use '--config': senv config has no such option
2|$'\e[2J'|cannot use '\x1b[2J': there is no such command
END
}

@test "command lines that make no sense: the closest is named" {
    run -2 senv resolv
    says "hint: did you mean resolve?"
    run -2 senv run --lok x -- y
    says "hint: did you mean --lock?"
    run -2 senv run -m m.scm ls -l
    says "cannot use '-l': it stands after the command 'ls'" "hint: put -- in front of a command with options of its own"
    for option in --version --help -v --pure '-m x'; do
        run -2 senv run -m m.scm prog x $option
        says "cannot use '${option% x}': it stands after the command 'prog'" "hint: put -- in front"
    done
    run -2 senv show --config x good.lock
    says "hint: put it in front of the command: senv --config"
    run -2 senv show --nothing-like-it good.lock
    says "hint: see \`senv show --help\`"
}

@test "what does not go together, and values that are empty" {
    refuses_all <<'END'
2|resolve|cannot resolve nothing: no manifest and no package is given
2|lock|cannot resolve nothing: no manifest and no package is given
2|resolve --lock good.lock --profile p|cannot use --lock together with --profile
2|resolve --lock good.lock -m m.scm|cannot use --lock together with --manifest
2|resolve --lock good.lock --packages a|cannot use --lock together with --packages
2|resolve --lock good.lock -D a|cannot use --lock together with --development
2|resolve --lock good.lock -f m.scm|cannot use --lock together with --file
2|resolve --lock good.lock -e 1|cannot use --lock together with --expression
2|resolve --lock good.lock -C m.scm|cannot use --lock together with --channels
2|resolve --lock good.lock -L .|cannot use --lock together with --load-path
2|resolve --lock good.lock --transform a=b|cannot use --lock together with --transform
2|resolve --lock good.lock --tune x|cannot use --lock together with --tune
2|resolve --lock good.lock --amd-gpu x|cannot use --lock together with --amd-gpu
2|resolve --lock good.lock --refresh|cannot use --lock together with --refresh
2|resolve -p p -m m.scm|cannot use --profile together with --manifest
2|resolve -p p --packages a|cannot use --profile together with --packages
2|resolve -p p -D a|cannot use --profile together with --development
2|resolve -p p -f m.scm|cannot use --profile together with --file
2|resolve -p p -e 1|cannot use --profile together with --expression
2|resolve -p p -C m.scm|cannot use --profile together with --channels
2|resolve -p p -L .|cannot use --profile together with --load-path
2|resolve -p p --transform a=b|cannot use --profile together with --transform
2|resolve -p p --tune x|cannot use --profile together with --tune
2|resolve -p p --amd-gpu x|cannot use --profile together with --amd-gpu
2|resolve -p p --refresh|cannot use --profile together with --refresh
2|resolve -C m.scm|cannot use --channels alone
2|resolve -L .|cannot use --load-path alone
2|resolve --transform a=b|cannot use --transform alone
2|resolve --tune x|cannot use --tune alone
2|resolve --amd-gpu x|cannot use --amd-gpu alone
2|resolve --refresh|cannot use --refresh alone
2|resolve -m ''|cannot use --manifest without a value
2|resolve --manifest= -- m.scm|cannot use --manifest without a value
2|run -p p --preserve= env|cannot use --preserve without a value
2|run -p p --socket= -- env|cannot use --socket without a value
2|show --socket= good.lock|cannot use --socket without a value
2|show --json= good.lock|cannot use --json without a value
2|--config= config|cannot use --config without a value
2|resolve -m m.scm -m ''|cannot use --manifest without a value
2|resolve --packages ''|cannot use --packages without a value
2|resolve --packages a,,b|cannot use package '': want NAME
2|resolve -D a,|cannot use package '': want NAME
2|resolve -D ''|cannot use --development without a value
2|resolve -f ''|cannot use --file without a value
2|resolve -e ''|cannot use --expression without a value
2|resolve -m m.scm -L ''|cannot use --load-path without a value
2|resolve -m m.scm -C ''|cannot use --channels without a value
2|resolve -m m.scm --transform ' '|cannot use --transform without a value
2|resolve -m m.scm --tune auto|cannot use --tune=auto: no partition and no constraint is named
2|resolve -m m.scm --tune ''|cannot use --tune without a value
2|resolve -m m.scm --amd-gpu ''|cannot use --amd-gpu without a value
2|resolve --lock ''|cannot use --lock without a value
2|resolve -p ''|cannot use --profile without a value
2|lock -m m.scm -o ''|cannot use --output without a value
1|show ''|cannot open ''
2|diff '' ''|cannot open ''
END
}

@test "values with odd bytes, without end, or too many" {
    refuses_all <<'END'
2|resolve --packages 'a b'|cannot use package 'a b': want NAME, NAME@VERSION or NAME:OUTPUT
2|resolve --packages $'a\nb'|cannot use package 'a\x0ab'
2|resolve --packages $'a\e[2Jb'|cannot use package 'a\x1b[2Jb'
2|resolve --packages $'\xff\xfe'|cannot use package '\xff\xfe'
2|resolve --packages 'a"b'|cannot use package 'a"b'
2|resolve --packages "$long"|cannot use package '000
2|resolve --packages "${names}x"|cannot use more than 1000 packages
2|resolve -D $'a\tb'|cannot use package 'a\x09b'
2|resolve -e "$long"|cannot use expression '000
2|resolve -e $'(\x01)'|cannot use expression '(\x01)': it is not all UTF-8 text
2|resolve -e $'\xc3('|cannot use expression '\xc3(': it is not all UTF-8 text
2|resolve -m m.scm --transform '--with-input=a=b'|cannot use transformation '--with-input=a=b'
2|resolve -m m.scm --transform $'with-input=a\nb=c'|cannot use transformation 'with-input=a\x0ab=c'
2|resolve -m m.scm --transform "$long"|cannot use transformation '000
2|resolve -m m.scm --transform "$transformations"|cannot use more than 100 transformations
2|resolve -m m.scm --tune "$long"|cannot use transformation 'tune=000
2|resolve -m m.scm --amd-gpu $'\x7f'|cannot use transformation 'amd-gpu=\x7f'
2|resolve $(many '-m m.scm')|cannot use more than 16 manifests
2|resolve $(many '-f m.scm')|cannot use more than 16 files
2|resolve $(many '-e 1')|cannot use more than 16 expressions
2|resolve -m m.scm $(many '-L .')|cannot use more than 16 folders with modules
1|resolve -m "$long"|cannot read manifest '000
1|resolve --lock "$long"|cannot read lock '000
1|resolve -p "$long"|cannot use profile '000
1|resolve -m m.scm -L "$long"|cannot use modules in '000
1|resolve -m $'a\nb'|cannot read manifest 'a\x0ab': No such file or directory
1|resolve --lock $'\e[31m'|cannot read lock '\x1b[31m': No such file or directory
1|show "$long"|cannot use '000
1|show $'a\nb\e[2J'|cannot open 'a\x0ab\x1b[2J': No such file or directory
2|diff $'\e[2J' x|cannot open '\x1b[2J': No such file or directory
1|resolve -p $'\e[2J'|cannot use profile '\x1b[2J': cannot follow it: No such file or directory
END
}

@test "files that are none, cannot be read, have no end, or are too large" {
    mkfifo pipe
    : >empty
    head -c 3000 /dev/urandom | tr -d '[{' >binary    # whose depth is another complaint
    head -c 2000000 /dev/zero | tr '\0' ' ' >large.scm
    truncate -s 100M large.lock
    ln -s b a
    ln -s a b
    ln -s nowhere broken
    cp m.scm closed.scm
    chmod 0 closed.scm
    mkdir closed
    chmod 0 closed
    refuses_all <<'END'
1|resolve -m none.scm|cannot read manifest 'none.scm': No such file or directory
1|resolve -m m.scm/none|cannot read manifest 'm.scm/none': Not a directory
1|resolve -m folder|cannot read manifest 'folder': Is a directory
1|resolve -m closed.scm|cannot read manifest 'closed.scm': Permission denied
1|resolve -m closed/m.scm|cannot read manifest 'closed/m.scm': Permission denied
1|resolve -m broken|cannot read manifest 'broken': No such file or directory
1|resolve -m a|cannot read manifest 'a': Too many levels of symbolic links
1|resolve -m pipe|cannot read manifest 'pipe': nobody writes into this named pipe
1|resolve -m /dev/zero|cannot read manifest '/dev/zero': it has more than 1048576 bytes
1|resolve -m large.scm|cannot read manifest 'large.scm': it has more than 1048576 bytes
1|resolve -f folder|cannot read file 'folder': Is a directory
1|resolve -f /dev/zero|cannot read file '/dev/zero': it has more than 1048576 bytes
1|resolve -m m.scm -C folder|cannot read channel file 'folder': Is a directory
1|resolve -m m.scm -C closed.scm|cannot read channel file 'closed.scm': Permission denied
1|resolve -m m.scm -L m.scm|cannot use modules in 'm.scm': it is no folder
1|resolve -m m.scm -L pipe|cannot use modules in 'pipe': it is no folder
1|resolve -m m.scm -L closed/x|cannot use modules in 'closed/x': Permission denied
1|resolve -p a|cannot use profile 'a': it leads over more than 40 links
1|resolve -p pipe|cannot use profile 'pipe':
1|resolve -p folder|cannot use profile 'folder':
1|resolve -p /gnu/store|cannot use profile '/gnu/store':
1|resolve -p /gnu/store/x|cannot use profile '/gnu/store/x':
1|resolve -p /gnu/store/qw85j4ybkj65m9i9ywaypz6a1x094fnc-profile/bin|cannot use profile
1|resolve --lock folder|cannot read lock 'folder': Is a directory
1|resolve --lock pipe|cannot read lock 'pipe': nobody writes into this named pipe
1|resolve --lock closed.scm|cannot read lock 'closed.scm': Permission denied
1|resolve --lock /dev/zero|cannot read lock '/dev/zero': it has more than 67108864 bytes
1|resolve --lock large.lock|cannot read lock 'large.lock': it has more than 67108864 bytes
2|resolve --lock m.scm|cannot use 'm.scm' as lock: it is a manifest
2|resolve -m good.lock|cannot use 'good.lock' as manifest: it is a lock
2|resolve -m m.scm -C good.lock|cannot use 'good.lock' as channel file: it is a lock
2|lock -f good.lock|cannot use 'good.lock' as file: it is a lock
1|resolve --lock binary|cannot use the lock 'binary': it is not JSON
1|resolve --lock empty|cannot use the lock 'empty': it is not JSON
1|show pipe|cannot read 'pipe': nobody writes into this named pipe
1|show /dev/zero|cannot read '/dev/zero': it has more than 67108864 bytes
1|show folder|cannot read 'folder': Is a directory
1|show binary|cannot use the lock 'binary': it is not JSON
1|show a|cannot use 'a': it leads over more than 40 links
1|show /gnu/store/./..x|cannot use '/gnu/store/./..x':
2|diff good.lock binary|cannot use the lock 'binary': it is not JSON
1|--config folder config|cannot read 'folder': Is a directory
1|--config pipe resolve -m m.scm|cannot read 'pipe': nobody writes into this named pipe
1|--config /dev/zero config|cannot read '/dev/zero': it has more than
2|--config binary resolve -m m.scm|cannot use 'binary': line
2|--config m.scm config|cannot use 'm.scm': line 1:
2|config --senvd-config m.scm|cannot use 'm.scm': line 1:
1|export folder out|cannot read 'folder': Is a directory
END
    # Somebody comes to write, or takes his time.
    timeout 20 bash -c 'sleep 0.5; echo "(" >pipe' 3>&- &
    refused 1 "resolve -m pipe -C none" "cannot read channel file 'none': No such file or directory"
    # By whoever runs this test: nobody else may open that pipe. Root reads nothing in a directory of others.
    run -1 "$build/provisioner/cli/senv" resolve -m <(sleep 2.5; echo x) -C /usr/none
    [[ $output == "senv: cannot read channel file '/usr/none': No such file or directory"* ]]
    wait
}

lock() { jq "$2" good.lock >"$1.lock"; }

@test "locks that are cut, forged or from another time" {
    local at
    for at in 1 500 2000 4000; do head -c "$at" good.lock >"cut-$at.lock"; done
    lock version '."senv-lock" = 2'
    lock version-text '."senv-lock" = "1"'
    lock no-version 'del(."senv-lock")'
    lock profile '.profile = "/etc/passwd"'
    lock profile-up '.profile = "/gnu/store/../../etc"'
    lock other '.profile = "/gnu/store/88888888888888888888888888888888-profile"'
    lock number '.profile = 1'
    lock system '.system = "x86_64\n-linux"'
    lock manifests '.manifests = "text"'
    lock manifests-1 '.manifests = [1]'
    lock packages '.packages = {}'
    lock development 'del(.development)'
    lock files '.files = null'
    lock expressions '.expressions = [null]'
    lock load-path '."load-path" = -1'
    lock transformations '.transformations = "a=b"'
    lock channel-file '."channel-file" = 1'
    lock channels '.channels = null'
    lock channel-name '.channels[0].name = "a b"'
    lock channel-commit '.channels[0].commit = "HEAD"'
    lock channel-url '.channels[0].url = 1'
    lock introduction '.channels[0].introduction = 1'
    lock signer '.channels[0].introduction = {"commit": "x"}'
    lock guix '.guix = "1.5.0"'
    lock guix-version '.guix = {}'
    lock closure '.closure = []'
    lock closure-text '.closure = ["x"]'
    lock path '.closure[0].path = "/gnu/store/x"'
    lock hash '.closure[0].hash = "sha256:0"'
    lock size '.closure[0].size = -1'
    lock size-real '.closure[0].size = 1.5'
    lock references '.closure[0].references = ["/etc"]'
    lock lacking '.closure[0].references = ["/gnu/store/88888888888888888888888888888888-x"]'
    lock twice '.closure += [.closure[0]]'
    sed 's/^ "system"/ "profile": "\/gnu\/store\/88888888888888888888888888888888-profile",\n&/' good.lock >key.lock
    sed 's/^   "size"/   "size": 1,\n&/' good.lock >key-inside.lock
    head -c 60000000 /dev/zero | tr '\0' '[' >deep.lock
    { printf '['; head -c 60000000 /dev/zero | tr '\0' ','; } >values.lock
    awk 'BEGIN { printf "{"; for (i = 0; i < 300000; ++i) printf "\"%d\":0,", i; print "\"x\":0}" }' >keys.lock
    { cat good.lock; echo '{}'; } >behind.lock
    printf '\xef\xbb\xbf\xff' >bytes.lock
    printf '{"senv-lock": 1, "profile": "\xff\xfe"}' >latin.lock
    local rows
    rows=$(cat <<'END'
cut-1|it is not JSON, or not all of it
cut-500|it is not JSON, or not all of it
cut-2000|it is not JSON, or not all of it
cut-4000|it is not JSON, or not all of it
version|its version is 2, this senv reads version 1
version-text|the lock: 'senv-lock' has the wrong type
no-version|the lock: 'senv-lock' is missing
profile|cannot use store path '/etc/passwd'
profile-up|cannot use store item '../../etc'
other|the lock: the closure does not hold the profile
number|the lock: 'profile' has the wrong type
system|the lock: bad system 'x86_64\x0a-linux'
manifests|the lock: 'manifests' has the wrong type
manifests-1|the lock: 'manifests' holds something else than text
packages|the lock: 'packages' has the wrong type
development|the lock: 'development' is missing
files|the lock: 'files' has the wrong type
expressions|the lock: 'expressions' holds something else than text
load-path|the lock: 'load-path' has the wrong type
transformations|the lock: 'transformations' has the wrong type
channel-file|the lock: 'channel-file' has the wrong type
channels|the lock: 'channels' has the wrong type
channel-name|channel: bad name or commit 'a b@
channel-commit|channel: bad name or commit
channel-url|channel: 'url' has the wrong type
introduction|channel: 'introduction' has the wrong type
signer|introduction: 'signer' is missing
guix|the lock: 'guix' has the wrong type
guix-version|guix: 'version' is missing
closure|the lock: the closure does not hold the profile
closure-text|closure: want an object
path|cannot use store item 'x'
hash|want 52 nix-base32 characters
size|closure: 'size' has the wrong type
size-real|closure: 'size' has the wrong type
references|cannot use store path '/etc'
lacking|the lock: the closure lacks '88888888888888888888888888888888-x'
twice|the lock: the closure holds '
key|a key stands twice in one of its objects
key-inside|a key stands twice in one of its objects
deep|it has more than 16 levels inside each other
values|it has more than 2000000 values
keys|the lock: 'senv-lock' is missing
behind|it is not JSON, or not all of it
bytes|it is not JSON, or not all of it
latin|it is not JSON, or not all of it
END
)
    sed "s/^\([^|]*\)|/1|resolve --lock \1.lock|cannot use the lock '\1.lock': /" <<<"$rows" | refuses_all
    # The same reader: a row each.
    refused 1 "show deep.lock" "cannot use the lock 'deep.lock': it has more than 16 levels"
    refused 2 "diff good.lock twice.lock" "cannot use the lock 'twice.lock': the lock: the closure holds '"
    refused 1 "export version.lock out" "cannot use the lock 'version.lock': its version is 2"
}

@test "a current folder that is gone" {
    mkdir gone
    cd gone
    rmdir ../gone
    local senv=$build/provisioner/cli/senv
    run -1 "$senv" resolve -m x.scm
    [[ $output == "senv: cannot read manifest 'x.scm': No such file or directory
senv: hint: file names are relative to the current directory, which is not there any more" ]]
    run -1 "$senv" resolve -m ../m.scm
    [[ $output == "senv: cannot read manifest '../m.scm': cannot find the current folder: No such file or directory"* ]]
    run -1 "$senv" resolve -L . --packages a
    [[ $output == "senv: cannot use modules in '.': cannot find the current folder: No such file or directory"* ]]
    cd "$root"
}

@test "where a module puts older libraries in front, and where stdin, stdout and stderr are closed, senv works all the same" {
    local library closed
    mkdir old
    for library in libstdc++.so.6 libcurl.so.4 libarchive.so.13 libcrypto.so.3; do
        cc -shared -o old/$library -Wl,-soname,$library -xc /dev/null
    done
    run -0 env LD_LIBRARY_PATH="$root/old" "$build/provisioner/cli/senv" show good.lock
    says "senv-hello"
    # A file that senv opens must not take the place of what is closed.
    run -0 bash -c '"$0" show good.lock <&-' "$build/provisioner/cli/senv"
    says "senv-hello"
    for closed in '>&-' '<&- >&-' '<&- >&- 2>&-'; do
        run -1 bash -c "'$build/provisioner/cli/senv' show good.lock $closed"
        [[ $output == "" || $output == "senv: cannot write the result: "*"Bad file descriptor" ]]
    done
    cmp good.lock "$checkout/tests/golden/lock/hello.lock"
}
