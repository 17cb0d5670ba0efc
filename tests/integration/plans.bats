# Profiles that users built so that their plans cost: that is these profiles' failure, and nobody else waits for it.
load helpers

costly() {    # KIND: publishes it; prints its path
    local files=400
    [[ $build != */[at]san ]] || files=60    # sanitizers make a plan several times as slow, its limits stay
    "$support/costly_profiles.py" "$root/main" --tools "$build/tests/support" --key "$golden/narinfo/signing-key.sec" \
        --files "$files" "$1"
}

# ask_as UID PROFILE: another user's request. Its answer goes to $root/answer.UID.
ask_as() {
    setpriv --reuid "$1" --regid "$1" --clear-groups "$support/ask.py" "$socket" provision "$2" \
        3>&- >"$root/answer.$1" 2>&1 &
    asked_pid=$!
    pids+=("$asked_pid")
}

answered() {    # STATUS, of the last ask_as
    local status=0
    wait "$asked_pid" || status=$?
    [[ $status -eq $1 ]] || { echo "ask.py ended with status $status"; cat "$root"/answer.*; return 1; }
}

within() {    # MILLISECONDS COMMAND…
    local begin=${EPOCHREALTIME/./} took
    "${@:2}" || return 1
    took=$(((${EPOCHREALTIME/./} - begin) / 1000))
    ((took <= $1)) || { echo "took $took ms: ${*:2}"; return 1; }
}

memory() { awk '/^RssAnon/ { print int($2 / 1024) }' "/proc/$senvd_pid/status"; }
children() { pgrep -P "$senvd_pid" -x senvd-plan; }
is_planning() { [[ $(children | wc -l) -eq ${1-1} ]]; }

second_user() {
    [[ $(id -u) -eq 0 ]] || skip "acting as other users needs root"
}

# A costly profile is refused with TEXT, cheaply, while another user's environments come as always.
refused_cheaply() {    # KIND TEXT
    second_user
    lone_profile
    local warm=$profile cold evil
    cold=$(make_profile cold-profile 1 1)
    evil=$(costly "$1")
    start_senvd
    run -0 provision "$warm"
    ask_as 64002 "$evil"
    within 1000 provision "$warm" --uid 64003
    within 3000 provision "$cold" --uid 64003
    within 1000 provision "$warm" --uid 64003
    answered 1
    run -0 cat "$root/answer.64002"
    says "cannot use '$evil'" "$2"
    (($(memory) < 128))
    within 3000 stop_senvd
}

@test "a profile with 20,000 repeats of 12,000 search paths is refused" {
    refused_cheaply repeated "too many different search paths, the limit is 1000"
}

@test "a profile with a file name of 3 MB is refused" {
    refused_cheaply name "the text has 3000005 bytes, the limit is 4096"
}

@test "a profile with links through long chains is refused" {
    refused_cheaply links "it takes more than 10000 steps"
}

@test "a pattern that took glibc hours is matched at once" {
    second_user
    local evil
    evil=$(costly plus)
    start_senvd
    within 3000 provision "$evil"
    run -0 provision "$evil"
    says "VARIABLE V=$evil/bin/a [:]"
    stop_senvd
}

@test "while a plan takes long, others' environments come; SIGTERM is heard at once" {
    second_user
    lone_profile
    local warm=$profile cold evil child
    cold=$(make_profile cold-profile 1 1)
    evil=$(costly allowed)
    start_senvd
    run -0 provision "$warm"
    ask_as 64002 "$evil"
    wait_until is_planning
    child=$(children)
    kill -STOP "$child"
    within 1000 provision "$warm" --uid 64003
    within 3000 provision "$cold" --uid 64003
    [[ $(children) == "$child" ]]
    within 2000 stop_senvd
    [[ ! -e /proc/$child ]]
}

@test "a plan that takes longer than ten seconds fails, for its profile only" {
    second_user
    lone_profile
    local evil
    evil=$(costly allowed)
    start_senvd
    ask_as 64002 "$evil"
    wait_until is_planning
    kill -STOP "$(children)"
    answered 1
    run -0 cat "$root/answer.64002"
    says "cannot use '$evil'" "that takes more than 10000 ms"
    run -0 provision "$profile"
    run -0 provision "$evil"
    stop_senvd
}

@test "one user's plans are made one after the other, another user's beside them" {
    second_user
    local first second third
    first=$(costly allowed)
    second=$(make_profile second-profile 1 1)
    third=$(make_profile third-profile 1 1)
    start_senvd
    ask_as 64002 "$first"
    wait_until is_planning
    kill -STOP "$(children)"
    ask_as 64002 "$second"
    run -0 provision "$third" --uid 64003
    is_planning 1
    kill -CONT "$(children)"
    answered 0
    stop_senvd
}

@test "a restart of senvd makes no plan again, an evicted profile leaves none" {
    publish_closure
    local file=$root/state/plans/${profile#/gnu/store/}
    start_senvd
    run -0 provision "$profile"
    says "VARIABLE PATH=$profile/bin [:]"
    stop_senvd
    sed -i 's|/bin|/BIN|' "$file"
    start_senvd
    run -0 provision "$profile"
    says "VARIABLE PATH=$profile/BIN [:]"
    run -0 ask gc
    [[ ! -e $file ]]
    run -0 provision "$profile"
    says "VARIABLE PATH=$profile/bin [:]"
    stop_senvd
    no_leases
}
