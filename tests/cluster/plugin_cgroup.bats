# What the plugin promises under proctrack/cgroup and job_container/tmpfs, with an extern step and prologs at allocation.
# The nodes have this machine's cores, not 64: steps are small here.

bats_require_minimum_version 1.5.0
load helpers
load plugin

setup_file() {
    start_cluster plugin-cgroup --proctrack cgroup --tmpfs
    put "$(manifests)/hello.scm"
    put "$(manifests)/pingpong-openmpi.scm"
    alice cp /srv/channels/channels-1.scm channels.scm
    put "$BATS_TEST_DIRNAME/interrupted" interrupted
    alice srun -N2 "${hello[@]}" senv-hello >/dev/null
}

teardown_file() {
    SENV_CLUSTER=plugin-cgroup cluster stop
}

setup() { export SENV_CLUSTER=plugin-cgroup; }

teardown() {
    if passed; then thaw; else restore; fi
}

@test "the job's private /tmp is kept, in the batch script and in all its steps" {
    alice tee tmp.sh >/dev/null <<'JOB'
#!/bin/bash
senv-hello
echo private >/tmp/mine
srun -N1 -n1 -w "$SLURMD_NODENAME" cat /tmp/mine
srun -N2 bash -c 'senv-hello; grep -c " /gnu/store " /proc/self/mountinfo'
JOB
    run -0 alice sbatch --wait -N2 -w n1,n2 -o job.out "${hello[@]}" tmp.sh
    run -0 alice cat job.out
    [[ $(grep -cx private <<<"$output") -eq 1 && $(grep -c '^senv-hello 1.0' <<<"$output") -eq 3 ]]
    [[ $(grep -cx 1 <<<"$output") -eq 2 ]]
    run -0 cluster root n1 ls -A /tmp
    [[ $output != *mine* ]]
    assert_nothing_left
}

@test "what a step mounts is not in the job's namespace for later steps" {
    run -0 alice salloc -w n1 bash -c "srun ${hello[*]} senv-hello; srun grep -c ' /gnu/store ' /proc/self/mountinfo || true"
    says "senv-hello 1.0"
    [[ $(grep -cx 0 <<<"$output") -eq 1 ]]
}

@test "Open MPI runs on two nodes, and the job's private /tmp is kept" {
    needs_pmix
    alice tee mpi.sh >/dev/null <<'JOB'
#!/bin/bash
srun -N2 bash -c 'echo "private of $SLURM_JOB_ID" >/tmp/mine'
srun -N2 --mpi=pmix --cpu-bind=none bash -c 'cat /tmp/mine; exec pingpong --max 64'
JOB
    # The nodes' cores are the same two: both ranks on one of them would take turns by the scheduler's clock.
    run -0 alice salloc --exclusive -N2 --env-manifest=pingpong-openmpi.scm --env-channels=channels.scm bash mpi.sh
    says "rank 0 of 2 on n1" "rank 1 of 2 on n2" " 64 "
    ranks_are_in_the_store 2
    [[ $(grep -cxE 'private of [0-9]+' <<<"$output") -eq 2 ]]
    for node in n1 n2; do run -1 cluster root "$node" test -e /tmp/mine; done
    assert_nothing_left
}

@test "with the prolog's plugin nodes fetch ahead, before there is a step" {
    for node in n1 n2; do
        # slurmd looks for prologs when it starts.
        cluster root "$node" sed -i 's/^#optional /optional /' $plugstack/senv.conf
        cluster service "$node" slurmd restart
        empty_node "$node"
    done
    run -0 alice timeout 60 sh -c 'until [ "$(sinfo -h -o %T | sort -u)" = idle ]; do sleep 0.2; done'
    run -0 alice salloc -N2 "${hello[@]}" sleep 1
    for node in n1 n2; do
        run -0 cluster root "$node" timeout 60 sh -c 'until ls /var/lib/senv/store | grep -e "-profile$"; do sleep 0.2; done'
    done
    assert_nothing_left
}

@test "scancel during a cold fetch ends the step within 5 s" {
    freeze
    empty_node n1
    empty_node n2
    interrupted scancel 4 srun -N2 -n4 "${hello[@]}" senv-hello
    thaw
    assert_nothing_left
    assert_no_drain
}

@test "Ctrl-C during a cold fetch ends the step within 5 s" {
    freeze
    empty_node n1
    empty_node n2
    interrupted Ctrl-C 4 srun -N2 -n4 "${hello[@]}" senv-hello
    thaw
    assert_nothing_left
    assert_no_drain
}

@test "scancel of a batch job whose script waits for a cold fetch ends it within 5 s" {
    freeze
    empty_node n1
    run -0 alice sbatch --parsable -w n1 -o job.out "${hello[@]}" --wrap 'echo it ran'
    local job=$output
    await_waiting 1
    run -0 alice timeout 60 bash -c 'begin=${EPOCHREALTIME/[.,]/}
        scancel "$0"
        while [ -n "$(squeue -h -j "$0" -t running,completing 2>&1)" ]; do sleep 0.1; done
        echo $(((${EPOCHREALTIME/[.,]/} - begin) / 1000))' "$job"
    ((output <= 5000)) || { echo "it took $output ms"; return 1; }
    thaw
    run alice cat job.out
    [[ $output != *"it ran"* ]]
    assert_nothing_left
    assert_no_drain
}

@test "slurmstepd killed: ranks go on, their closure stays leased until the last ends" { outlives_slurmstepd; }

@test "senvd not running on one of two nodes: the step ends with one message" {
    cluster service n2 senvd stop
    SECONDS=0
    run alice timeout 60 srun -N2 "${hello[@]}" sleep 300
    local took=$SECONDS
    cluster service n2 senvd start
    fails
    ((took <= 30))
    says_once "senv: cannot enter"
    says "senv: cannot enter the environment of --env-manifest,--env-channels on n2: cannot reach senvd"
    says_once "senv: hint: "
    says "senv: hint: ask the administrator to start senvd on this node"
    assert_nothing_left
    assert_no_drain
}

@test "after all this: no node was drained, nothing is left, every item verifies" {
    assert_no_drain
    assert_nothing_left
    assert_stores_are_sound
}
