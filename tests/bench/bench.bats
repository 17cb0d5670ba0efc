bats_require_minimum_version 1.5.0

# Every benchmark runs and writes well-formed JSON. Not what it measures: figures of a busy CI machine mean nothing.
# Needs a build in $SENV_BUILD (or build/dev) and, for `warm` and `submit`, an install tree in $SENV_INSTALL, as tests/run makes them.

setup_file() {
    export SENV_BUILD=${SENV_BUILD:-$BATS_TEST_DIRNAME/../../build/dev}
    "$BATS_TEST_DIRNAME/setup"    # what it installs it says on stderr, which is no part of what is tested
}

# well_formed NAME FIGURE…: runs it; its JSON has the four parts, ratios that are numbers above 0, and these figures.
well_formed() {
    local name=$1 figure
    shift
    local json=$BATS_TEST_TMPDIR/$name.json
    "$BATS_TEST_DIRNAME/run" "$name" --quick --json "$json"
    jq -e --arg name "$name" '.bench == $name and (.ratios | type == "object" and length > 0 and all(.[]; type == "number" and . > 0))
        and (.machine.cores > 0) and (.failures == [])' "$json"
    for figure; do jq -e --arg figure "$figure" '.figures[$figure] | type == "number"' "$json"; done
}

@test "list names every benchmark" {
    run -0 "$BATS_TEST_DIRNAME/run" list
    [[ $(awk '{ print $1 }' <<<"$output" | xargs) == "cold cold-small cold-latency cold-single warm submit herd memory scale-items" ]]
}

@test "an unknown name is refused with the names" {
    run -2 "$BATS_TEST_DIRNAME/run" luke-warm
    [[ $output == *cold-latency* ]]
}

@test "cold" { well_formed cold senv_s nix_copy_s zstd_restore_s cpu_floor_s; }
@test "cold-small" { well_formed cold-small senv_s ms_per_item; }
@test "cold-latency" { well_formed cold-latency senv_20ms_s senv_100mbit_s; }
@test "cold-single" { well_formed cold-single senv_s; }
@test "warm" { well_formed warm paired_ms_1 paired_ms_64 paired_ms_unused answer_idle_median_ms answer_during_fetch_p99_ms; }
@test "submit" { well_formed submit paired_ms bare_ms; }
@test "herd" { well_formed herd herd_s herd_profiles_s requests_for_one_file; }
@test "memory" { well_formed memory idle_mb peak_mb; }
@test "scale-items" { well_formed scale-items open_s; }

# What a benchmark has that this test started: loop devices, processes, clusters.
has() {
    losetup --list --noheadings --output BACK-FILE | grep -F "$TMPDIR"
    pgrep -f "$TMPDIR/senv-bench"
    compgen -G "$SENV_CLUSTER_DIR/*/settings"
}
export -f has

# ends_with SIGNAL NAME WORD: sends it when `has` says WORD; then nothing is left.
ends_with() {
    local pid
    TMPDIR=$(mktemp -d)    # not bats's: senvd, which is another user, has files there
    export TMPDIR SENV_CLUSTER_DIR=$TMPDIR/clusters
    chmod 755 "$TMPDIR"
    "$BATS_TEST_DIRNAME/run" "$2" --quick >/dev/null 3>&- &
    pid=$!
    timeout 120 bash -c 'until has | grep -q "$1"; do sleep 0.05; done' - "$3"
    kill -s "$1" "$pid"
    wait "$pid" || true
    timeout 60 bash -c 'while [[ -n $(has) ]]; do sleep 0.05; done'
    [[ $1 == KILL ]] || rmdir "$TMPDIR"    # empty
    rm -rf "$TMPDIR"
}

@test "a benchmark that is killed leaves no loop device and no process" { ends_with KILL memory fs.img; }

@test "a benchmark that is ended stops its cluster and leaves no folder" { ends_with TERM warm settings; }

@test "nothing is left behind" {
    run -1 grep senv-bench- /proc/mounts
    [[ -z $(compgen -G "${TMPDIR:-/tmp}/senv-bench-*") ]]
    [[ -z $(losetup --list --noheadings --output BACK-FILE | grep senv-bench) ]]
}
