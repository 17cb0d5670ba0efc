# Room on a small disk: what is evicted, what is refused, and what a full disk does.
load helpers

# used OPTION: the disk's use in percent; --output=pcent or --output=ipcent
used() { df "$1" "$root/small" | tail -n 1 | tr -dc 0-9; }
gone() { ! in_store "$1"; }
log_has() { grep -q "$1" "$root/senvd.log"; }

@test "above the high mark the least recently used environments go, in the background" {
    small_disk 60M
    settings=$'high_water = "70%"\nlow_water = "50%"'
    local profiles=() number
    for number in 1 2 3 4 5; do profiles+=("$(make_profile "p$number" 5 2048)"); done
    start_senvd
    for number in 0 1 2; do
        run -0 provision "${profiles[number]}"
        sleep 1.1    # uses are recorded by the second
    done
    run -0 provision "${profiles[0]}"
    sleep 1.1
    run -0 provision "${profiles[3]}"
    wait_until gone "${profiles[1]}"
    in_store "${profiles[0]}"
    in_store "${profiles[3]}"
    log_has 'why="the disk is above its high water mark"'
    run -0 provision "${profiles[4]}"
    wait_until below_the_mark
    run -0 senv status
    store_is_sound
    stop_senvd
}
below_the_mark() { (($(used --output=pcent) <= 70)); }

@test "amounts as marks, of what the store takes" {
    settings=$'high_water = "1 MiB"\nlow_water = "512 KiB"'
    local first second
    first=$(make_profile first 3 200)
    second=$(make_profile second 3 200)
    start_senvd
    run -0 provision "$first"
    sleep 1.1
    run -0 provision "$second"
    wait_until gone "$first"
    in_store "$second"    # the rest is at 612 KiB: nothing but it is left, and it is below the high mark
    stop_senvd
}

@test "an environment that does not fit is refused before it is fetched, with what holds the space" {
    small_disk 40M
    local held pinned big small
    held=$(make_profile held 5 2048)
    pinned=$(make_profile pinned 3 2048)
    big=$(make_profile big 15 2048)
    small=$(make_profile small 2 1024)
    start_senvd
    hold "$held" --job 12 --step 3
    run -0 provision "$pinned"
    run -0 senv pin "$pinned"
    : >"$root/main.log"
    run -1 senv fetch "$big"
    says "cannot fetch '$big': it needs 31." " MiB more on this node's disk; " " are free, and evicting can free 0 B" \
        "'$held' (leased by job 12 step 3)" "MiB '$pinned' (pinned)" "hint: "
    run ! grep -q 'GET /nar/' "$root/main.log"
    run -0 provision "$small"    # others go on
    store_is_sound
    kill -9 "$holder"
    run -0 senv unpin "$pinned"
    run -0 provision "$big"
    gone "$held"
    store_is_sound
    stop_senvd
}

@test "room for an environment is made before it is fetched, of the least recently used" {
    small_disk 40M
    settings=$'high_water = "99%"\nlow_water = "98%"\ngrace = 3600'
    local one two big
    one=$(make_profile one 5 2048)
    two=$(make_profile two 5 2048)
    big=$(make_profile big 10 2048)
    start_senvd
    run -0 provision "$one"
    sleep 1.1
    run -0 provision "$two"
    run -0 provision "$big"    # although both are in their grace period: nothing else is left
    gone "$one"
    in_store "$two"
    log_has "why=\"for '$big'\""
    store_is_sound
    stop_senvd
}

@test "several at once do not count the same room twice" {
    small_disk 40M
    settings=$'high_water = "99%"\nlow_water = "98%"'
    local one two
    one=$(make_profile one 9 2048)
    two=$(make_profile two 9 2048)
    rules main "/nar/* drip 3"
    start_senvd
    "$support/ask.py" "$socket" provision "$one" >"$root/one" 3>&- &
    local first=$!
    wait_until grep -q "one.narinfo\|/nar/none/${one#/gnu/store/}\|$(basename "$one" | cut -c1-32)" "$root/main.log"
    "$support/ask.py" "$socket" provision "$two" >"$root/two" 3>&- &
    local second=$!
    local failed=0
    wait "$first" || failed=$((failed + 1))
    wait "$second" || failed=$((failed + 1))
    # One of them was told at once that there is no room beside the other; none ran into the end of the disk.
    [[ $failed -eq 1 ]]
    grep -q "it needs 19" "$root/one" "$root/two"
    run ! grep -q "No space left" "$root/senvd.log" "$root/one" "$root/two"
    store_is_sound
    stop_senvd
}

@test "somebody else fills the disk meanwhile: the request says so, complete items stay, and later it works" {
    small_disk 40M
    settings='grace = 60'
    local part
    part=$(make_profile part 1 1024)
    profile=$(make_profile whole 8 2048 "$part")
    rules main "/nar/*whole drip 6"
    start_senvd
    "$support/ask.py" "$socket" provision "$profile" >"$root/answer" 3>&- &
    local client=$!
    wait_until in_store "$part"
    fill_disk
    if wait "$client"; then return 1; fi
    grep -q "cannot fetch '$profile': this node's disk became full: .*No space left on device; about 17.* MiB and .* are needed" \
        "$root/answer"
    in_store "$part"
    wait_until nothing_in staging
    run -0 ask status
    rm "$root/small/filler"
    rules main
    : >"$root/main.log"
    run -0 provision "$profile"
    run ! grep -q "/nar/none/${part#/gnu/store/}" "$root/main.log"
    store_is_sound
    stop_senvd
}

@test "on a disk without a single free block, gc and unpin work" {
    small_disk 40M
    profile=$(make_profile p 5 1024)
    start_senvd
    run -0 provision "$profile"
    run -0 senv pin "$profile"
    fill_disk
    [[ $(df --output=avail "$root/small" | tail -n 1) -eq 0 ]]
    run -0 senv unpin "$profile"
    run -0 senv gc
    says "evicted $profile"
    nothing_in store
    stop_senvd
}

@test "without inodes: refused up front, said while unpacking, and gc works" {
    small_disk 40M 400
    local one many
    one=$(make_profile one 100 1)
    many=$(make_profile many 500 1)    # more than its size lets one guess
    settings=$'high_water = "99%"\nlow_water = "98%"'
    start_senvd
    run -0 provision "$one"
    run -1 provision "$many"
    says "cannot fetch '$many': this node's disk became full: " "No space left on device; about " " inodes are needed"
    wait_until nothing_in staging
    run -0 senv gc
    nothing_in store
    run -0 provision "$one"
    run -0 senv pin "$one"
    mkdir "$root/small/files"
    (cd "$root/small/files" && for ((i = 0; i < 500; ++i)); do : >"$i" || break; done) 2>/dev/null || true
    [[ $(df --output=iavail "$root/small" | tail -n 1) -eq 0 ]]
    local other
    other=$(make_profile other 1 1)
    run -1 provision "$other"
    says "it needs about " " inodes more on this node's disk; 0 are free, and evicting can free 0" "'$one' (pinned)"
    run -0 senv unpin "$one"
    run -0 senv gc
    nothing_in store
    rm -r "$root/small/files"
    run -0 provision "$other"
    store_is_sound
    stop_senvd
}

@test "pins keep an environment until they are taken back, also over a lost catalog" {
    publish_closure
    start_senvd
    run -1 senv pin "$profile"
    says "cannot pin '$profile': it is not complete on this node" "hint: bring it here first"
    run -0 senv fetch "$profile"
    run -0 senv pin "$profile" --json
    [[ $output == "{\"profile\":\"$profile\",\"pinned\":true}" ]]
    run -0 senv gc
    says "kept $profile: pinned"
    stop_senvd
    rm "$root"/state/db*
    start_senvd
    run -0 senv gc
    says "kept $profile: pinned" "evicted 0 items"
    in_store "$lib"
    run -0 senv unpin "$profile"
    run -1 senv unpin "$profile"
    says "it is not pinned here"
    run -2 senv pin /etc/passwd
    run -0 senv gc
    nothing_in store
    stop_senvd
}

hold() {    # PROFILE OPTION…: leases it until $holder is killed
    "$support/ask.py" "$socket" provision "$@" --hold "$root/held" >/dev/null 3>&- &
    holder=$!
    pids+=("$holder")
    wait_until test -e "$root/held"
}

@test "a clock that ran ahead: what was used then is evicted like all else, and nobody is told of a use to come" {
    publish_closure
    settings='grace = 1'
    start_senvd
    run -0 provision "$profile"
    stop_senvd
    python3 - "$root/state/db" <<'END'
import sqlite3, sys, time
catalog = sqlite3.connect(sys.argv[1])
catalog.execute("UPDATE profiles SET last_use = ?", (int(time.time()) + 30 * 86400,))
catalog.execute("UPDATE items SET added = ?", (int(time.time()) + 30 * 86400,))
catalog.commit()
catalog.close()
END
    [[ $(id -u) -ne 0 ]] || chown 64001:64001 "$root"/state/db*
    start_senvd
    [[ $(senv list --json | jq '.profiles[0].last_use <= now + 1') == true ]]
    run -0 senv gc
    says "kept $profile: used 0 s ago"
    sleep 2.1
    run -0 senv gc
    says "evicted $profile"
    nothing_in store
    stop_senvd
}
