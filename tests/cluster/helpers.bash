# helpers.bash: what the .bats files of this folder share. Each file has one cluster of its own name.

cluster() { "$BATS_TEST_DIRNAME/cluster" "$@"; }
alice() { cluster exec "$@"; }

# start_cluster NAME ARGUMENT…: the cluster of this file, with senv from $SENV_INSTALL (tests/run makes it).
start_cluster() {
    export SENV_CLUSTER=$1
    shift
    [[ -n ${SENV_INSTALL-} ]] || { echo "set SENV_INSTALL to an install tree, as tests/run does" >&2; return 1; }
    cluster start --install "$SENV_INSTALL" "$@" >&2
}

# restore: after a test that failed, for the sake of those that follow: what tests of this folder change on the hosts is as
# start_cluster left it. In teardown: passed || restore.
restore() {
    local node pid
    alice scancel -u alice
    cluster root login pkill -9 -u alice || true    # on all hosts: they share one pid namespace
    cluster root login sh -c '[ ! -e /usr/bin/guix.away ] || mv /usr/bin/guix.away /usr/bin/guix
        rm -f /etc/guix-publish.options'
    if pid=$(cluster service login guix-publish pid 2>/dev/null); then
        cluster root login kill -CONT "$pid"
    else
        cluster service login guix-publish start
    fi
    for node in $(nodes); do
        cluster root "$node" sh -c '[ ! -e /gnu/elsewhere ] || { rm -rf /gnu/store; mv /gnu/elsewhere /gnu/store; }
            ! mountpoint -q /mnt/auto || umount -l /mnt/auto'
    done
    # plugstack.conf, senvd.toml and the acl; senvd and slurmd are restarted.
    cluster install "$SENV_INSTALL"
}
passed() { [[ -n ${BATS_TEST_COMPLETED-} ]]; }

# The series of the cluster's Slurm as a number: 2205 for 22.05.8. tests/matrix runs others than this machine's.
series() { alice srun --version | sed -E 's/.* ([0-9]+)\.([0-9]+)\..*/\1\2/'; }

# Debian's Slurm 26.05 has no pmix plugin.
needs_pmix() { [[ $(alice srun --mpi=list 2>&1) == *pmix* ]] || skip "this Slurm has no pmix plugin"; }

# put FILE [NAME]: a file of the checkout into alice's home.
put() { alice tee "${2:-${1##*/}}" >/dev/null <"$1"; }
manifests() { echo "$BATS_TEST_DIRNAME/../guix/manifests"; }

# How often the substitute server was asked, by its own log.
requests() { cluster log login guix-publish | grep -c 'GET /' || true; }

# How often guix was started on the login host: a wrapper in front of it notes every call.
count_guix_starts() {
    cluster root login sh -c 'mv /usr/bin/guix /usr/bin/guix.real &&
        printf "#!/bin/sh\necho \"\$*\" >>/var/log/guix-starts\nexec /usr/bin/guix.real \"\$@\"\n" >/usr/bin/guix &&
        chmod 755 /usr/bin/guix && : >/var/log/guix-starts && chmod 666 /var/log/guix-starts'
}
guix_starts() { cluster root login sh -c 'wc -l </var/log/guix-starts'; }

# The compute nodes, one a line; fails where Slurm does not say.
nodes() {
    local all
    all=$(alice sinfo -h -N -o %N) && [[ -n $all ]] || { echo "sinfo names no nodes" >&2; return 1; }
    sort -u <<<"$all"
}

# empty_node NODE: as if no job had ever run there.
empty_node() {
    cluster service "$1" senvd stop
    cluster root "$1" sh -c 'chmod -R u+w /var/lib/senv && find /var/lib/senv -mindepth 1 -delete'
    cluster service "$1" senvd start
}

store_of() { cluster root "$1" ls -A /var/lib/senv/store; }

# leftovers NODE: prints what a finished job must not leave: a process that has the node's store mounted (the node itself
# included), waiting processes, steps, held leases, staging files. A lease's file may stay until senvd sweeps it: what
# counts is that nobody holds it. All hosts share one pid namespace, so processes are those of the whole cluster.
leftovers() {
    cluster root "$1" bash -c '
        grep -lE "/store /gnu/store ro" /proc/[0-9]*/mountinfo 2>/dev/null
        pgrep -l "^senv-wait"
        pgrep -l slurmstepd
        for lease in /run/senv/leases/*; do
            [[ -e $lease ]] || continue
            flock --nonblock "$lease" true || echo "held: $lease"
        done
        ls -A /var/lib/senv/staging
        true' 2>&1
}

# Waits up to 60 s, since a step ends for srun before its last process is gone on the node.
assert_nothing_left() {
    local all node left limit
    all=$(nodes) || return 1
    for node in $all; do
        limit=$((SECONDS + 60))
        until left=$(leftovers "$node") && [[ -z $left ]]; do
            ((SECONDS < limit)) || { echo "left on $node: $left"; return 1; }
            sleep 0.2
        done
    done
}

assert_no_drain() {
    local states drained
    states=$(alice sinfo -h -N -o '%N %T %E') && [[ -n $states ]] || { echo "sinfo names no nodes"; return 1; }
    drained=$(grep -vE ' (idle|mixed|allocated|completing) ' <<<"$states" || true)
    [[ -z $drained ]] || { echo "drained: $drained"; return 1; }
}

# assert_stores_are_sound: every node has items, and each of them is, byte for byte, what was signed.
assert_stores_are_sound() {
    local all node checked checkout=$BATS_TEST_DIRNAME/../..
    all=$(nodes) || return 1
    for node in $all; do
        checked=$("$checkout/tests/support/check_store.py" --tools "${SENV_BUILD:-$checkout/build/dev}/tests/support" \
            "$(cluster path "$node" /var/lib/senv)") && [[ $checked -gt 0 ]] || { echo "$node: $checked"; return 1; }
    done
}

# ranks_are_in_the_store COUNT: $output tells of so many ranks of pingpong, and each has mapped an MPI library, and MPI and
# PMIx libraries from /gnu/store only.
ranks_are_in_the_store() {
    local ranks
    ranks=$(sed -n 's/^rank .*, libmpi //p' <<<"$output")
    [[ $(grep -cE '(^| )/gnu/store/[^ ]*/libmpi(ch)?\.so' <<<"$ranks") -eq $1 && $(wc -l <<<"$ranks") -eq $1 ]] &&
        [[ -z $(tr ' ' '\n' <<<"$ranks" | grep -v '^/gnu/store/') ]] ||
        { printf 'not %s ranks with libraries of the store:\n%s\n' "$1" "$output"; return 1; }
}

# says TEXT…: $output of the last `run` holds each of them.
says() {
    local text
    for text in "$@"; do
        [[ $output == *"$text"* ]] || { printf 'missing: %s\n--- output:\n%s\n' "$text" "$output"; return 1; }
    done
}

# says_once TEXT: exactly one line of $output holds it.
says_once() {
    local count
    count=$(grep -cF -- "$1" <<<"$output" || true)
    [[ $count -eq 1 ]] || { printf '%s times: %s\n--- output:\n%s\n' "$count" "$1" "$output"; return 1; }
}

fails() { [[ $status -ne 0 ]] || { printf 'exit status 0\n--- output:\n%s\n' "$output"; return 1; }; }
works() { [[ $status -eq 0 ]] || { printf 'exit status %s\n--- output:\n%s\n' "$status" "$output"; return 1; }; }
