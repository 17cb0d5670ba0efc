# What Slurm does with jobs, and what becomes of their environment then: one line of spank/options.md each. And what is given
# to srun and sbatch by mistake or on purpose.

bats_require_minimum_version 1.5.0
load helpers
load plugin

setup_file() {
    start_cluster behaviour
    put "$BATS_TEST_DIRNAME/interrupted"
    put "$(manifests)/hello.scm"
    put "$(manifests)/other.scm"
    alice cp /srv/channels/channels-1.scm channels.scm
    # Resolved and fetched before the tests.
    alice srun -N2 "${hello[@]}" true
}

teardown_file() {
    SENV_CLUSTER=behaviour cluster stop
}

setup() { export SENV_CLUSTER=behaviour; }

teardown() { passed || restore; }

script() { alice tee "$1" >/dev/null; }    # NAME, its text on stdin
hellos() { grep -c '^senv-hello 1.0' <<<"$output" || true; }    # how often $output has its line
await_file() { alice timeout 60 sh -c 'until [ -e "$1" ]; do sleep 0.1; done' - "$1"; }
await_jobs() { alice timeout 120 sh -c 'while [ -n "$(squeue -h -u alice)" ]; do sleep 0.2; done'; }
hello_profile() { alice senv resolve -m hello.scm -C channels.scm; }

# --mpi=none: with PMIx, Slurm 22.05 now and then waits for ever at the end of such a step, for a thread that is gone
# since two threads call pmixp_abort_agent_stop.
@test "heterogeneous jobs: one environment for all components, another one for a later component is refused" {
    run -0 alice srun --mpi=none -n1 "${hello[@]}" senv-hello : -n1 senv-hello
    [[ $(hellos) -eq 2 ]]
    run -0 alice srun --mpi=none -n1 "${hello[@]}" senv-hello : -n1 "${hello[@]}" bash -c 'senv-hello'
    [[ $(hellos) -eq 2 ]]
    run -2 alice srun --mpi=none -w n1 -n1 "${hello[@]}" senv-helo : -w n2 -n1 senv-helo
    says "cannot run 'senv-helo' on n1: it is not in this environment" "cannot run 'senv-helo' on n2: it is not in this environment"
    script het.sh <<'JOB'
#!/bin/bash
#SBATCH -n1 -o job.out --env-manifest=hello.scm --env-channels=channels.scm
#SBATCH hetjob
#SBATCH -n1
senv-hello
srun --mpi=none --het-group=0,1 senv-hello
srun --mpi=none --het-group=1 senv-hello
JOB
    run -0 alice timeout 120 sbatch --wait het.sh
    run -0 alice cat job.out
    [[ $(hellos) -eq 4 ]]
    local other
    for other in "--env-manifest=other.scm" "--env-pure"; do
        run alice srun -n1 "${hello[@]}" true : -n1 $other bash -c 'echo it ran'
        fails
        says "senv: cannot give the components of a heterogeneous job different environments" "hint: "
        [[ $output != *"it ran"* ]]
        run alice sbatch -n1 "${hello[@]}" : -n1 $other het.sh
        fails
        says "senv: cannot give the components of a heterogeneous job different environments"
    done
    run alice srun -n1 true : -n1 "${hello[@]}" bash -c 'echo it ran'
    fails
    says "senv: cannot give"
    [[ $output != *"it ran"* ]]
}

@test "requeued: the environment of the first time, though the manifest has changed" {
    script requeue.sh <<'JOB'
#!/bin/bash
#SBATCH --requeue --open-mode=append -o requeue.out --env-manifest=changing.scm --env-channels=channels.scm
srun bash -c 'echo "$GUIX_ENVIRONMENT"'
[ "${SLURM_RESTART_COUNT-0}" -gt 0 ] || { touch running; sleep 600; }
JOB
    alice cp hello.scm changing.scm
    local job
    job=$(alice sbatch --parsable requeue.sh)
    await_file running
    alice cp other.scm changing.scm
    run -0 --separate-stderr alice senv resolve -m changing.scm -C channels.scm
    [[ $output != "$(hello_profile)" ]]
    alice scontrol requeue "$job"
    # Slurm lets it wait for two minutes, so that the node does not take it for what it has just been told to end. It tells
    # one from the other by the second.
    alice timeout 60 sh -c 'until squeue -h -j $1 -t pending | grep -q .; do sleep 0.2; done; sleep 2; scontrol update job=$1 StartTime=now' - "$job"
    await_jobs
    run -0 alice cat requeue.out
    [[ $(grep -cx "$(hello_profile)" <<<"$output") -eq 2 ]]
}

where='echo "$(cat /proc/sys/kernel/hostname) ${GUIX_ENVIRONMENT-nothing}"'

@test "srun --jobid: on nodes where nothing of the job runs, and when senvd does not answer" {
    local job profile
    profile=$(hello_profile)
    job=$(alice sbatch --parsable -w n1 -o job.out "${hello[@]}" --wrap 'touch running; sleep 600')
    await_file running
    # Not known; but told when it cannot be.
    run -0 --separate-stderr alice salloc -Q -N1 "${hello[@]}" srun --jobid="$job" --overlap bash -c "$where"
    [[ $output == "n1 $profile" ]]
    cluster service n1 senvd stop
    run -0 alice srun --jobid="$job" --overlap bash -c "$where"
    says "senv: cannot tell what the job is in on n1, so this step is in no environment: cannot reach senvd" "n1 nothing"
    cluster service n1 senvd start
    run -1 alice srun --jobid="$job" --overlap --env-passthrough=error bash -c "$where"
    says "senv: cannot enter the environment of --jobid on n1: --env-passthrough=error forbids to inherit it"
    alice scancel "$job"

    # As README.md says: then it is known everywhere.
    cluster root login sh -c 'cp /etc/slurm/slurm.conf /etc/slurm/before &&
        plugins=$(scontrol show config | sed -n "s/^PluginDir *= //p") &&
        printf "PluginDir=%s:%s\nCliFilterPlugins=senv\n" "$plugins" /usr/lib/x86_64-linux-gnu/senv >>/etc/slurm/slurm.conf'
    job=$(alice sbatch --parsable -N2 -o job.out "${hello[@]}" --env-pure --wrap 'sleep 600')
    alice sh -c 'until [ "$(squeue -h -j "$1" -o %T)" = RUNNING ]; do sleep 0.1; done' - "$job"
    run -0 --separate-stderr alice env MINE=1 srun --jobid="$job" --overlap -N2 -l bash -c "$where; echo mine \$MINE"
    [[ $(sort <<<"$output") == "0: mine"$'\n'"0: n1 $profile"$'\n'"1: mine"$'\n'"1: n2 $profile" ]]
    run -1 alice srun --jobid="$job" --overlap --env-passthrough=error true
    says "cannot run this step: it would inherit the job's environment"
    alice scancel "$job"
    alice salloc -Q -J empty -N1 --no-shell "${hello[@]}"
    job=$(alice squeue -h -n empty -o %A)
    run -0 --separate-stderr alice srun --jobid="$job" bash -c "$where"
    [[ $output == "n1 $profile" ]]
    alice scancel "$job"
    cluster root login mv /etc/slurm/before /etc/slurm/slurm.conf
}

@test "--export in all its forms, --export-file, --get-user-env, --chdir: the environment is there, in steps too" {
    local form number=0
    script export.sh <<'JOB'
#!/bin/bash
senv-hello
echo "script: ${MINE-nothing} $PWD"
srun bash -c 'senv-hello; echo "step: ${MINE-nothing} $PWD"'
JOB
    printf 'MINE=file\0' | script export.env
    local forms=(--export=ALL --export=NONE --export=NIL --export=MINE --export=MINE=set --export=ALL,MINE=set
        --export-file=/home/alice/export.env --get-user-env --chdir=/tmp)
    local mine=(here nothing nothing here set set file here here)
    for form in "${forms[@]}"; do
        alice env MINE=here sbatch -o "/home/alice/export-$((number++)).out" "$form" "${hello[@]}" export.sh
    done
    await_jobs
    for number in "${!forms[@]}"; do
        # Slurm 26.05 gives a job nothing of that file, whatever plugins there are.
        [[ ${forms[number]} != --export-file=* || $(series) -lt 2605 ]] || continue
        run -0 alice cat "export-$number.out"
        [[ $(hellos) -eq 2 ]] || { echo "${forms[number]}: $output"; return 1; }
        says "script: ${mine[number]} /" "step: ${mine[number]} /"
    done
    says "script: here /tmp" "step: here /tmp"
    # What a step gets to see of other variables is Slurm's affair.
    local step='echo "step: ${MINE-nothing}"' plain
    for number in 0 1 2 3 4 5; do
        plain=$(alice env MINE=here srun "${forms[number]}" /bin/bash -c "$step")
        run -0 alice env MINE=here srun "${forms[number]}" "${hello[@]}" bash -c "senv-hello; $step"
        says "senv-hello 1.0" "$plain"
    done
}

@test "--overlap: steps at the same time on the same CPUs; --bcast" {
    run -0 alice salloc -n1 "${hello[@]}" bash -c 'srun --overlap bash -c "until [ -e go ]; do sleep 0.1; done; senv-hello" & srun --overlap bash -c "senv-hello; touch go"; wait'
    [[ $(hellos) -eq 2 ]]
    script tool.sh <<<$'#!/bin/sh\necho "$0"; senv-hello'
    alice chmod +x tool.sh
    run -0 alice srun --bcast=/tmp/tool "${hello[@]}" ./tool.sh
    says /tmp/tool "senv-hello 1.0"
    # What exists only in the environment cannot be copied from here, as srun says.
    run alice srun --bcast=/tmp/tool2 "${hello[@]}" senv-hello
    fails
    says "senv-hello"
}

@test "salloc with use_interactive_step, and a TaskProlog" {
    local host
    script prolog <<'PROLOG'
#!/bin/sh
echo "export FROM_PROLOG=$GUIX_ENVIRONMENT"
echo "print prolog says $(senv-hello 2>&1)"
PROLOG
    alice chmod +x prolog
    for host in n1 n2 login; do
        cluster root "$host" sh -c 'printf "LaunchParameters=use_interactive_step\nTaskProlog=/home/alice/prolog\n" >>/etc/slurm/slurm.conf'
    done
    cluster root login scontrol reconfigure
    # Nodes hear of it a little later.
    alice timeout 60 sh -c 'until srun -N2 true | grep -c "prolog says" | grep -qx 2; do sleep 0.2; done'
    run -0 alice srun "${hello[@]}" bash -c 'senv-hello; echo "from prolog: $FROM_PROLOG"'
    says "prolog says senv-hello 1.0" "from prolog: $(hello_profile)"
    [[ $(hellos) -eq 1 ]]
    run -0 alice timeout 60 script -qec "salloc ${hello[*]}" /dev/null <<<$'senv-hello\necho "on $(hostname)"\nsrun senv-hello </dev/null\nexit\n'
    # Said by the prolog and by the program, in the shell and in the step.
    [[ $(grep -c 'senv-hello 1.0' <<<"$output") -eq 4 ]]
    says "on n1"
}

# --- wrong use. The command never runs, nothing hangs: one row = command line | what is said.

refuses_all() {    # rows on stdin
    local line message failed=0
    while IFS='|' read -r line message; do
        run alice timeout 60 bash -c "$line" </dev/null
        [[ $status -ne 0 && $status -ne 124 && $output == *"$message"* && $output != *"it ran"* ]] ||
            { echo "$line: exit status $status"; echo "${output:0:500}"; failed=1; }
    done
    run -0 alice squeue -h
    [[ -z $output && $failed -eq 0 ]]
}

@test "wrong use: manifests and channel files that do something else" {
    script loops.scm <<<'(let loop () (loop))'
    script prints.scm <<<'(display "/gnu/store/00000000000000000000000000000000-profile\n")'
    script reads.scm <<<'(use-modules (ice-9 rdelim)) (when (eof-object? (read-line)) (error "at the end of stdin"))'
    script exits.scm <<<'(exit 0)'
    script primitive.scm <<<'(primitive-exit 0)'
    script fails.scm <<<'(exit 3)'
    script raises.scm <<<'(error "what the manifest" "says")'
    script throws.scm <<<"(throw 'something 1 2)"
    script returns.scm <<<'(list 1 2)'
    script leaves.scm <<<'(system "sleep 300 &") 42'
    script kills.scm <<<'(kill (getppid) SIGKILL) (sleep 60)'
    script empty.scm </dev/null
    script closes.scm <<<'(for-each (lambda (fd) (false-if-exception (close-fdes fd))) (iota 64 3)) 42'
    script no-channels.scm <<<'42'
    script channels-exit.scm <<<'(exit 0)'
    script channels-print.scm <<<"(display \"/gnu/store/x\\n\") '()"
    script limit.toml <<<'resolve_limit = 3'
    refuses_all <<'END'
senv --config limit.toml resolve -m loops.scm|senv: cannot resolve 'loops.scm': it took longer than the site allows
srun --env-manifest=prints.scm echo it ran|prints.scm does not return a manifest
srun --env-manifest=reads.scm cat <<<'it ran'|at the end of stdin
srun --env-manifest=exits.scm echo it ran|senv: cannot resolve '/home/alice/exits.scm': '/home/alice/exits.scm' ended Guix by calling exit
sbatch --env-manifest=primitive.scm --wrap 'echo it ran'|Guix ended early, as if all were well, and built nothing
srun --env-manifest=fails.scm echo it ran|senv: cannot resolve '/home/alice/fails.scm': '/home/alice/fails.scm' ended Guix by calling exit
srun --env-manifest=raises.scm echo it ran|what the manifest
srun --env-manifest=throws.scm echo it ran|something
srun --env-manifest=returns.scm echo it ran|returns.scm does not return a manifest
srun --env-manifest=empty.scm echo it ran|empty.scm does not return a manifest
srun --env-manifest=leaves.scm echo it ran|leaves.scm does not return a manifest
srun --env-manifest=closes.scm echo it ran|cannot resolve '/home/alice/closes.scm'
srun --env-manifest=kills.scm echo it ran|senv: cannot resolve '/home/alice/kills.scm': Guix did not finish: it was killed (Killed)
srun --env-manifest=hello.scm --env-channels=no-channels.scm echo it ran|'/home/alice/no-channels.scm'
srun --env-manifest=hello.scm --env-channels=channels-exit.scm echo it ran|'/home/alice/channels-exit.scm'
srun --env-manifest=hello.scm --env-channels=channels-print.scm echo it ran|'/home/alice/channels-print.scm'
END
    interrupted Ctrl-C resolving srun --env-manifest=loops.scm bash -c 'echo it ran'
    [[ $output != *"it ran"* ]]
    run -0 alice sh -c 'pgrep -u alice -fl "[g]uix|[s]leep"; ls -d .cache/senv/work.* 2>/dev/null; true'
    [[ -z $output ]]
}

@test "wrong use: options and #SBATCH lines" {
    local value
    for value in lock manifest; do
        printf '#!/bin/bash\n#SBATCH --env-%s=%0200000d\necho it ran\n' $value 0 | script long-$value.sh
    done
    printf '#!/bin/bash\n#SBATCH --env-packages=a\001b\necho it ran\n' | script control.sh
    printf '#!/bin/bash\n#SBATCH --env-packages=\n#SBATCH --env-pure\necho it ran\n' | script no-value.sh
    printf '#!/bin/bash\n#SBATCH --env-lock=x --env-manifest=hello.scm\necho it ran\n' | script both.sh
    printf '#!/bin/bash\n#SBATCH --env-manifst=hello.scm\necho it ran\n' | script misspelt.sh
    printf '#!/bin/bash\n#SBATCH --env-profile=/etc\necho it ran\n' | script profile.sh
    printf '#!/bin/bash\n#SBATCH --env-pure\necho it ran\n' | script alone.sh
    alice mkfifo pipe
    refuses_all <<'END'
sbatch long-lock.sh|senv: cannot use the value of --env-lock: it has 200000 bytes, the limit is 4095
sbatch long-manifest.sh|senv: cannot use the value of --env-manifest: it has 200000 bytes, the limit is 4095
sbatch control.sh|senv: cannot use the value of --env-packages: it holds a control character
sbatch no-value.sh|senv: cannot use the value of --env-packages: it is empty
sbatch both.sh|cannot use --env-lock together with --env-manifest: --env-lock names a whole environment
sbatch --env-profile=x both.sh|senv: cannot use profile '/home/alice/x'
sbatch misspelt.sh|unrecognized option '--env-manifst=hello.scm'
sbatch profile.sh|senv: cannot use profile '/etc': '/etc' is neither a profile nor a link to one
sbatch alone.sh|senv: cannot use '--env-pure' alone
SBATCH_ENV_LOCK=x sbatch --env-packages=no-such-name --wrap 'echo it ran'|senv: cannot resolve packages 'no-such-name': no-such-name: unknown package
SLURM_ENV_PACKAGES="$(printf %05000d 0)" srun echo it ran|senv: cannot use the value of SLURM_ENV_PACKAGES: it has 5000 bytes, the limit is 4095
SLURM_ENV_MANIFEST=$'a\nb' srun echo it ran|senv: cannot use the value of SLURM_ENV_MANIFEST: it holds a control character
srun --env-lock=x --env-channels=y echo it ran|cannot use --env-lock together with --env-channels
srun --env-profile=x --env-refresh echo it ran|cannot use --env-profile together with --env-refresh
srun --env-manifest=hello.scm, echo it ran|senv: cannot use the value of --env-manifest: nothing stands before or behind a comma: 'hello.scm,'
srun --env-packages=a,,b echo it ran|senv: cannot use package ''
srun --env-manifest= echo it ran|senv: cannot use the value of --env-manifest: it is empty
srun --env-passthrough=perhaps echo it ran|senv: cannot use the value of --env-passthrough: 'perhaps' is none of use, ignore and error
srun --env-pure=perhaps --env-manifest=hello.scm echo it ran|senv: cannot use the value of --env-pure: 'perhaps' is neither yes nor none
srun --env-lock=/dev/zero echo it ran|senv: cannot read lock '/dev/zero': it has more than 67108864 bytes
srun --env-manifest=/dev/zero echo it ran|senv: cannot read manifest '/dev/zero': it has more than 1048576 bytes
salloc --env-lock=pipe echo it ran|senv: cannot read lock '/home/alice/pipe': nobody writes into this named pipe
srun --env-profile=/gnu/store/../../etc echo it ran|senv: cannot use profile
srun --env-lock=hello.scm echo it ran|senv: cannot use '/home/alice/hello.scm' as lock: it is a manifest
srun --env-manifest=channels.scm echo it ran|senv: cannot use '/home/alice/channels.scm' as manifest: it is a channel file
srun --env-manifest=hello.scm --env-channels=hello.scm echo it ran|senv: cannot use '/home/alice/hello.scm' as channel file: it is a manifest
srun --env-packages=no-such-name echo it ran|no-such-name: unknown package; no channel file was given, so the Guix of this host (1.
END
    assert_no_drain
}

@test "after all this: no node was drained, nothing is left" {
    assert_no_drain
    assert_nothing_left
}
