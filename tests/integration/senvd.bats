# senvd from outside: one that is started, asked, stopped and killed in a temporary root, with servers that behave.
load helpers

@test "provision: a closure of three items is fetched, checked and made a plan" {
    publish_closure
    start_senvd
    run -0 provision "$profile" --lease --job 12 --step 3
    says LEASE PENDING "PLAN $profile" "VARIABLE PATH=$profile/bin [:]" "VARIABLE TOOL_PATH=$profile/share [:]"
    in_store "$profile"
    in_store "$tool"
    in_store "$lib"
    store_is_sound
    [[ $(stat -c %a:%Y "$root/state/store/${tool#/gnu/store/}") == 555:1 ]]
    wait_until asked 6
    stop_senvd
}

@test "provision: what is complete is answered without a request to any server, also after a restart" {
    publish_closure
    start_senvd
    run -0 provision "$profile"
    : >"$root/main.log"
    run -0 provision "$profile"
    says "PLAN $profile"
    [[ $output != *PENDING* ]]
    stop_senvd
    start_senvd
    run -0 provision "$profile"
    says "PLAN $profile"
    [[ $output != *PENDING* ]]
    [[ $(requests) -eq 0 ]]
    stop_senvd
}

@test "provision: fifty clients at once, each item is fetched once" {
    publish_closure
    rules main "*.narinfo drip 1"
    start_senvd
    local client clients=()
    for client in {1..50}; do
        provision "$profile" >"$root/client.$client" 3>&- &
        clients+=($!)
    done
    for client in "${clients[@]}"; do wait "$client"; done
    [[ $(grep -l "PLAN $profile" "$root"/client.* | wc -l) -eq 50 ]]
    [[ $(sort "$root/main.log" | uniq -d | wc -l) -eq 0 ]]
    wait_until asked 6
    stop_senvd
}

@test "provision: a client that goes away stops nothing" {
    publish_closure
    rules main "/nar/*tool* drip 2"
    start_senvd
    "$support/ask.py" "$socket" provision "$profile" >/dev/null 3>&- &
    local client=$!
    wait_until grep -q narinfo "$root/main.log"
    kill -9 "$client"
    run -0 provision "$profile"
    wait_until asked 6
    stop_senvd
}

@test "prefetch: accepted at once, complete later" {
    publish_closure
    start_senvd
    kill -STOP "$main_pid"
    run -0 ask prefetch "$profile" --job 7
    says ACCEPTED
    not_in_store "$profile"
    kill -CONT "$main_pid"
    wait_until in_store "$profile"
    run -0 provision "$profile"
    wait_until asked 6
    stop_senvd
}

@test "an item whose root is a file or a link, and one that is large" {
    head -c 3000000 /dev/urandom >"$root/large"
    ln -s /gnu/store/nowhere "$root/link"
    local file link
    file=$(publish large-file --tree "$root/large" --compression none)
    link=$(publish a-link --tree "$root/link" --compression lzip)
    mkdir "$root/p"
    echo '(manifest (version 4) (packages ()))' >"$root/p/manifest"
    profile=$(publish p-profile --tree "$root/p" --references "$file" "$link")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    in_store "$link"
    stop_senvd
}

@test "senv fetch, status and gc" {
    publish_closure
    start_senvd
    run -0 senv fetch "$profile"
    [[ -z $output ]]
    run -0 senv status
    says "store    $root/state/store: 3 items" "1 profile" "origin   $main_url"
    run -0 --separate-stderr senv status --json
    [[ $(jq -r .items <<<"$output") == 3 && $(jq -r .version <<<"$output") == 0.1.0 ]]
    if [[ $(id -u) -eq 0 ]]; then
        run -1 setpriv --reuid 64002 --clear-groups "$build/provisioner/cli/senv" gc --socket "$socket"
        says "only root and senvd's own user may"
    fi
    run -0 senv gc --dry-run
    says "would evict $profile" "3 items"
    store_is_sound
    in_store "$profile"
    run -0 senv gc
    says "evicted $profile"
    nothing_in store
    nothing_in narinfo
    run -0 senv fetch "$profile"
    store_is_sound
    stop_senvd
    run -1 senv status
    says "cannot reach senvd" "hint: "
}

@test "senv fetch takes a lock, and says with --json whether all was there" {
    publish_closure
    jq --arg path "$profile" '.profile as $old | .profile = $path |
        .closure |= [.[] | select(.path == $old) | .path = $path | .references = []]' "$golden/lock/hello.lock" >"$root/a.lock"
    start_senvd
    run -1 senv fetch "$root/none.lock"
    says "$root/none.lock" "hint: give a profile in /gnu/store, or a file that \`senv lock\` wrote"
    echo '{}' >"$root/bad.lock"
    run -1 senv fetch "$root/bad.lock"
    says "cannot use the lock '$root/bad.lock': "
    nothing_in store
    run -0 --separate-stderr senv fetch "$root/a.lock" --json
    jq -e --arg path "$profile" '.profile == $path and .was_complete == false and .seconds > 0' <<<"$output"
    store_is_sound
    in_store "$profile"
    run -0 --separate-stderr senv fetch "$profile" --json --quiet
    [[ $(jq .was_complete <<<"$output") == true && -z $stderr ]]
    stop_senvd
}

@test "senv status shows what is fetched, from where, for whom, and the space" {
    publish_closure
    rules main "/nar/*/${lib##*/} stall 40"
    start_senvd
    ask provision "$profile" --job 12 --step 3 >/dev/null 3>&- &
    pids+=("$!")
    wait_until is_transferring "$lib"
    run -0 senv status --json
    [[ $(jq -c '.fetches[0] | [.profile, .items_total, .waiting, .waiters[0].job, .waiters[0].step]' <<<"$output") == \
        "[\"$profile\",3,1,12,3]" ]]
    [[ $(jq -c '.fetches[0].transfers[0] | [.item, .origin]' <<<"$output") == "[\"$lib\",\"$main_url\"]" ]]
    jq -e '.space | .disk.free > 0 and .disk.bytes > .disk.free and .high_water == "90%" and .pins == 0' <<<"$output"
    run -0 senv status
    says "fetching $profile: " " of 3 items" "1 request waiting" "$lib: " " from $main_url" "for job 12 step 3, uid " \
        "evicts above 90% down to 80%"
    stop_senvd
}
is_transferring() { [[ $(senv status --json | jq -r '[.fetches[].transfers[].item] | join(" ")') == "$1" ]]; }

@test "senv list shows each environment with its size, use, pin and leases" {
    publish_closure
    local other
    other=$(make_profile other 1 100 "$lib")
    start_senvd
    run -0 senv list
    [[ -z $output ]]
    run -0 provision "$profile"
    run -0 provision "$other"
    run -0 senv pin "$other"
    "$support/ask.py" "$socket" provision "$profile" --hold "$root/held" >/dev/null 3>&- &
    pids+=("$!")
    wait_until test -e "$root/held"
    run -0 senv list
    [[ ${#lines[@]} -eq 2 ]]
    grep -qE "^$profile: 3 items, [0-9.]+ [KM]iB, used [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} UTC, 1 lease$" <<<"$output"
    grep -qE "^$other: 2 items, [0-9.]+ [KM]iB, used .* UTC, pinned$" <<<"$output"
    run -0 senv list --json
    [[ $(jq -c --arg path "$other" '.profiles[] | select(.profile == $path) |
        [.items, .pinned, .leases, .complete, .bytes > 100 * 1024, .disk_bytes > .bytes, now - .last_use < 600]' \
        <<<"$output") == "[2,true,0,true,true,true,true]" ]]
    stop_senvd
}

@test "leases: gc keeps what is leased, also after kill -9 and restart, until the holder dies" {
    publish_closure
    local other other_profile
    other=$(publish other --tree "$(tree other text)")
    mkdir "$root/o"
    echo '(manifest (version 4) (packages ()))' >"$root/o/manifest"
    other_profile=$(publish other-profile --tree "$root/o" --references "$other" "$lib")
    start_senvd
    run -0 provision "$other_profile"
    "$support/ask.py" "$socket" provision "$profile" --hold "$root/held" --job 12 --uid 1234 >/dev/null 3>&- &
    local holder=$!
    pids+=("$holder")
    wait_until test -e "$root/held"
    [[ $(stat -c %a "$root"/run/leases/*) == 600 ]]
    run -0 senv status --json
    [[ $(jq -c '[.leases[] | {profile, job, step, uid}]' <<<"$output") == "[{\"profile\":\"$profile\",\"job\":12,\"step\":0,\"uid\":$([[ $(id -u) -eq 0 ]] && echo 1234 || id -u)}]" ]]
    kill_senvd
    start_senvd
    run -0 senv gc --json
    [[ $(jq -r '.evicted[0]' <<<"$output") == "$other_profile" ]]
    [[ $(jq -r '.kept[0].why' <<<"$output") == "leased by job 12 step 0" ]]
    in_store "$profile"
    in_store "$lib"
    not_in_store "$other"
    store_is_sound
    kill -9 "$holder"
    wait_until gone_from_leases
    run -0 senv gc
    nothing_in store
    stop_senvd
}
gone_from_leases() { senv status --json | jq -e '.leases == []' >/dev/null && no_leases; }

@test "grace: what was used lately is kept" {
    publish_closure
    settings='grace = 60'
    start_senvd
    run -0 provision "$profile"
    run -0 senv gc
    says "kept $profile: used" "s ago" "evicted 0 items"
    in_store "$profile"
    stop_senvd
}

@test "kill -9 in the middle: the next start is clean, and nothing complete is fetched again" {
    publish_closure
    rules main "/nar/*test-profile stall 20"
    start_senvd
    provision "$profile" >/dev/null 2>&1 3>&- &
    wait_until in_store "$tool"
    wait_until in_store "$lib"
    wait_until grep -q "lib-1.0.*200" "$root/main.log"
    run -0 senv status --json
    [[ $(jq -r '.fetches[0].items_done' <<<"$output") == 2 ]]
    [[ -n $(ls -A "$root/state/staging") ]]
    kill_senvd
    wait_until grep -q "test-profile 200 20" "$root/main.log"    # the server has seen it end, and writes no more of it
    rules main
    : >"$root/main.log"
    start_senvd
    store_is_sound
    run -0 provision "$profile"
    [[ $(grep -c 'GET /nar/' "$root/main.log") -eq 1 ]]
    grep -q "GET /nar/zstd/${profile#/gnu/store/} 200" "$root/main.log"
    store_is_sound
    stop_senvd
}

@test "SIGTERM in the middle ends it at once, and tells who waits" {
    publish_closure
    rules main "/nar/*test-profile stall 20"
    start_senvd
    provision "$profile" >"$root/answer" 3>&- &
    local client=$!
    wait_until grep -q "lib-1.0.*200" "$root/main.log"
    SECONDS=0
    stop_senvd
    ((SECONDS < 8))
    if wait "$client"; then echo "the client was told that all is well"; return 1; fi
    grep -q "senvd is being stopped" "$root/answer"
}

@test "a lost or damaged catalog is made anew from what is there" {
    publish_closure
    start_senvd
    run -0 provision "$profile"
    stop_senvd
    : >"$root/main.log"
    rm "$root"/state/db*
    chmod u+w "$root/state/store/${lib#/gnu/store/}/share"
    mv "$root/state/store/${lib#/gnu/store/}"{/share/text,/share/text2}
    start_senvd
    grep -q catalog-rebuilt "$root/senvd.log"
    not_in_store "$lib"
    run -0 provision "$profile"
    [[ $(grep -c 'GET /nar/' "$root/main.log") -eq 1 ]]
    stop_senvd
    head -c 4096 /dev/urandom >"$root/state/db"
    start_senvd
    run -0 provision "$profile"
    [[ $(grep -c 'GET /nar/' "$root/main.log") -eq 1 ]]
    store_is_sound
    stop_senvd
}

@test "after a reboot that was no clean stop, what the disk may not have got is checked" {
    publish_closure
    start_senvd
    run -0 provision "$profile"
    kill_senvd
    chmod u+w "$root/state/store/${lib#/gnu/store/}/share/text"
    : >"$root/state/store/${lib#/gnu/store/}/share/text"    # what a lost page looks like
    sed -i 's/^[^ ]*/another-boot/' "$root/state/session"
    : >"$root/main.log"
    start_senvd
    grep -q checked-after-reboot "$root/senvd.log"
    not_in_store "$lib"
    run -0 provision "$profile"
    [[ $(grep -c 'GET /nar/' "$root/main.log") -eq 1 ]]
    store_is_sound
    stop_senvd
}

@test "a second senvd on the same state, and one at the same socket, say so" {
    start_senvd
    run -1 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "another senvd is using it" "hint: "
    sed "s|$root/state|$root/state2|" "$root/senvd.toml" >"$root/second.toml"
    mkdir "$root/state2"
    [[ $(id -u) -eq 0 ]] && chown 64001:64001 "$root/state2"
    run -1 as_senv "$build/provisioner/senvd/senvd" --config "$root/second.toml"
    says "cannot use the folder for leases '$root/run/leases': another senvd is using it"
    echo "lease_dir = '$root/state2/leases'" >>"$root/second.toml"
    run -1 as_senv "$build/provisioner/senvd/senvd" --config "$root/second.toml"
    says "another senvd answers there"
    run -0 ask status
    kill_senvd
    [[ -S $socket ]]
    start_senvd    # over the socket that was left
    stop_senvd
}

@test "senvd refuses to start as root, without signatures, and where others may write" {
    write_config
    if [[ $(id -u) -eq 0 ]]; then
        run -2 "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
        says "must not run as root" "hint: "
    fi
    run -2 as_senv env GUIX_ALLOW_UNAUTHENTICATED_SUBSTITUTES=yes "$build/provisioner/senvd/senvd" \
        --config "$root/senvd.toml"
    says "GUIX_ALLOW_UNAUTHENTICATED_SUBSTITUTES"
    chmod 777 "$root/state"
    run -2 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "others may write to '$root/state'"
    chmod 755 "$root/state"
    chmod 777 "$root"
    run -2 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "others may write to '$root'"
    chmod 755 "$root"
}

refused_config() {    # LINE TEXT…: a configuration with LINE is an error that says TEXT
    write_config
    echo "$1" >>"$root/senvd.toml"
    run -2 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "cannot use '$root/senvd.toml': line" "${@:2}"
}

@test "FIPS mode of libgcrypt is said" {
    start_senvd
    run ! grep event=fips "$root/senvd.log"
    stop_senvd
    start_senvd env LIBGCRYPT_FORCE_FIPS_MODE=1
    grep -E 'level=warning event=fips ' "$root/senvd.log"
    stop_senvd
}

@test "configuration: mistakes are named with their line" {
    refused_config 'orgins = []' "unknown key 'orgins'" "hint: the keys are "
    refused_config 'downloads = 0' "downloads: want a whole number from 1 to 64"
    refused_config 'downloads = "8"' "downloads: want a whole number"
    refused_config 'nice = 20' "nice: want a whole number from 0 to 19"
    refused_config 'cpus = "3-1"' "cpus: want CPUs in quotes" "'3-1' is neither a CPU nor a range"
    refused_config 'metrics_file = "/a/b"' "metrics_file: want an absolute path in quotes that ends in .prom"
    refused_config 'stall_limit = 1e1000' "line"
    refused_config 'origins = [' "line"
    echo 'origins = ["ftp://host"]' >"$root/senvd.toml"
    run -2 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "cannot use the origin 'ftp://host': want http://, https://, file:/// or store:///"
    echo 'origins = ["http://me:secret@host/"]' >"$root/senvd.toml"
    run -2 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "neither user name"
    [[ $output != *secret* ]]
    echo 'grace = 1' >"$root/senvd.toml"
    run -2 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "cannot use '$root/senvd.toml': the key 'origins' is missing" 'hint: name the servers'
    run -0 as_senv "$build/provisioner/senvd/senvd" --version
    [[ $output == "senvd 0.1.0" ]]
    run -2 as_senv "$build/provisioner/senvd/senvd" --nonsense
}

@test "the shipped configuration is valid and shows the defaults" {
    sed 's/^# \([a-z_]* = \)/\1/; /^store = /d' "$checkout/etc/senvd.toml" >"$root/senvd.toml"
    sed -i "s|/var/lib/senv|$root/nowhere|" "$root/senvd.toml"
    run -1 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "$root/nowhere"
}

check() { as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml" --check; }

@test "--check: says everything that is wrong, changes nothing, and its exit status says whether senvd would start" {
    write_config
    run -0 check
    says "$root/senvd.toml can be used: 1 origins, state in $root/state"
    [[ -z $(ls -A "$root/state") && ! -e $socket ]]

    # senvd starts all the same, and works with what is there.
    origins+=("file://$root/nowhere")
    settings="metrics_file = \"$root/none/senvd.prom\""
    rm "$root/acl"
    write_config
    run -1 check
    says "cannot use the list of authorised keys '$root/acl'" "cannot use the origin 'file://$root/nowhere': No such file" \
        "cannot write figures to '$root/none/senvd.prom'" "hint: "
    echo '(acl)' >"$root/acl"
    run -1 check
    says "'$root/acl' has no key"
    start_senvd
    stop_senvd

    # It does not start.
    chmod 777 "$root/state"
    run -2 check
    says "others may write to '$root/state'" "'$root/acl' has no key"
    chmod 755 "$root/state"
    settings='admin_group = "nobody-has-this-group"'
    write_config
    run -2 check
    says "the group 'nobody-has-this-group' (admin_group) does not exist"
    echo 'grce = 1' >>"$root/senvd.toml"
    run -2 check
    says "unknown key 'grce'"
    rm "$root/senvd.toml"
    run -2 check
    says "'$root/senvd.toml'" "hint: "
}

@test "--check as root: as the owner of the state folder" {
    [[ $(id -u) -eq 0 ]] || skip "needs root"
    write_config
    run -0 "$build/provisioner/senvd/senvd" --config "$root/senvd.toml" --check
    chmod 555 "$root/run"
    run -2 "$build/provisioner/senvd/senvd" --config "$root/senvd.toml" --check
    says "cannot listen at '$socket'"
    chown 0:0 "$root/state"
    run -2 "$build/provisioner/senvd/senvd" --config "$root/senvd.toml" --check
    says "it belongs to root"
    rmdir "$root/state"
    run -2 "$build/provisioner/senvd/senvd" --config "$root/senvd.toml" --check
    says "hint: make it: systemd-tmpfiles --create"
}

@test "--check of a folder that does not answer takes five seconds" {
    [[ $(id -u) -eq 0 ]] || skip "mounting needs root"
    mkdir "$root/small"
    "$support/hanging_mount.py" "$root/small" >"$root/hanging" 2>&1 3>&- &
    pids+=($!)
    wait_until test -s "$root/hanging"
    grep -x mounted "$root/hanging" || skip "cannot mount with FUSE here"
    origins+=("file://$root/small")
    write_config
    run -1 timeout 20 setpriv --reuid 64001 --regid 64001 --clear-groups \
        "$build/provisioner/senvd/senvd" --config "$root/senvd.toml" --check
    says "'file://$root/small': the folder did not answer within 5 s"
}
