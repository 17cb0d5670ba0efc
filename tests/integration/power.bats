# The node loses power: what is on its disk then is never taken for complete when it is not.
load helpers

@test "power is lost at moments of each kind, on ext4 and on xfs" {
    [[ $(id -u) -eq 0 ]] || skip "mounting a file system needs root"
    local kind failed=0
    local -A trial
    for kind in ext4 xfs; do    # side by side: they mostly wait
        unshare --mount "$support/power.py" --build "$build" --file-system "$kind" --moments 4 >"$root/$kind" 2>&1 3>&- &
        trial[$kind]=$!
        pids+=($!)
    done
    for kind in ext4 xfs; do
        wait "${trial[$kind]}" || failed=1
        echo "--- $kind"
        cat "$root/$kind"
    done
    [[ $failed -eq 0 ]]
}

# FOLDER: the loop devices and the senvd of a trial there
of_trial() {
    losetup --list --noheadings --output BACK-FILE | grep -F "$1/" || true
    pgrep -af "/senvd --config $1/" || true
}

@test "the trial itself, killed, leaves no loop device and no senvd" {
    [[ $(id -u) -eq 0 ]] || skip "mounting a file system needs root"
    local trial folder
    gone() { [[ -z $(of_trial "$folder") ]]; }
    unshare --mount "$support/power.py" --build "$build" --moments 100 >/dev/null 2>&1 3>&- &
    trial=$!
    pids+=("$trial")
    wait_until grep -q /senv-power "/proc/$trial/mountinfo"
    folder=$(sed -n 's|.* \([^ ]*/senv-power\.[^/]*\)/mount .*|\1|p' "/proc/$trial/mountinfo")
    wait_until pgrep -f "/senvd --config $folder/"
    [[ $(of_trial "$folder" | wc -l) -ge 2 ]]
    kill -9 "$trial"
    wait "$trial" || true
    wait_until gone
    rm -rf "$folder"
}

@test "what is evicted and fetched again while the disk is being waited for is not taken for durable" {
    publish_closure
    start_senvd
    start_faults -e trace=syncfs -e inject=syncfs:delay_exit=3000000
    run -0 provision "$profile"
    wait_until grep -q 'syncfs.* = 0 (DELAYED)' "$root/strace"    # done, but senvd does not know yet
    senv gc >/dev/null 3>&- &    # answers when what was evicted is removed, which is after it knows
    local gc=$!
    wait_until nothing_in store
    run -0 provision "$profile"
    wait "$gc"
    run -0 ask status
    [[ $(recorded all) -eq 3 ]]
    [[ $(recorded durable) -eq 0 ]]    # the next wait for the disk has not ended
    end_faults
    stop_senvd
}
