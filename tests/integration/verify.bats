# senv verify: what is damaged on the disk is found, fetched anew, and never given to a job meanwhile.
load helpers

damage() {    # WAY ITEM
    local at=$root/state/store/${2#/gnu/store/}
    case $1 in
        "another byte") printf X | dd of="$at/share/text" conv=notrunc status=none ;;
        "a file less") rm "$at/share/text" ;;
        "a file more") echo more >"$at/share/more" && chmod 444 "$at/share/more" ;;
        "another mode") chmod 644 "$at/share/text" ;;
        "nothing left") chmod -R u+w "$at" && rm -r "$at" ;;
        "no narinfo") rm "$root/state/narinfo/${at##*/}" ;;
        "another narinfo") sed -i 's/^NarSize: /&1/' "$root/state/narinfo/${at##*/}" ;;
    esac
}

damages=("another byte" "a file less" "a file more" "another mode" "nothing left" "no narinfo" "another narinfo")

needs_root() { [[ $(id -u) -eq 0 ]] || skip "damaging another user's files needs root"; }

hold() {    # PROFILE: leased by a process, the last of `pids`
    "$support/ask.py" "$socket" provision "$1" --hold "$root/held" 3>&- >/dev/null 2>&1 &
    pids+=($!)
    wait_until test -e "$root/held"
}

@test "what is whole: checked, and nothing else" {
    publish_closure
    start_senvd
    run -0 senv verify
    says "checked 0 items, 0 B; 0 damaged, 0 repaired"
    run -0 provision "$profile"
    run -0 senv verify -q --json
    [[ $(jq -c 'del(.bytes)' <<<"$output") == '{"checked":3,"damaged":[],"repaired":[],"not_repaired":[],"unreadable":[]}' ]]
    run -0 senv verify "$lib" "$tool"
    says "checked 2 items"
    run -1 senv verify /gnu/store/00000000000000000000000000000000-absent
    says "cannot verify '/gnu/store/00000000000000000000000000000000-absent': it is not on this node"
    run -1 senv verify nonsense
    wait_until asked 6
    stop_senvd
}

@test "each kind of damage is found and repaired, in place although a job uses it" {
    needs_root
    local way all=()
    for way in "${damages[@]}"; do
        all+=("$(publish "item-${#all[@]}" --tree "$(tree item "$way")" --compression none)")
    done
    profile=$(make_profile profile 1 1 "${all[@]}")
    start_senvd
    hold "$profile"
    for way in "${!damages[@]}"; do damage "${damages[way]}" "${all[way]}"; done
    run -0 senv verify -q --json
    [[ $(jq -r '.damaged[].item' <<<"$output" | sort) == "$(printf '%s\n' "${all[@]}" | sort)" ]]
    [[ $(jq -r '.repaired[]' <<<"$output" | sort) == "$(printf '%s\n' "${all[@]}" | sort)" ]]
    [[ $(jq -c '[.checked, .not_repaired]' <<<"$output") == "[$((${#all[@]} + 1)),[]]" ]]
    log_has damaged level=warning "item=${all[0]}" kind=corrupt
    log_has repaired level=info "item=${all[0]}"
    log_has verified "checked=$((${#all[@]} + 1))" "damaged=${#all[@]}" "repaired=${#all[@]}"
    run -0 provision "$profile"
    [[ $(senv status --json | jq .items) -eq $((${#all[@]} + 1)) ]]
    wait_until nothing_in staging
    store_is_sound
    stop_senvd
}

@test "what the node cannot read is said, and is no damage" {
    publish_closure
    start_senvd
    run -0 provision "$profile"
    local at=$root/state/store/${lib##*/} fault
    for fault in read:error=EIO openat:error=EMFILE; do
        start_faults -P "$at/share/text" -P "$at" -e "trace=${fault%%:*}" -e "inject=$fault"
        run -1 senv verify
        end_faults
        says "cannot read $lib: " "checked 2 items" "0 damaged, 0 repaired, 1 not readable"
        [[ $output == *": Input/output error"* || $output == *": Too many open files"* ]]
    done
    log_has unreadable level=warning "item=$lib" kind=io
    [[ $(senv status --json | jq .items) -eq 3 ]]
    run -0 senv verify
    says "checked 3 items"
    asked 6    # nothing came anew
    stop_senvd
}

@test "no origin: what is leased stays and is fetched when it is asked for, also after a restart; the rest goes" {
    needs_root
    publish_closure
    local other
    other=$(make_profile other 1 1)
    start_senvd
    hold "$profile"
    run -0 provision "$other"
    damage "another byte" "$lib"
    chmod 644 "$root/state/store/${other##*/}/1"
    rules main "* status 403"
    run -1 senv verify
    says "damaged $lib: it has another hash than the signed one" "not repaired $lib: cannot fetch '$lib': $main_url" "not repaired $other" "2 damaged, 0 repaired"
    wait_until not_in_store "$other"
    in_store "$lib"
    log_has not-repaired level=warning "item=$lib"
    run -1 provision "$profile"
    says "cannot fetch '$lib'"
    stop_senvd
    start_senvd
    run -1 provision "$profile"
    run -1 senv verify -q --json
    [[ $(jq -r '.damaged[] | [.item, .why] | join(" ")' <<<"$output") == "$lib it was found damaged before" ]]
    in_store "$lib"
    rules main
    run -0 provision "$profile"
    run -0 senv verify
    says "0 damaged"
    wait_until nothing_in staging
    store_is_sound
    stop_senvd
}

@test "senvd is killed while it repairs: the item is damaged or whole afterwards, and known as that" {
    needs_root
    publish_closure
    start_senvd
    run -0 provision "$profile"
    damage "another byte" "$tool"
    rules main "/nar/* stall 100"
    senv verify >/dev/null 2>&1 3>&- &
    wait_until log_has damaged "item=$tool"
    kill_senvd
    wait $! || true
    start_senvd
    rules main
    run -0 provision "$profile"
    wait_until nothing_in staging
    store_is_sound
    stop_senvd
}
