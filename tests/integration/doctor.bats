#!/usr/bin/env bats
# senv doctor, of a compute node with a real senvd and of a submit host, with made-up commands of Slurm and Guix. What the
# real ones say is in tests/cluster/plugin.bats.
load helpers

setup_host() {    # as-told-by scontrol show daemons: slurmd, or slurmctld
    mkdir -p "$root/bin" "$root/slurm"
    ln -s "$(type -P getent)" "$root/bin/getent"
    program scontrol 'case $2 in daemons) echo '"$1"' ;; config) echo "SLURM_CONF = '"$root"'/slurm/slurm.conf" ;; esac'
    program srun 'echo slurm-wlm 22.05.8'
    cp "$build/tests/unit/libmade_up_plugin.so" "$root/slurm/spank_senv.so"
    chmod 755 "$root/slurm" "$root/slurm/spank_senv.so"
    echo 'include senv.conf' >"$root/slurm/plugstack.conf"
    plugstack
}

program() {    # NAME SCRIPT
    printf '#!/bin/sh\n%s\n' "$2" >"$root/bin/$1"
    chmod 755 "$root/bin/$1"
}

plugstack() {    # WORD…
    local user
    user=$(stat -c %u "$root/state")
    echo "required $root/slurm/spank_senv.so senv=$build/provisioner/cli/senv socket=$socket user=$user store=$root/state/store slurm_commands=$root/bin $*" \
        >"$root/slurm/senv.conf"
}

doctor() {
    env -i PATH="$root/bin" HOME="$root" USER=ada GUIX_STATE_DIRECTORY="$root/guix" GUIX_DAEMON_SOCKET="${daemon-}" \
        SLURM_CONF="$root/slurm/slurm.conf" ASAN_OPTIONS="$ASAN_OPTIONS" \
        UBSAN_OPTIONS="$UBSAN_OPTIONS" "$build/provisioner/cli/senv" --config "$root/senv.toml" doctor \
        --senvd-config "$root/senvd.toml" "$@"
}

# bad: what is neither ok nor of other hosts, but for /gnu/store, which is that of the machine that runs the tests, and, for
# who is not root, the plugin's owner.
bad() {
    jq -r '.checks[] | select(.state == "warning" or .state == "problem") | "\(.name): \(.state): \(.what) (\(.hint))"' <<<"$output" |
        grep -v '^gnu-store: ' | if [[ $(id -u) -eq 0 ]]; then cat; else grep -v '^plugin: .* belongs to user'; fi || true
}

# finds NAME STATE TEXT…: exactly that part is bad, and is told with these texts.
finds() {
    run --separate-stderr doctor --json
    [[ -z $stderr ]] || { echo "$stderr"; return 1; }
    if [[ $2 == problem ]]; then [[ $status -eq 1 ]]; fi
    output=$(bad)
    [[ ${#lines[@]} -gt 0 && $(wc -l <<<"$output") -eq 1 && $output == "$1: $2: "* ]] || { echo "found: $output"; return 1; }
    says "${@:3}"
}

@test "doctor: a compute node that is whole, and then each thing that is not" {
    setup_host slurmd
    start_senvd
    run --separate-stderr doctor --json
    [[ -z $stderr && $(jq -c '[."senv-doctor", .submit_host, .compute_node]' <<<"$output") == '[1,false,true]' ]]
    [[ $(jq -r '.checks[] | select(.state == "ok") | .name' <<<"$output" | sort | xargs) == *"disk host keys origin"*"plugin-words plugstack"*"senvd senvd.toml slurm task-prolog" ]]
    [[ -z $(bad) ]]

    plugstack sokcet=/run/x
    finds plugin-words problem "the plugin does not take 'sokcet=/run/x': want one of senv=" "(correct $root/slurm/senv.conf:1)"
    plugstack user=64002
    finds plugin-words problem "user=64002, and senvd runs as user "
    plugstack store="$root"
    finds plugin-words problem "store=$root, and senvd's is $root/state/store"
    plugstack socket=/nothing
    finds plugin-words problem "socket=/nothing, and senvd listens at $socket"
    plugstack

    echo '(acl' >"$root/acl"
    finds keys problem "$root/acl" "(put the site's /etc/guix/acl there"
    cp "$golden/narinfo/acl" "$root/acl"

    sed -i 's|^origins = .*|origins = ["http://127.0.0.1:1", "'"$main_url"'"]|' "$root/senvd.toml"
    run --separate-stderr doctor --json
    output=$(bad)
    says "senvd: warning: " "and not from what senvd.toml names (restart senvd)" \
        "origin: warning: http://127.0.0.1:1: 127.0.0.1:1: Connection refused (start that server"
    write_config

    kill -STOP "$main_pid"    # who listens is enough
    run --separate-stderr doctor --json
    [[ -z $(bad) ]]
    kill -CONT "$main_pid"
    stop_senvd
    finds senvd problem "cannot reach senvd at '$socket'" "(start it: systemctl enable --now senvd)"
}

@test "doctor: keys and certificates that are not what origins need" {
    setup_host slurmd
    publish_closure
    start_senvd
    cp "$golden/narinfo/signing-key.pub" "$root/acl"    # as it is, not as an entry
    finds keys problem "$root/acl: cannot read the list of authorised keys: want (acl " "(put the site's /etc/guix/acl there"
    echo "(acl $(<"$golden/narinfo/signing-key.pub"))" >"$root/acl"
    finds keys problem "$root/acl: cannot read the list of authorised keys: entry 1 is not (entry (public-key "
    # The site's list, without the key of this server.
    echo "(acl (entry $(<"$golden/narinfo/other-key.pub") (tag (guix import))))" >"$root/acl"
    run -1 provision "$profile"
    finds origin problem "senvd, when it asked last: $main_url: " "is not among the authorised keys" "(add that key to senvd's list"
    run -0 senv status
    says "trouble  $main_url: " "is not among the authorised keys"
    cp "$golden/narinfo/acl" "$root/acl"
    run -0 provision "$profile"
    run --separate-stderr doctor --json
    [[ -z $(bad) ]]
    stop_senvd

    origins=("file://$root/main")
    start_senvd
    run --separate-stderr doctor --json
    [[ -z $(bad) ]]
    echo "(acl (entry $(<"$golden/narinfo/other-key.pub") (tag (guix import))))" >"$root/acl"
    finds origin problem "file://$root/main: " "is not among the authorised keys" "(add that key to senvd's list"    # nobody asked senvd
    cp "$golden/narinfo/acl" "$root/acl"
    run -0 senv gc
    stop_senvd

    start_tls_origin
    start_senvd
    run -1 provision "$profile"
    finds origin problem "senvd, when it asked last: ${origins[0]}: " "certificate" "(name the site's certificate authorities to senvd"
    stop_senvd
}

@test "doctor: a senvd that does not answer costs seconds" {
    setup_host slurmd
    start_senvd
    kill -STOP "$senvd_pid"
    local begin=$SECONDS
    finds senvd problem "senvd did not answer in time" "(look into senvd's log on this node)"
    ((SECONDS - begin < 30))
    kill -CONT "$senvd_pid"
    stop_senvd
}

@test "doctor: a submit host that is whole, then one that is not, then another kind of host" {
    setup_host slurmctld
    mkdir -p "$root/guix/profiles/per-user/ada"
    program guix 'echo "guix (GNU Guix) 1.5.0"'
    daemon=guix://${main_url#http://}    # who listens is enough
    run -0 --separate-stderr doctor --json
    [[ -z $(bad) && $(jq -c '[.submit_host, .compute_node]' <<<"$output") == '[true,false]' ]]
    run -0 --separate-stderr doctor
    [[ -z $stderr ]]
    says $'host          ok        a submit host\nslurm         ok        Slurm 22.05.8: slurmctld answers; ' \
        $'\nguix          ok        ' "guix (GNU Guix) 1.5.0" $'\nsenvd         not here  only on compute nodes\n'

    daemon=
    finds guix-daemon problem "$root/guix/daemon-socket/socket: No such file or directory" "(start guix-daemon, or set"
    run -1 doctor
    says $'\nguix-daemon   problem   cannot reach guix-daemon: ' $'\n                        hint: start guix-daemon, or set'
    daemon=guix://${main_url#http://}
    rm "$root/bin/guix"
    finds guix problem "there is no command 'guix' here" "(load or install Guix"
    program guix 'kill -9 $$'
    finds guix problem "'$root/bin/guix' failed without a word" "(see what this does: $root/bin/guix --version)"
    program guix 'echo "guix (GNU Guix) 1.5.0"'
    echo 'guiks = 1' >"$root/senv.toml"
    finds senv.toml problem "cannot use '$root/senv.toml': line 1: unknown key 'guiks'"
    rm "$root/senv.toml"
    echo >"$root/slurm/plugstack.conf"
    finds plugstack problem "no line of $root/slurm/plugstack.conf, or of what it includes, names spank_senv.so"
    echo 'include senv.conf' >"$root/slurm/plugstack.conf"
    program srun 'echo slurm-wlm 24.11.5'
    finds plugin problem "is built for Slurm 22.05, and this is 24.11.5" "(build senv against the headers of this Slurm"
    program srun 'echo slurm-wlm 22.05.8'
    program scontrol 'echo "Unable to contact slurm controller" >&2; exit 1'
    finds slurm problem "Unable to contact slurm controller; cannot open '$root/slurm/slurm.conf'"
    echo 'TaskProlog=/etc/prolog' >"$root/slurm/slurm.conf"
    run -0 doctor --json
    output=$(bad)
    says "slurm: warning: Slurm 22.05.8: Unable to contact slurm controller; read $root/slurm/slurm.conf instead" \
        "task-prolog: warning: TaskProlog=/etc/prolog runs after senv"
    echo >"$root/slurm/slurm.conf"
    rm "$root/bin/srun" "$root/bin/scontrol"
    finds host warning "neither a submit host" "(look on a host of the cluster"
}
