# helpers.bash: what the .bats files of this folder share: a temporary root, a senvd in it that is not root, servers.
#
# SENV_BUILD    the build folder to test (default: build/dev)

bats_require_minimum_version 1.5.0
checkout=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
build=${SENV_BUILD:-$checkout/build/dev}
support=$checkout/tests/support
golden=$checkout/tests/golden
# A sanitizer's finding must not look like an error of the program: `run -1` takes 1 only.
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99

setup() {
    [[ -x $build/provisioner/senvd/senvd ]] || { echo "build senvd first: $build" >&2; return 1; }
    root=$(mktemp -d "${TMPDIR:-/tmp}/senv-test.XXXXXX")
    chmod 755 "$root"
    mkdir "$root/state" "$root/run"
    socket=$root/run/senvd.sock
    cp "$golden/narinfo/acl" "$root/acl"
    chmod 644 "$root/acl"
    pids=()
    origins=()
    networks=()
    inside=()
    settings=""
    senv_user=()
    if [[ $(id -u) -eq 0 ]]; then    # senvd refuses to be root: a made-up user
        senv_user=(setpriv --reuid 64001 --regid 64001 --clear-groups)
        chown 64001:64001 "$root/state" "$root/run"
    fi
    start_origin main
}

teardown() {
    local pid network
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    [[ -z ${senvd_pid-} ]] || kill -9 "$senvd_pid" 2>/dev/null || true
    [[ -e $root/senvd.log ]] && { echo "--- senvd.log"; tail -n 60 "$root/senvd.log"; }
    for network in "${networks[@]}"; do ip netns del "$network"; done
    umount -l "$root/small" 2>/dev/null || true    # also one that does not answer
    chmod -R u+w "$root" && rm -rf "$root"
}

as_senv() { "${senv_user[@]}" "$@"; }

# --- servers

# start_origin NAME [ADDRESS]: a server of the folder $root/NAME, with the rules in $root/NAME.rules and the log $root/NAME.log.
start_origin() {
    local name=$1 port_file=$root/$1.port address=${2-127.0.0.1}
    mkdir -p "$root/$name"
    : >"$root/$name.rules"
    "${inside[@]}" "$support/origin.py" "$root/$name" --address "$address" --port-file "$port_file" \
        --log "$root/$name.log" --rules "$root/$name.rules" \
        3>&- >/dev/null 2>&1 &
    pids+=($!)
    eval "${name}_pid=$!"
    wait_until test -e "$port_file"
    eval "${name}_url=http://$address:$(cat "$port_file")"
    origins+=("http://$address:$(cat "$port_file")")
}

# HTTPS, of the folder $root/main, as the only origin. The authority that vouches for it is $root/tls/ca.pem.
start_tls_origin() {
    make_certificates
    "$support/origin.py" "$root/main" --port-file "$root/tls.port" --log "$root/tls.log" --tls "$root/tls/server.pem" \
        3>&- >/dev/null 2>&1 &
    pids+=($!)
    wait_until test -e "$root/tls.port"
    origins=("https://localhost:$(cat "$root/tls.port")")
}

make_certificates() {
    mkdir "$root/tls"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout "$root/tls/ca.key" -out "$root/tls/ca.pem"
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$root/tls/key" -out "$root/tls/request"
    openssl x509 -req -in "$root/tls/request" -CA "$root/tls/ca.pem" -CAkey "$root/tls/ca.key" -CAcreateserial -days 2 \
        -extfile <(echo subjectAltName=DNS:localhost) -out "$root/tls/certificate"
    cat "$root/tls/key" "$root/tls/certificate" >"$root/tls/server.pem"
    chmod 644 "$root/tls/ca.pem"
} 2>/dev/null

rules() { printf '%s\n' "${@:2}" >"$root/$1.rules"; }    # ORIGIN LINE…
requests() { wc -l <"$root/${1:-main}.log"; }
asked() { [[ $(requests) -eq $1 ]]; }    # a line comes when the answer has been sent: wait_until asked N

# publish [-o ORIGIN] NAME OPTION…: prints the store path.
publish() {
    local folder=$root/main
    if [[ $1 == -o ]]; then folder=$root/$2; shift 2; fi
    "$support/publish.py" --tools "$build/tests/support" --key "$golden/narinfo/signing-key.sec" "$folder" "$@"
}

# tree NAME TEXT: a small tree to publish; prints where it is.
tree() {
    mkdir -p "$root/trees/$1/bin" "$root/trees/$1/share"
    printf '%s\n' "$2" >"$root/trees/$1/share/text"
    printf '#!/bin/sh\necho %s\n' "$2" >"$root/trees/$1/bin/$1"
    chmod 755 "$root/trees/$1/bin/$1"
    ln -sfn "../share/text" "$root/trees/$1/bin/link"
    echo "$root/trees/$1"
}

# A profile that needs `tool`, which needs `lib`, which refers to itself. Sets $profile, $tool, $lib.
publish_closure() {    # [-o ORIGIN]
    local at=("$@") trees=$root/trees
    lib=$(publish "${at[@]}" lib-1.0 --tree "$(tree lib library)" --references SELF --compression gzip)
    tool=$(publish "${at[@]}" tool-2.0 --tree "$(tree tool program)" --references "$lib")
    mkdir -p "$trees/profile"
    ln -sfn "$tool/bin" "$trees/profile/bin"
    cat >"$trees/profile/manifest" <<-END
	(manifest (version 4) (packages (("tool" "2.0" "out" "$tool"
	  (search-paths (("TOOL_PATH" ("share") ":" directory #f)))))))
	END
    ln -sfn "$tool/share" "$trees/profile/share"
    profile=$(publish "${at[@]}" test-profile --tree "$trees/profile" --references "$tool")
}

write_lock() {    # into $root/lock, what publish_closure made
    sed 's/^References: */References: /' "$root"/main/*.narinfo | jq -Rn --arg profile "$profile" '
        [inputs | capture("^(?<key>StorePath|NarHash|NarSize|References): (?<value>.*)$")]
        | [range(0; length; 4) as $i | .[$i:$i + 4] | map({(.key): .value}) | add]
        | {"senv-lock": 1, system: "x86_64-linux", profile: $profile, manifests: [], packages: [], development: [],
           files: [], expressions: [], "load-path": 0, transformations: [],
           "channel-file": null, channels: [], guix: {version: "1.5.0"},
           closure: map({path: .StorePath, hash: .NarHash, size: (.NarSize | tonumber),
                         references: (.References | split(" ") | map(select(. != "") | "/gnu/store/" + .))})}' >"$root/lock"
}

lone_profile() {    # [-o ORIGIN]: a profile that needs nothing; sets $profile, $nar, $narinfo
    mkdir -p "$root/lone"
    echo '(manifest (version 4) (packages ()))' >"$root/lone/manifest"
    profile=$(publish "$@" lone-profile --tree "$root/lone")
    nar=/nar/zstd/${profile#/gnu/store/}
    narinfo=/${profile#/gnu/store/}
    narinfo=${narinfo%%-*}.narinfo
}

# make_profile NAME FILES KIB [REFERENCE…]: a profile of that many random files of that size each; prints its path.
make_profile() {
    local tree=$root/trees/$1 file
    mkdir -p "$tree"
    echo '(manifest (version 4) (packages ()))' >"$tree/manifest"
    for ((file = 1; file <= $2; ++file)); do head -c "$(($3 * 1024))" /dev/urandom >"$tree/$file"; done
    publish "$1" --tree "$tree" --compression none --references "${@:4}"
}

# small_disk SIZE [INODES]: puts the state folder on an ext4 of its own.
small_disk() {
    [[ $(id -u) -eq 0 ]] || skip "mounting a small file system needs root"
    truncate -s "$1" "$root/disk"
    mkfs.ext4 -q -F -m 0 -O ^has_journal ${2:+-N "$2"} "$root/disk"
    mkdir "$root/small"
    mount -o loop "$root/disk" "$root/small" 2>/dev/null || skip "cannot mount a file here"
    install -d -o 64001 -g 64001 "$root/small/state"
    rmdir "$root/state"
    ln -s small/state "$root/state"
}

# Somebody else fills the disk, up to the last block.
fill_disk() { dd if=/dev/zero of="$root/small/filler" bs=1k status=none 2>/dev/null || true; }

# --- senvd

write_config() {
    {
        printf 'origins = ['
        printf '"%s", ' "${origins[@]}"
        printf ']\nacl = "%s"\nstate_dir = "%s"\nsocket = "%s"\nstore = "node"\n' "$root/acl" "$root/state" "$socket"
        [[ $settings == *grace* ]] || echo 'grace = 0'
        printf '%s\n' "$settings"
    } >"$root/senvd.toml"
}

start_senvd() {    # COMMAND-IN-FRONT…
    write_config
    # Not as_senv: its number must be that of senvd, not of a shell in front of it.
    "${senv_user[@]}" "$@" "$build/provisioner/senvd/senvd" --config "$root/senvd.toml" 3>&- >>"$root/senvd.log" 2>&1 &
    senvd_pid=$!
    wait_until answers
}

answers() {
    kill -0 "$senvd_pid" 2>/dev/null || { cat "$root/senvd.log"; exit 1; }
    ask status >/dev/null 2>&1
}

# Ends it as its service does, and looks for what a sanitizer said.
stop_senvd() {
    local status=0
    kill "$senvd_pid"
    wait "$senvd_pid" || status=$?
    senvd_pid=
    [[ $status -eq 0 ]] || { echo "senvd ended with status $status"; return 1; }
    no_sanitizer_reports
    [[ ! -e $socket ]]
    nothing_in staging
}

kill_senvd() {
    local status=0
    kill -9 "$senvd_pid"
    wait "$senvd_pid" || status=$?
    senvd_pid=
    [[ $status -eq 137 ]] || { echo "senvd had ended before, with status $status"; return 1; }
    no_sanitizer_reports
}

log_has() {    # EVENT FIELD…: one line of the log has all of them
    local line
    while read -r line; do
        local field missing=
        for field in "${@:2}"; do [[ " $line " == *" $field "* ]] || missing=$field; done
        [[ -n $missing ]] || return 0
    done < <(grep -F " event=$1 " "$root/senvd.log")
    echo "no such event: $*"
    return 1
}

no_sanitizer_reports() { ! grep -E 'Sanitizer|runtime error:' "$root/senvd.log"; }

senv() { "$build/provisioner/cli/senv" "$@" --socket "$socket"; }
ask() { "$support/ask.py" "$socket" "$@"; }
provision() { ask provision "$@"; }

# start_faults STRACE-OPTION…: from now on calls of senvd's threads fail, or take long, as the options say.
start_faults() {
    [[ $(id -u) -eq 0 ]] || skip "putting faults into another user's process needs root"
    strace -f -p "$senvd_pid" -o "$root/strace" "$@" 3>&- >/dev/null 2>"$root/strace.err" &
    faults_pid=$!
    pids+=("$faults_pid")
    wait_until grep -q attached "$root/strace.err"
}

end_faults() {
    kill "$faults_pid"
    wait "$faults_pid" || true
}

# --- what is on the disk

in_store() { [[ -e $root/state/store/${1#/gnu/store/} || -L $root/state/store/${1#/gnu/store/} ]]; }
not_in_store() { if in_store "$1"; then echo "in the store: $1"; return 1; fi; }
nothing_in() {    # FOLDER of the state
    local left
    left=$(ls -A "$root/state/$1")
    [[ -z $left ]] || { echo "left in $1: $left"; return 1; }
}

no_leases() { [[ -z $(ls -A "$root/run/leases") ]]; }    # their files

# Every item in the store is what was signed, has its narinfo, and its modes; and nothing is half there.
store_is_sound() {
    nothing_in staging
    items_are_sound
}

items_are_sound() {
    local item want
    for item in "$root"/state/store/*; do
        [[ -e $item || -L $item ]] || continue
        want=$(sed -n 's/^NarHash: //p' "$root/state/narinfo/${item##*/}")
        [[ $("$build/tests/support/make_nar" "$item" | nar_hash) == "$want" ]] || { echo "$item is not as signed"; return 1; }
        [[ -z $(find "$item" -type d ! -perm 555) && -z $(find "$item" -type f ! -perm 444 ! -perm 555) ]]
    done
}

recorded() {    # all|durable: how many items the catalog has
    PYTHONPATH=$support python3 -c '
import pathlib, sys, node
print(len(node.recorded(pathlib.Path(sys.argv[1]), durable=sys.argv[2] == "durable")))' "$root/state" "$1"
}

nar_hash() {
    python3 -c '
import hashlib, sys
data = hashlib.sha256(sys.stdin.buffer.read()).digest()
number = int.from_bytes(data, "little")
print("sha256:" + "".join("0123456789abcdfghijklmnpqrsvwxyz"[number >> (5 * i) & 31] for i in reversed(range(52))))'
}

wait_until() {    # COMMAND…: at most 60 s
    local _
    for _ in {1..600}; do
        "$@" && return 0
        sleep 0.1
    done
    echo "waited in vain for: $*"
    return 1
}

says() {    # TEXT…: $output has each
    local text
    for text in "$@"; do
        [[ $output == *"$text"* ]] || { echo "not said: $text; but: $output"; return 1; }
    done
}
