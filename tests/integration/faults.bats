# senvd on a disk that fails, or is full to the last block: what is asked for fails with a reason, what is complete stays, and it
# goes on as soon as it can.
load helpers

# failing CALL ERROR HIT…: in turn the HITth such call of each thread fails, while $profile is fetched. That fails with a
# reason, or succeeds; then, without the fault, it works, and gc leaves nothing.
failing() {
    local call=$1 error=$2 hit failed=0
    for hit in "${@:3}"; do
        start_faults -e "trace=$call" -e "inject=$call:error=$error:when=$hit"
        run timeout 60 "$support/ask.py" "$socket" provision "$profile"
        end_faults
        [[ $status -eq 0 || $status -eq 1 ]] || { echo "$call $hit: status $status: $output"; return 1; }
        if [[ $status -eq 1 ]]; then
            failed=$((failed + 1))
            says "ERROR" "cannot" "HINT "
        fi
        run -0 provision "$profile"
        items_are_sound
        run -0 senv gc
        nothing_in store
        nothing_in narinfo
    done
    ((failed > 0)) || { echo "no $call failed where it matters"; return 1; }
}

@test "a call to the file system fails in the middle of a fetch: said, and the next request succeeds" {
    publish_closure
    start_senvd
    failing mkdirat EIO 1
    failing openat EMFILE 1 7
    failing fchmod EIO 1
    failing fchmodat EIO 1
    failing rename ENOSPC 1
    failing renameat2 EIO 1
    failing pwrite64 ENOSPC 1    # the catalog
    kill_senvd
    start_senvd    # removes what could not be removed
    store_is_sound
    stop_senvd
}

@test "write fails in the middle of a file" {
    head -c 1000000 /dev/urandom >"$root/large"
    local item error
    item=$(publish large-item --tree "$root/large" --compression none)
    profile=$(make_profile p 1 1 "$item")
    settings='downloads = 1'
    for error in EIO ENOSPC; do
        start_senvd
        start_faults -e trace=write -P "$root/state/staging/1/${item##*/}" -P "$root/state/staging/2/${item##*/}" \
            -e "inject=write:error=$error:when=3"
        run -1 timeout 60 "$support/ask.py" "$socket" provision "$profile"
        end_faults
        says "cannot unpack '$item'" "HINT "
        wait_until nothing_in staging
        run -0 provision "$profile"
        store_is_sound
        run -0 senv gc
        stop_senvd
    done
}

durable() { [[ $(recorded durable) -eq $1 ]]; }

@test "the disk cannot be waited for: said, tried again, and nothing counts as durable meanwhile" {
    publish_closure
    start_senvd
    start_faults -e trace=syncfs,fsync,fdatasync -e inject=syncfs,fsync,fdatasync:error=EIO
    run -0 provision "$profile"
    wait_until grep -q 'level=warning event=sync' "$root/senvd.log"
    durable 0
    run -1 senv gc    # a row that may come back must not go
    says "cannot"
    end_faults
    wait_until durable 3
    [[ $(senv status --json | jq .items) -eq 3 ]]
    store_is_sound
    run -0 senv gc
    nothing_in store
    [[ $(senv status --json | jq .items) -eq 0 ]]
    stop_senvd
}

# served_without_disk: with the disk full, senvd gives what it has to steps, as the plugin asks; so does the next senvd.
served_without_disk() {
    fill_disk
    : >"$root/main.log"
    hold_in_step 1
    kill_senvd
    start_senvd
    hold_in_step 2
    [[ $(senv status --json | jq -c '[.leases[].job] | sort') == "[1,2]" ]]
    stop_senvd
    start_senvd
    run -0 provision "$profile" --lease
    [[ $(senv status --json | jq -c '[.leases[].job] | sort') == "[1,2]" ]]
    [[ $(requests) -eq 0 ]]
    run -0 senv gc
    store_is_sound
    in_store "$profile"
    stop_senvd
}

hold_in_step() {    # JOB: holds $profile until the end of the test
    "$support/ask.py" "$socket" provision "$profile" --hold "$root/held" --job "$1" >/dev/null 3>&- &
    pids+=($!)
    wait_until test -e "$root/held"
    rm "$root/held"
}

@test "a disk without a single free block: senvd serves steps what it has, and so does the next one" {
    publish_closure
    small_disk 40M
    settings=$'high_water = "30 MiB"\nlow_water = "20 MiB"'    # of what it takes itself: nothing is evicted
    start_senvd
    run -0 provision "$profile"
    served_without_disk
}

@test "a disk without a single free inode: senvd serves steps what it has, and so does the next one" {
    publish_closure
    small_disk 40M 200
    start_senvd
    run -0 provision "$profile"
    run -0 senv pin "$profile"    # else it would have to go
    mkdir "$root/small/filler"
    fill_disk() { local i; for ((i = 0; i < 300; ++i)); do : >"$root/small/filler/$i" || break; done 2>/dev/null; }
    served_without_disk
}

@test "a lease that cannot be read: nothing is evicted as long as somebody holds it" {
    publish_closure
    start_senvd
    hold_in_step 1
    kill_senvd
    echo nothing >"$(echo "$root"/run/leases/*)"
    start_senvd
    log_has lease-unread "file=$(ls "$root/run/leases")"
    run -1 senv gc
    says "cannot evict: somebody holds the lease '" "hint: "
    in_store "$profile"
    kill -9 "${pids[-1]}"
    run -0 senv gc
    nothing_in store
    stop_senvd
}

@test "leases in the state folder, of an older senvd, count until they are free" {
    publish_closure
    start_senvd
    hold_in_step 1
    kill_senvd
    as_senv mkdir "$root/state/leases"
    cp -p "$root"/run/leases/* "$root/state/leases/"
    (exec 3>&- 9<"$(echo "$root"/state/leases/*)" && flock 9 && : >"$root/held" && exec sleep 1000) &
    pids+=($!)
    wait_until test -e "$root/held"
    kill -9 "${pids[-2]}"
    start_senvd
    [[ $(senv status --json | jq -c '[.leases[].job]') == "[1]" ]]
    run -0 senv gc
    in_store "$profile"
    kill -9 "${pids[-1]}"
    run -0 senv gc
    nothing_in store
    nothing_in leases
    stop_senvd
}
