# What the plugin promises beside the main job, under proctrack/linuxproc, on nodes whose mounts propagate as on a systemd
# host. plugin_cgroup.bats has what differs under proctrack/cgroup and job_container/tmpfs.

bats_require_minimum_version 1.5.0
load helpers
load plugin

setup_file() {
    start_cluster plugin --shared-root
    put "$(manifests)/hello.scm"
    put "$(manifests)/pingpong-openmpi.scm"
    alice cp /srv/channels/channels-1.scm channels.scm
    alice cp /srv/channels/channels-2.scm channels-2.scm
    put "$BATS_TEST_DIRNAME/interrupted" interrupted
    # Resolved and fetched before the tests, so that each of them says itself what is cold.
    alice srun -N2 "${hello[@]}" senv-hello >/dev/null
}

teardown_file() {
    SENV_CLUSTER=plugin cluster stop
}

setup() {
    export SENV_CLUSTER=plugin
    lacking=''
}

teardown() {
    [[ -z $lacking ]] || cluster root "$lacking" mv $plugstack/senv.away $plugstack/senv.conf
    if passed; then thaw; else restore; fi
}

# --- what a step is

@test "64 tasks on one node: one namespace, one request to senvd, nothing left" {
    local before
    before=$(cluster log n1 senvd | grep -c 'event=provisioned ')
    run -0 --separate-stderr alice srun -w n1 -n64 "${hello[@]}" readlink /proc/self/ns/mnt
    [[ ${#lines[@]} -eq 64 && $(sort -u <<<"$output") =~ ^mnt:\[[0-9]+\]$ ]]
    local step=${lines[0]}
    run -0 cluster root n1 readlink /proc/self/ns/mnt
    [[ $output != "$step" ]]
    [[ $(cluster log n1 senvd | grep -c 'event=provisioned ') -eq $((before + 1)) ]]
    assert_nothing_left
}

@test "every process of a step holds the lease, and nothing else of ours" {
    run -0 alice srun -w n1 -n2 "${hello[@]}" bash -c 'sleep 0 & for fd in /proc/self/fd/*; do readlink "$fd"; done; wait'
    [[ $(grep -c '/run/senv/leases/' <<<"$output") -eq 2 ]]
    [[ ! $output =~ memfd|senvd|mnt: ]]
}

@test "the store is read-only, nosuid, nodev, and its own file system's flags stay" {
    run -0 alice srun -w n1 "${hello[@]}" grep ' /gnu/store ' /proc/self/mountinfo
    says " ro,nosuid,nodev"
    [[ $output != *noexec* ]]
}

@test "what the step mounts never appears on the node; what the node mounts appears in the step" {
    cluster root n1 mkdir -p /mnt/auto
    alice srun -w n1 "${hello[@]}" bash -c 'until [ -e /mnt/auto/there ]; do sleep 0.1; done; echo seen' >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    local step=$!
    await_tasks 1 bash
    run -0 cluster root n1 cat /proc/self/mountinfo
    [[ $output != *' /gnu/store '* && $output == *shared:* ]]
    run leftovers n1
    says "/mountinfo" "slurmstepd" "held: "    # it does find what a step has
    cluster root n1 sh -c 'mount -t tmpfs tmpfs /mnt/auto && touch /mnt/auto/there'
    wait "$step"
    grep -qx seen "$BATS_TEST_TMPDIR/out"
    cluster root n1 umount /mnt/auto
    assert_nothing_left
}

@test "srun, sbatch and salloc list the options" {
    for command in srun sbatch salloc; do
        run -0 alice "$command" --help
        says "--env-manifest=" "--env-packages=" "--env-channels="
    done
}

@test "no option: nothing is changed, senvd is not asked" {
    local before
    before=$(cluster log n1 senvd | wc -l)
    run -0 alice srun -w n1 env
    [[ $output != *SENV* && $output != *GUIX_ENVIRONMENT* ]]
    [[ $(cluster log n1 senvd | wc -l) -eq $before ]]
}

# --- inheriting, overriding, entering twice

# The variables that Slurm or the shell make for each job and step anew.
stable_variables() { grep -vE '^(SLURM(D|_SPANK)?_|PMIX?_|OMPI_|ENVIRONMENT=|HOSTNAME=|PWD=|SHLVL=|TMPDIR=|_=|SLURM_SENV_RESOLUTION=)' | sort; }
senv_variables() { grep -E '^SLURM_(SENV|PMIX)_' | sed 's/ from=.*//' | sort; }

@test "a nested step has the variables of a plain one, also with --export=NONE" {
    alice tee nested.sh >/dev/null <<'JOB'
#!/bin/bash
srun -n1 env >nested.env
srun -n1 --export=NONE env >nested-none.env
JOB
    run -0 alice sbatch --wait -o job.out -N1 "${hello[@]}" nested.sh
    for mode in "" "-none"; do
        run -0 alice srun -n1 ${mode:+--export=NONE} "${hello[@]}" env
        local plain=$output
        run -0 alice cat "nested$mode.env"
        diff <(stable_variables <<<"$plain") <(stable_variables <<<"$output")
        diff <(senv_variables <<<"$plain") <(senv_variables <<<"$output")
    done
}

@test "no value of an option reaches the job's environment" {
    run -0 alice sbatch --wait -o job.out -N1 "${hello[@]}" --wrap 'env; srun env'
    run -0 alice cat job.out
    [[ $output != *SPANK_OPTION* && $output != *SLURM_SPANK_SENV* && $output != *not-installed* ]]
}

@test "a step with an environment of its own leaves the job's" {
    run -0 alice salloc -w n1 "${hello[@]}" bash -c \
        'srun senv-hello; srun --env-manifest=hello.scm --env-channels=channels-2.scm bash -c "senv-hello; echo \$PATH"'
    says "senv-hello 1.0" "senv-hello 2.0"
    [[ $(grep -o '[^:]*-profile/bin' <<<"$output" | sort -u | wc -l) -eq 1 ]]
}

@test "a new job from inside an environment has to name its own" {
    for command in sbatch\ --wrap=true salloc\ true; do
        run alice salloc -w n1 "${hello[@]}" $command
        fails
        says "names no environment of its own" "hint: "
    done
    run -0 alice salloc -w n1 "${hello[@]}" env -u SLURM_SENV_RESOLUTION sbatch --wait -o job.out --wrap 'env'
    run -0 alice cat job.out
    [[ $output != *SENV* ]]
}

# --- waiting

@test "all tasks wait for a cold closure, the first node says so, and they go on together" {
    freeze
    empty_node n1
    empty_node n2
    alice srun -N2 -n8 "${hello[@]}" senv-hello >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    local step=$!
    await_waiting 8
    timeout 60 bash -c 'until grep -q "^senv: n1 fetches the environment: asks the servers what it takes$" "$1"; do sleep 0.1; done' - "$BATS_TEST_TMPDIR/out"
    thaw
    wait "$step"
    [[ $(grep -c '^senv-hello 1.0' "$BATS_TEST_TMPDIR/out") -eq 8 ]]
    run ! grep 'n2 fetches' "$BATS_TEST_TMPDIR/out"
    assert_nothing_left
}

@test "senvd restarted during a cold fetch: the step goes on" {
    freeze
    empty_node n1
    alice srun -w n1 -n4 "${hello[@]}" senv-hello >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    local step=$!
    await_waiting 4
    cluster service n1 senvd kill
    sleep 1
    cluster service n1 senvd start
    thaw
    wait "$step"
    [[ $(grep -c '^senv-hello 1.0' "$BATS_TEST_TMPDIR/out") -eq 4 ]]
}

@test "the reading task killed during a cold fetch: the others go on" {
    freeze
    empty_node n1
    # Into files: srun drops what it has not yet shown when it hears of killed tasks.
    alice srun -w n1 -n4 --mpi=none -o reader-%t "${hello[@]}" senv-hello 3>&- &
    local step=$!
    await_waiting 4
    # Which one reads is its own affair: of four, any three may go.
    cluster root n1 sh -c 'kill -9 $(pgrep -x senv-wait | head -n 3)'
    thaw
    status=0
    wait "$step" || status=$?
    fails
    run alice sh -c 'cat reader-*'
    [[ $(grep -c '^senv-hello 1.0' <<<"$output") -eq 1 ]]
    assert_nothing_left
}

@test "scancel during a cold fetch ends the step within 5 s" {
    freeze
    empty_node n1
    empty_node n2
    interrupted scancel 8 srun -N2 -n8 "${hello[@]}" senv-hello
    thaw
    assert_nothing_left
    assert_no_drain
}

@test "Ctrl-C during a cold fetch ends the step within 5 s" {
    freeze
    empty_node n1
    empty_node n2
    interrupted Ctrl-C 8 srun -N2 -n8 "${hello[@]}" senv-hello
    thaw
    assert_nothing_left
    assert_no_drain
}

@test "Ctrl-C while the environment is resolved ends srun, and makes no job" {
    cluster root login sh -c 'mv /usr/bin/guix /usr/bin/guix.away; printf "#!/bin/sh\nsleep 60\n" >/usr/bin/guix; chmod 755 /usr/bin/guix'
    alice sh -c 'echo "(specifications->manifest (list \"senv-bash\"))" >slow.scm'
    local ended=0
    interrupted Ctrl-C resolving srun --env-manifest=slow.scm --env-channels=channels.scm true || ended=1
    cluster root login mv /usr/bin/guix.away /usr/bin/guix
    ((ended == 0))
    run -0 alice squeue -h
    [[ -z $output ]]
    run -1 cluster root login pgrep -u alice -f 'resolve --for-slurm'
}

# --- processes that die

@test "slurmstepd killed: ranks go on, their closure stays leased until the last ends" { outlives_slurmstepd; }

@test "senvd killed: ranks go on, their closure stays leased, the next request works" {
    alice rm -f go
    alice srun -w n1 -n2 "${hello[@]}" bash -c 'until [ -e go ]; do sleep 0.1; done; senv-hello' >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    local step=$!
    await_tasks 2 bash
    cluster service n1 senvd kill
    cluster service n1 senvd start
    run leftovers n1
    says "held: "
    run -0 alice srun -w n1 --overlap "${hello[@]}" senv-hello
    alice touch go
    wait "$step"
    [[ $(grep -c '^senv-hello 1.0' "$BATS_TEST_TMPDIR/out") -eq 2 ]]
    assert_nothing_left
}

# --- what cannot be entered

@test "senvd not running on one of two nodes: an MPI step ends within 30 s with one message" {
    needs_pmix
    alice srun -N2 --mpi=pmix --env-manifest=pingpong-openmpi.scm --env-channels=channels.scm pingpong --max 0 >/dev/null
    cluster service n2 senvd stop
    SECONDS=0
    run alice timeout 60 srun -N2 --mpi=pmix --env-manifest=pingpong-openmpi.scm --env-channels=channels.scm pingpong
    local took=$SECONDS
    cluster service n2 senvd start
    fails
    ((took <= 30))
    says_once "senv: cannot enter"
    says "senv: cannot enter the environment of --env-manifest,--env-channels on n2: cannot reach senvd"
    says_once "senv: hint: "
    says "senv: hint: ask the administrator to start senvd on this node"
    assert_no_drain
    assert_nothing_left
}

@test "senvd running nowhere: one message for the step, also for the batch script" {
    cluster service n1 senvd stop
    cluster service n2 senvd stop
    run alice srun -N2 -n8 "${hello[@]}" senv-hello
    fails
    says_once "senv: cannot enter"
    run alice sbatch --wait -o job.out -N2 "${hello[@]}" --wrap 'echo it ran'
    fails
    cluster service n1 senvd start
    cluster service n2 senvd start
    run -0 alice cat job.out
    says_once "senv: cannot enter"
    [[ $output != *"it ran"* ]]
    assert_no_drain
}

@test "the plugin is optional in plugstack.conf: what cannot be entered or resolved still does not run" {
    for node in login n1; do cluster root "$node" sed -i 's/^required /optional /' $plugstack/senv.conf; done
    cluster service n1 senvd stop
    run alice srun -w n1 "${hello[@]}" bash -c 'echo it ran'
    cluster service n1 senvd start
    fails
    says "senv: cannot enter"
    [[ $output != *"it ran"* ]]
    run alice srun -w n1 --env-manifest=nowhere.scm echo it ran
    for node in login n1; do cluster root "$node" sed -i 's/^optional /required /' $plugstack/senv.conf; done
    fails
    [[ $output != *"it ran"* ]]
    assert_no_drain
}

@test "/gnu/store missing on a node: the step fails and says how to make it" {
    cluster root n1 mv /gnu/store /gnu/elsewhere
    run alice srun -w n1 -n4 "${hello[@]}" senv-hello
    cluster root n1 mv /gnu/elsewhere /gnu/store
    fails
    says_once "cannot mount the node's store on '/gnu/store': there is no such folder"
    says_once "hint: "
    assert_no_drain
}

@test "a store that is not senvd's is not mounted" {
    cluster root n1 sed -i 's|^required .*|& store=/var/lib/other|' $plugstack/senv.conf
    cluster root n1 mkdir -p /var/lib/other
    run alice srun -w n1 "${hello[@]}" senv-hello
    cluster root n1 sed -i 's| store=/var/lib/other||' $plugstack/senv.conf
    fails
    says_once "it belongs to uid 0, not to senvd's uid"
}

@test "a word in plugstack.conf that means nothing: who asks for an environment is told, others work" {
    for node in login n1; do cluster root "$node" sed -i 's|^required .*|& fetch=1|' $plugstack/senv.conf; done
    run -0 alice srun -w n1 true
    run alice srun -w n1 "${hello[@]}" true
    for node in login n1; do cluster root "$node" sed -i 's| fetch=1||' $plugstack/senv.conf; done
    fails
    says "cannot use 'fetch=1' in plugstack.conf" "hint: "
}

@test "a forged resolution fails the step and harms nothing" {
    run alice salloc -w n1 env SLURM_SENV_RESOLUTION='1 /gnu/store/../../etc lock= channels= enter=plain from=x' srun true
    fails
    says "bad profile"
    # Past srun's own check, as a program that talks to Slurm by itself would.
    run alice sbatch --wait -w n1 -o job.out --export=ALL,SLURM_SENV_RESOLUTION=nonsense --wrap 'echo it ran'
    fails
    run -0 alice cat job.out
    says "bad version 'nonsense'"
    [[ $output != *"it ran"* ]]
    assert_no_drain
}

@test "values that would break a node are refused at submit" {
    local long
    long=$(printf 'x%.0s' {1..5000})
    for value in "" "$long" $'a\nb'; do
        run alice srun --env-packages="$value" true
        fails
        says "senv: cannot use the value of --env-packages"
    done
    # Slurm 22.05 drains the node at a value like this, if it gets that far.
    alice bash -c '{ echo "#!/bin/bash"; printf "#SBATCH --env-packages=%0140000d\n" 0; echo true; } >long.sh'
    run alice sbatch long.sh
    fails
    run -0 alice squeue -h
    [[ -z $output ]]
    assert_no_drain
}

# --- nodes without the plugin

without_plugin() {    # NODE, until the test ends
    cluster root "$1" mv $plugstack/senv.conf $plugstack/senv.away
    lacking=$1
}

# Since 25.11 Slurm puts the time in front, before that "slurmstepd-n2: ".
says_execve_failed() { says "error: execve(): "; }

not_on_n2() {    # a step on both nodes, where n2 lacks the plugin: srun's arguments
    run -2 alice srun -N2 "$@"
    says_execve_failed
    [[ $'\n'$output$'\n' != *$'\n'n2$'\n'* ]]
}

@test "plugin missing on one of two nodes: no command runs there" {
    without_plugin n2
    not_on_n2 "${hello[@]}" hostname
    says "/senv-is-not-installed-on-this-node/hostname"
    not_on_n2 "${hello[@]}" /usr/bin/hostname
    says "/senv-is-not-installed-on-this-node//usr/bin/hostname"
    not_on_n2 --export=NONE "${hello[@]}" hostname
    not_on_n2 --export=NONE "${hello[@]}" /usr/bin/hostname
    not_on_n2 --export=PATH "${hello[@]}" /usr/bin/hostname
    alice sh -c 'printf "0-1 hostname\n" >programs.conf'
    not_on_n2 -n2 --multi-prog "${hello[@]}" programs.conf
}

@test "plugin missing: no component of a heterogeneous step runs there" {
    local i
    without_plugin n2
    for i in 1 2 3; do    # Slurm shows the plugin the command of one component, now of this one and now of that
        run -2 alice srun --mpi=none -w n1 -n1 "${hello[@]}" hostname : -w n2 -n1 hostname
        says_execve_failed
        [[ $'\n'$output$'\n' != *$'\n'n2$'\n'* ]]
        run -2 alice salloc -Q -w n1 -n1 "${hello[@]}" : -w n2 -n1 srun --mpi=none --het-group=0,1 hostname
        says_execve_failed
        [[ $'\n'$output$'\n' != *$'\n'n2$'\n'* ]]
    done
}

@test "--multi-prog works where the plugin is" {
    alice sh -c 'printf "0 senv-hello\n1 senv-hello\n" >programs.conf'
    run -0 alice srun -N2 -n2 --multi-prog "${hello[@]}" programs.conf
    [[ $(grep -c '^senv-hello 1.0' <<<"$output") -eq 2 ]]
}

batch() {    # SHELL ARGUMENT…: a script for both nodes, to begin on n1; $output is what it said
    printf '%s\n' "#!$1" '#SBATCH -N2 -o job.out' 'hostname' 'srun hostname' | alice tee batch.sh >/dev/null
    shift
    status=0
    alice sbatch --wait "$@" "${hello[@]}" batch.sh || status=$?
    fails
    run -0 alice cat job.out
}

@test "plugin missing on the first node: a batch script does not run there" {
    without_plugin n1
    batch /bin/bash
    [[ $output == "senv: cannot start this job: senv is not installed on this node; ask the administrator to install it" ]]
    # Other shells begin, and find no program.
    batch /bin/sh
    says "hostname: not found" "srun: not found"
    [[ $'\n'$output$'\n' != *$'\n'n1$'\n'* ]]
}

@test "plugin missing on the second node: the steps of a batch script do not run there" {
    without_plugin n2
    batch /bin/bash
    says "/senv-is-not-installed-on-this-node/hostname"
    [[ $'\n'$output$'\n' != *$'\n'n2$'\n'* ]]
}

@test "after all this: no node was drained, nothing is left, every item verifies" {
    assert_no_drain
    assert_nothing_left
    assert_stores_are_sound
}

# --- senv doctor

@test "senv doctor: all is well on the login host and on a node; what is broken is named, and what to do" {
    run -0 --separate-stderr alice senv doctor --json
    [[ -z $stderr && $(jq -c '[.submit_host, .compute_node]' <<<"$output") == '[true,false]' ]]
    [[ -z $(jq -r '.checks[] | select(.state == "warning" or .state == "problem")' <<<"$output") ]]
    run -0 --separate-stderr cluster as alice n1 senv doctor --json
    [[ -z $stderr && $(jq -c '[.submit_host, .compute_node]' <<<"$output") == '[false,true]' ]]
    [[ -z $(jq -r '.checks[] | select(.state == "warning" or .state == "problem")' <<<"$output") ]]
    [[ $(jq '[.checks[] | select(.state == "ok")] | length' <<<"$output") -eq 12 ]]
    says '"http://10.77.0.1:8080 can be reached at 10.77.0.1:8080"'

    lacking=login
    cluster root login mv $plugstack/senv.conf $plugstack/senv.away
    run -1 alice senv doctor
    says $'\nplugstack     problem   no line of /etc/slurm/plugstack.conf, or of what it includes, names spank_senv.so\n' \
        "hint: copy senv's plugstack.conf to plugstack.conf.d/senv.conf"
    cluster root login mv $plugstack/senv.away $plugstack/senv.conf
    lacking=''
    cluster service n1 senvd stop
    run -1 cluster as alice n1 senv doctor
    says $'\nsenvd         problem   cannot reach senvd at \'/run/senv/senvd.sock\'' "hint: start it: systemctl enable --now senvd"
    cluster service n1 senvd start
}
