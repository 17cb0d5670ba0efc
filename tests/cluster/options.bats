# The options of srun, sbatch and salloc: where values come from, how they travel through a job, and how a job is entered.

bats_require_minimum_version 1.5.0
load helpers
load plugin

setup_file() {
    start_cluster options --nodes 1
    put "$(manifests)/hello.scm"
    put "$(manifests)/search-paths.scm"
    put "$(manifests)/other.scm"
    alice cp /srv/channels/channels-1.scm channels.scm
    # As README.md says.
    cluster root login sh -c 'plugins=$(scontrol show config | sed -n "s/^PluginDir *= //p") &&
        printf "PluginDir=%s:%s\n" "$plugins" /usr/lib/x86_64-linux-gnu/senv >>/etc/slurm/slurm.conf &&
        echo CliFilterPlugins=senv >>/etc/slurm/slurm.conf'
    # Resolved and fetched before the tests.
    alice srun "${hello[@]}" true
}

teardown_file() {
    SENV_CLUSTER=options cluster stop
}

setup() { export SENV_CLUSTER=options; }
teardown() {
    cluster root login sh -c '[ ! -e /usr/bin/guix.real ] || mv /usr/bin/guix.real /usr/bin/guix'    # count_guix_starts
    passed || restore
}

search_paths=(--env-manifest=search-paths.scm --env-channels=channels.scm)

script() { alice tee "$1" >/dev/null; }    # NAME, its text on stdin

# --- the command

@test "a command that is not in the environment: said once, before it is executed, with what may have been meant" {
    run -2 alice srun -n8 -O "${hello[@]}" senv-helo
    says "senv: cannot run 'senv-helo' on n1: it is not in this environment" "hint: did you mean senv-hello?"
    [[ $(grep -c "cannot run" <<<"$output") -eq 1 ]]
    [[ $output != *execve* ]]
    # Slurm also looks into the current folder, and a prolog of the task may change PATH.
    alice mkdir -p tools
    script tools/senv-helo <<<$'#!/bin/sh\necho it ran'
    alice chmod +x tools/senv-helo
    run -0 alice srun -D tools "${hello[@]}" senv-helo
    says "it ran"
    script prolog.sh <<<$'#!/bin/sh\necho "export PATH=$HOME/tools:$PATH"'
    alice chmod +x prolog.sh
    run -0 alice srun --task-prolog=/home/alice/prolog.sh "${hello[@]}" senv-helo
    says "it ran"
    assert_no_drain
}

# --- entering

# What Slurm, MPI's launcher and the shell add.
# Since 23.11 Slurm tells MPI's own launchers how to start processes.
of_slurm='SLURM|SRUN|PMIX?_|I_MPI_HYDRA_BOOTSTRAP|HYDRA_|OMPI_MCA_plm_slurm_args|OMPI_MCA_orte_precondition_transports|PRTE_MCA_plm_slurm_args'
guix_variables() { grep -vE "^($of_slurm|SENV_ENVIRONMENT=|TMPDIR=|PWD=|OLDPWD=|SHLVL=|_=|\$)" | sort; }

@test "plain and pure: the variables are those of the real guix shell on the same profile" {
    local profile old=(SENV_TEST_DIRS=/old SENV_TEST_FILE=/old.conf SENV_TEST_CATALOGS= LANG=C.UTF-8 OMPI_CC=/usr/bin/cc)
    run -0 --separate-stderr alice srun "${search_paths[@]}" bash -c 'echo "$GUIX_ENVIRONMENT"'
    profile=$output
    run -0 --separate-stderr alice env "${old[@]}" srun "${search_paths[@]}" env
    grep -qx "SENV_ENVIRONMENT=$profile" <<<"$output"    # the one variable that guix shell does not set
    diff <(alice env "${old[@]}" guix shell -p "$profile" -- env | guix_variables) <(guix_variables <<<"$output")
    run -0 --separate-stderr alice env "${old[@]}" srun --env-pure "${search_paths[@]}" env
    local pure=$output
    diff <(alice env "${old[@]}" guix shell --pure -p "$profile" -- env | guix_variables) \
        <(sed '/^PATH=/s|:/usr/lib/senv/slurm$||' <<<"$pure" | guix_variables)
    # Every kind of search path that there is, each with its value.
    run -0 --separate-stderr alice guix shell --pure --search-paths -p "$profile"
    [[ $(grep -c '^export SENV_TEST_' <<<"$output") -eq 5 ]]
    diff <(sed -n 's/^export \(SENV_TEST_[A-Z]*\)="\(.*\)"$/\1=\2/p' <<<"$output" | sort) <(grep '^SENV_TEST_' <<<"$pure" | sort)
}

@test "senv run: the same without Slurm, on the login host and, without privileges, on a node" {
    local profile step
    run -0 --separate-stderr alice srun "${hello[@]}" bash -c 'echo "$GUIX_ENVIRONMENT"'
    profile=$output
    run -0 --separate-stderr alice senv run -m hello.scm -C channels.scm -- bash -c 'senv-hello; echo "$GUIX_ENVIRONMENT"'
    [[ $output == "senv-hello 1.0"*"$profile" ]]
    diff <(alice env MY_INPUT=data guix shell --pure -E INPUT -p "$profile" -- env | guix_variables) \
        <(alice env MY_INPUT=data senv run --pure -E INPUT -p "$profile" -- env | sed '/^PATH=/s|:/usr/lib/senv/slurm$||' | guix_variables)
    run -7 alice senv run -p "$profile" -- bash -c 'exit 7'
    run -127 alice senv run -p "$profile" -- senv-helo
    says "senv: cannot run 'senv-helo': it is not in this environment" "hint: did you mean senv-hello?"
    run -126 alice senv run -p "$profile" -- /etc/passwd
    # A step without environment: alice on a node that has no Guix.
    alice senv lock -m hello.scm -C channels.scm -o hello.lock
    run -0 --separate-stderr alice srun senv run --lock hello.lock -- bash -c 'senv-hello; id -u; touch /gnu/store/x || echo read-only'
    [[ $output == "senv-hello 1.0"*$'\n2001\nread-only' ]]
    alice srun senv run --lock hello.lock -- sleep 1000 3>&- &
    step=$!
    await_tasks 1 sleep
    in_use "$profile"
    alice scancel -u alice
    wait "$step" || true
    assert_nothing_left
    # In a job, whose /gnu/store shows it already: it has a lease of its own all the same.
    run -0 --separate-stderr alice srun --env-packages=senv-bash --env-channels=channels.scm senv run --lock hello.lock -- \
        sh -c 'senv status --json'
    [[ $(jq "[.leases[] | select(.profile == \"$profile\")] | length" <<<"$output") -eq 1 ]]
}

@test "--env-preserve: what matches stays, in plain and in pure, and in steps below" {
    local vars=(LD_LIBRARY_PATH=/l MY_INPUT=data OTHER=x)
    run -0 alice env "${vars[@]}" srun "${hello[@]}" '--env-preserve=^LD_|INPUT' env
    says LD_LIBRARY_PATH=/l OTHER=x
    run -0 alice env "${vars[@]}" srun "${hello[@]}" --env-pure '--env-preserve=^LD_|INPUT' env
    says LD_LIBRARY_PATH=/l MY_INPUT=data
    [[ $output != *OTHER=* ]]
    run alice srun "${hello[@]}" '--env-preserve=(' true
    fails
    says "cannot use the value of --env-preserve: '(' is not a regular expression"
    # Past srun's check: the task fails, not the node.
    run alice sbatch --wait -o job.out --wrap 'echo it ran' \
        --export=ALL,SLURM_SENV_RESOLUTION="1 $(alice srun "${hello[@]}" bash -c 'echo $GUIX_ENVIRONMENT') lock=none channels= enter=pure:%28 from=x"
    fails
    run -0 alice cat job.out
    says "cannot use --env-preserve: '(' is not a regular expression"
    [[ $output != *"it ran"* ]]
    assert_no_drain
}

@test "a pure batch script calls srun; what it exports reaches its steps; entering again changes nothing" {
    script pure.sh <<'JOB'
#!/bin/bash
#SBATCH --env-manifest=hello.scm --env-channels=channels.scm --env-pure
export MINE=1
env
echo "--- step"
srun --mpi=none env
echo "--- none"
srun --mpi=none --export=NONE bash -c 'echo "$PATH"; senv-hello'
JOB
    run -0 alice env OTHER=x PATH=/usr/bin:/bin sbatch --wait -o job.out pure.sh
    run -0 alice cat job.out
    says MINE=1 ":/usr/lib/senv/slurm" "senv-hello 1.0"
    [[ $output != *OTHER=* && $output != */usr/bin* ]]
    local before=${output%%--- step*} after=${output##*--- step}
    diff <(guix_variables <<<"$before") <(guix_variables <<<"${after%%--- none*}")
}

@test "what a script sets after it entered reaches its steps, while the environment is in front" {
    script set.sh <<'JOB'
#!/bin/bash
#SBATCH --env-manifest=hello.scm --env-channels=channels.scm
export LD_LIBRARY_PATH=/opt/mine PYTHONPATH=/opt/site PATH=$HOME/bin:$PATH
srun --mpi=none bash -c 'echo "kept $LD_LIBRARY_PATH $PYTHONPATH ${PATH%%:*}"'
unset LD_LIBRARY_PATH
srun --mpi=none --export=ALL,LD_LIBRARY_PATH=/opt/listed bash -c 'echo "listed $LD_LIBRARY_PATH"'
PATH=/usr/bin:$PATH srun --mpi=none bash -c 'echo "behind ${PYTHONPATH-nothing} ${PATH%%:*}"' 2>&1
JOB
    local profile
    profile=$(alice senv resolve -m hello.scm -C channels.scm)
    run -0 alice sbatch --wait -o job.out set.sh
    run -0 alice cat job.out
    says "kept /opt/mine /opt/site /home/alice/bin" "listed /opt/listed" "behind nothing $profile/bin" \
        "senv: dropped PYTHONPATH=/opt/site, which led out of the environment; keep it with --env-preserve='^PYTHONPATH\$'"
    [[ $(grep -c 'senv: dropped' <<<"$output") -eq 1 ]]
}

@test "variables that lead out of the environment go, and one line of a step says so" {
    cluster root n1 sh -c 'mkdir -p /project/alice /project/site && chown alice /project/alice'
    local vars=(PYTHONHOME=/opt/python PYTHONPATH=/project/alice:/project/site:/home/alice/lib PMIX_INSTALL_PREFIX=/opt/pmix
        TMPDIR=/var/tmp KRB5CCNAME=FILE:/tmp/krb5cc MPIR_CVAR_DEBUG=x)
    run -0 alice env "${vars[@]}" srun -n3 -O "${hello[@]}" env
    says PYTHONPATH=/project/alice:/home/alice/lib \
        "senv: dropped PMIX_INSTALL_PREFIX=/opt/pmix, PYTHONHOME=/opt/python, PYTHONPATH=/project/site, which led out"
    [[ $(grep -c 'senv: dropped' <<<"$output") -eq 1 ]]
    run ! grep -E '^(PYTHONHOME|PMIX_INSTALL_PREFIX)=' <<<"$output"
    run -0 alice env "${vars[@]}" srun -Q "${hello[@]}" env
    [[ $output != *"senv: dropped"* ]]
    run -0 alice env "${vars[@]}" srun "${hello[@]}" '--env-preserve=^PYTHON' env
    says PYTHONHOME=/opt/python PYTHONPATH=/project/alice:/project/site:/home/alice/lib
    run -0 alice env "${vars[@]}" srun "${hello[@]}" --env-pure env
    says TMPDIR=/var/tmp KRB5CCNAME=FILE:/tmp/krb5cc MPIR_CVAR_DEBUG=x "senv: dropped PMIX_INSTALL_PREFIX=/opt/pmix, which led out"
    run ! grep -E '^(PYTHON|PMIX_INSTALL)' <<<"$output"
    assert_no_drain
}

@test "a record of an environment that is forged: the step fails at once, the node stays" {
    local record
    record="$(alice senv resolve -m hello.scm -C channels.scm)$(printf ' A:3a%.0s' {1..20000})"
    run alice env SLURM_SENV_ENTERED="$record" A="$(printf ':%.0s' {1..120000})" srun -n1 --env-passthrough=ignore hostname
    fails
    says "cannot leave the job's environment on n1: cannot read the record of an environment in SLURM_SENV_ENTERED"
    assert_no_drain
}

@test "HOME unset, or another user's: the home is the passwd entry's" {
    local profile
    profile=$(alice senv resolve -m hello.scm -C channels.scm)
    for how in "-u HOME" HOME=/root; do
        # shellcheck disable=SC2086 # two words
        run -0 --separate-stderr alice env $how senv resolve -m hello.scm -C channels.scm
        [[ $output == "$profile" ]]
        # shellcheck disable=SC2086
        run -0 alice env $how srun "${hello[@]}" senv-hello
        says "senv-hello 1.0"
    done
    run -0 alice ls .cache/senv/keys
}

# --- nested steps

@test "a nested step inherits, overrides, ignores, or may not inherit" {
    script nested.sh <<'JOB'
#!/bin/bash
#SBATCH --env-manifest=hello.scm --env-channels=channels.scm
srun bash -c 'echo "inherits $GUIX_ENVIRONMENT"'
srun --env-pure bash -c 'echo "pure $PATH"'
srun --env-passthrough=ignore bash -c 'echo "ignores ${GUIX_ENVIRONMENT-nothing} $PATH"; env | grep SENV_'
SLURM_ENV_PASSTHROUGH=ignore srun bash -c 'echo "variable ${GUIX_ENVIRONMENT-nothing}"'
SLURM_ENV_PACKAGES=nope srun bash -c 'echo "leaked $GUIX_ENVIRONMENT"'
srun --env-passthrough=error true && echo "it ran"
# Not resolved on a node without Guix: the profile is named.
srun --env-passthrough=error --env-profile="$OTHER" bash -c 'echo "overrides $GUIX_ENVIRONMENT"' 2>&1
JOB
    local other profile
    other=$(alice senv resolve -m search-paths.scm -C channels.scm)
    profile=$(alice senv resolve -m hello.scm -C channels.scm)
    run -0 alice env OTHER="$other" PATH=/usr/local/bin:/usr/bin:/bin sbatch --wait -o job.out nested.sh
    run -0 alice cat job.out
    says "inherits $profile" "pure $profile/bin:/usr/lib/senv/slurm" "ignores nothing /usr/local/bin:/usr/bin:/bin" \
        "variable nothing" "leaked $profile" "overrides $other" \
        "cannot run this step: it would inherit the job's environment" "hint: name an environment"
    [[ $output != *"it ran"* && $output != *SENV_* ]]
}

@test "srun --jobid=J --overlap --pty bash: a shell in the environment of a running job, plain jobs left alone" {
    local job options
    for options in "${hello[*]}" "${hello[*]} --env-pure" ""; do
        # shellcheck disable=SC2086 # several words
        job=$(alice sbatch --parsable -o job.out $options --wrap 'touch running; sleep 600')
        alice sh -c 'until [ -e running ]; do sleep 0.1; done; rm running'
        run -0 alice env ALIEN=mine script -qec "srun --jobid=$job --overlap --pty bash -c 'echo \"in \${GUIX_ENVIRONMENT-nothing}, alien \$ALIEN\"; env | grep JOINS; true'" /dev/null
        [[ $output != *JOINS* ]]
        case $options in
            *--env-pure) says "in /gnu/store/" ", alien "$'\r' ;;
            ?*) says "in /gnu/store/" ", alien mine" ;;
            *) says "in nothing, alien mine" ;;
        esac
        if [[ -n $options ]]; then
            run -2 alice srun -v --jobid="$job" --overlap senv-helo
            says "senv: n1 has the environment, entered it in " "senv: cannot run 'senv-helo' on n1: it is not in this environment" "hint: did you mean senv-hello?"
            [[ $output != *execve* ]]
        fi
        # Seen on the node, also by its users there, and not elsewhere.
        run alice srun --jobid="$job" --overlap -N1 -n1 --env-passthrough=ignore senv show "$job"
        if [[ -n $options ]]; then works; says $'\nsenv-hello ' ' 1.0 '; else fails; says "cannot show job $job: it is not among those remembered in this home, and no step of it that is yours"; fi
        run -1 alice env XDG_CACHE_HOME=/home/alice/other senv show "$job"
        says "senv: cannot show job $job: " "; it is RUNNING on n1"$'\n' \
            "hint: while it runs, look on one of its nodes: srun --jobid=$job --overlap -N1 -n1 --env-passthrough=ignore senv show $job"
        run -0 alice srun --jobid="$job" --overlap --env-passthrough=ignore bash -c 'echo "in ${GUIX_ENVIRONMENT-nothing}"'
        says "in nothing"
        alice scancel "$job"
    done
}

@test "senv show JOBID: what a job was submitted with, wherever it is and whether it waits, runs or has ended" {
    local profile job plain array task first component
    profile=$(alice senv resolve -m hello.scm -C channels.scm)

    job=$(alice sbatch --parsable --hold -o job.out "${hello[@]}" --env-pure --wrap 'srun true')
    plain=$(alice sbatch --parsable --hold -o job.out --wrap true)
    run -0 alice senv show "$job"
    says "job       $job of cluster senv, submitted $(date -u +%F)T" ", pure"$'\n'"profile   $profile"$'\n' \
        $'\nsenv-hello ' "senv-test  $(alice senv resolve --json -m hello.scm -C channels.scm | jq -r '.channels[] | select(.name == "senv-test").commit')"
    run -1 alice senv show "$plain"
    [[ $output == "senv: cannot show job $plain: "*"; it is PENDING" ]]
    alice scancel "$job" "$plain"
    run -0 --separate-stderr alice senv show --json "$job"
    [[ $(jq -c '[.job.id, .job.cluster, .job.pure, .profile]' <<<"$output") == "[$job,\"senv\",true,\"$profile\"]" ]]

    # Steps are of their job, also those that are made from outside of it and in another environment.
    job=$(alice sbatch --parsable -o job.out "${hello[@]}" --wrap 'srun -n1 --env-profile=none true; touch running; sleep 600')
    alice sh -c 'until [ -e running ]; do sleep 0.1; done; rm running'
    alice srun --jobid="$job" --overlap "${search_paths[@]}" true
    alice scancel "$job"
    run -0 alice senv show "$job"
    says "profile   $profile"

    # srun and salloc; with a lock, of which no copy is kept; without senvd and store.
    alice senv lock -m hello.scm -C channels.scm -o hello.lock
    run -0 --separate-stderr alice srun --env-lock=hello.lock printenv SLURM_JOB_ID
    run -0 alice senv show "$output"
    says "profile   $profile" $'\nsenv-hello '
    run -0 --separate-stderr alice salloc -Q "${hello[@]}" printenv SLURM_JOB_ID
    run -0 alice senv show "$output"
    says "profile   $profile"

    array=$(alice sbatch --parsable --array=3-4 -o /dev/null "${hello[@]}" --wrap 'echo $SLURM_JOB_ID >task.$SLURM_ARRAY_TASK_ID; sleep 600')
    alice sh -c 'until [ -s task.3 -a -s task.4 ]; do sleep 0.1; done'
    for task in "$array" "${array}_3" "$(alice cat task.3)" "$(alice cat task.4)"; do
        run -0 alice senv show "$task"
        says "job       $array of cluster senv" "profile   $profile"
    done
    alice scancel "$array"

    # Later components of a heterogeneous job have numbers of their own.
    first=$(alice sbatch --parsable --hold -o job.out "${hello[@]}" --wrap true : -n1)
    for component in $(alice squeue -h -j "$first" -O JobID) "$first+0" "$first+1"; do
        run -0 alice env SQUEUE_USERS=bob SQUEUE_FORMAT=%i senv show "$component"
        says "job       $first of cluster senv" "profile   $profile"
    done
    alice scancel "$first"

    # A job of the same number from before Slurm's numbers began anew is another one; one that was requeued is the same.
    job=$(alice sbatch --parsable -o job.out --wrap 'sleep 600')
    alice sh -c "sed -n 's/^[^ ]* senv $first /2026-01-01T00:00:00Z senv $job /p' .cache/senv/jobs >>.cache/senv/jobs"
    run -1 alice senv show "$job"
    says "cannot show job $job: it is not among those remembered in this home, "
    alice sh -c "until [ \$(squeue -h -j $job -o %T) = RUNNING ]; do sleep 0.1; done"
    alice scontrol requeue "$job"
    run -0 alice senv show "$job"
    says "job       $job of cluster senv, submitted 2026-01-01T00:00:00Z"
    alice scancel "$job"

    # Nobody else knows, and a full home is no reason not to submit.
    run -1 cluster as bob login senv show "$job"
    says "cannot show job $job: "
    run -1 alice senv show 4000000
    [[ $output == "senv: cannot show job 4000000: "*", and Slurm knows no such job" ]]
    alice sh -c 'mv .cache/senv/jobs jobs.kept && mkdir .cache/senv/jobs'
    run -0 --separate-stderr alice sbatch --parsable --hold -o job.out "${hello[@]}" --wrap true
    [[ $output =~ ^[0-9]+$ && $stderr == *"senv: cannot remember what job $output is in: cannot open '/home/alice/.cache/senv/jobs': Is a directory" ]]
    alice scancel "$output"
    alice sh -c 'rmdir .cache/senv/jobs && mv jobs.kept .cache/senv/jobs'
    # Two clusters can share a home.
    alice sh -c "sed -n 's/ senv $job / other $job /p' .cache/senv/jobs >>.cache/senv/jobs"
    run -2 alice senv show "$job"
    says "cannot show job $job: it is one of cluster other and one of cluster senv" "hint: name the cluster in the variable SLURM_CLUSTERS"
    run -0 alice env SLURM_CLUSTERS=other senv show "$job"
    says "job       $job of cluster other"
}

@test "a new job takes the environment of its shell along, or leaves it" {
    run -0 alice salloc "${hello[@]}" sbatch --env-passthrough=use --wait -o job.out --wrap senv-hello
    run -0 alice cat job.out
    says "senv-hello 1.0"
    run -0 alice salloc "${hello[@]}" env SBATCH_ENV_PASSTHROUGH=ignore sbatch --wait -o job.out --wrap 'env; srun env'
    run -0 alice cat job.out
    [[ $output != *SENV_RESOLUTION* && $output != *GUIX_ENVIRONMENT* ]]
}

# --- values

@test "the command line wins over variables, they over #SBATCH lines; -v says which; none is nothing" {
    script values.sh <<'JOB'
#!/bin/bash
#SBATCH --env-manifest=from-script.scm --env-channels=from-script.scm --env-pure --env-preserve=^MY
senv-hello
echo "pure: $PATH"
JOB
    run -0 alice env SBATCH_ENV_MANIFEST=hello.scm SBATCH_ENV_CHANNELS=from-variable.scm SLURM_ENV_LOCK=not.mine \
        sbatch -v --env-chan channels.scm --wait -o job.out values.sh --env-preserve=of-the-script
    says "senv: --env-manifest=hello.scm, from SBATCH_ENV_MANIFEST" "senv: --env-channels=channels.scm, from the command line" \
        "senv: --env-pure=yes, from an #SBATCH line" "senv: --env-preserve=^MY, from an #SBATCH line"
    run -0 alice cat job.out
    says "senv-hello 1.0" "/usr/lib/senv/slurm"
    # -Q and no flag: nothing is said.
    run -0 alice env SLURM_ENV_MANIFEST=hello.scm SLURM_ENV_CHANNELS=channels.scm srun senv-hello
    [[ $output == "senv-hello 1.0"* && ${#lines[@]} -eq 1 ]]
    run -0 alice env SLURM_ENV_MANIFEST=hello.scm SLURM_ENV_PURE=1 srun --env-manifest=none bash -c 'echo "${GUIX_ENVIRONMENT-nothing}"'
    [[ $output == nothing ]]
    run alice env SALLOC_ENV_PURE=2 salloc "${hello[@]}" true
    fails
    says "cannot use the value of SALLOC_ENV_PURE: '2' is neither yes nor none"
    run alice srun --env-pure true
    fails
    says "cannot use '--env-pure' alone" "hint: "
}

@test "an option given twice adds up in one place, and is replaced by a stronger one" {
    script twice.sh <<'JOB'
#!/bin/bash
#SBATCH --env-channels=channels.scm
#SBATCH --env-packages=senv-hello
#SBATCH --env-packages=senv-grep,senv-bash
#SBATCH --env-expression="(@ (senv-test packages) senv-sed)"
#SBATCH --env-expression="(@ (senv-test packages) senv-coreutils)"
for program in senv-hello grep sed ls; do
    [[ $(type -P $program) == "$GUIX_ENVIRONMENT"/bin/* ]] && echo "has $program"
done
JOB
    run -0 alice sbatch --wait -o job.out twice.sh
    run -0 alice cat job.out
    says "has senv-hello" "has grep" "has sed" "has ls"
    run -0 alice sbatch --wait -o job.out --env-packages=senv-hello --env-packages=senv-bash twice.sh
    run -0 alice cat job.out
    says "has senv-hello" "has sed" "has ls"
    [[ $output != *"has grep"* ]]
    run -0 --separate-stderr alice env MY=1 OUR=2 THEIR=3 srun "${hello[@]}" --env-pure --env-preserve=^MY --env-preserve='^OUR$' env
    [[ $output == *MY=1* && $output == *OUR=2* && $output != *THEIR=3* ]]
}

@test "what senv resolve takes, srun and sbatch pass on: lists, quoted text, names relative to here" {
    script expression.sh <<'JOB'
#!/bin/bash
#SBATCH --env-channels=channels.scm --env-expression="(@ (senv-test packages) senv-hello)"
senv-hello
JOB
    run -0 alice sbatch --wait -o job.out expression.sh
    run -0 alice srun -n1 --env-channels=channels.scm --env-manifest=other.scm,search-paths.scm bash -c 'senv-hello; echo "$SENV_TEST_FILE"'
    says "senv-hello 1.0" "/etc/senv/one.conf"
    alice sh -c 'mkdir -p sub && senv lock -m hello.scm -C channels.scm -o sub/job.lock'
    for option in --env-lock=job.lock --env-profile=link; do
        alice ln -sfn "$(alice senv resolve -m hello.scm -C channels.scm)" sub/link
        run -0 "$BATS_TEST_DIRNAME/cluster" exec --cwd /home/alice/sub srun --chdir=/ "$option" senv-hello
        says "senv-hello 1.0"
    done
    run alice srun --env-channels=channels.scm true
    fails
    says "--env-channels" "hint: "
    [[ $output != *" --channels"* ]]
}

@test "--env-tune=auto: the CPU that the site names for partition and constraint" {
    cluster root login cp /etc/senv/senv.toml /etc/senv/senv.toml.shipped
    printf 'tune.partition = { main = "skylake", other = "znver4" }\ntune.constraint = { zen4 = "znver4" }\n' |
        cluster root login tee /etc/senv/senv.toml >/dev/null
    run -0 alice srun -v -p main "${hello[@]}" --env-tune=auto senv-hello
    [[ $output =~ "senv: n1 "(has the environment|fetched the environment in [0-9]+ ms)", entered it in "[0-9]+" ms" ]]
    says "senv-hello 1.0" "senv: tuned for skylake: partition 'main'"
    run -1 alice sbatch --partition=main,other "${hello[@]}" --env-tune=auto --wrap true
    says "senv: cannot use --env-tune=auto: for partition 'main' the site names skylake, for partition 'other' znver4"
    run -1 alice env SALLOC_PARTITION=main salloc -C zen4 "${hello[@]}" --env-tune=auto true
    says "for constraint 'zen4' the site names znver4, for partition 'main' skylake"
    script auto.sh <<<$'#!/bin/bash\n#SBATCH -p main --env-tune=auto\ntrue'
    run -1 alice sbatch "${hello[@]}" auto.sh
    says "cannot use --env-tune=auto: no partition and no constraint is named" "hint: give --env-tune=CPU, or partition"
    cluster root login mv /etc/senv/senv.toml.shipped /etc/senv/senv.toml
}

@test "--env-build=never: what would have to be built is said, and there is no job; with here it is built, and runs" {
    local own=(--env-load-path=modules --env-packages=own-app --env-channels=channels.scm)
    alice mkdir -p modules
    put "$BATS_TEST_DIRNAME/own.scm" modules/own.scm
    run -1 --separate-stderr alice sbatch --parsable "${own[@]}" --env-build=never --wrap true
    [[ -z $output ]]
    output=$stderr
    says "nothing may be built, and no server has own-app-1, own-lib-1"$'\n' "senv: hint: let it be built with --env-build=here"
    run -0 --separate-stderr alice srun "${own[@]}" --env-build=here own-app
    [[ $output == "library 1" && $stderr == *"senv: no server has these, they are built here: own-app-1, own-lib-1"* ]]
    run -1 alice srun --env-build=never true
    says "cannot use --env-build alone"
    run -255 alice srun "${hello[@]}" --env-build=always true    # Slurm's status for a value that is refused
    says "'always' is neither never nor here"
}

@test "programs for another machine are refused before one is executed" {
    local foreign=(--env-load-path=modules --env-packages=own-foreign --env-channels=channels.scm)
    alice mkdir -p modules
    put "$BATS_TEST_DIRNAME/own.scm" modules/own.scm
    run -1 alice srun "${foreign[@]}" own-foreign
    says "cannot enter the environment of --env-packages" \
        "its programs are made for aarch64, which this host ($(uname -m)) cannot execute" "hint: make the environment on a host"
    [[ $output != *"Exec format error"* ]]
    alice senv lock -L modules --packages own-foreign -C channels.scm -o foreign.lock
    run -1 alice srun --env-lock=foreign.lock senv-hello
    says "its programs are made for aarch64"
    run -1 alice senv run --lock foreign.lock -- own-foreign
    says "its programs are made for aarch64"
    assert_no_drain
}

@test "an array is resolved once; sbatch reads its script from stdin; --parsable prints nothing else" {
    local starts
    count_guix_starts
    script array.sh <<'JOB'
#!/bin/bash
#SBATCH --array=1-3 -o array-%a.out --env-manifest=other.scm --env-channels=channels.scm
srun senv-hello
JOB
    # Its stdin, and stdout beside stderr, are sbatch's own.
    run -0 --separate-stderr alice sh -c 'sbatch --parsable --wait <array.sh'
    [[ $output =~ ^[0-9]+$ ]]
    starts=$(guix_starts)
    run -0 alice cat array-1.out array-2.out array-3.out
    [[ $(grep -c '^senv-hello 1.0' <<<"$output") -eq 3 ]]
    run -0 alice sbatch --wait array.sh
    [[ $(guix_starts) -eq $starts && $starts -gt 0 ]]
}

@test "after all this: no node was drained, nothing is left" {
    assert_no_drain
    assert_nothing_left
}
