#!/usr/bin/env bats
# senvd.service under a real systemd. Started by tests/systemd/run.

bats_require_minimum_version 1.5.0
here=$BATS_TEST_DIRNAME
checkout=$here/../..

setup_file() {
    export machine_state=/var/tmp/senv-systemd.$$
    "$here/machine" start "$machine_state" "$SENV_ROOT" "$SENV_INSTALL"
    inside systemd-sysusers
    inside systemd-tmpfiles --create
    inside tee /etc/slurm/slurm.conf >/dev/null <<-END
		ClusterName=senv
		SlurmctldHost=node
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		JobAcctGatherType=jobacct_gather/none
		NodeName=node CPUs=1
		PartitionName=main Nodes=node
	END
    inside sh -c 'head -c 128 /dev/urandom >/etc/munge/munge.key; chown munge:munge /etc/munge/munge.key; chmod 400 /etc/munge/munge.key'
    inside systemctl enable --now munge
    inside systemctl stop slurmd
    inside mkdir -p /srv/items
    publish
}

teardown_file() { "$here/machine" stop "$machine_state"; }

# A small profile, signed, in /srv/items of the machine.
publish() {
    local tree=$BATS_FILE_TMPDIR/tree items=$BATS_FILE_TMPDIR/items
    mkdir -p "$tree" "$items"
    echo '(manifest (version 4) (packages ()))' >"$tree/manifest"
    "$checkout/tests/support/publish.py" --tools "$SENV_BUILD/tests/support" \
        --key "$checkout/tests/golden/narinfo/signing-key.sec" "$items" test-profile --tree "$tree" >"$BATS_FILE_TMPDIR/profile"
    tar -C "$items" -c . | inside tar -C /srv/items --no-same-owner -x
    inside tee /etc/senv/acl >/dev/null <"$checkout/tests/golden/narinfo/acl"
}

setup() {
    inside systemctl stop senvd slurmd
    inside systemctl reset-failed
    inside rm -rf /etc/systemd/system/senvd.service.d
    inside sh -c 'echo "origins = [\"file:///srv/items\"]" >/etc/senv/senvd.toml'
    inside systemctl daemon-reload
    since=$(date +%s.%N)
}

inside() { "$here/machine" exec "$machine_state" "$@"; }
property() { inside systemctl show --value -p "$2" "$1"; }
journal() { inside journalctl --quiet --no-pager --output=cat --since "@${since%.*}" -u "${1-senvd}"; }

drop_in() { inside sh -c 'mkdir -p /etc/systemd/system/senvd.service.d; cat >/etc/systemd/system/senvd.service.d/test.conf; systemctl daemon-reload'; }

wait_until() {
    local _
    for _ in {1..300}; do
        "$@" && return
        sleep 0.1
    done
    echo "waited in vain for: $*"
    journal
    return 1
}
state_is() { [[ $(property "$1" ActiveState) == "$2" ]]; }
journal_has() { [[ $(journal) == *"$1"* ]]; }

@test "the unit is one that systemd has nothing to say about" {
    run -0 inside systemd-analyze verify /lib/systemd/system/senvd.service
    echo "$output"
    [[ $output != *senvd* ]]
}

@test "slurmd starts when senvd answers, not before" {
    # A senvd that takes long, as after a power cut.
    drop_in <<-'END'
		[Service]
		ExecStart=
		ExecStart=/bin/sh -c 'sleep 3; exec /usr/sbin/senvd'
	END
    inside systemctl start --no-block senvd slurmd
    wait_until state_is senvd activating
    sleep 1
    state_is senvd activating
    state_is slurmd inactive
    wait_until state_is slurmd active
    state_is senvd active
    [[ $(property senvd ActiveEnterTimestampMonotonic) -le $(property slurmd ExecMainStartTimestampMonotonic) ]]
    inside senv status
}

@test "a configuration that is wrong: failed at once, said with its line, never tried again, and slurmd starts" {
    inside sh -c 'echo "grce = 1" >>/etc/senv/senvd.toml'
    run inside systemctl start senvd slurmd
    [[ $status -ne 0 ]]
    sleep 5
    [[ $(property senvd ActiveState) == failed && $(property senvd NRestarts) == 0 && $(property senvd ExecMainStatus) == 2 ]]
    journal_has "line 2: unknown key 'grce'"
    state_is slurmd active
}

@test "no configuration, no origins: failed, not tried again" {
    local text
    for text in "" "grace = 1"; do
        inside sh -c "echo '$text' >/etc/senv/senvd.toml"
        inside systemctl reset-failed
        run inside systemctl start senvd
        [[ $status -ne 0 ]]
        journal_has "the key 'origins' is missing"
        sleep 3
        [[ $(property senvd ActiveState) == failed && $(property senvd NRestarts) == 0 ]]
    done
    inside rm /etc/senv/senvd.toml
    inside systemctl reset-failed
    run inside systemctl start senvd
    [[ $status -ne 0 && $(property senvd ExecMainStatus) == 2 ]]
}

@test "what a second try can cure is tried again" {
    # Root's own: senvd cannot write there until somebody gives it back.
    inside sh -c 'echo "socket = \"/nowhere/senvd.sock\"" >>/etc/senv/senvd.toml'
    run inside timeout 20 systemctl start senvd
    wait_until eval '[[ $(property senvd NRestarts) -ge 1 ]]'
    journal_has "cannot use the folder for leases '/nowhere/leases'"
}

@test "the keys: what is wrong with them is in the journal, senvd starts, and a reload reads them" {
    inside mv /etc/senv/acl /etc/senv/acl.away
    inside systemctl start senvd
    journal_has "/etc/senv/acl"
    inside mv /etc/senv/acl.away /etc/senv/acl
    inside systemctl reload senvd
    wait_until journal_has "event=acl keys="
    state_is senvd active
}

@test "killed: restarted; its fetcher killed: senvd goes on" {
    local pid
    inside systemctl start senvd
    pid=$(property senvd MainPID)
    inside kill -9 "$(inside pgrep -P "$pid")"
    wait_until journal_has "event=fetcher-lost"
    [[ $(property senvd MainPID) == "$pid" ]]
    inside kill -9 "$pid"
    wait_until eval '[[ $(property senvd NRestarts) -eq 1 ]]'
    wait_until state_is senvd active
}

@test "hardened: the fetcher confines itself as without systemd, and fetches from folders and servers, and what is mounted later" {
    local profile
    profile=$(<"$BATS_FILE_TMPDIR/profile")
    inside mkdir -p /srv/later
    inside sh -c 'cd /srv/items && exec python3 -m http.server --bind 127.0.0.1 8080 >/dev/null 2>&1' 3>&- &
    for origin in file:///srv/items http://127.0.0.1:8080 file:///srv/later; do
        inside systemctl stop senvd
        inside sh -c "chmod -R u+w /var/lib/senv; rm -rf /var/lib/senv/*; echo 'origins = [\"$origin\"]' >/etc/senv/senvd.toml"
        inside systemctl start senvd
        if [[ $origin == */later ]]; then
            inside mount --bind /srv/items /srv/later
        fi
        inside senv fetch "$profile"
        inside ls "/var/lib/senv/store/${profile##*/}"
    done
    inside umount /srv/later
    inside pkill -f http.server
    # One for each start, and one more for the fetcher that is started again when something is mounted.
    run -0 eval "journal | grep 'event=sandbox'"
    [[ ${#lines[@]} -ge 3 ]]
    run ! grep -vE 'level=info.* landlock=[1-9].* seccomp=yes' <<<"$output"
    [[ $(property senvd MemoryMax) == 1073741824 && $(property senvd OOMPolicy) == continue ]]
}

leased() { inside senv status --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["leases"]))'; }

@test "what a process holds stays held when senvd stops, is restarted, or is killed" {
    local profile holder leases
    profile=$(<"$BATS_FILE_TMPDIR/profile")
    inside systemctl start senvd
    inside senv fetch "$profile"
    inside senv run -p "$profile" -- sleep 300 3>&- &
    wait_until eval '[[ $(leased) == 1 ]]'
    leases=$(inside ls /run/senv/leases)
    inside systemctl restart senvd
    [[ $(leased) == 1 ]]
    inside systemctl stop senvd
    [[ $(inside ls /run/senv/leases) == "$leases" ]]
    inside systemctl start senvd
    [[ $(leased) == 1 ]]
    inside kill -9 "$(property senvd MainPID)"
    wait_until eval '[[ $(property senvd NRestarts) -eq 1 && $(property senvd ActiveState) == active ]]'
    [[ $(leased) == 1 ]]
    inside senv gc
    inside ls "/var/lib/senv/store/${profile##*/}"
    inside pkill -x sleep
    wait_until eval '[[ $(leased) == 0 ]]'
}

@test "senvd --check: by hand, as root and as senvd's user" {
    run -0 inside senvd --check
    [[ $output == "/etc/senv/senvd.toml can be used: 1 origins"* ]]
    run -0 inside setpriv --reuid senv --regid senv --clear-groups senvd --check
    inside sh -c 'echo "state_dir = \"/root\"" >>/etc/senv/senvd.toml'
    run -2 inside senvd --check
}
