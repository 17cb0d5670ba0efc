# senvd with servers that are down, slow, wrong or hostile: what is asked of whom, what is said, and that nothing stays.
load helpers

# fails TEXT…: the profile cannot be had, the answer says TEXT, and the store, where nothing was, has nothing.
fails() {
    run -1 timeout 40 "$support/ask.py" "$socket" provision "$profile"
    says "ERROR" "cannot fetch '$profile" "HINT " "$@"
    [[ $(sed -n 's/^HINT //p' <<<"$output") == ?* ]]
    nothing_in store
    wait_until nothing_in staging
}

second_origin() {    # one that has the same and works
    start_origin second
    cp -r "$root/main/." "$root/second/"
}

@test "server down: said soon, with its address" {
    lone_profile
    kill -9 "$main_pid"
    start_senvd
    SECONDS=0
    fails "$main_url: connection refused" "is up"
    ((SECONDS < 15))
    stop_senvd
}

@test "one server down: the next one gives everything" {
    publish_closure
    second_origin
    kill -9 "$main_pid"
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    stop_senvd
}

@test "item on no server: the hint says to resolve again" {
    profile=/gnu/store/00000000000000000000000000000000-absent-profile
    second_origin
    start_senvd
    fails "$main_url: does not have it (404); $second_url: does not have it (404)" "HINT resolve the environment again"
    stop_senvd
}

@test "an item of the closure is on no server: it is named, and no nar is fetched" {
    publish_closure
    rm "$root"/main/"$(basename "$lib" | cut -c1-32)".narinfo
    start_senvd
    run -1 provision "$profile"
    says "cannot fetch '$lib', which '$profile' needs: $main_url: does not have it (404)"
    nothing_in store
    run -1 grep "GET /nar" "$root/main.log"
    stop_senvd
}

@test "items on different servers" {
    publish_closure
    start_origin second
    mkdir -p "$root/second/nar/gzip"
    mv "$root"/main/"$(basename "$lib" | cut -c1-32)".narinfo "$root/second/"
    mv "$root"/main/nar/gzip/* "$root/second/nar/gzip/"
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    stop_senvd
}

# spoiled RULE TEXT…: with this rule for the nar the fetch fails with TEXT; with a second server it succeeds.
spoiled() {
    lone_profile
    rules main "/nar/* $1"
    start_senvd
    fails "$main_url$nar" "${@:2}"
    stop_senvd
    second_origin
    start_senvd
    run -0 timeout 40 "$support/ask.py" "$socket" provision "$profile"
    store_is_sound
    stop_senvd
}

@test "nar truncated by a closed connection" { spoiled "truncate 50" "closed the connection before the end"; }
@test "nar shortened, with a length that fits" { spoiled "shorten 50" "ends too early"; }
@test "nar empty" { spoiled "shorten 0" ""; }
@test "nar altered" { spoiled "flip 60" ""; }
@test "nar followed by other bytes" { spoiled "append trailing" ""; }
@test "nar is a page of HTML" { spoiled "html" ""; }
@test "nar missing" { spoiled "status 404" "does not have it (404)"; }
@test "nar forbidden" { spoiled "status 403" "answered 403"; }
@test "nar: server error" { spoiled "status 500" "answered 500"; }
@test "nar stalls" {
    settings='stall_limit = 2'
    spoiled "stall 20" "stalled"
}
@test "nar: redirect in circles" { spoiled "redirect /nar/again" "redirects more than 5 times"; }
@test "a narinfo that is compressed is named, and how" {
    lone_profile
    local file
    file=$root/main/$(basename "$profile" | cut -c1-32).narinfo
    gzip "$file" && mv "$file.gz" "$file"
    start_senvd
    run -1 provision "$profile"
    says "$main_url: its narinfo is compressed with gzip, want plain text" "without Content-Encoding"
    stop_senvd
}

@test "nar: redirect to a file" { spoiled "redirect file:///etc/passwd" "neither http nor https"; }

# each_in_turn PATH, RULE|TEXT lines from stdin: with this rule for PATH at the first server, and a second that refuses, the
# fetch fails with TEXT; when the second gives the item it succeeds. One senvd for all.
each_in_turn() {
    local path=$1 rule text
    second_origin
    settings='stall_limit = 2'
    start_senvd
    while IFS='|' read -r rule text; do
        rules main "$path $rule"
        rules second "* status 403"    # a 404 would be remembered
        : >"$root/main.log"
        echo "rule: $rule"
        fails "$text" "$second_url: answered 403"    # not before ||, where nothing in it could fail the test
        [[ $rule != trickle* ]] || continue    # once is long enough
        rules second
        run timeout 40 "$support/ask.py" "$socket" provision "$profile"
        [[ $status -eq 0 ]] || { echo "rule $rule: the second server was of no use: $output"; return 1; }
        # Whatever it sends: not much more than was promised comes in; libcurl and sockets hold some.
        wait_until logged
        [[ $(awk '{ sum += $4 } END { print sum + 0 }' "$root/main.log") -lt 100000000 ]] || { cat "$root/main.log"; return 1; }
        store_is_sound
        run -0 senv gc
    done
    stop_senvd
}
logged() { [[ -s $root/main.log ]]; }

@test "nars that come slowly or without end: bounded, said, and the next server is asked" {
    lone_profile
    each_in_turn "$nar" <<-END
	trickle 0.3|$main_url$nar: stalled
	endless 200 28b52ffd2000010000|$main_url$nar: sends more than twice the size of the nar
	endless 302 00 Location=$nar|$main_url$nar: sends more than twice the size of the nar
	headers 50000000|$main_url$nar:
	endless 404 00|$main_url$nar: does not have it (404)
	END
}

@test "narinfos that come wrongly or without end: bounded, said, and the next server is asked" {
    lone_profile
    each_in_turn "$narinfo" <<-END
	html|$main_url: its narinfo cannot be read
	drop|$main_url: server returned nothing
	endless 200 23|$main_url: its narinfo has more than
	endless 302 00 Location=/|$main_url: answered 302
	headers 50000000|$main_url:
	END
}

# with_way URL: the narinfo of the lone profile, from which its signature does not cover this, names that way.
with_way() {
    lone_profile
    sed -i "s|^URL: .*|URL: $1|" "$root/main$narinfo"
}

@test "where a nar is fetched from: only from the server that the narinfo is of, and never from a file" {
    local way
    start_origin other
    with_way "nar/zstd/x"
    mkdir -p "$root/other/nar/zstd"
    cp "$root/main$nar" "$root/other/nar/zstd/x"
    origins=("$main_url")
    start_senvd
    for way in "$other_url/nar/zstd/x" "file://$root/other/nar/zstd/x" "/etc/passwd" "../x" \
        "http://user@${main_url#http://}$nar" "//${other_url#http://}/x"; do
        with_way "$way"
        fails "$main_url"
    done
    [[ $(requests other) -eq 0 ]]
    [[ -z $(grep -v "GET $narinfo" "$root/main.log") ]]
    stop_senvd
}

@test "sizes that are lies: FileSize is not believed, NarSize is what was signed" {
    lone_profile
    sed -i 's/^FileSize: .*/FileSize: 1/' "$root/main$narinfo"
    start_senvd
    run -0 provision "$profile"
    run -0 senv gc
    sed -i 's/^FileSize: .*/FileSize: 9223372036854775807/' "$root/main$narinfo"
    run -0 provision "$profile"
    store_is_sound
    run -0 senv gc
    publish lone-profile --tree "$root/lone" --nar-size 1000000
    fails "$main_url$nar: its nar has "  " bytes, 1000000 were signed"
    publish lone-profile --tree "$root/lone" --nar-size 9223372036854775807
    fails "cannot fetch '$profile'"    # there is no room for that
    publish lone-profile --tree "$root/lone" --nar-size 1
    fails "$main_url$nar: its nar is damaged"
    stop_senvd
}

@test "a server whose nar is another one by the time it is asked for" {
    lone_profile
    local signed
    signed=$(<"$root/main$narinfo")
    echo '(manifest (version 4) (packages ()))  ' >"$root/lone/manifest"
    publish lone-profile --tree "$root/lone"
    echo "$signed" >"$root/main$narinfo"
    start_senvd
    fails "$main_url$nar: its nar has another hash than the signed one"
    head -c 100000 /dev/zero >"$root/lone/more"
    publish lone-profile --tree "$root/lone"
    echo "$signed" >"$root/main$narinfo"
    fails "$main_url$nar: its nar is damaged"
    stop_senvd
}

@test "bombs in gzip, and one inside another" {
    head -c 100000 /dev/zero >"$root/zeros"
    profile=$(publish zeros-profile --tree "$root/zeros" --compression gzip)
    nar=/nar/gzip/${profile#/gnu/store/}
    python3 - "$root/main$nar" <<-END
	import gzip, sys
	zeros = b"".join(gzip.compress(bytes(1 << 24)) for _ in range(16))    # 256 MiB
	head = gzip.decompress(open(sys.argv[1], "rb").read())[:96]
	open(sys.argv[1], "wb").write(gzip.compress(head) + zeros)
	open(sys.argv[1] + ".nested", "wb").write(gzip.compress(gzip.compress(head) + zeros))
	END
    start_senvd
    fails "$main_url$nar: its nar is damaged"
    mv "$root/main$nar.nested" "$root/main$nar"
    fails "$main_url$nar: its nar is damaged"
    stop_senvd
}

@test "a redirect may not lead from outside into the site, nor into the node" {
    [[ $(id -u) -eq 0 ]] || skip "a network of one's own needs root"
    local net=senv-test-$$ world=198.51.100.7 site=10.11.12.13 from to
    ip netns add "$net" 2>/dev/null || skip "no network namespaces here"
    networks+=("$net")
    ip -n "$net" link set lo up
    ip -n "$net" addr add "$world/32" dev lo
    ip -n "$net" addr add "$site/32" dev lo
    inside=(ip netns exec "$net")
    lone_profile
    for from in world site node; do
        start_origin "$from" "$(address "$from")"
        cp -r "$root/main/." "$root/$from/"
    done
    senv_user=("${inside[@]}" "${senv_user[@]}")
    for from in world site node; do
        origins=("$(url "$from")")
        start_senvd
        for to in world site node; do
            rules "$to"
            [[ $from == "$to" ]] || rules "$from" "$nar redirect $(url "$to")$nar"
            : >"$root/$to.log"
            case $from-$to in
                world-site | world-node | site-node)
                    fails "$(url "$from")$nar: redirects to an address"
                    [[ $(requests "$to") -eq 0 ]]
                    ;;
                *)
                    run -0 provision "$profile"
                    run -0 senv gc
                    ;;
            esac
        done
        stop_senvd
    done
}
address() { case $1 in world) echo 198.51.100.7 ;; site) echo 10.11.12.13 ;; node) echo 127.0.0.1 ;; esac; }
url() { local name=${1}_url; echo "${!name}"; }

@test "nar altered, without compression: the hash shows it" {
    mkdir -p "$root/lone"
    echo '(manifest (version 4) (packages ()))' >"$root/lone/manifest"
    profile=$(publish lone-profile --tree "$root/lone" --compression none)
    rules main "/nar/* flip $(grep -abo '(manifest' "$root"/main/nar/none/*lone-profile | cut -d: -f1)"
    start_senvd
    fails "its nar has another hash than the signed one" "HINT ask the administrator to look at that server"
    stop_senvd
}

@test "a redirect to another place is followed for nars, not for narinfos" {
    lone_profile
    start_origin second
    mkdir -p "$root/second/elsewhere"
    cp "$root/main$nar" "$root/second/elsewhere/nar"
    rules main "$nar redirect $second_url/elsewhere/nar"
    origins=("$main_url")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    run -0 senv gc
    rules main "$narinfo redirect $second_url$narinfo"
    cp "$root/main$narinfo" "$root/second/"
    fails "$main_url: answered 302, a redirect"
    stop_senvd
}

@test "nars without a length: in chunks, and on a connection that stays open" {
    lone_profile
    rules main "$nar chunked"
    start_senvd
    run -0 provision "$profile"
    stop_senvd
    publish lone-profile --tree "$root/lone" --compression none
    rules main "/nar/none/* open"
    start_senvd
    run -0 senv gc
    SECONDS=0
    run -0 provision "$profile"
    ((SECONDS < 15))
    store_is_sound
    stop_senvd
}

@test "a server that fails twice and then answers is asked again" {
    lone_profile
    rules main "$narinfo status 503"
    start_senvd
    provision "$profile" >"$root/answer" 3>&- &
    local client=$!
    wait_until grep -q 503 "$root/main.log"
    rules main
    wait "$client"
    grep PLAN "$root/answer"
    stop_senvd
}

is_being_prepared() { senv status --json | jq -e '.fetches[0].what // "" | contains("still preparing")' >/dev/null; }

@test "404 with X-Baking is soon, not never" {
    lone_profile
    rules main "$narinfo status 404 X-Baking=1"
    start_senvd
    provision "$profile" >"$root/answer" 3>&- &
    local client=$!
    wait_until is_being_prepared
    rules main
    wait "$client"
    grep PLAN "$root/answer"
    stop_senvd
}

@test "the limit for a closure ends it, and says what is missing" {
    lone_profile
    rules main "$narinfo status 404 X-Baking=1"
    settings='fetch_limit = 3'
    start_senvd
    fails "it was not complete after 3 s" "still preparing it"
    rules main "$nar drip 30"
    SECONDS=0
    fails "it was not complete after 3 s" "0 of 1 items" "from $main_url"
    ((SECONDS < 25))
    stop_senvd
}

@test "bombs: more bytes than were signed are neither written nor waited for" {
    local format suffix
    lone_profile
    start_senvd
    while read -r format suffix; do
        publish lone-profile --tree "$root/lone" --compression "$format"
        cp "$golden/compressed/zeros-64MiB.nar.$suffix" "$root/main/nar/$format/${profile##*/}"
        fails "its nar is damaged"
    done <<<$'zstd zst\ngzip gz\nlzip lz'
    publish lone-profile --nar <(zstd -dc "$golden/compressed/zeros-64MiB.nar.zst") --nar-size 100000
    fails "its nar is damaged"
    stop_senvd
}

peak() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$1/status"; }    # of a process's memory, in KiB
memory_is_small() {
    local process
    grep -qaE '__(asan|tsan)_init' "$build/provisioner/senvd/senvd" && return    # has memory of its own
    for process in "$senvd_pid" $(pgrep -P "$senvd_pid"); do [[ $(peak "$process") -lt 56000 ]]; done
}

@test "a hundred narinfos of nearly 1 MiB at once: few are in memory at a time" {
    local items=() i
    for i in {100..227}; do items+=("/gnu/store/0000000000000000000000000000${i}0-item-$i"); done
    mkdir -p "$root/trees/p"
    echo '(manifest (version 4) (packages ()))' >"$root/trees/p/manifest"
    profile=$(publish test-profile --tree "$root/trees/p" --references "${items[@]}")
    head -c 1040000 /dev/zero | tr '\0' x >"$root/large"
    for i in "${items[@]##*/}"; do ln "$root/large" "$root/main/${i%%-*}.narinfo"; done
    start_senvd
    run -1 provision "$profile"
    says "its narinfo cannot be read: line 1: want 'Key: value'"
    memory_is_small
    stop_senvd
}

@test "a narinfo that is too long" {
    lone_profile
    head -c 1100000 /dev/zero | tr '\0' '#' >>"$root/main$narinfo"
    start_senvd
    fails "$main_url: its narinfo has more than "
    stop_senvd
}

@test "keys: an item signed by nobody we know; the list of keys is read again when it changes" {
    lone_profile
    cp "$golden/narinfo/acl-empty" "$root/acl.new"
    mv "$root/acl.new" "$root/acl"
    start_senvd
    fails "is not among the authorised keys" "HINT ask the administrator which keys"
    cp "$golden/narinfo/acl-bad-tag" "$root/acl.new"
    mv "$root/acl.new" "$root/acl"
    fails "cannot use the list of authorised keys" "HINT put the site's /etc/guix/acl there"
    rm "$root/acl"
    fails "cannot use the list of authorised keys '$root/acl'" "HINT put the site's /etc/guix/acl there"
    cp "$golden/narinfo/acl" "$root/acl"
    chmod 666 "$root/acl"
    fails "others may write to it"
    chmod 644 "$root/acl"
    kill -HUP "$senvd_pid"
    wait_until grep -q 'event=acl keys=2' "$root/senvd.log"
    run -0 provision "$profile"
    stop_senvd
}

@test "signed for another path: refused, and the next server is asked" {
    lone_profile
    local other=$profile
    profile=/gnu/store/11111111111111111111111111111111-other-profile
    second_origin
    cp "$root/main/$(basename "$other" | cut -c1-32).narinfo" "$root/main/11111111111111111111111111111111.narinfo"
    start_senvd
    fails "$main_url: its narinfo is for '$other'; $second_url: does not have it (404)"
    stop_senvd
}

@test "every narinfo vector: refused, or only what is signed is used" {
    local name status want note path
    start_senvd
    while IFS=$'\t' read -r name status want note; do
        [[ $name == \#* ]] && continue
        path=$(sed -n 's/^StorePath: //p' "$golden/narinfo/$name" | head -n 1)
        [[ $path == /gnu/store/* && $path != *..* ]] || path=/gnu/store/g419wjqgq4qpc4vmww4amsxgrj1k3687-tree
        [[ $name == *other-path* ]] && path=/gnu/store/g419wjqgq4qpc4vmww4amsxgrj1k3687-tree
        rm -f "$root"/main/*.narinfo
        cp "$golden/narinfo/$name" "$root/main/$(basename "$path" | cut -c1-32).narinfo"
        : >"$root/main.log"
        run timeout 60 "$support/ask.py" "$socket" provision "$path"
        echo "$name: status $status, wanted: $want"
        [[ $status -eq 1 ]]
        says "ERROR" "cannot fetch '" "$main_url" $'\nHINT '
        [[ $(sed -n 's/^HINT //p' <<<"$output") == ?* ]]
        nothing_in store
        case $want in
            "metadata good"*)    # believed, but it names nothing to fetch
                [[ $output == *"cannot use URL"* || $output == *"no compression that senvd knows"* ]]
                wait_until asked 1
                ;;
            accept* | *"use only"*)    # believed: what it needs is asked for, its one reference or its nar, and is not there
                says "does not have it (404)"
                wait_until asked 2
                run -0 tail -n 1 "$root/main.log"
                [[ $output == "GET /hlhgrvxg1a3kghl43vm5a6hh3a90bjzq.narinfo 404 "* || $output == "GET /nar/"*" 404 "* ]]
                nothing_in staging
                stop_senvd    # it would remember for a while that the reference is absent
                start_senvd
                ;;
            refuse*)
                says " narinfo"
                wait_until asked 1
                ;;
            *) return 1 ;;
        esac
    done <"$golden/narinfo/expected.tsv"
    nothing_in staging
    stop_senvd
}

bad_nar() {    # NAME: prints where that vector is, unpacked
    case $1 in
        *.gz) gzip -dc "$golden/nar/bad/$1" >"$root/one.nar" && echo "$root/one.nar" ;;
        *) echo "$golden/nar/bad/$1" ;;
    esac
}

@test "every hostile nar, correctly signed: refused, nothing in the store, nothing in staging, nothing beside it" {
    local name want rest nar path
    start_senvd
    while IFS=$'\t' read -r name want rest; do
        [[ $name == \#* || $want != REJECT ]] && continue
        nar=$(bad_nar "$name")
        profile=$(publish "bad-${name%%.*}" --nar "$nar" --compression gzip)
        echo "$name"
        fails "$main_url" "its nar is damaged"
    done <"$golden/nar/bad/expected.tsv"
    wait_until nothing_in staging
    [[ $(find "$root/state" -type f | grep -vE '/(db|db-wal|lock|reserve|session)$' | wc -l) -eq 0 ]]
    stop_senvd
}

@test "deep nars: 64 folders inside each other come, 2000 are refused" {
    start_senvd
    profile=$(publish bad-deep-2000 --nar "$(bad_nar deep-2000.nar.gz)" --compression gzip)
    fails "its nar is damaged"
    profile=$(publish good-deep-64 --nar "$golden/nar/bad/deep-64.nar")
    run -1 provision "$profile"    # it is no profile, but it came
    says "cannot use profile '$profile'"
    in_store "$profile"
    store_is_sound
    stop_senvd
}

@test "compressed streams: cut short, or followed by other bytes" {
    local format suffix
    start_senvd
    while read -r format suffix; do
        profile=$(publish "packed-$suffix" --nar "$golden/nar/good/tree.nar" --compression "$format")
        cp "$golden/compressed/truncated.$suffix" "$root/main/nar/$format/${profile##*/}"
        fails "cannot decompress part 1 of the " "it ends too early"
        cp "$golden/compressed/trailing.$suffix" "$root/main/nar/$format/${profile##*/}"
        fails "cannot decompress part 2 of the "
        cp "$golden/compressed/tree.nar.$suffix" "$root/main/nar/$format/${profile##*/}"
        run -1 provision "$profile"    # it is no profile, but it came
        in_store "$profile"
        store_is_sound
        run -0 senv gc
        nothing_in store
    done <<<$'zstd zst\ngzip gz\nlzip lz'
    stop_senvd
}

@test "every valid nar becomes what it says" {
    local name rest
    mkdir "$root/p"
    echo '(manifest (version 4) (packages ()))' >"$root/p/manifest"
    local paths=()
    for nar in "$golden"/nar/good/*.nar "$golden"/nar/bad/symlink-absolute-root.nar "$golden"/nar/bad/symlink-case.nar; do
        name=${nar##*/}
        paths+=("$(publish "good-${name%.nar}" --nar "$nar" --compression none)")
    done
    profile=$(publish p-profile --tree "$root/p" --references "${paths[@]}")
    start_senvd
    run -0 provision "$profile"
    store_is_sound
    stop_senvd
}
