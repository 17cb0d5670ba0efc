# Who may do what with senvd: users are made up, and told apart by the kernel.
load helpers

setup_file() {
    [[ $(id -u) -eq 0 ]] || skip "acting as other users needs root"
}

# as UID GROUPS COMMAND…: as that user, with these supplementary groups (or none: "")
as() {
    local groups=(--clear-groups)
    [[ -z $2 ]] || groups=(--groups "$2")
    setpriv --reuid "$1" --regid "$1" "${groups[@]}" "${@:3}"
}
senv_as() { as "$1" "$2" "$build/provisioner/cli/senv" "${@:3}" --socket "$socket"; }

@test "gc, pins and verify are for root, senvd's own user and nobody else, reading and fetching for all" {
    publish_closure
    start_senvd
    run -0 senv_as 64002 "" fetch "$profile"
    run -0 senv_as 64002 "" status
    run -0 senv_as 64002 "" list
    local command
    for command in gc "pin $profile" "unpin $profile" verify; do
        run -1 senv_as 64002 4,27 $command
        says "only root and senvd's own user may" "admin_group"
    done
    in_store "$profile"
    run -0 senv_as 64001 "" pin "$profile"
    run -0 senv_as 64001 "" gc --dry-run
    says "kept $profile: pinned"
    run -0 senv unpin "$profile"
    run -0 senv gc
    nothing_in store
    stop_senvd
}

@test "admin_group: its members may too, by any of their groups; others are told its name" {
    publish_closure
    settings='admin_group = "games"'
    local games many
    games=$(getent group games | cut -d: -f3)
    many=$(seq -s, 70000 70200),$games
    start_senvd
    run -0 senv_as 64002 "" fetch "$profile"
    run -1 senv_as 64002 4,27 pin "$profile"
    says "cannot pin: only root, senvd's own user and members of the group 'games' may" "hint: ask a member"
    run -0 senv_as 64002 "$games" pin "$profile"
    run -0 senv_as 64002 "$many" gc    # more groups than fit at first
    says "kept $profile: pinned"
    run -0 setpriv --reuid 64003 --regid "$games" --clear-groups "$build/provisioner/cli/senv" unpin "$profile" \
        --socket "$socket"
    run -0 senv_as 64002 "4,$games" gc
    says "evicted $profile"
    stop_senvd
}

@test "admin_group: a group that does not exist is an error at start" {
    settings='admin_group = "nobody-has-this-group"'
    write_config
    run -1 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "the group 'nobody-has-this-group' (admin_group) does not exist on this node" "hint: "
}
