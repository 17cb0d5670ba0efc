# plugin.bash: what plugin.bats and plugin_cgroup.bats share.

hello=(--env-manifest=hello.scm --env-channels=channels.scm)
plugstack=/etc/slurm/plugstack.conf.d

# freeze: the substitute server takes connections and says nothing, until thaw.
freeze() { cluster root login kill -STOP "$(cluster service login guix-publish pid)"; }
thaw() { cluster root login kill -CONT "$(cluster service login guix-publish pid)"; }

# All hosts share one pid namespace: what is counted here is counted on the whole cluster.
await_count() {    # COUNT WHAT PGREP-ARGUMENT…
    local count=$1 what=$2 limit=$((SECONDS + 60)) found
    shift 2
    until found=$(cluster root login pgrep -c "$@" || true) && [[ -n $found && $found -eq $count ]]; do
        ((SECONDS < limit)) || { echo "$found instead of $count $what"; return 1; }
        sleep 0.2
    done
}

# await_waiting COUNT: until so many tasks wait for senvd. Fails after 60 s.
await_waiting() { await_count "$1" "tasks came to wait" -x senv-wait; }

# await_tasks COUNT PROGRAM: until alice runs PROGRAM so many times. Fails after 60 s.
await_tasks() { await_count "$1" "tasks run $2" -x "$2" -u alice; }

# interrupted Ctrl-C|scancel WHEN COMMAND…: checks that it then ended within 5 s and not as a success.
interrupted() {
    run alice bash interrupted "$@"
    [[ $output != *"did not come to the point"* && $output =~ "ended with "([0-9]+)" after "([0-9]+)" ms" ]] || { echo "$output"; return 1; }
    ((BASH_REMATCH[1] != 0 && BASH_REMATCH[2] <= 5000)) || { echo "$output"; return 1; }
}

# A step on n1 whose slurmstepd is killed: its ranks go on, their closure stays leased until the last of them has ended, and
# the node takes the next request.
outlives_slurmstepd() {
    local profile step
    run -0 --separate-stderr alice srun -w n1 "${hello[@]}" bash -c 'echo "$GUIX_ENVIRONMENT"'
    profile=$output
    # What no process uses may go at once.
    cluster root n1 sed -i.before '$a grace = 0' /etc/senv/senvd.toml
    cluster service n1 senvd restart
    # -s: the nodes may have two cores only.
    "$BATS_TEST_DIRNAME/cluster" exec srun -s -w n1 -n2 "${hello[@]}" sleep 300 3>&- &
    step=$!
    await_tasks 2 sleep
    # That of the step: there may be another of an extern step, which holds the job's /tmp.
    cluster root n1 sh -c 'kill -9 $(ps -o ppid= -p "$(pgrep -x sleep -u alice | head -n 1)")'
    run -0 alice timeout 60 srun -s -w n1 "${hello[@]}" senv-hello
    await_tasks 2 sleep
    in_use "$profile"
    cluster root n1 sh -c 'kill -9 $(pgrep -x sleep -u alice | head -n 1)'
    await_tasks 1 sleep
    in_use "$profile"
    cluster root n1 pkill -9 -x sleep -u alice
    alice scancel -u alice
    # srun would wait for that slurmstepd as long as KillWait.
    kill -9 "$step"
    assert_nothing_left
    run -0 cluster root n1 senv gc
    says "evicted $profile"
    cluster root n1 mv /etc/senv/senvd.toml.before /etc/senv/senvd.toml
    cluster service n1 senvd restart
}

in_use() {    # PROFILE: a process on n1 holds a lease, and `senv gc` leaves the profile alone
    run leftovers n1
    says "held: "
    run -0 cluster root n1 senv gc
    [[ $output != *"evicted $1"* ]]
    cluster root n1 test -e "/var/lib/senv/store/${1##*/}"
}
