# senvd's fetcher, the child that reads foreign bytes: what it can still do when somebody else's code runs in it, what senvd
# does without it, and that fetching works inside.
load helpers

# taken_over COMMAND-IN-FRONT…: the store holds a closure; senvd starts again, with a fetcher that was taken over.
taken_over() {
    publish_closure
    start_senvd
    run -0 provision "$profile"
    stop_senvd
    write_config
    export SENV_STATE=$root/state SENV_ITEM=$root/state/store/${tool#/gnu/store/} SENV_SOCKET=$socket
    "${senv_user[@]}" "$@" "$build/tests/support/taken_over" "$root/senvd.toml" 3>&- >>"$root/senvd.log" 2>&1 &
    senvd_pid=$!
    wait_until answers
    wait_until grep -qE '^attacks: [0-9]+ tried' "$root/senvd.log"
    grep -x 'getaddrinfo: works' "$root/senvd.log"
    grep -x 'CA certificates: works' "$root/senvd.log"
}

succeeded() { sed -n 's/^attack \(.*\): SUCCEEDED$/\1/p' "$root/senvd.log"; }

# fetches NAME: something new, by the name of a host.
fetches() {
    local new
    mkdir -p "$root/new"
    echo '(manifest (version 4) (packages ()))' >"$root/new/manifest"
    new=$(publish "$1" --tree "$root/new")
    run -0 provision "$new"
    store_is_sound
}

by_name() { origins=("${origins[0]/127.0.0.1/localhost}"); }

@test "a fetcher that was taken over: nothing in the store changes, nothing outside is read, senvd is not reached" {
    by_name
    taken_over
    [[ $(grep -c '^attack .*: withstood, E' "$root/senvd.log") -gt 120 ]]
    [[ -z $(succeeded) ]] || { echo "succeeded: $(succeeded)"; return 1; }
    grep -E 'level=info event=sandbox landlock=[1-9][0-9]* seccomp=yes' "$root/senvd.log"
    store_is_sound
    in_store "$tool"
    fetches new-profile
    stop_senvd
}

@test "a kernel without Landlock: senvd says so and goes on, and the store stays as it is" {
    by_name
    SENV_ATTACKS=files taken_over "$build/tests/support/lacking" landlock
    grep -E 'level=warning event=sandbox landlock=0 seccomp=yes missing="Landlock .* it can read' "$root/senvd.log"
    [[ -z $(succeeded | grep -vE '^(read|list|open a place) ?') ]] || { echo "succeeded: $(succeeded)"; return 1; }
    succeeded | grep -x "read the catalog"    # so this test can fail
    store_is_sound
    fetches new-profile
    stop_senvd
}

@test "a kernel without seccomp: senvd says so and goes on, and what is in the store stays as it is" {
    by_name
    SENV_ATTACKS=files taken_over "$build/tests/support/lacking" seccomp
    grep -E 'level=warning event=sandbox landlock=[1-9][0-9]* seccomp=no missing="seccomp: it can change the modes' "$root/senvd.log"
    local allowed='(chmod|fchmodat2?|chown|set) an? .*|go to a place|make a memory file'
    [[ -z $(succeeded | grep -vxE "$allowed") ]] || { echo "succeeded: $(succeeded)"; return 1; }
    succeeded | grep -x "chmod an item's file"    # so this test can fail
    chmod 444 "$SENV_ITEM/share/text"
    find "$SENV_ITEM" -type d -exec chmod 555 {} +
    store_is_sound
    fetches new-profile
    stop_senvd
}

@test "a kernel with neither: senvd says so and goes on" {
    by_name
    SENV_ATTACKS=files taken_over "$build/tests/support/lacking" landlock,seccomp
    grep -E 'level=warning event=sandbox landlock=0 seccomp=no missing="Landlock .* and seccomp: it can do all' "$root/senvd.log"
    succeeded | grep -x "make a file in the store"    # what the layers are for
    succeeded | grep -x "write an item"
    rm -rf /tmp/senv-taken-over /dev/shm/senv-taken-over
    mkdir "$root/new"
    echo '(manifest (version 4) (packages ()))' >"$root/new/manifest"
    profile=$(publish new-profile --tree "$root/new")
    run -0 provision "$profile"
    in_store "$profile"
    kill_senvd
}

fetcher() { pgrep -P "$senvd_pid"; }
other_fetcher() { local now; now=$(fetcher) && [[ $now != "$1" ]]; }

@test "the fetcher is killed in the middle: said, started anew, and the closure becomes complete" {
    publish_closure
    rules main "/nar/*tool* drip 3"
    start_senvd
    local first
    first=$(fetcher)
    provision "$profile" >"$root/answer" 3>&- &
    local client=$!
    wait_until grep -q narinfo "$root/main.log"
    kill -9 "$first"
    wait_until other_fetcher "$first"
    wait "$client"
    grep PLAN "$root/answer"
    grep -E 'level=warning event=fetcher-lost .*it was killed by signal 9' "$root/senvd.log"
    store_is_sound
    stop_senvd
}

@test "the fetcher is stopped: what waits for it fails in bounded time, and senvd goes on" {
    publish_closure
    settings='fetch_limit = 3'
    start_senvd
    local first
    first=$(fetcher)
    kill -STOP "$first"
    SECONDS=0
    run -1 timeout 40 "$support/ask.py" "$socket" provision "$profile"
    says "it was not complete after 3 s"
    ((SECONDS < 20))
    run -0 senv status
    kill -CONT "$first"
    run -0 provision "$profile"
    store_is_sound
    stop_senvd
}

@test "the fetcher ends with senvd, however that ends" {
    start_senvd
    local first
    first=$(fetcher)
    kill_senvd
    wait_until gone "$first"
    start_senvd
    first=$(fetcher)
    stop_senvd
    gone "$first"
}
gone() { ! kill -0 "$1" 2>/dev/null; }

# tell_fetcher MESSAGE: a fetcher gets these bytes (as printf has them) from a senvd that is gone then.
tell_fetcher() {
    python3 -c '
import os, socket, subprocess, sys
ours, theirs = socket.socketpair()
memory = os.memfd_create("rings")
os.ftruncate(memory, 1 << 24)
ours.sendall(sys.stdin.buffer.read())
ours.close()
def place():
    control, rings = os.dup(theirs.fileno()) + 100, os.dup(memory) + 100
    os.dup2(theirs.fileno(), control)
    os.dup2(memory, rings)
    os.dup2(control, 3)
    os.dup2(rings, 4)
sys.exit(subprocess.run([sys.argv[1], "--fetcher"], preexec_fn=place, close_fds=False).returncode)
' "$build/provisioner/senvd/senvd" < <(printf "$1") 3>&-
}

@test "why the fetcher ends is a line of the log, and that senvd is gone no reason to say anything" {
    local setup='\x18\0\0\0\x01\0\0\0''\x04\0\0\0test''\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0'
    run -0 tell_fetcher "$setup"
    [[ -z $output ]]
    run -1 tell_fetcher 'no message at all'
    [[ $output =~ ^time=[^\ ]+\ level=error\ event=fetcher\ kind=corrupt\ error=\"[^\"]+\"$ ]]
}

@test "the fetcher is not for people" {
    run -2 "$build/provisioner/senvd/senvd" --fetcher 3>&-
    says "--fetcher is for senvd itself"
    run -0 "$build/provisioner/senvd/senvd" --help
    [[ $output != *fetcher* ]]
}

@test "names come from DNS, and from another server when resolv.conf was replaced" {
    in_own_mounts || skip "needs root and a mount namespace"
    local number address
    for number in 1 2; do
        address=127.$((100 + number)).$(($$ / 256 % 256)).$(($$ % 256))    # nobody else's: port 53 is one for all
        "$support/dns.py" "$address" "origin.test" --ready "$root/dns.$number" 3>&- >/dev/null 2>&1 &
        pids+=($!)
        wait_until test -e "$root/dns.$number"
        echo "nameserver $address" >"$root/resolv.$number"
    done
    origins=("${origins[0]/127.0.0.1/origin.test}")
    publish_closure
    write_config
    with_mounts "mount --bind $root/resolv.1 /etc/resolv.conf" &
    senvd_pid=$!
    wait_until answers
    run -0 provision "$profile"
    local first
    first=$(fetcher)
    kill -9 "${pids[1]}"    # the first of the name servers
    nsenter -t "$senvd_pid" -m mount --bind "$root/resolv.2" /etc/resolv.conf
    run -0 senv gc
    run -0 provision "$profile"
    other_fetcher "$first"
    grep -E 'level=info event=fetcher-renewed' "$root/senvd.log"
    store_is_sound
    stop_senvd
}

@test "HTTPS: a certificate that the node's CAs vouch for is taken, another one is not" {
    in_own_mounts || skip "needs root and a mount namespace"
    publish_closure
    start_tls_origin
    start_senvd
    run -1 provision "$profile"
    says "${origins[0]}: " "certificate"
    stop_senvd
    write_config
    with_mounts "mount --bind $root/tls/ca.pem /etc/ssl/certs/ca-certificates.crt" &
    senvd_pid=$!
    wait_until answers
    run -0 provision "$profile"
    store_is_sound
    stop_senvd
}

@test "the service's proxy is used" {
    lone_profile
    origins=("http://substitutes.invalid")
    http_proxy=$main_url start_senvd
    run -0 provision "$profile"
    store_is_sound
    grep "GET http://substitutes.invalid$narinfo 200" "$root/main.log"
    stop_senvd
    origins=("$main_url")
    http_proxy=http://127.0.0.1:9 start_senvd
    run -0 senv gc
    run -1 provision "$profile"
    says "$main_url: connection refused"
    stop_senvd
    http_proxy=http://127.0.0.1:9 no_proxy=127.0.0.1 start_senvd
    run -0 provision "$profile"
    stop_senvd
}

@test "certificates are judged by the service's SSL_CERT_FILE or SSL_CERT_DIR" {
    lone_profile
    start_tls_origin
    start_senvd
    run -1 provision "$profile"
    says "${origins[0]}: " "certificate" "trust the authority of that server's certificate" "SSL_CERT_FILE"
    stop_senvd
    SSL_CERT_FILE=$root/tls/ca.pem start_senvd
    run -0 provision "$profile"
    run -0 senv gc
    stop_senvd
    mkdir "$root/authorities"
    cp "$root/tls/ca.pem" "$root/authorities/"
    openssl rehash "$root/authorities"
    SSL_CERT_DIR=$root/nowhere:$root/authorities start_senvd
    run -0 provision "$profile"
    store_is_sound
    stop_senvd
}

in_own_mounts() { [[ $(id -u) -eq 0 ]] && unshare --mount true 2>/dev/null; }
with_mounts() {    # COMMAND: senvd where it was run
    exec unshare --mount --propagation private sh -c "$1 && exec \"\$@\"" - \
        "${senv_user[@]}" "$build/provisioner/senvd/senvd" --config "$root/senvd.toml" 3>&- >>"$root/senvd.log" 2>&1
}
