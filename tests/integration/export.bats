# `senv export`: a lock's closure as a folder that senvd uses as an origin.
load helpers

export_cache() { HOME=$root/home PATH=$root/bin:$PATH ${exec-} "$build/provisioner/cli/senv" export --store "$root/trees" --key "${key-$golden/narinfo/signing-key.sec}" "$@"; }

# The lock of the closure that publish_closure made, and its items as they would be in /gnu/store.
lock_closure() {
    publish_closure
    mv "$root/trees/lib" "$root/trees/${lib#/gnu/store/}"
    mv "$root/trees/tool" "$root/trees/${tool#/gnu/store/}"
    mv "$root/trees/profile" "$root/trees/${profile#/gnu/store/}"
    write_lock
    made_up_guix "$root/lock"
}

# made_up_guix LOCK: a guix whose database says what this lock says.
made_up_guix() {
    mkdir -p "$root/bin" "$root/home"
    jq '{version: "1.5.0", channels: [], closure}' "$1" >"$root/description"
    printf '#!/bin/sh\n[ "$1" = repl ] && cat "%s"\n' "$root/description" >"$root/bin/guix"
    chmod 755 "$root/bin/guix"
}

@test "what was exported is an origin: nodes take it from the folder, and from a server in front of it" {
    lock_closure
    run -0 export_cache "$root/lock" "$root/exported"
    says "3 items (" ") are in '$root/exported'; 3 of them were written (" "file://$root/exported"
    origins=("file://$root/exported")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    run -0 senv gc
    stop_senvd
    origins=()
    start_origin exported
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    stop_senvd
    run -0 export_cache --json "$root/lock" "$root/exported"
    [[ $(jq -c '[.items, .written, .origin]' <<<"$output") == "[3,0,\"file://$root/exported\"]" ]]
    exec="env -u HOME" run -0 export_cache "$root/lock" "$root/exported"    # as a service of systemd
}

has_large_file() { [[ -d $1 && -n $(find "$1" -size +1M) ]]; }    # FOLDER

@test "an export that was killed leaves nothing that is wrong, and the next one completes it" {
    lock_closure
    head -c 100000000 /dev/urandom >"$root/trees/large"
    local large
    large=$(publish large-1.0 --tree "$root/trees/large" --compression none)
    mv "$root/trees/large" "$root/trees/${large#/gnu/store/}"
    jq --arg path "$large" --arg hash "$(sed -n 's/^NarHash: //p' "$root/main/$(basename "$large" | cut -c1-32).narinfo")" \
        '.closure += [{path: $path, hash: $hash, size: 100000112, references: []}]' "$root/lock" >"$root/lock.large"
    made_up_guix "$root/lock.large"
    exec=exec export_cache "$root/lock.large" "$root/exported" 3>&- &    # so that $! is its own number
    local pid=$! ended=0
    wait_until has_large_file "$root/exported/.new"
    run -1 export_cache "$root/lock.large" "$root/exported"
    says "senv: cannot export into '$root/exported': another export writes there"
    kill -9 "$pid"
    wait "$pid" || ended=$?
    [[ $ended -eq 137 ]]
    has_large_file "$root/exported/.new"
    [[ ! -e $root/exported/$(basename "$large" | cut -c1-32).narinfo ]]
    [[ ! -e $root/exported/$(basename "$profile" | cut -c1-32).narinfo ]]
    run -0 export_cache "$root/lock.large" "$root/exported"
    [[ ! -e $root/exported/.new ]]
    [[ $(zstd -dc "$root/exported/nar/zstd/${large#/gnu/store/}" | wc -c) -eq 100000112 ]]
    [[ -e $root/exported/$(basename "$large" | cut -c1-32).narinfo ]]
    origins=("file://$root/exported")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    stop_senvd
}

@test "an export that takes long says on stderr how far it is" {
    lock_closure
    cd "$root"    # a short name: the line is cut at 80 columns
    # The first wait for the disk takes two seconds; under strace there is no looking for leaks.
    ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 exec="strace -o /dev/null -e trace=fsync -e inject=fsync:delay_enter=2100000:when=1" \
        on_terminal export_cache lock "$root/exported" >"$root/terminal"
    # On a busy machine, a line about Guix stood there before.
    grep -q $'\r\e\[Ksenv: exporting \'lock\' … [0-9]* s, [0-3] of 3 items, ' "$root/terminal"
    [[ $(<"$root/terminal") == *$'\r\e[K' ]]
    [[ $(<"$root/out") == "3 items ("*"as an origin of senvd: file://$root/exported" ]]
}

# Its stderr is a terminal's, and goes to stdout; its stdout into $root/out.
on_terminal() {
    export -f "$1"
    export exec build root golden
    SHELL=/bin/bash script -qec "$* >'$root/out'" /dev/null    # other shells do not know an exported function
}

@test "a lock that says anything else than Guix's database is refused with the difference, and nothing is signed" {
    lock_closure
    forged() {    # JQ-FILTER TEXT…
        jq --arg tool "$tool" --arg lib "$lib" "$1" "$root/lock" >"$root/forged"
        run -1 export_cache "$root/forged" "$root/exported"
        says "senv: cannot export '$root/forged': it is not what Guix knows of these items" "${@:2}" "hint: make the lock again"
        [[ ! -e $root/exported ]]
    }
    forged '.closure |= map(select(.path != $lib) | if .path == $tool then .references = [] else . end)' \
        "  + $lib" "  $tool refers to ${lib#/gnu/store/}, not so in the lock"
    forged '.closure |= map(if .path == $lib then .references += [$tool] else . end)' \
        "  $lib refers to ${tool#/gnu/store/} in the lock only"
    forged '.closure |= map(if .path == $lib then .size += 1 else . end)' "  $lib has " " bytes, the lock has "
    forged '.closure[0].hash = .closure[1].hash' " is sha256:"
    rm "$root/bin/guix"
    run -1 export_cache "$root/lock" "$root/exported"
    says "there is no command 'guix' here" "hint: run it where Guix is"
    [[ ! -e $root/exported ]]
}

@test "what cannot be exported is said, with what to do" {
    lock_closure
    run -1 export_cache "$root/nowhere" "$root/exported"
    says "senv: cannot open '$root/nowhere': No such file or directory"
    echo '{}' >"$root/empty"
    run -1 export_cache "$root/empty" "$root/exported"
    says "senv: cannot use the lock '$root/empty': "
    key=$root/nowhere run -1 export_cache "$root/lock" "$root/exported"
    says "senv: cannot sign with '$root/nowhere': " "hint: make one with \`guix archive --generate-key\`"
    key=$golden/narinfo/signing-key.pub run -1 export_cache "$root/lock" "$root/exported"
    says "senv: cannot sign with '$golden/narinfo/signing-key.pub': want (private-key "
    [[ ! -e $root/exported ]]
    echo altered >"$root/trees/${lib#/gnu/store/}/share/text"
    run -1 export_cache "$root/lock" "$root/exported"
    says "senv: cannot export '$lib': what is in the store is not what Guix put there" "guix gc --verify=contents"
    [[ ! -e $root/exported/$(basename "$lib" | cut -c1-32).narinfo ]]
    chmod -R u+w "$root/trees/${lib#/gnu/store/}"
    rm -r "$root/trees/${lib#/gnu/store/}"
    run -1 export_cache "$root/lock" "$root/exported"
    says "senv: cannot export '$lib' from '$root/trees': No such file or directory" "senv resolve"
}
