# senvd with clients that send nonsense, say too little, or never listen: they lose their connection, others are served on.
load helpers

closed() {    # HEX: senvd closes without an answer
    run -3 timeout 60 "$support/ask.py" "$socket" raw "$1"
    run -0 ask status
}

@test "garbage, other versions, huge and broken frames end their own connection only" {
    start_senvd
    closed "474554202f20485454502f312e310d0a0d0a"    # GET / HTTP/1.1
    closed "0000000003000200"                        # version 2
    closed "ffffffff03000100"                        # 4 GiB
    closed "0100010001000100"                        # 64 KiB and one byte
    closed "0000000063000100"                        # an unknown type
    closed "000000002000010000"                      # a reply
    closed "04000000030001000000000000"              # STATUS with a payload
    closed "000000000300010000"                      # a second request
    closed "0400000001000100ffffffff"                # a length inside that is longer than the frame
    closed "1800000001000100040000002f676e750000000000000000000000000000000000"   # left over
    closed "14000000010001000400000000000000000000000000000000000000"             # NUL bytes
    closed "14000000010001000000000000000000000000000000000000000080"             # an unknown flag
    stop_senvd
}

@test "half a request is closed after five seconds" {
    start_senvd
    SECONDS=0
    run -3 timeout 40 "$support/ask.py" "$socket" raw 080000
    ((SECONDS >= 4 && SECONDS <= 18))
    stop_senvd
}

@test "names that are no store items are refused with a reason" {
    start_senvd
    local name
    for name in "" / /etc/passwd /gnu/store /gnu/store/../../etc/passwd /gnu/store/short-x \
        /gnu/store/00000000000000000000000000000000-a/b /gnu/store/00000000000000000000000000000000-.x; do
        run -1 provision "$name"
        says "ERROR 0 cannot use"
    done
    [[ $(requests) -eq 0 ]]
    no_leases
    stop_senvd
}

@test "a thousand silent connections: others are served on" {
    start_senvd
    python3 - "$socket" "$root/silent" <<'END' 3>&- &
import socket, sys, time
silent = []
for _ in range(1000):
    one = socket.socket(socket.AF_UNIX)
    one.connect(sys.argv[1])
    silent.append(one)
open(sys.argv[2], "w").close()
time.sleep(300)
END
    pids+=($!)
    wait_until test -e "$root/silent"
    run -0 ask status
    run -0 ask status
    stop_senvd
}

@test "more connections than the limit: said so, not to root, and soon there is room again" {
    [[ $(id -u) -eq 0 ]] || skip "acting as another user needs root"
    start_senvd
    # A thousand before the first ones are closed for saying nothing: on a machine that does not get there at once, later.
    python3 - "$socket" >"$root/refused" <<'END' 3>&- &
import os, resource, select, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.setresuid(64002, 64002, 64002)
poll, silent = select.poll(), {}
while True:
    for _ in range(100 if len(silent) < 1024 else 1):
        one = socket.socket(socket.AF_UNIX)
        one.connect(sys.argv[1])
        silent[one.fileno()] = one
        poll.register(one, select.POLLIN)
    for fd, _ in poll.poll(0):
        try:
            sys.stdout.buffer.write(silent[fd].recv(1000))
        except ConnectionResetError:
            pass
        poll.unregister(fd)
        silent.pop(fd).close()
    sys.stdout.flush()
END
    pids+=($!)
    wait_until grep -q "too many connections" "$root/refused"
    local i
    for i in {1..20}; do run -0 ask status; done
    kill -9 "${pids[-1]}"
    wait_until setpriv --reuid 64002 --regid 64002 --clear-groups "$support/ask.py" "$socket" status
    stop_senvd
}

@test "a client that never reads its answers does not disturb" {
    publish_closure
    start_senvd
    run -0 provision "$profile"
    python3 - "$socket" "$profile" "$root/deaf" <<'END' 3>&- &
import socket, struct, sys, time
deaf = []
profile = sys.argv[2].encode()
for job in range(200):
    one = socket.socket(socket.AF_UNIX)
    one.connect(sys.argv[1])
    payload = struct.pack("<I", len(profile)) + profile + struct.pack("<IIIII", 0, job, 0, 3, 0)
    one.sendall(struct.pack("<IHH", len(payload), 1, 1) + payload)
    deaf.append(one)
open(sys.argv[3], "w").close()
time.sleep(300)
END
    pids+=($!)
    wait_until test -e "$root/deaf"
    run -0 provision "$profile"
    [[ $(senv status --json | jq '.leases | length') -eq 200 ]]    # they are in the sockets nobody reads
    stop_senvd
}

@test "leases: one for all that ask for the same, a limit for each user, and root sees and releases them" {
    publish_closure
    start_senvd
    run -0 provision "$profile"
    python3 - "$support" "$socket" "$profile" "$root/full" <<'END' 3>&- &
import resource, sys, time
sys.path.insert(0, sys.argv[1])
import ask
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held, refused = [], 0
for request in range(1500):    # the same twice, then others
    peer = ask.Peer(sys.argv[2])
    peer.socket.sendall(ask.provision(sys.argv[3], uid=1000, job=request // 2 if request < 200 else request, flags=1))
    while True:
        kind, payload = peer.frame()
        if kind in ask.FINAL:
            break
    peer.socket.close()
    held += peer.fds
    refused += kind == 33
with open(sys.argv[4], "w") as file:
    file.write(f"{len(held)} {refused}\n")
time.sleep(300)
END
    local holder=$!
    pids+=("$holder")
    wait_until test -s "$root/full"
    [[ $(<"$root/full") == "1124 376" ]]    # 100 for 200, and 924
    [[ $(ls "$root/run/leases" | wc -l) -eq 1024 ]]
    if [[ $(id -u) -eq 0 ]]; then    # else all are of one user
        run -0 provision "$profile" --lease --uid 1001
        run -0 senv status
        says "lease    $profile: job " " step 0, uid 1000, pids $holder"
        [[ $(senv status --json | jq -c '.leases[0].pids, .more_leases') == "[$holder]"$'\n24' ]]
        run -0 senv release 5
        [[ $output == "released $profile: job 5 step 0, uid 1000" ]]
        run -0 senv release --uid 1000 --json
        [[ $(jq '(.released | length) + .more_released' <<<"$output") -eq 1023 ]]
        no_leases
        grep -q 'event=released .* job=5 ' "$root/senvd.log"
        run -1 setpriv --reuid 64002 --regid 64002 --clear-groups "$build/provisioner/cli/senv" release 5 --socket "$socket"
        says "cannot release leases: only root and senvd's own user may"
    fi
    run -0 senv release 12345
    [[ -z $output ]]
    run -2 senv release
    says "cannot release leases without a job"
    run -2 senv release 5 --uid 1000
    stop_senvd
}

@test "HELD costs little, whatever others hold" {
    publish_closure
    start_senvd
    run -0 provision "$profile"
    run -0 python3 - "$support" "$socket" "$profile" <<'END'
import resource, struct, sys, time
sys.path.insert(0, sys.argv[1])
import ask
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
def request(frame):
    peer = ask.Peer(sys.argv[2])
    peer.socket.sendall(frame)
    while True:
        kind, payload = peer.frame()
        if kind in ask.FINAL:
            return peer.fds, payload
held = [request(ask.provision(sys.argv[3], job=job, flags=1))[0] for job in range(1000)]
begin = time.process_time(), time.monotonic()
for job in range(200):
    assert request(ask.frame(8, struct.pack("<II", 0, job)))[1][4:].decode() == sys.argv[3]
print(time.monotonic() - begin[1])
END
    python3 -c 'import sys; sys.exit(float(sys.argv[1]) > 5)' "$output"    # it was 0.1 s for each
    stop_senvd
}

@test "user_requests: what is beyond it is refused, for that user only, and only what would have to wait" {
    publish_closure
    local warm=$profile first second
    settings=$'user_requests = 2\nstall_limit = 600'
    start_senvd
    run -0 provision "$warm"
    first=$(make_profile first 1 1) second=$(make_profile second 1 1)
    rules main "/nar/* stall 1"
    "$support/ask.py" "$socket" provision "$first" --uid 1000 3>&- >/dev/null 2>&1 &
    pids+=($!)
    wait_until waiting 1
    run -0 ask prefetch "$second" --uid 1000
    run -1 provision "$first" --uid 1000 --job 7 --lease
    says "ERROR 5 senvd has 2 requests of uid 1000 waiting on this node, which is the limit for one user" user_requests
    if [[ $output == *LEASE* ]]; then return 1; fi
    log_has refused level=warning request=provision job=7 uid=1000 kind=busy
    run -1 ask prefetch "$first" --uid 1000
    says "ERROR 5 senvd has 2 requests"
    run -0 provision "$warm" --uid 1000
    "$support/ask.py" "$socket" provision "$first" --uid 1001 3>&- >/dev/null 2>&1 &
    pids+=($!)
    wait_until waiting 2
    kill "${pids[-2]}"
    wait_until waiting 1
    "$support/ask.py" "$socket" provision "$first" --uid 1000 3>&- >/dev/null 2>&1 &
    pids+=($!)
    wait_until waiting 2
    stop_senvd
}

waiting() { [[ $(senv status --json | jq "[.fetches[].waiting] | add") -eq $1 ]]; }

@test "user_leased: a step that would make its user's environments take more is refused, also after a restart" {
    local first second holder
    first=$(make_profile first 1 400) second=$(make_profile second 1 400)
    settings='user_leased = "600 KiB"'
    start_senvd
    "$support/ask.py" "$socket" provision "$first" --uid 1000 --hold "$root/held" 3>&- >/dev/null &
    holder=$!
    pids+=("$holder")
    wait_until test -e "$root/held"
    run -1 provision "$second" --uid 1000 --lease --job 8
    says LEASE "ERROR 5 cannot hold '$second' for uid 1000: it takes" "the limit for one user is 600.0 KiB" user_leased
    log_has refused level=warning request=provision job=8 uid=1000
    not_in_store "$second"
    run -0 provision "$second" --uid 1001 --lease
    run -0 provision "$first" --uid 1000 --lease
    says LEASE PLAN
    stop_senvd
    start_senvd
    run -1 provision "$second" --uid 1000 --lease
    says "ERROR 5 cannot hold '$second'"
    if [[ $output == *LEASE* ]]; then return 1; fi
    run -0 provision "$second" --lease    # root itself
    kill "$holder"
    wait "$holder" || true
    run -0 provision "$second" --uid 1000 --lease
    says LEASE PLAN
    stop_senvd
}

@test "progress: at most one event a second, with totals" {
    publish_closure
    rules main "/nar/* drip 3"
    start_senvd
    SECONDS=0
    run -0 provision "$profile" --progress
    local most=$((SECONDS + 2))
    says PENDING PROGRESS "from $main_url" PLAN
    [[ $(grep -c PROGRESS <<<"$output") -le $most ]]
    [[ $(grep PROGRESS <<<"$output" | tail -n 1) =~ PROGRESS\ [0-3]\ 3\ [0-9]+\ 3072\  ]]
    stop_senvd
}

# What senvd and its child have: descriptors, and anonymous memory in kB.
descriptors() { ls "/proc/$senvd_pid/fd" "/proc/$(pgrep -P "$senvd_pid")/fd" | wc -l; }
memory() { awk '/^RssAnon/ { sum += $2 } END { print sum }' "/proc/$senvd_pid/status" "/proc/$(pgrep -P "$senvd_pid")/status"; }
few_descriptors() { (($(descriptors) <= $1)); }

@test "all that a user can do at once: others get their environment meanwhile, and nothing of it stays" {
    [[ $(id -u) -eq 0 ]] || skip "acting as another user needs root"
    publish_closure
    local cold before_descriptors before_memory client attack room=$((16 * 1024))
    if grep -q '^SENV_SANITIZE:.*=.' "$build/CMakeCache.txt"; then room=$((256 * 1024)); fi    # it keeps what was freed
    cold=$(make_profile cold 1 64)
    rules main "/nar/*cold drip 3"
    start_senvd
    run -0 provision "$profile"
    before_descriptors=$(descriptors)
    before_memory=$(memory)
    ask provision "$cold" >"$root/cold" 3>&- &
    client=$!
    "$support/attack.py" "$socket" "$profile" "$cold" >"$root/attack" 2>&1 3>&- &
    attack=$!
    pids+=("$client" "$attack")
    wait_until grep -q begun "$root/attack"
    PYTHONPATH=$support python3 - "$socket" "$profile" <<'END'
import ask, sys
for _ in range(50):
    for request, answer in ((ask.provision(sys.argv[2], job=7), 32), (ask.frame(3), 35)):
        peer = ask.Peer(sys.argv[1])
        peer.socket.settimeout(20)
        peer.socket.sendall(request)
        assert peer.frame()[0] == answer
END
    wait "$client"
    wait_until grep -q round "$root/attack"
    kill "$attack"
    wait "$attack" || { cat "$root/attack"; return 1; }
    log_has provisioned job=4242 uid=64002
    run ! grep "job=4242 .*uid=0" "$root/senvd.log"
    wait_until few_descriptors $((before_descriptors + 8))    # the catalog's, of another thread
    (($(memory) < before_memory + room))
    run -0 provision "$profile"
    stop_senvd
}
