#!/usr/bin/env bats
# The test cluster itself: plain Slurm, no senv. Needs root; takes about half a minute.
bats_require_minimum_version 1.5.0

cluster() { "$cluster" "$@"; }
# For background commands: `cluster … &` would make $! the shell that runs the function, and kill would hit that.
cluster=$BATS_TEST_DIRNAME/cluster

# until_process HOST PATTERN, until_no_process HOST PATTERN: waits, at most 60 s
until_process() { timeout 60 bash -c 'until "$@" >/dev/null; do sleep 0.05; done' _ "$cluster" root "$1" pgrep -f "$2"; }
until_no_process() { timeout 60 bash -c 'while "$@" >/dev/null; do sleep 0.05; done' _ "$cluster" root "$1" pgrep -f "$2"; }

state() { echo "${SENV_CLUSTER_DIR:-/var/tmp/senv-cluster}/$SENV_CLUSTER"; }

setup_file() {
    export SENV_CLUSTER=cluster-bats
    cluster start --no-guix
}

teardown_file() {
    cluster stop
}

# A test that starts a cluster of its own, with other options, names it; teardown stops it.
own_cluster() {
    SENV_CLUSTER=cluster-bats-own
    cluster start --no-guix "$@"
}

teardown() {
    SENV_CLUSTER=cluster-bats-own cluster stop
}

needs_cgroups() {
    if compgen -G '/sys/fs/cgroup/*/slurm_n*' >/dev/null; then skip "another cluster uses the cgroups slurm_n*"; fi
}

# All that a cluster could leave on the machine. Other tests may run at the same time, so only what is ours, except for
# network links: nobody's cluster may make any.
traces() {
    local namespace=$1 link
    for link in /proc/[0-9]*/ns/pid; do
        [[ $(readlink "$link" 2>/dev/null) != "$namespace" ]] || echo "process ${link//[^0-9]/}"
    done
    { cat /proc/[0-9]*/mountinfo 2>/dev/null || true; } | { grep -F "$(state)/" || true; } | sort -u
    pgrep -af "senv-cluster.*$(state)( |\$)" || true
    [[ ! -e $(state) ]] || state
    ls /sys/class/net
}

pid_namespace() { readlink "/proc/$(cut -d' ' -f1 "$(state)/init")/ns/pid"; }

@test "start returns when all nodes are idle" {
    run -0 cluster root login sinfo -hN -o '%N %T'
    [[ $output == $'n1 idle\nn2 idle' ]]
}

@test "srun -N2 hostname: one line from each node" {
    run -0 cluster exec srun -N2 hostname
    [[ $(sort <<<"$output") == $'n1\nn2' ]]
}

@test "sbatch: the script runs on a node, its output is in the shared home" {
    run -0 cluster exec bash -c 'printf "#!/bin/bash\nsrun -N2 -n2 hostname | sort | xargs\n" >job.sh && sbatch -W --parsable -N2 -o job.out job.sh'
    [[ $output =~ ^[0-9]+$ ]]
    run -0 cluster exec cat job.out
    [[ $output == "n1 n2" ]]
}

@test "exec: the ordinary user, her home, a fresh environment" {
    LEAKED=yes run -0 cluster exec bash -c 'id -un; id -u; pwd; echo "${LEAKED-none}"'
    [[ $output == $'alice\n2001\n/home/alice\nnone' ]]
    run -0 cluster exec --cwd /tmp pwd
    [[ $output == /tmp ]]
}

@test "as, root: another user and host" {
    run -0 cluster as bob n2 bash -c 'id -un; hostname'
    [[ $output == $'bob\nn2' ]]
    run -0 cluster root n1 id -u
    [[ $output == 0 ]]
}

@test "exec: stdin, stdout, stderr and exit status pass through" {
    run -3 --separate-stderr cluster exec bash -c 'cat; echo err >&2; exit 3' <<<"in"
    [[ $output == in && $stderr == err ]]
    run -137 cluster exec bash -c 'kill -9 $$'
    run -5 cluster exec srun bash -c 'exit 5'
}

@test "exec: SIGTERM and SIGINT reach the command, also from a background command" {
    local signal pid status
    for signal in TERM INT; do
        "$cluster" exec bash -c "trap 'echo got $signal; exit 3' $signal; echo ready; while :; do sleep 0.05; done" \
            >"$BATS_TEST_TMPDIR/out" 3>&- &
        pid=$!
        timeout 60 bash -c 'until grep -q ready "$0"; do sleep 0.05; done' "$BATS_TEST_TMPDIR/out"
        kill -"$signal" "$pid"
        status=0
        wait "$pid" || status=$?
        [[ $status == 3 ]]
        grep -qx "got $signal" "$BATS_TEST_TMPDIR/out"
    done
}

@test "exec: a tty passes through, and Ctrl-C arrives once" {
    run -0 script -qec "$cluster exec tty" /dev/null
    [[ $output == /dev/pts/* ]]
    # Perl, for nothing but it can be hit: bash starts a process for each sleep, which Ctrl-C reaches as well.
    cat >"$(cluster path login /home/alice)/count.pl" <<'END'
$| = 1;
my $n = 0;
$SIG{INT} = sub { $n++ };
print "ready\n";
for (my $i = 0; $n == 0 && $i < 600; $i++) { select undef, undef, undef, 0.1 }
select undef, undef, undef, 1;    # a second one would come at once
print "interrupted $n\n";
END
    # script(1) ends its command when its stdin ends. With exec no shell is left, whichever $SHELL is, to be hit by
    # Ctrl-C as well: dash would end with 130.
    run -0 timeout 120 bash -c ': >"$1"
        { until grep -q ready "$1"; do sleep 0.1; done; printf "\003"; until grep -q interrupted "$1"; do sleep 0.1; done; } |
            script -qefc "exec $0 exec perl count.pl" "$1"' "$cluster" "$BATS_TEST_TMPDIR/typescript"
    [[ $output == *"interrupted 1"* ]]
}

@test "exec killed with SIGKILL takes its command along" {
    "$cluster" exec sleep 1234.5 3>&- &
    local pid=$!
    until_process login '^sleep 1234[.]5'
    kill -9 "$pid"
    until_no_process login '^sleep 1234[.]5'
}

@test "jobs run as the user, in her home, which all hosts share" {
    cluster exec bash -c 'echo shared >from-login'
    run -0 cluster exec srun -w n2 bash -c 'id -u; pwd; cat from-login; echo back >from-n2'
    [[ $output == $'2001\n/home/alice\nshared' ]]
    run -0 cluster exec cat from-n2
    [[ $output == back ]]
}

@test "each host has its own /tmp, /run, /dev/shm, /var/lib/senv and system files" {
    local dir
    for dir in /tmp /run /dev/shm /var/lib/senv /etc /usr; do
        cluster root n1 touch "$dir/only-n1"
        run -1 cluster root n2 test -e "$dir/only-n1"
        run -1 cluster root login test -e "$dir/only-n1"
        [[ ! -e $dir/only-n1 ]]
    done
}

@test "/var/lib/senv is on a disk, not in memory" {
    run -0 cluster root n1 stat -f -c %T /var/lib/senv
    [[ $output != tmpfs && $output != overlay* ]]
}

@test "nodes have no guix, an empty /gnu/store, and see neither test caches nor the cluster's state" {
    run -1 cluster root n1 which guix
    run -0 cluster root n1 ls -A /gnu/store
    [[ -z $output ]]
    local place
    for place in "$(dirname "$(state)")" "${SENV_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/senv-tests}"; do
        run cluster root n1 ls -A "$place"    # empty or, within another hidden directory, not there
        [[ -z $output || $output == *"No such file or directory" ]]
    done
}

@test "hosts reach each other by name and address, and nothing else" {
    run -0 cluster root n1 getent hosts n2 login
    [[ $output == *10.77.0.12*n2*10.77.0.1*login* ]]
    run -0 cluster root n1 ip -o link
    [[ $(wc -l <<<"$output") == 2 && $output == *eth0* ]]
    run -0 cluster root n1 bash -c 'exec 3<>/dev/tcp/login/6817'
    run -0 cluster root n1 ip route
    [[ $output != *default* ]]
}

@test "64 tasks on one node" {
    run -0 cluster exec srun -N1 -n64 bash -c 'echo $SLURM_PROCID'
    [[ $(sort -n <<<"$output" | xargs) == $(seq 0 63 | xargs) ]]
}

@test "Open MPI over two nodes, --mpi=pmix, which is also the default" {
    mpicc.openmpi -o "$(cluster path login /home/alice)/hello-openmpi" "$BATS_TEST_DIRNAME/mpi-hello.c"
    local option
    for option in --mpi=pmix --label; do
        run -0 cluster exec srun "$option" -N2 --ntasks-per-node=2 ./hello-openmpi
        [[ $(grep -c 'of 4 on n1, sum 6' <<<"$output") == 2 && $(grep -c 'of 4 on n2, sum 6' <<<"$output") == 2 ]]
    done
}

@test "MPICH over two nodes, --mpi=pmi2" {
    # Debian's MPICH can hang in MPI_Finalize over TCP; ucx-close.c says why, and mends it.
    mpicc.mpich -o "$(cluster path login /home/alice)/hello-mpich" "$BATS_TEST_DIRNAME/mpi-hello.c" \
        "$BATS_TEST_DIRNAME/../guix/src/ucx-close.c"
    run -0 cluster exec timeout 60 srun --mpi=pmi2 -N2 --ntasks-per-node=2 ./hello-mpich
    [[ $(grep -c 'of 4 on n1, sum 6' <<<"$output") == 2 && $(grep -c 'of 4 on n2, sum 6' <<<"$output") == 2 ]]
}

@test "service: a killed slurmd starts again, and a job's processes outlive a restart" {
    "$cluster" exec srun -w n2 bash -c 'sleep 2; echo survived' >"$BATS_TEST_TMPDIR/out" 3>&- &
    local job=$! before
    until_process n2 '^sleep 2'
    before=$(cluster service n2 slurmd pid)
    cluster service n2 slurmd kill
    run -1 cluster service n2 slurmd pid
    [[ $output == *"slurmd: does not run"* ]]
    cluster service n2 slurmd start
    [[ $(cluster service n2 slurmd pid) != "$before" ]]
    run -1 cluster service n2 slurmd start
    [[ $output == *"runs already"* ]]
    wait "$job"
    grep -qx survived "$BATS_TEST_TMPDIR/out"
    cluster log n2 slurmd | grep -q 'slurmd version'
}

@test "install: files, plugstack line and configuration on all hosts; a later tree replaces it" {
    local tree=$BATS_TEST_TMPDIR/tree
    mkdir -p "$tree/usr/bin" "$tree/usr/lib/x86_64-linux-gnu/senv" "$tree/usr/share/senv" "$tree/lib"
    # A real plugin of Slurm's own kind, though it does nothing.
    printf '#include <slurm/spank.h>\nSPANK_PLUGIN(probe, 1)\nint slurm_spank_init(spank_t s, int n, char **v) { slurm_info("probe loaded"); return 0; }\n' |
        gcc -shared -fPIC -x c - -o "$tree/usr/lib/x86_64-linux-gnu/senv/spank_senv.so"
    touch "$tree/usr/bin/senv" "$tree/lib/senv-old"
    cluster install "$tree"
    run -0 cluster exec srun true
    [[ $output == *"probe loaded"* ]]
    cluster root n2 test -f /usr/lib/senv-old -a -L /lib -a -f /etc/senv/senvd.toml -a -f /etc/senv/acl

    rm -r "$tree/lib" "$tree/usr/lib"
    echo '# from the tree' >"$tree/usr/share/senv/plugstack.conf"
    cluster install "$tree"
    run -0 cluster exec srun true
    [[ $output != *"probe loaded"* ]]
    run -1 cluster root n2 test -e /usr/lib/senv-old
}

@test "proctrack/cgroup: steps are in cgroups, more tasks than CPUs run, stop removes the cgroups" {
    needs_cgroups
    own_cluster --proctrack cgroup
    run -0 cluster exec srun -w n1 cat /proc/self/cgroup
    [[ $output == *freezer:/slurm_n1/uid_2001/job_1/step_0* ]]
    run -0 cluster exec srun -N1 -n64 --overcommit hostname
    [[ $(wc -l <<<"$output") == 64 ]]
    run -1 env SENV_CLUSTER=cluster-bats-third "$cluster" start --no-guix --proctrack cgroup
    [[ $output == *"in use"* ]]
    cluster stop
    run -1 compgen -G '/sys/fs/cgroup/*/slurm_n*'
}

@test "--tmpfs: a job's /tmp is its own; on every node, every time" {
    own_cluster --tmpfs
    local i
    for i in 1 2 3; do
        run -0 cluster exec srun -N2 bash -c 'ls -A /tmp; touch /tmp/mine /dev/shm/mine'
        [[ -z $output ]]
    done
    run -1 cluster root n1 test -e /tmp/mine
}

@test "--shared-root: the nodes' root propagates" {
    own_cluster --shared-root --nodes 1
    run -0 cluster root n1 findmnt -n -o PROPAGATION /
    [[ $output == shared ]]
    run -0 cluster exec hostname
    [[ $output == login ]]
}

@test "two clusters at once do not know each other" {
    own_cluster --nodes 3
    run -0 cluster exec srun -N3 hostname
    [[ $(sort <<<"$output") == $'n1\nn2\nn3' ]]
    SENV_CLUSTER=cluster-bats
    run -0 cluster root login sinfo -hN -o %N
    [[ $output == $'n1\nn2' ]]
}

@test "stop leaves nothing; a second stop has nothing to do" {
    SENV_CLUSTER=cluster-bats-own
    local before namespace
    before=$(traces none)
    own_cluster
    namespace=$(pid_namespace)
    [[ $(traces "$namespace") == *"process "* ]]
    "$cluster" exec srun sleep 600 3>&- &
    until_process n1 '^/usr/bin/sleep 600'    # so slurmstepd calls it
    cluster stop
    diff <(echo "$before") <(traces "$namespace")
    run -0 cluster stop
    [[ -z $output ]]
    run -1 cluster exec true
    [[ $output == *"no cluster 'cluster-bats-own' runs"* ]]
}

@test "stop cleans up after a start that was killed with SIGKILL, at any moment" {
    SENV_CLUSTER=cluster-bats-own
    local before delay pid
    before=$(traces none)
    for delay in 0.03 0.1 0.15 0.2 0.25 0.3 0.4; do
        "$cluster" start --no-guix >/dev/null 2>&1 3>&- &
        pid=$!
        sleep "$delay"
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" || true
        cluster stop
        diff <(echo "$before") <(traces none)
    done
}

@test "an interrupted start cleans up by itself" {
    SENV_CLUSTER=cluster-bats-own
    local before pid status moment
    before=$(traces none)
    # As soon as its folder is there; while its processes come.
    for moment in "$(state)" "$(state)/init" "$(state)/hosts/n2/pid"; do
        "$cluster" start --no-guix >/dev/null 2>&1 3>&- &
        pid=$!
        timeout 60 bash -c 'until [[ -e $0 ]]; do sleep 0.01; done' "$moment"
        kill -TERM "$pid"
        status=0
        wait "$pid" || status=$?
        [[ $status == 143 ]]
        diff <(echo "$before") <(traces none)
    done
}

@test "start cleans up what kill -9 of all processes left" {
    own_cluster
    kill -9 "$(cut -d' ' -f1 "$(state)/init")"
    run -1 cluster exec true
    [[ $output == *"cluster start"* ]]
    own_cluster --nodes 1
    run -0 cluster exec srun hostname
    [[ $output == n1 ]]
}

@test "mistakes are named" {
    run -1 cluster start --nodes many
    [[ $output == *"'many'"* ]]
    run -1 cluster start --proctrack foo
    [[ $output == *"'foo'"* ]]
    run -1 cluster start --install /nonexistent
    [[ $output == *"/nonexistent"* ]]
    run -1 cluster root n9 true
    [[ $output == *"n9"*"login n1 n2"* ]]
    run -1 cluster as nobody-known n1 true
    [[ $output == *"nobody-known"* ]]
    run -1 cluster service n1 slurmdd start
    [[ $output == *"slurmdd"* ]]
    run -0 cluster root login sinfo -hN -o '%N %T'
    [[ $output == $'n1 idle\nn2 idle' ]]
}
