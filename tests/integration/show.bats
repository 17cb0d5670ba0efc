#!/usr/bin/env bats
# senv show and senv diff: of locks alone, and of what a senvd on this node has.
load helpers

@test "show: a lock without its profile: what it takes and its channels, and no packages" {
    run -0 --separate-stderr senv show "$golden/lock/hello.lock"
    [[ -z $stderr ]]
    [[ $output == "$(<"$golden/show/hello.txt")" ]]
    run -0 --separate-stderr senv show --json "$golden/lock/hello.lock"
    [[ $output == "$(<"$golden/show/hello.json")" ]]
}

@test "show: a profile in the store of senvd, a link to it, and its lock" {
    publish_closure
    start_senvd
    run -1 senv show "$profile"
    says "senv: cannot look into '$profile': it is neither in /gnu/store nor in senvd's store (it does not have all of it)" \
        "hint: name its lock instead"
    run -0 senv fetch "$profile"
    run -0 --separate-stderr senv show "$profile"
    [[ -z $stderr ]]
    says "profile   $profile" "closure   3 items, " " on this node's disk" "kept      by nothing: senvd may evict it" "channels  not known: only its lock names them" \
        $'\nPACKAGE  VERSION  OUTPUT\ntool     2.0      out\n' \
        $'\nTOOL_PATH         $GUIX_ENVIRONMENT/share:$TOOL_PATH' $'\nPATH              $GUIX_ENVIRONMENT/bin:$PATH\n'
    ln -s "$profile" "$root/generation"
    ln -s generation "$root/link"
    run -0 senv show --json "$root/link"
    [[ $(jq -c '[.packages[0].name, .packages[0].item, .store, .closure.items, .channels, .guix]' <<<"$output") == \
        "[\"tool\",\"$tool\",\"$root/state/store\",3,null,null]" ]]
    [[ $(jq -c '.variables | map([.name, .value, .separator])' <<<"$output") == \
        "[[\"GUIX_ENVIRONMENT\",\"$profile\",null],[\"PATH\",\"$profile/bin\",\":\"],[\"TOOL_PATH\",\"$profile/share\",\":\"]]" ]]
    write_lock
    run -0 senv show --json "$root/lock"
    [[ $(jq -c '[.packages[0].name, .closure.items, .channels, .guix.version]' <<<"$output") == '["tool",3,[],"1.5.0"]' ]]
    [[ $(jq .closure.nar_bytes <<<"$output") -eq $(jq '[.closure[].size] | add' "$root/lock") ]]
    # The same size as in `senv list`, beside what the nars have.
    [[ $(jq .closure.disk_bytes <<<"$output") -eq $(senv list --json | jq '.profiles[0].disk_bytes') ]]
    run -0 senv show "$root/lock"
    says "closure   3 items, " " as nars, $(senv list | sed -E 's/.*items, ([^,]*),.*/\1/') on this node's disk"
    run -0 senv pin "$profile"
    run -0 senv show "$root/lock"
    says "kept      on this node: it is pinned"
    stop_senvd
}

@test "show: what cannot be shown" {
    run -1 senv show "$root/nothing"
    says "senv: cannot open '$root/nothing': No such file or directory" "hint: name a file that \`senv lock\` wrote"
    run -1 senv show "$root"
    run -1 senv show /gnu/store/something
    says "cannot use '/gnu/store/something': "
    run -1 senv show "$golden/lock/hello.description"
    says "senv: cannot use the lock '$golden/lock/hello.description': "
    local unknown=/gnu/store/88888888888888888888888888888888-profile
    run -1 senv show "$unknown"
    says "senv: cannot look into '$unknown'" "cannot reach senvd" "hint: "
}

# --- jobs

# show_job NAME…: as somebody who submitted jobs from this home, which squeue does not know.
show_job() { HOME=$root/home PATH=$root/bin:$PATH senv show "$@"; }

squeue() {    # SCRIPT: what the command does
    mkdir -p "$root/bin"
    printf '#!/bin/sh\n%s\n' "$1" >"$root/bin/squeue"
    chmod 755 "$root/bin/squeue"
}

remember() {    # TIME CLUSTER NUMBER PROFILE
    mkdir -p "$root/home/.cache/senv"
    echo "$1 $2 $3 1 $4 lock=none channels= enter=plain from=command-line:--env-profile" >>"$root/home/.cache/senv/jobs"
}

no_such_job='echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1'
one=/gnu/store/88888888888888888888888888888888-profile
two=/gnu/store/99999999999999999999999999999999-profile

@test "show JOBID: a number is a job, also beside a file that is called so" {
    squeue "$no_such_job"
    remember 2026-11-28T10:00:00Z c 12 "$one"
    cd "$root"
    cp "$golden/lock/hello.lock" 12
    run -0 show_job 12
    says "job       12 of cluster c, submitted 2026-11-28T10:00:00Z"$'\n'"profile   $one"
    run -0 show_job 12+1
    says "job       12 of cluster c"
    run -0 show_job ./12
    [[ $output == "$(<"$golden/show/hello.txt")" ]]
}

@test "show JOBID: what senvd says of a job is enough, whatever is remembered" {
    publish_closure
    start_senvd
    "$support/ask.py" "$socket" provision "$profile" --hold "$root/held" --uid "$(id -u)" --job 12 3>&- >/dev/null &
    pids+=($!)
    wait_until test -e "$root/held"
    squeue "$no_such_job"
    remember 2026-11-28T10:00:00Z c 12 "$one"
    run -0 show_job 12
    [[ $output == "profile   $profile"* ]]
    remember 2026-11-28T10:00:00Z c 12 "$profile"
    run -0 show_job 12
    says "job       12 of cluster c, submitted 2026-11-28T10:00:00Z"$'\n'"profile   $profile"
    truncate -s 3M "$root/home/.cache/senv/jobs"
    run -0 show_job 12
    [[ $output == "profile   $profile"* ]]
    run -1 show_job 13
    says "senv: " "$root/home/.cache/senv/jobs"
    stop_senvd
}

@test "show JOBID: SLURM_CLUSTERS is a list, or all" {
    squeue "$no_such_job"
    remember 2026-11-28T10:00:00Z c 12 "$one"
    remember 2026-11-28T11:00:00Z d 12 "$two"
    for clusters in c,d d,c all; do
        SLURM_CLUSTERS=$clusters run -2 show_job 12
        says "cannot show job 12: it is one of cluster d and one of cluster c" "hint: name the cluster in the variable SLURM_CLUSTERS"
    done
    SLURM_CLUSTERS=a,c run -0 show_job 12
    says "job       12 of cluster c"
    SLURM_CLUSTERS=d run -0 show_job 12
    says "job       12 of cluster d"
    SLURM_CLUSTERS=a,b run -1 show_job 12
    says "cannot show job 12: "
}

# slurm_has ARRAY-ID HET-ID STATE NODES [SUBMITTED [RESTARTS]]: of a job, as the real squeue says it.
slurm_has() {
    squeue "printf '%-20s|%-20s|%-20s|%-60s|%-60s|%-30s|%-20s|\\n' '$1' '$2' '$3' '$4' c '$(date -d "${5-2026-11-28T10:00:00Z}" +%s)' '${6-0}'
        env >$root/environment"
}

@test "show JOBID: a part of an array or of a heterogeneous job, of which Slurm knows the first" {
    remember 2026-11-28T10:00:00Z c 12 "$one"
    slurm_has 12 N/A PENDING ''
    run -0 show_job 14
    says "job       12 of cluster c"
    slurm_has 14 12 RUNNING n1
    SQUEUE_USERS=bob SQUEUE_FORMAT=%i SLURM_CLUSTERS=c run -0 show_job 14
    says "job       12 of cluster c"
    [[ $(grep -E '^(SQUEUE_|SLURM_)' "$root/environment" | sort) == $'SLURM_CLUSTERS=c\nSLURM_TIME_FORMAT=%s' ]]
}

@test "show JOBID: of an unknown one, what Slurm says, and the hint only while it may run" {
    local unknown="senv: cannot show job 14: it is not among those remembered in this home, "
    slurm_has 14 0 RUNNING 'n[1-2]'
    run -1 show_job 14
    says "$unknown""and cannot reach senvd" "; it is RUNNING on n[1-2]"$'\n'"senv: hint: while it runs, look on one of its nodes: srun --jobid=14 "
    slurm_has 14 N/A PENDING ''
    run -1 show_job 14
    [[ $output == "$unknown"*"; it is PENDING" ]]
    slurm_has 14 N/A COMPLETED n1
    run -1 show_job 14
    [[ $output == "$unknown"*"; it is COMPLETED on n1" ]]
    squeue "$no_such_job"
    run -1 show_job 14
    [[ $output == "$unknown"*", and Slurm knows no such job" ]]
    squeue 'echo "CLUSTER: c"'
    run -1 show_job 14
    [[ $output == "$unknown"*", and Slurm knows no such job" ]]
    squeue 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1'
    run -1 show_job 14
    says "$unknown""and cannot reach senvd" $'\n'"senv: hint: while it runs, look on one of its nodes: "
}

@test "show JOBID: an earlier job of the same number is another job" {
    remember 2026-11-28T10:00:00Z c 12 "$one"
    slurm_has 12 N/A RUNNING n1 2026-11-28T10:09:00Z
    run -0 show_job 12
    says "job       12 of cluster c"
    slurm_has 12 N/A RUNNING n1 2026-11-28T10:11:00Z
    run -1 show_job 12
    says "cannot show job 12: it is not among those remembered in this home, " "; it is RUNNING on n1"
    slurm_has 13 12 RUNNING n1 2026-11-28T10:11:00Z
    run -1 show_job 13
    slurm_has 12 N/A RUNNING n1 2026-11-28T10:11:00Z 1    # was requeued, when it got that time
    run -0 show_job 12
    remember 2026-11-28T09:00:00Z other 14 "$one"    # where it may be a job
    slurm_has 14 N/A RUNNING n1 2026-11-28T10:11:00Z
    run -0 show_job 14
    says "job       14 of cluster other"
    squeue "$no_such_job"    # any more
    run -0 show_job 12
}

@test "show JOBID: a slurmctld that does not answer costs seconds" {
    remember 2026-11-28T10:00:00Z c 12 "$one"
    squeue "exec sleep 60"
    local begin=$SECONDS
    run -0 show_job 12
    says "job       12 of cluster c"
    ((SECONDS - begin < 30))
}

@test "diff: two locks, without their profiles; nothing is printed when they are the same" {
    local one=$golden/lock/hello.lock
    run -0 --separate-stderr senv diff "$one" "$one"
    [[ -z $output$stderr ]]
    sed 's/^ "profile": .*/ "profile": "\/gnu\/store\/88888888888888888888888888888888-profile",/
        s/qw85j4ybkj65m9i9ywaypz6a1x094fnc-profile/88888888888888888888888888888888-profile/
        s/senv-coreutils-9\.1/senv-coreutils-9.2/; s/[^/]*-senv-bash-/99999999999999999999999999999999-senv-bash-/
        s/252c4fe8d9124d5f5c08ea4f21bf3a2b541bb570/352c4fe8d9124d5f5c08ea4f21bf3a2b541bb570/' "$one" >"$root/other"
    cd "$root"
    cp "$one" one
    run -1 --separate-stderr senv diff one other
    [[ -z $stderr && $output == "$(<"$golden/show/diff.txt")" ]]
    run -1 --separate-stderr senv diff --json one other
    [[ -z $stderr && $output == "$(<"$golden/show/diff.json")" ]]
}

@test "diff: two profiles in the store of senvd" {
    publish_closure
    local first=$profile second
    mkdir "$root/trees/second"
    ln -s "$tool/bin" "$root/trees/second/bin"
    cat >"$root/trees/second/manifest" <<-END
	(manifest (version 4) (packages (("lib" "1.0" "out" "$lib") ("tool" "2.1" "out" "$tool"))))
	END
    second=$(publish test-profile-2 --tree "$root/trees/second" --references "$tool" "$lib")
    start_senvd
    run -0 senv fetch "$first"
    run -2 senv diff "$first" "$second"
    says "senv: cannot look into '$second': it is neither in /gnu/store nor in senvd's store (it does not have all of it)" \
        "hint: compare two locks, or compare on a host that has both profiles"
    run -0 senv fetch "$second"
    ln -s "$first" "$root/1"
    ln -s "$second" "$root/2"
    run -0 --separate-stderr senv diff "$root/1" "$first"
    [[ -z $output$stderr ]]
    run -1 --separate-stderr senv diff "$root/1" "$root/2"
    [[ -z $stderr ]]
    says "- $first  $root/1 (closure: 3 items, " "+ $second  $root/2 (closure: 3 items, " \
        $'\npackage  added    lib   1.0\npackage  changed  tool  2.0 -> 2.1\nthe channels are not known: only locks name them'
    stop_senvd
}

@test "diff: trouble of any kind is exit status 2" {
    run -2 senv diff "$root/nothing" "$golden/lock/hello.lock"
    says "senv: cannot open '$root/nothing': No such file or directory" "hint: name a file that \`senv lock\` wrote"
    run -2 senv diff "$golden/lock/hello.lock" "$golden/lock/hello.lock" -C channels.scm
    says "senv: cannot use --channels: neither of the two is a manifest"
    run -2 senv diff "$golden/lock/hello.lock" none.scm
    says "senv: cannot read manifest 'none.scm': No such file or directory"
    run -2 senv diff "$golden/lock/hello.lock" "$golden/lock/hello.description"
    says "cannot use the lock"
    run -2 bash -c '"$@" >/dev/full' - "$build/provisioner/cli/senv" diff --json "$golden/lock/hello.lock" "$golden/lock/hello.lock"
    says "cannot write the result"
}
