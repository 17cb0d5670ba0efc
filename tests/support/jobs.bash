# jobs.bash: what tests/run is made of: commands that are tests, some at once, each with a limit, and what they said counted.
# jobs.bats tests it.
#
#   add KIND LABEL LIMIT COMMAND…   a job for run_jobs. It runs for LIMIT seconds at most, in tests/support/alone, with clusters
#                                   and temporary files of its own. What it prints is read by KIND, and counted:
#       bats   what `bats --formatter cat` prints, which is TAP with a line at the begin of each test
#       ctest  `ctest --verbose`: each test of a GoogleTest program counts, and so does any other test of ctest's
#       one    the command as a whole is one test
#   run_jobs LANES                  runs what was added, so many at once, and shows each when it has ended
#   report                          what failed, once more, and the closing line; fails if anything did, or nothing ran
#   end_jobs                        for a trap: kills what runs, with all that it started, and removes what it left
#
# What was planned and did not pass has failed: skipped tests, and those that a crash or a limit kept from running.

passed=0 failed=0
support=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
work=$(mktemp -d)
chmod 711 "$work"    # users other than root have their files in it
clusters=${SENV_CLUSTER_DIR:-/var/tmp/senv-cluster}/run.$$
kinds=() labels=() limits=() commands=() begun=()
declare -A running=()    # process -> job

say() { printf '\n==> %s\n' "$*"; }

add() {
    kinds+=("$1") labels+=("$2") limits+=("$3")
    shift 3
    commands+=("${*@Q}")
}

run_jobs() {
    local lanes=$1 next=0 pid status
    while ((next < ${#labels[@]} || ${#running[@]} > 0)); do
        if ((next < ${#labels[@]} && ${#running[@]} < lanes)); then
            start_job "$next"
            next=$((next + 1))
            continue
        fi
        status=0
        wait -n -p pid "${!running[@]}" || status=$?
        end_job "${running[$pid]}" "$status"
        unset "running[$pid]"
    done
    kinds=() labels=() limits=() commands=()
}

start_job() {    # JOB
    local job=$1 command=()
    eval "command=(${commands[job]})"
    mkdir "$work/tmp.$job"
    chmod 1777 "$work/tmp.$job"
    begun[job]=$SECONDS
    TMPDIR=$work/tmp.$job SENV_CLUSTER_DIR=$clusters/$job "$support/alone" "${limits[job]}" "${command[@]}" \
        >"$work/log.$job" 2>&1 </dev/null &
    running[$!]=$job
}

end_job() {    # JOB STATUS
    local job=$1 status=$2 seconds=$((SECONDS - begun[$1])) log=$work/log.$1 good=0 bad=0
    free_job "$job" >>"$log" 2>&1 || status=1
    "results_of_${kinds[job]}" "$log" "$status" >"$work/results"
    read -r good bad <"$work/results"
    # A command that failed without a test that did, or ran nothing, is one.
    ((bad > 0 || (status == 0 && good > 0))) || bad=1
    passed=$((passed + good)) failed=$((failed + bad))
    say "${labels[job]}"
    "show_${kinds[job]}" "$log"
    if ((bad > 0)); then
        {
            printf -- '--- %s: exit status %s after %s s' "${labels[job]}" "$status" "$seconds"
            ((seconds < limits[job])) || printf ', which is its limit'
            printf '\n'
            tail -n +2 "$work/results"
        } | tee -a "$work/failures"
    fi
    printf -- '--- %s: %d s\n' "${labels[job]}" "$seconds"
    rm "$log"
}

free_job() {    # JOB: what it left on the disk. Its processes and mounts are gone.
    local state freed=0
    for state in "$clusters/$1"/*; do
        [[ ! -e $state ]] || SENV_CLUSTER_DIR=$clusters/$1 SENV_CLUSTER=${state##*/} "$support/../cluster/cluster" stop || freed=1
    done
    rm -rf "$work/tmp.$1" || freed=1
    rmdir "$clusters/$1" "$clusters" "${clusters%/*}" 2>/dev/null || true
    return "$freed"
}

# results_of_KIND LOG STATUS: prints how many passed and failed, then, about those that failed, what they said.

results_of_bats() {
    awk '/^1\.\.[0-9]+$/ { planned += substr($0, 4); next }
         /^begin [0-9]+ / { now = $0; sub(/^begin /, "", now); next }
         /^ok [0-9]+ .*# skip/ { told = told $0 "\n"; now = ""; shown = 0; next }
         /^ok [0-9]+ / { good++; now = ""; shown = 0; next }
         /^not ok [0-9]+ / { wrong++; now = ""; shown = 40 }
         shown-- > 0 { told = told $0 "\n" }
         END { if (now != "") told = told "did not end: " now "\n"
               missing = planned - good
               printf "%d %d\n%s", good, (missing > wrong ? missing : wrong), told }' "$1"
}

results_of_ctest() { "$support/ctest_results" "$1"; }

results_of_one() {
    if (($2 == 0)); then echo "1 0"; else echo "0 1"; tail -n 40 "$1"; fi
}

show_bats() { grep -vE '^(begin [0-9]+|suite) ' "$1" || true; }
show_ctest() { grep -E '^ *[0-9]+/[0-9]+ Test +#' "$1" || cat "$1"; }
show_one() { cat "$1"; }

report() {
    if [[ -s $work/failures ]]; then
        say "What failed"
        cat "$work/failures"
    fi
    printf '\n%d passed, %d failed, in %d s\n' "$passed" "$failed" "$SECONDS"
    ((failed == 0 && passed > 0))
}

end_jobs() {
    local pid
    trap '' INT TERM HUP
    for pid in "${!running[@]}"; do
        kill "$pid" && wait "$pid" || true
        free_job "${running[$pid]}" || true
    done 2>/dev/null
    rm -rf "$work"
}
