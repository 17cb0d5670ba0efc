# What people do wrong with srun, sbatch and salloc, and what these then say. No environment is entered here, so there is no Guix.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
    start_cluster wrong-use --nodes 1 --no-guix
}

teardown_file() {
    SENV_CLUSTER=wrong-use cluster stop
}

setup() { export SENV_CLUSTER=wrong-use; }
teardown() { passed || alice scancel -u alice; }

script() { alice tee "$1" >/dev/null; }    # NAME, its text on stdin

# refused TEXT… -- COMMAND…: says each text, makes no job and runs nothing.
refused() {
    local texts=()
    until [[ $1 == -- ]]; do texts+=("$1"); shift; done
    shift
    run alice "$@"
    fails
    says "${texts[@]}"
    [[ $output != *"it ran"* && $output != *"Submitted batch job"* ]]
}

@test "an option given twice: values of one place add up, those of a stronger place replace them" {
    script twice.sh <<'JOB'
#!/bin/bash
#SBATCH --env-packages=script-a
#SBATCH --env-packages=script-b,script-c --env-preserve=^A
#SBATCH --env-preserve=^B --env-expression="(f \"x y\")" --env-expression=g
echo it ran
JOB
    refused "senv: --env-packages=script-a, from an #SBATCH line" "senv: --env-packages=script-b,script-c, from an #SBATCH line" \
        "senv: --env-preserve=^A|^B, from an #SBATCH line" 'senv: --env-expression=(f "x y"), from an #SBATCH line' \
        "senv: --env-expression=g, from an #SBATCH line" \
        "cannot resolve packages 'script-a,script-b,script-c' and expression '(f \"x y\")' and expression 'g'" -- sbatch -v twice.sh
    refused "senv: --env-packages=line-a, from the command line" "senv: --env-packages=line-b, from the command line" \
        "packages 'line-a,line-b' and expression" -- sbatch -v --env-packages line-a --env-pack=line-b twice.sh --env-packages=argument
    [[ $output != *"--env-packages=script"* ]]
    refused "packages 'variable' and expression" -- env SBATCH_ENV_PACKAGES=variable sbatch twice.sh
    refused "packages 'a,b'" -- srun --env-packages=a --env-packages=b echo it ran
    refused "packages 'a,b'" -- salloc --env-packages=a --env-packages=b echo it ran
    refused "cannot use the values of --env-packages: together they have 4100 bytes, the limit is 4095" "hint: put the packages" -- \
        srun --env-packages="$(printf '%02048d' 0)" --env-packages="$(printf '%02051d' 0)" echo it ran
}

@test "an option given twice: what can only be one, and none beside a value, are errors that quote both" {
    script contradiction.sh <<'JOB'
#!/bin/bash
#SBATCH --env-lock=a.lock
#SBATCH --env-lock=b.lock --env-packages=none
#SBATCH --env-packages=a --env-pure
echo it ran
JOB
    refused "cannot use both --env-packages=none and --env-packages=a in #SBATCH lines" -- sbatch --env-lock=none contradiction.sh
    refused "cannot use both --env-lock=a.lock and --env-lock=b.lock in #SBATCH lines: only one of them can count" \
        "hint: leave one of them out" -- sbatch --env-packages=none contradiction.sh
    refused "cannot use both --env-tune=x and --env-tune=y on the command line" -- \
        srun --env-packages=a --env-tune=x --env-tune=y echo it ran
    refused "cannot use both --env-pure and --env-pure=none on the command line" -- \
        srun --env-packages=a --env-pure --env-pure=none echo it ran
    # Each is said twice, which is once.
    run -0 alice sbatch -v --env-packages=none --env-packages=none --env-lock=none --env-pure=none --env-pure=none contradiction.sh
    says "Submitted batch job"
    refused "cannot read lock '/home/alice/x'" -- srun --env-lock=x --env-lock=x echo it ran
}

@test "an option given twice: components of a heterogeneous job do not add up" {
    script component.sh <<'JOB'
#!/bin/bash
#SBATCH --env-profile=/gnu/store/88888888888888888888888888888888-profile
#SBATCH hetjob
#SBATCH --env-profile=/gnu/store/99999999999999999999999999999999-profile
echo it ran
JOB
    local one=--env-profile=/gnu/store/88888888888888888888888888888888-profile
    local other=--env-profile=/gnu/store/99999999999999999999999999999999-profile
    refused "cannot give the components of a heterogeneous job different environments" -- srun -n1 "$one" true : -n1 "$other" echo it ran
    refused "cannot give the components of a heterogeneous job different environments" -- sbatch component.sh
    run -0 alice sbatch --hold -n1 "$one" : -n1 "$one" component.sh
    says "Submitted batch job"
    run -0 alice sbatch --hold "$one" --wrap 'echo it ran' : -n1
    says "Submitted batch job"
    alice scancel -u alice
}

@test "variables: every option has one, also for a renamed sbatch; one that does not exist is named, once a submission" {
    cluster root login cp -L /usr/bin/sbatch /usr/local/bin/submit
    refused "packages 'hello'" -- env SBATCH_ENV_PACKAGES=hello submit --wrap 'echo it ran'
    refused "packages 'hello'" -- env SBATCH_ENV_PACKAGES=hello /lib64/ld-linux-x86-64.so.2 /usr/bin/sbatch --wrap 'echo it ran'
    refused "the inputs of 'gcc'" -- env SLURM_ENV_DEVELOPMENT=gcc srun echo it ran
    refused "cannot use transformation 'A=b'" -- env SLURM_ENV_DEVELOPMENT=gcc SLURM_ENV_TRANSFORM=A=b srun echo it ran
    run -0 alice env SLURM_ENV_MANIFST=m.scm SLURM_ENV_BUILD=never SBATCH_ENV_PACKAGS=a srun echo it ran
    says "it ran" "senv: warning: the variable SLURM_ENV_MANIFST is not one of senv's: did you mean SLURM_ENV_MANIFEST?" \
        "SBATCH_ENV_PACKAGES?"
    says_once SLURM_ENV_MANIFST
    run -0 alice env SLURM_ENV_MANIFST=m.scm SALLOC_ENV_X=1 sbatch --hold --wrap 'echo it ran' : -n1
    says_once SLURM_ENV_MANIFST
    says_once "the variable SALLOC_ENV_X is not one of senv's; senv-options(7) lists them"
    alice scancel -u alice
    run -0 alice env SLURM_ENV_MANIFST=m.scm srun -Q echo it ran
    [[ $output == "it ran" ]]
}

@test "an option of senv's after the command, and none in front, is a warning" {
    script job.sh <<<$'#!/bin/bash\necho it ran'
    run -0 alice srun echo it ran --env-packages=hello
    says "it ran --env-packages=hello" \
        "senv: warning: --env-packages=hello stands after 'echo', which gets it; options of senv stand in front of that"
    run -0 alice sbatch job.sh --env-manifest m.scm
    says "senv: warning: --env-manifest stands after 'job.sh'"
    run -0 alice salloc echo --env-pure
    says "senv: warning: --env-pure stands after 'echo'"
    run -0 alice srun --env-packages=none echo --env-packages=hello
    [[ $output == "--env-packages=hello" ]]
}

@test "what is another kind of file than it was given as, or has a comma in its name" {
    alice tee good.lock >/dev/null <"$BATS_TEST_DIRNAME/../golden/lock/hello.lock"
    script m.scm <<<'(specifications->manifest (list "hello"))'
    alice sh -c 'echo >a,b.scm'
    refused "as manifest: it is a lock" "hint: give it with --env-lock=/home/alice/good.lock" -- srun --env-manifest=good.lock echo it ran
    refused "as channel file: it is a lock" -- srun --env-manifest=m.scm --env-channels=good.lock echo it ran
    refused "as lock: it is a manifest" "hint: give it with --env-manifest=/home/alice/m.scm" -- srun --env-lock=m.scm echo it ran
    refused "cannot use --env-manifest=a,b.scm: there is a file of that name, but a comma separates two names" -- \
        srun --env-manifest=a,b.scm echo it ran
}

@test "commands for nodes, on a submit host, and commands for submit hosts, on a node" {
    local command
    for command in list status; do
        run -1 alice senv $command
        says "senv: cannot reach senvd" "hint: senvd runs on compute nodes: ask one from here as in \`srun -w NODE senv list\`"
    done
    run -1 alice srun senv resolve --packages hello
    says "there is no command 'guix' here, on a compute node" "hint: resolve it on the host where jobs are submitted"
}

@test "sbatch from inside an environment: the hint is for tools, too" {
    local inside=SLURM_SENV_RESOLUTION="1 /gnu/store/88888888888888888888888888888888-profile lock=none channels= enter=plain from=x"
    refused "cannot make a job with 'sbatch'" "for a tool that calls sbatch, set SBATCH_ENV_PASSTHROUGH to one of them" -- \
        env "$inside" sbatch --wrap 'echo it ran'
}

@test "salloc at a terminal says that its shell is outside" {
    local profile=--env-profile=/gnu/store/88888888888888888888888888888888-profile
    run -0 alice script -qec "salloc $profile" /dev/null <<<exit
    says_once "senv: the shell of this job runs on this host, outside of the environment: start programs with srun"
    run -0 alice script -qec "salloc $profile true; salloc -Q $profile </dev/null; salloc $profile </dev/null" /dev/null
    [[ $output != *"outside of the environment"* ]]
}
