#!/usr/bin/env bats
# The cluster's login host: Guix as ordinary users have it, and what its substitute server gives to the nodes. Needs root.
# The first run makes the Guix root (tests/guix/root), which takes minutes; later ones take seconds.
bats_require_minimum_version 1.5.0

cluster() { "$BATS_TEST_DIRNAME/cluster" "$@"; }

setup_file() {
    export SENV_CLUSTER=login-bats
    cluster start
}

teardown_file() {
    cluster stop
}

# In alice's home: the environment of a manifest that nothing else in the tests uses, so that it has to be built.
new_profile() {
    cat >"$(cluster path login /home/alice/new.scm)" <<'END'
(specifications->manifest '("senv-zlib" "senv-attr" "senv-pcre2"))
END
    cluster exec guix time-machine -q -C /srv/channels/channels-1.scm -- shell -m new.scm --root=root -- \
        sh -c 'echo "$GUIX_ENVIRONMENT"'
}

served() { cluster root n1 curl -sS --max-time 20 "http://10.77.0.1:8080/$1"; }

@test "the ordinary user builds an environment with the Guix that a channel file names" {
    run -0 --separate-stderr new_profile
    [[ $output == /gnu/store/*-profile ]]
    run -0 cluster exec readlink -f root
    [[ $output == /gnu/store/*-profile ]]
    run -0 cluster as bob login guix time-machine -q -C /srv/channels/channels-1.scm -- shell \
        -m /srv/channels/manifests/hello.scm -- senv-hello
    [[ $output == *"senv-hello 1.0 /gnu/store/"* ]]
}

@test "it is Guix 1.5.0 or newer" {
    run -0 cluster exec guix --version
    local version=${lines[0]##* }
    [[ ${lines[0]} == "guix (GNU Guix) "* && $(printf '%s\n' 1.5.0 "$version" | sort -V | head -n 1) == 1.5.0 ]]
}

@test "a GC root in the user's home counts, because the daemon sees homes" {
    local profile
    profile=$(new_profile 2>/dev/null)
    cluster root login guix gc --list-live >"$BATS_TEST_TMPDIR/live"
    grep -qxF "$profile" "$BATS_TEST_TMPDIR/live"
    run -0 cluster root login guix gc --list-roots
    [[ $output == */home/alice/root* ]]
}

@test "guix publish serves what was built, signed with the key in the nodes' ACL, and logs each GET" {
    local profile hash key
    profile=$(new_profile 2>/dev/null)
    hash=${profile#/gnu/store/}
    hash=${hash%%-*}
    run -0 served "$hash.narinfo"
    [[ $output == *"StorePath: $profile"* && $output == *"URL: nar/zstd/"* && $output == *"URL: nar/gzip/"* ]]
    key=$(grep -oE '#[0-9A-F]{64}#' "$(cluster path login /opt/guix/etc/guix/signing-key.pub)")
    sed -n 's/^Signature: 1;login;//p' <<<"$output" | base64 -d | grep -qF "$key"
    grep -qF "$key" "${SENV_CLUSTER_DIR:-/var/tmp/senv-cluster}/$SENV_CLUSTER/acl"

    served "nar/zstd/${profile#/gnu/store/}" >"$BATS_TEST_TMPDIR/nar.zst"
    zstd -dc "$BATS_TEST_TMPDIR/nar.zst" | head -c 21 | grep -q nix-archive-1
    run -0 cluster log login guix-publish
    [[ $(grep -cx "GET /$hash.narinfo" <<<"$output") == 1 ]]
    [[ $(grep -c "^GET /nar/zstd/${profile#/gnu/store/}" <<<"$output") == 1 ]]
}

@test "daemon and server end and start again" {
    local name
    for name in guix-daemon guix-publish; do
        cluster service login "$name" stop
        run -1 cluster service login "$name" pid
        cluster service login "$name" start
        cluster service login "$name" kill
        cluster service login "$name" start
    done
    run -0 served nix-cache-info
    [[ $output == *"StoreDir: /gnu/store"* ]]
    run -0 --separate-stderr new_profile
}

@test "nodes see nothing of it" {
    run -1 cluster root n1 which guix
    run -1 cluster root n1 test -e /opt/guix -o -e /var/guix -o -e /srv/channels
    run -0 cluster root n1 ls -A /gnu/store
    [[ -z $output ]]
}

@test "what was built is gone with the cluster: the shared Guix root does not change" {
    run -0 "$BATS_TEST_DIRNAME/../guix/root"
    local root=${lines[-1]} profile
    profile=$(new_profile 2>/dev/null)
    [[ ! -e $root$profile ]]
}
