# Origins of each kind, and what comes from whom: folders, mounted stores, mirrors that nobody signs for; failing over.
load helpers

unsign() { sed -i '/^Signature:/d' "$root/$1"/*.narinfo; }    # ORIGIN
no_nar_was_asked_of() { run -1 grep 'GET /nar/' "$root/$1.log"; }    # ORIGIN

# The store of the closure that publish_closure made, as it would be mounted.
mount_store() {
    mkdir -p "$root/mounted"
    cp -r "$root/trees/lib" "$root/mounted/$(basename "$lib")"
    cp -r "$root/trees/tool" "$root/mounted/$(basename "$tool")"
    cp -r "$root/trees/profile" "$root/mounted/$(basename "$profile")"
}

fails() {    # TEXT…
    run -1 timeout 60 "$support/ask.py" "$socket" provision "$profile"
    says "ERROR" "cannot fetch '" "HINT " "$@"
    nothing_in store
    wait_until nothing_in staging
}

@test "a folder gives a closure, whatever its compressions" {
    local compression paths=()
    kill -9 "$main_pid"
    origins=("file://$root/main")
    for compression in none gzip lzip zstd; do
        mkdir -p "$root/trees/$compression"
        echo "$compression" >"$root/trees/$compression/text"
        paths+=("$(publish "with-$compression" --tree "$root/trees/$compression" --compression "$compression")")
    done
    mkdir -p "$root/p"
    echo '(manifest (version 4) (packages ()))' >"$root/p/manifest"
    profile=$(publish p-profile --tree "$root/p" --references "${paths[@]}")
    start_senvd
    run -0 provision "$profile"
    run -0 senv status --json
    [[ $(jq -c .origins <<<"$output") == "[\"file://$root/main\"]" ]]
    store_is_sound
    in_store "${paths[2]}"
    stop_senvd
}

@test "servers give all compressions too" {
    local compression
    start_senvd
    for compression in none gzip lzip zstd; do
        mkdir -p "$root/trees/$compression"
        echo '(manifest (version 4) (packages ()))' >"$root/trees/$compression/manifest"
        profile=$(publish "$compression-profile" --tree "$root/trees/$compression" --compression "$compression")
        run -0 provision "$profile"
    done
    store_is_sound
    stop_senvd
}

@test "a folder that is not there: said, and the next origin is used" {
    lone_profile
    origins=("file://$root/nowhere" "$main_url")
    start_senvd
    run -0 provision "$profile"
    run -0 senv gc
    origins=("file://$root/nowhere")
    stop_senvd
    start_senvd
    fails "file://$root/nowhere: cannot be opened: No such file or directory"
    stop_senvd
}

@test "what is mounted on a folder while senvd runs is found" {
    [[ $(id -u) -eq 0 ]] || skip "mounting needs root"
    lone_profile
    mkdir "$root/small"
    origins=("file://$root/small")
    start_senvd
    fails "file://$root/small: does not have it"
    mount -t tmpfs tmpfs "$root/small" 2>/dev/null || skip "cannot mount a tmpfs here"
    cp -r "$root/main/." "$root/small/"
    wait_until provision "$profile"
    store_is_sound
    stop_senvd
}

@test "a folder whose mount hangs when senvd starts holds up nothing else, and is used when it answers" {
    [[ $(id -u) -eq 0 ]] || skip "mounting needs root"
    lone_profile
    mkdir "$root/small"
    "$support/hanging_mount.py" "$root/small" >"$root/hanging" 2>&1 3>&- &
    local mounting=$!
    pids+=("$mounting")
    wait_until test -s "$root/hanging"
    grep -x mounted "$root/hanging" || skip "cannot mount with FUSE here"
    origins=("file://$root/small" "store://$root/small" "$main_url")
    start_senvd
    run -0 timeout 30 "$support/ask.py" "$socket" provision "$profile"
    run -0 senv gc
    rules main "* status 403"
    fails "file://$root/small: hangs: the folder could not be opened within 5 s"
    kill -9 "$mounting"
    umount -l "$root/small"
    cp -r "$root/main/." "$root/small/"
    run -0 provision "$profile"
    grep -q 'event=fetched .*origin=file:' "$root/senvd.log"
    store_is_sound
    stop_senvd
}

@test "a hostile folder: links lead nowhere, nothing waits for a FIFO, damaged nars are refused" {
    lone_profile -o bad
    mkdir "$root/secret"
    chmod 755 "$root/secret"
    mv "$root/bad$nar" "$root/secret/nar"
    origins=("file://$root/bad")
    start_senvd
    ln -s "$root/secret/nar" "$root/bad$nar"
    fails "file://$root/bad$nar: has a symbolic link there, which is not followed"
    rm "$root/bad$nar"
    mkfifo "$root/bad$nar"
    chmod 644 "$root/bad$nar"
    fails "file://$root/bad$nar: is no regular file"
    rm "$root/bad$nar"
    head -c 50 "$root/secret/nar" >"$root/bad$nar"
    fails "it ends too early"
    mv "$root/bad$narinfo" "$root/secret/narinfo"
    ln -s ../secret/narinfo "$root/bad$narinfo"
    fails "has a symbolic link there"
    rm "$root/bad$narinfo"
    sed "s|^URL: .*|URL: ../secret/nar|" "$root/secret/narinfo" >"$root/bad$narinfo"
    fails "its narinfo names no compression that senvd knows"
    sed "s|^URL: .*|URL: file://$root/secret/nar|" "$root/secret/narinfo" >"$root/bad$narinfo"
    fails "its narinfo names no compression that senvd knows"
    stop_senvd
}

@test "a mounted store gives the bytes of what a server signs; the server is asked for no nar" {
    publish_closure
    mount_store
    origins=("store://$root/mounted" "$main_url")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    asked 3
    grep -q "event=fetched item=$lib .*origin=store://$root/mounted" "$root/senvd.log"
    no_nar_was_asked_of main
    stop_senvd
}

@test "a mounted store that has something else, or too much, gives way to the server" {
    publish_closure
    mount_store
    echo altered >"$root/mounted/$(basename "$lib")/share/text"
    head -c 100000 /dev/zero >"$root/mounted/$(basename "$tool")/more"
    mkfifo "$root/mounted/$(basename "$profile")/fifo"
    origins=("store://$root/mounted" "$main_url")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    # Whoever sees it first says it: the fetcher, or senvd that reads what it sends.
    grep "event=nar-refused item=$lib .*its nar has another hash" "$root/senvd.log"
    grep "event=nar-refused item=$tool .*its nar \(has more than\|is damaged\)" "$root/senvd.log"
    grep "event=nar-refused item=$profile .*'fifo' is neither a file, a directory nor a link" "$root/senvd.log"
    stop_senvd
}

@test "a mounted store whose file was altered, with the same size: the hash shows it" {
    publish_closure
    mount_store
    printf 'Library\n' >"$root/mounted/$(basename "$lib")/share/text"
    origins=("store://$root/mounted" "$main_url")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    grep "event=nar-refused item=$lib " "$root/senvd.log" | grep 'has another hash than the signed one'
    stop_senvd
}

@test "origins fail one after another: the message says which did what" {
    lone_profile
    start_origin second
    start_origin third
    cp -r "$root/main/." "$root/second/"
    unsign second
    rules main "/nar/* status 403"
    rules second "/nar/* truncate 50"
    kill -9 "$third_pid"
    mkdir "$root/mounted"
    origins=("store://$root/mounted" "$second_url" "$third_url" "$main_url" "file://$root/mounted")
    start_senvd
    fails "store://$root/mounted/${profile#/gnu/store/}: does not have it; $second_url$nar: closed the connection" \
        "; $third_url: connection refused; $main_url$nar: answered 403; file://$root/mounted: does not have it"
    stop_senvd
}

@test "a mirror that nobody signs for gives bytes, and only of what is signed elsewhere" {
    publish_closure
    start_origin second
    cp -r "$root/main/." "$root/second/"
    unsign main
    rm -r "$root/second/nar"
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    no_nar_was_asked_of second
    run -0 senv gc
    stop_senvd
    origins=("$main_url")
    start_senvd
    fails "$main_url: cannot trust the narinfo" "it is not signed" "HINT ask the administrator which keys"
    stop_senvd
}

@test "a mirror of another build is not used" {
    lone_profile
    start_origin second
    mkdir "$root/other"
    echo '(manifest (version 4) (packages ())) ; another' >"$root/other/manifest"
    publish -o second lone-profile --tree "$root/other" >/dev/null
    unsign second
    origins=("$second_url" "$main_url")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    no_nar_was_asked_of second
    stop_senvd
}

@test "what was absent is not asked for at once again; published, it is found soon" {
    lone_profile -o later
    start_senvd
    local _
    for _ in {1..10}; do fails "$main_url: does not have it"; done
    (($(requests) < 10))
    cp -r "$root/later/." "$root/main/"
    wait_until provision "$profile"
    store_is_sound
    stop_senvd
}

wait_as_asked() {    # COUNT: so many closures
    senv status --json | jq -e "[.fetches[].what | select(contains(\"$main_url: answered 503, and asked to wait\"))] | length == $1"
}

@test "Retry-After: a server gets the time that it asks for; another one is used meanwhile" {
    publish_closure
    rules main "/*.narinfo status 503 Retry-After=200"
    start_senvd
    provision "$profile" >"$root/answer" 3>&- &
    local clients=($!)
    wait_until wait_as_asked 1
    provision "$tool" >"$root/answer" 3>&- &
    clients+=($!)
    wait_until wait_as_asked 2
    asked 1
    kill "${clients[@]}"
    kill_senvd
    start_origin second
    cp -r "$root/main/." "$root/second/"
    : >"$root/main.log"
    start_senvd
    run -0 provision "$profile"
    asked 1
    stop_senvd
}

@test "Retry-After of a server that is asked for nars holds for all of them" {
    publish_closure
    rules main "/nar/* status 429 Retry-After=2"
    settings='downloads = 1'
    start_senvd
    provision "$profile" >"$root/answer" 3>&- &
    local client=$!
    wait_until grep -q 429 "$root/main.log"
    rules main
    wait "$client"
    grep PLAN "$root/answer"
    [[ $(grep -c 429 "$root/main.log") -eq 1 ]]
    stop_senvd
}

@test "a server that was down is used as soon as it is back" {
    lone_profile
    local port=${main_url##*:}
    kill -9 "$main_pid"
    start_senvd
    fails "$main_url: connection refused"
    "$support/origin.py" "$root/main" --port "$port" --port-file "$root/again.port" --log "$root/main.log" \
        3>&- >/dev/null 2>&1 &
    pids+=($!)
    wait_until test -e "$root/again.port"
    run -0 provision "$profile"
    grep "event=unreachable.*origin=$main_url" "$root/senvd.log"
    grep "event=reachable origin=$main_url" "$root/senvd.log"
    stop_senvd
}

@test "only mounted stores: senvd does not start, and says what lacks" {
    origins=("store://$root/mounted")
    write_config
    run -2 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "line 1: origins: want an origin besides store:///"
}
