# Who is in an environment, who leaves it, and who must not act for others: what tools, shells and administrators do to it.

bats_require_minimum_version 1.5.0
load helpers
load plugin

setup_file() {
    start_cluster inside --nodes 2
    put "$(manifests)/hello.scm"
    alice cp /srv/channels/channels-1.scm channels.scm
    alice srun -N2 "${hello[@]}" true
}

teardown_file() {
    SENV_CLUSTER=inside cluster stop
}

setup() { export SENV_CLUSTER=inside; }
teardown() { passed || restore; }

script() { alice tee "$1" >/dev/null; }    # NAME, its text on stdin
profile() { alice senv resolve -m hello.scm -C channels.scm; }
connections() { cluster log n1 senvd | wc -l; }

# --- root

@test "root evaluates nothing: sbatch --uid, srun --uid, variables, #SBATCH lines" {
    alice tee evil.scm >/dev/null <<<'(system "id -u >/tmp/evaluated-by; chmod 666 /tmp/evaluated-by") (specifications->manifest (list "senv-hello"))'
    script root.sh <<<$'#!/bin/bash\n#SBATCH --env-manifest=/home/alice/evil.scm --env-channels=/home/alice/channels.scm\nsenv-hello'
    local command
    for command in "sbatch --uid=alice --gid=alice -D /home/alice root.sh" "srun --uid=alice --env-manifest=evil.scm id" \
        "env SLURM_ENV_MANIFEST=evil.scm srun id" "env SALLOC_ENV_PROFILE=link salloc id" "srun --env-packages=senv-hello id"; do
        # shellcheck disable=SC2086 # several words
        run cluster root login --cwd /home/alice $command
        fails
        says "as root: root takes --env-lock and --env-profile=/gnu/store/... only" "hint: type \`runuser -u USER -- "
    done
    run -1 cluster root login --cwd /home/alice senv resolve -m evil.scm -C channels.scm
    says "senv: cannot use manifest 'evil.scm': '/home/alice' belongs to uid 2001, and root evaluates nothing of other users"
    run -2 cluster root login ls /tmp/evaluated-by
    # What the user made is as good for root.
    alice senv lock -m hello.scm -C channels.scm -o hello.lock
    run -0 cluster root login --cwd /home/alice srun --uid=alice --gid=alice --env-lock=/home/alice/hello.lock senv-hello
    run -0 cluster root login srun --env-profile="$(profile)" senv-hello
    run -0 cluster root login runuser -u alice -- srun -D /home/alice --env-manifest=/home/alice/hello.scm --env-channels=/home/alice/channels.scm senv-hello
    # A home of somebody else's gets no file of root's.
    run -0 cluster root login env HOME=/home/bob XDG_CACHE_HOME=/home/bob/new senv show --json "$(profile)"
    [[ -z $(cluster root login find /home/bob /home/alice -uid 0 -newer /home/alice/root.sh) ]]
}

# --- leaving

@test "ignore: outside, and so is what it starts, whatever is exported" {
    script leave.sh <<'JOB'
#!/bin/bash
for mode in ALL NONE NIL PATH,HOME ALL,A=1; do
    srun --overlap --export=$mode --env-passthrough=ignore /bin/bash -c 'echo "one $(/usr/bin/env | grep -c SENV_) $PATH"; /usr/bin/srun --overlap /bin/bash -c "echo two \$(/usr/bin/env | grep -c SENV_) \$PATH"'
done
unset SLURM_SENV_ENTERED
srun --env-passthrough=ignore /bin/bash -c 'echo "lost $(/usr/bin/env | grep -c SENV_) $PATH"'
sbatch --wait -o inner.out --env-passthrough=ignore --wrap 'echo "batch $(env | grep -c SENV_) $PATH"; srun bash -c "echo step \$(env | grep -c SENV_) \$PATH"'
JOB
    run -0 alice sbatch --wait -o leave.out "${hello[@]}" leave.sh
    run -0 alice cat leave.out inner.out
    [[ $output != *gnu/store* && $(grep -c '^one 0 ' <<<"$output") -eq 5 && $(grep -c '^two 0 ' <<<"$output") -eq 5 ]] || { echo "$output"; false; }
    says "lost 0 /" "batch 0 /" "step 0 /"
}

# --- inside, without what says which

@test "inside without a resolution: refused, with a hint; guix shell is not inside" {
    script lost.sh <<'JOB'
#!/bin/bash
env -u SLURM_SENV_RESOLUTION srun senv-hello && echo "it ran 1"
for v in $(printenv | grep ^SLURM_ | cut -d= -f1); do unset $v; done
sbatch --wrap 'senv-hello' && echo "it ran 2"
salloc true && echo "it ran 3"
env -i PATH=/usr/bin:/bin HOME=$HOME srun -n1 true && echo "it ran 4"
SBATCH_ENV_PASSTHROUGH=ignore sbatch -o /dev/null --wrap true
JOB
    run -0 alice sbatch --wait -o lost.out "${hello[@]}" lost.sh
    run -0 alice cat lost.out
    [[ $output != *"it ran"* && $(grep -c 'this shell is inside an environment' <<<"$output") -eq 4 ]] || { echo "$output"; false; }
    says "hint: name it with --env-profile=$(profile), or leave it behind with --env-passthrough=ignore" "SBATCH_ENV_PASSTHROUGH=ignore" "Submitted batch job"
    # The Guix of this login host runs in a root without Slurm: srun is started with what guix shell sets.
    run -0 alice bash -c "$(alice guix shell --search-paths -p "$(profile)")"'
        GUIX_ENVIRONMENT=$0 srun sh -c "echo outside \$GUIX_ENVIRONMENT"' "$(profile)"
    says "outside /gnu/store/"
    # Submitted where there is no plugin: the node says it. It is not drained.
    run alice env SLURM_CONF=/tmp/without/slurm.conf SLURM_SENV_ENTERED="$(profile) PATH:3a" true
    cluster root login sh -c 'mkdir -p /tmp/without && sed /^PlugStackConfig/d /etc/slurm/slurm.conf >/tmp/without/slurm.conf && echo PlugStackConfig=/dev/null >>/tmp/without/slurm.conf && chmod -R a+rX /tmp/without'
    run alice env SLURM_CONF=/tmp/without/slurm.conf SLURM_SENV_ENTERED="$(profile) PATH:3a" sbatch --wait -o node.out --wrap 'echo it ran'
    fails
    run -0 alice cat node.out
    says "senv: cannot enter the job's environment on n" "the step is inside $(profile), but SLURM_SENV_RESOLUTION is not set"
    [[ $output != *"it ran"* ]]
    assert_no_drain
}

@test "a shell that Slurm did not start joins its job; a plain job asks nobody" {
    local job before
    job=$(alice sbatch --parsable -w n1 -o job.out "${hello[@]}" --wrap 'touch running; sleep 600')
    alice sh -c 'until [ -e running ]; do sleep 0.1; done; rm running'
    run -0 alice env SLURM_JOB_ID="$job" srun --overlap senv-hello
    says "senv-hello 1.0"
    run -0 alice env SLURM_JOBID="$job" srun printenv SLURM_JOB_ID
    [[ $output != "$job" ]]    # Slurm makes a new job of this
    run -0 alice env SLURM_JOB_ID="$job" srun --jobid="$job" --overlap senv-hello
    alice scancel "$job"
    before=$(connections)
    cluster service n1 senvd stop
    run -0 alice sbatch --wait -w n1 -o plain.out --wrap 'srun hostname; srun --jobid=$SLURM_JOB_ID --overlap hostname'
    run -0 alice cat plain.out
    [[ $output == $'n1\nn1' ]] || { echo "$output"; false; }
    run -0 --separate-stderr alice salloc -Q -w n1 srun hostname
    [[ $output == n1 && -z $stderr ]]
    # All tasks are where slurmstepd is, when nobody can say what the job is in.
    job=$(alice sbatch --parsable -w n1 -o job.out --wrap 'sleep 600')
    alice sh -c "until [ \$(squeue -h -j $job -o %T) = RUNNING ]; do sleep 0.1; done"
    run -0 alice srun --jobid="$job" --overlap -n4 -O readlink /proc/self/ns/mnt
    says_once "senv: cannot tell what the job is in on n1"
    [[ $(grep ^mnt: <<<"$output" | sort -u | wc -l) -eq 1 ]]
    alice scancel "$job"
    cluster service n1 senvd start
    assert_no_drain
}

# --- a request that nobody resolved

@test "a request that nobody resolved fails on the node; a store path, and the line of senv resolve, work" {
    cluster root login sh -c 'mkdir -p /tmp/without && sed /^PlugStackConfig/d /etc/slurm/slurm.conf >/tmp/without/slurm.conf && echo PlugStackConfig=/dev/null >>/tmp/without/slurm.conf && chmod -R a+rX /tmp/without'
    local without=(env SLURM_CONF=/tmp/without/slurm.conf) line
    run alice "${without[@]}" _SLURM_SPANK_OPTION_senv_env_packages=senv-hello sbatch --wait -o rest.out --wrap 'echo it ran'
    fails
    run -0 alice cat rest.out
    says "nothing resolved --env-packages when the job was submitted" "hint: submit it where senv's plugin is installed"
    [[ $output != *"it ran"* ]]
    run -0 alice "${without[@]}" _SLURM_SPANK_OPTION_senv_env_profile="$(profile)" sbatch --wait -o rest.out --wrap 'senv-hello; srun senv-hello'
    run -0 alice cat rest.out
    [[ $(grep -c 'senv-hello 1.0' <<<"$output") -eq 2 ]]
    line=$(alice senv resolve --for-slurm --source=rest -m hello.scm -C channels.scm)
    run -0 alice "${without[@]}" SLURM_SENV_RESOLUTION="$line" sbatch --wait -o rest.out --wrap 'senv-hello; srun senv-hello'
    run -0 alice cat rest.out
    [[ $(grep -c 'senv-hello 1.0' <<<"$output") -eq 2 ]]
    assert_no_drain
}

# --- login shells, debuggers, plugstack.conf

@test "login shells: the environment in front again, or the first step says what happened" {
    local shell
    for shell in "/bin/bash -l" "/usr/bin/zsh -l"; do
        script login.sh <<<"#!$shell"$'\nsenv-hello\nsrun true\nsrun true'
        run -0 alice sbatch --wait -o login.out "${hello[@]}" login.sh
        run -0 alice cat login.out
        says "senv-hello 1.0"
        [[ $output != *"set anew"* ]]
    done
    cluster root n1 rm /etc/profile.d/zzz-senv.sh
    script login.sh <<<$'#!/bin/bash -l\nsrun true\nsrun true'
    run -0 alice sbatch --wait -w n1 -o login.out "${hello[@]}" login.sh
    cluster root n1 cp /usr/share/senv/login/zzz-senv.sh /etc/profile.d/
    run -0 alice cat login.out
    says_once "PATH was set anew in this script"
}

@test "a mount of the script's stays its own; one of a plain overlapping step is seen by the steps after it" {
    cluster root n1 mkdir -p /mnt/image
    # Root may mount without FUSE, and enters an environment by its store path.
    cluster root login tee /tmp/mount.sh >/dev/null <<'JOB'
#!/bin/bash
/bin/mount -t tmpfs tmpfs /mnt/image && : >/mnt/image/of-script
srun --overlap --ntasks-per-node=1 --env-passthrough=ignore sh -c 'mount -t tmpfs tmpfs /mnt/image && : >/mnt/image/of-step; exec sleep 600' &
until srun --overlap --ntasks-per-node=1 --env-passthrough=ignore mountpoint -q /mnt/image; do sleep 0.2; done
srun --overlap /bin/ls /mnt/image >/tmp/seen
kill %1
JOB
    run cluster root login sbatch --wait -w n1 -D /tmp -o /tmp/mount.out --env-profile="$(profile)" /tmp/mount.sh
    local sbatch_status=$status
    run -0 cluster root n1 sh -c 'cat /tmp/seen /tmp/mount.out; while umount /mnt/image 2>/dev/null; do :; done'
    [[ $sbatch_status -eq 0 && $output == *of-step* && $output != *of-script* ]] || { echo "$output"; false; }
}

@test "--debugger-test shows the program, without the mark" {
    # Slurm stops the task for a debugger that never comes.
    run alice timeout 10 srun -n1 "${hello[@]}" --debugger-test senv-hello
    says "executable:senv-hello"
    [[ $output != *senv-is-not-installed* ]]
    alice scancel -u alice
}

@test "the plugin named twice in plugstack.conf works as named once" {
    local host
    for host in login n1 n2; do cluster root "$host" sh -c 'cp /etc/slurm/plugstack.conf.d/senv.conf /etc/slurm/plugstack.conf.d/twice.conf'; done
    run alice srun -n2 "${hello[@]}" senv-hello
    local srun_said=$output srun_status=$status
    run alice sbatch --wait -o twice.out "${hello[@]}" --wrap 'senv-hello; srun senv-hello; srun --env-passthrough=ignore true'
    local batch_status=$status
    for host in login n1 n2; do cluster root "$host" rm /etc/slurm/plugstack.conf.d/twice.conf; done
    [[ $srun_status -eq 0 && $batch_status -eq 0 && $(grep -c 'senv-hello 1.0' <<<"$srun_said") -eq 2 ]] || { echo "$srun_said"; false; }
    assert_no_drain
}
