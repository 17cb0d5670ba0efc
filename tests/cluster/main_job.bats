# The main job on the real cluster: real Slurm, real Guix on the login host, real MPI between two compute nodes without Guix.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
    start_cluster main
    local manifest
    for manifest in "$(manifests)"/*.scm; do put "$manifest"; done
    alice cp /srv/channels/channels-1.scm /srv/channels/channels-2.scm .
    alice cp channels-1.scm channels.scm
    count_guix_starts
}

teardown_file() {
    SENV_CLUSTER=main cluster stop
}

setup() { export SENV_CLUSTER=main; }

teardown() { passed || restore; }

hello=(--env-manifest=hello.scm --env-channels=channels.scm)

@test "compute nodes see neither Guix nor its store" {
    for node in n1 n2; do
        run cluster root "$node" sh -c 'command -v guix guix-daemon; ls -A /gnu/store; ls /var/guix /opt/guix'
        [[ $output == *"cannot access '/var/guix'"*"cannot access '/opt/guix'"* && ${#lines[@]} -eq 2 ]]
    done
}

@test "Open MPI runs on two nodes with --mpi=pmix, both cold" {
    needs_pmix
    run alice srun -N2 --mpi=pmix --env-manifest=pingpong-openmpi.scm --env-channels=channels.scm pingpong
    works
    says "rank 0 of 2 on n1" "rank 1 of 2 on n2" " 4194304 "
    ranks_are_in_the_store 2
    assert_nothing_left
    # What a node then has is the closure, of many items.
    run -0 --separate-stderr alice senv lock -m pingpong-openmpi.scm -C channels.scm
    [[ $(jq '.closure | length' <<<"$output") -ge 12 ]]
    for node in n1 n2; do diff <(jq -r '.closure[].path' <<<"$output" | xargs -n 1 basename | sort) <(store_of "$node" | sort); done
}

@test "MPICH runs on two nodes with --mpi=pmi2" {
    run alice srun -N2 --mpi=pmi2 --env-manifest=pingpong-mpich.scm --env-channels=channels.scm pingpong --max 65536
    works
    says "rank 0 of 2 on n1" "rank 1 of 2 on n2" " 65536 "
    ranks_are_in_the_store 2
    assert_nothing_left
}

@test "the same manifest with two channel files runs two versions" {
    run -0 alice srun --env-manifest=hello.scm --env-channels=channels-1.scm senv-hello
    says "1.0"
    run -0 alice srun --env-manifest=hello.scm --env-channels=channels-2.scm senv-hello
    says "2.0"
}

@test "--env-packages names packages without a manifest" {
    run -0 alice srun --env-packages=senv-hello,senv-coreutils --env-channels=channels-2.scm senv-hello
    says "2.0"
}

@test "a step has the search paths that guix shell prints, of every kind" {
    run -0 --separate-stderr alice guix time-machine -q -C channels.scm -- shell --pure --search-paths -m search-paths.scm
    local want
    want=$(sed -nE 's/^export ([A-Z_]+)="(.*)"$/\1=\2/p' <<<"$output" | LC_ALL=C sort)
    [[ $(grep -c '^SENV_TEST_' <<<"$want") -eq 5 && $want == *"PATH=/gnu/store/"*"-profile/sbin"* ]]
    run -0 --separate-stderr alice srun --env-manifest=search-paths.scm --env-channels=channels.scm env
    local profile got
    profile=$(sed -n 's/^GUIX_ENVIRONMENT=//p' <<<"$output")
    # The step's PATH goes on behind the profile's; of each other variable guix shell sets the whole.
    got=$(grep -E "^($(sed 's/=.*//' <<<"$want" | paste -sd'|'))=" <<<"$output" |
        sed -E "s|^(PATH=($profile/[a-z]+:?)+):.*|\1|" | sed 's/:$//' | LC_ALL=C sort)
    diff <(echo "$want") <(echo "$got")
    [[ $output != *SENV_TEST_ABSENT* ]]
}

@test "the second run asks no server and starts no guix" {
    run -0 alice srun "${hello[@]}" -N2 senv-hello
    local asked started
    asked=$(requests) started=$(guix_starts)
    ((started > 0))    # the wrapper does count
    ((asked > 0))
    run -0 alice srun "${hello[@]}" -N2 senv-hello
    says "1.0"
    [[ $(requests) -eq $asked ]]
    [[ $(guix_starts) -eq $started ]]
}

@test "a manifest that loads another file follows that file" {
    alice sh -c "sed s/senv-hello/senv-coreutils/ other.scm >other-without.scm; cp other.scm other-with.scm"
    run -0 alice srun --env-manifest=hello-loads-other-file.scm --env-channels=channels.scm senv-hello
    alice cp other-without.scm other.scm
    run alice srun --env-manifest=hello-loads-other-file.scm --env-channels=channels.scm senv-hello
    alice cp other-with.scm other.scm
    fails
    says "senv-hello"
    run -0 alice srun --env-manifest=hello-loads-other-file.scm --env-channels=channels.scm senv-hello
}

# A batch script that shows where its own commands and those of a step come from.
batch_script() {
    alice tee job.sh >/dev/null <<'JOB'
#!/bin/bash
#SBATCH --env-manifest=hello.scm
#SBATCH --env-channels=channels.scm
#SBATCH -N2 -o job.out
echo "script: $(command -v senv-hello)"
senv-hello
srun bash -c 'echo "step: $(command -v senv-hello)"; senv-hello'
JOB
    # The manifest has bash: the script's own interpreter is the node's, the step's is the environment's.
    alice rm -f job.out
}

@test "sbatch: the script and its steps are in the environment of the #SBATCH lines" {
    batch_script
    run alice sbatch --wait job.sh
    works
    run alice cat job.out
    says "script: /gnu/store/" "step: /gnu/store/" "1.0"
    [[ $(grep -c '^step: /gnu/store/' <<<"$output") -eq 2 ]]
}

@test "sbatch --export=NONE: the same" {
    batch_script
    run alice sbatch --wait --export=NONE job.sh
    works
    run alice cat job.out
    says "script: /gnu/store/"
    [[ $(grep -c '^step: /gnu/store/' <<<"$output") -eq 2 ]]
    assert_nothing_left
}

@test "sbatch --parsable: stdout carries only Slurm's text" {
    batch_script
    run --separate-stderr alice sbatch --wait --parsable job.sh
    works
    [[ $output =~ ^[0-9]+$ ]]
}

@test "salloc, then srun" {
    run alice salloc -N2 "${hello[@]}" srun senv-hello
    works
    [[ $(grep -c '1\.0' <<<"$output") -eq 2 ]]
}

starts_on_n1() { cluster log n1 slurmd | grep 'senv: job='; }

logged_one_more() {    # BEFORE JOB-AND-STEP SOURCE: the log has one line more than BEFORE, and that is the start of this step
    local lines
    lines=$(starts_on_n1)
    [[ $(wc -l <<<"$lines") -eq $(($1 + 1)) ]] || { echo "$lines"; return 1; }
    [[ ${lines##*$'\n'} =~ \
        "senv: $2uid=2001 profile=/gnu/store/"[0-9a-z]{32}"-profile channels=guix@"[0-9a-f]{40}",senv-test@"[0-9a-f]{40}" lock="[0-9a-f]{64}" from=$3"$ ]] ||
        { echo "${lines##*$'\n'}"; return 1; }
}

@test "every job start is logged in one line" {
    local before
    before=$(starts_on_n1 | wc -l)
    run -0 --separate-stderr alice srun -w n1 "${hello[@]}" bash -c 'echo $SLURM_JOB_ID'
    logged_one_more "$before" "job=$output step=0 " "command-line:--env-manifest,--env-channels"

    printf '%s\n' '#!/bin/bash' '#SBATCH --env-manifest=hello.scm' '#SBATCH --env-channels=channels.scm' \
        '#SBATCH -w n1 -o job.out' true | alice tee job.sh >/dev/null
    before=$(starts_on_n1 | wc -l)
    run -0 --separate-stderr alice sbatch --wait --parsable job.sh
    logged_one_more "$before" "job=$output step=batch " "batch-script:--env-manifest,--env-channels"
}

@test "a host polluted by modules does not change what the ranks load" {
    needs_pmix
    cluster root n1 mkdir -p /opt/wrong/lib
    cluster root n2 mkdir -p /opt/wrong/lib
    local library
    for node in n1 n2; do
        library=$(cluster root "$node" sh -c 'ls /usr/lib/x86_64-linux-gnu/libmpi.so.40 || ls /usr/lib/x86_64-linux-gnu/openmpi/lib/libmpi.so.40')
        cluster root "$node" cp -L "$library" /opt/wrong/lib/libmpi.so.40
    done
    # That the pollution works: without senv an MPI program of the node's takes its library from there.
    mpicc.openmpi -o "$(cluster path login /home/alice)/hello-openmpi" "$BATS_TEST_DIRNAME/mpi-hello.c"
    run -0 alice env LD_LIBRARY_PATH=/opt/wrong/lib srun -w n1 ldd ./hello-openmpi
    says "libmpi.so.40 => /opt/wrong/lib/libmpi.so.40"
    run alice env LD_LIBRARY_PATH=/opt/wrong/lib LD_PRELOAD=/opt/wrong/lib/libmpi.so.40 OPAL_PREFIX=/opt/wrong \
        srun -N2 --mpi=pmix --env-manifest=pingpong-openmpi.scm --env-channels=channels.scm pingpong --max 1024
    works
    says "rank 1 of 2 on n2"
    ranks_are_in_the_store 2
    run ! grep -E 'libmpi .*/opt/wrong' <<<"$output"
    # What modules set, for both ways to start MPI, pure or not.
    local how
    for how in "" --env-pure; do
        run alice env PMIX_INSTALL_PREFIX=/opt/wrong PMIX_PREFIX=/opt/wrong OPAL_PKGLIBDIR=/opt/wrong UCX_MODULE_DIR=/opt/wrong \
            srun -N2 --mpi=pmix $how --env-manifest=pingpong-openmpi.scm --env-channels=channels.scm pingpong --max 1024
        works
        says "rank 1 of 2 on n2"
        run alice env FI_PROVIDER_PATH=/opt/wrong PMIX_INSTALL_PREFIX=/opt/wrong \
            srun -N2 --mpi=pmi2 $how --env-manifest=pingpong-mpich.scm --env-channels=channels.scm pingpong --max 1024
        works
        says "rank 1 of 2 on n2"
    done
}

@test "one node cold behind a slow server, the other warm, SLURM_PMIX_TIMEOUT short: MPI starts" {
    needs_pmix
    run -0 alice srun -N2 --mpi=pmix --env-manifest=pingpong-openmpi.scm --env-channels=channels.scm pingpong --max 0
    local relay_log=$BATS_TEST_TMPDIR/relay
    cp "$BATS_TEST_DIRNAME/../support/relay.py" "$(cluster path n2 /tmp)/relay.py"
    "$BATS_TEST_DIRNAME/cluster" root n2 python3 /tmp/relay.py 127.0.0.1:8081 10.77.0.1:8080 --rate 1000000 >"$relay_log" 2>&1 3>&- &
    local relay=$!
    cluster root n2 sed -i.before 's/10\.77\.0\.1:8080/127.0.0.1:8081/' /etc/senv/senvd.toml
    empty_node n2
    SECONDS=0
    run alice env SLURM_PMIX_TIMEOUT=2 srun -N2 --mpi=pmix --env-manifest=pingpong-openmpi.scm \
        --env-channels=channels.scm pingpong --max 0
    local took=$SECONDS
    kill "$relay"
    cluster root n2 mv /etc/senv/senvd.toml.before /etc/senv/senvd.toml
    cluster service n2 senvd restart
    works
    ((took >= 5))    # the wait was longer than the timeout, or the test shows nothing
    says "rank 1 of 2 on n2"
    assert_no_drain
}

@test "the same timeout without senv, one node later than it: MPI does not start" {
    needs_pmix
    mpicc.openmpi -o "$(cluster path login /home/alice)/hello-openmpi" "$BATS_TEST_DIRNAME/mpi-hello.c"
    run alice env SLURM_PMIX_TIMEOUT=2 timeout 60 srun -N2 -K --mpi=pmix \
        bash -c '[ "$SLURM_PROCID" = 0 ] || sleep 6; exec ./hello-openmpi'
    fails
    says "collective timeout"
    assert_nothing_left
}

@test "memory of senvd does not grow with what it fetches" {
    # A profile of 200 MiB that do not compress; the builder has nothing but Guile.
    alice tee large.scm >/dev/null <<'SCM'
(use-modules (guix gexp))
(computed-file "large-profile"
  #~(begin
      (use-modules (ice-9 binary-ports))
      (mkdir #$output)
      (call-with-output-file (string-append #$output "/manifest")
        (lambda (port) (display "(manifest (version 4) (packages ()))" port)))
      (call-with-output-file (string-append #$output "/data")
        (lambda (to)
          (call-with-input-file "/dev/urandom"
            (lambda (from)
              (do ((i 0 (+ i 1))) ((= i 200))
                (put-bytevector to (get-bytevector-n from 1048576))))
            #:binary #t))
        #:binary #t)))
SCM
    run -0 --separate-stderr alice /srv/channels/guix-1/bin/guix build -v1 -f large.scm
    local item=$output
    empty_node n1
    run -0 cluster root n1 senv fetch "$item"
    run -0 cluster root n1 stat -c %s "/var/lib/senv/store/${item##*/}/data"
    [[ $output -eq $((200 * 1024 * 1024)) ]]
    # Of senvd and what it has started; a build without optimisation.
    local peak
    peak=$(cluster root n1 bash -c 'pid=$(cut -d" " -f1 /run/cluster/senvd.pid)
        for pid in $pid $(pgrep -P $pid); do cat /proc/$pid/status; done' | awk '/^VmHWM:/ { kb += $2 } END { print kb }')
    echo "peak: $peak kB"
    ((peak > 0 && peak < 96 * 1024))
    empty_node n1
}

# --- what goes wrong on the submit host: exit status, message, no job

refused() {    # COMMAND…: $output and $status; no job was made
    local before after
    before=$(alice squeue -h -t all -o %i | sort -n | tail -n 1)
    run alice "$@"
    after=$(alice squeue -h -t all -o %i | sort -n | tail -n 1)
    fails
    says "senv: " "hint: "
    [[ $before == "$after" ]]
}

@test "manifest missing" {
    refused srun --env-manifest=nowhere.scm --env-channels=channels.scm true
    says "nowhere.scm" "No such file"
}

@test "manifest with a Scheme error" {
    refused srun --env-manifest=bad-scheme.scm --env-channels=channels.scm true
    says "bad-scheme.scm"
}

@test "unknown package" {
    refused srun --env-manifest=unknown-package.scm --env-channels=channels.scm true
    says "unknown package"
}

@test "channel file missing" {
    refused srun --env-manifest=hello.scm --env-channels=nowhere.scm true
    says "nowhere.scm"
}

@test "sbatch refuses what cannot be resolved and makes no job" {
    refused sbatch --env-manifest=nowhere.scm --wrap true
    says "nowhere.scm"
}

@test "no Guix on the submit host" {
    cluster root login mv /usr/bin/guix /usr/bin/guix.away
    alice sh -c 'echo "(specifications->manifest (list \"senv-bash\"))" >new.scm'
    refused srun --env-manifest=new.scm --env-channels=channels.scm true
    cluster root login mv /usr/bin/guix.away /usr/bin/guix
    says "guix"
}

# --- what goes wrong with the servers: exit status, one message, nothing new in the store

origin_fails() {    # TEXT…: a step on an emptied n1 fails and says each TEXT
    local before after
    empty_node n1
    before=$(store_of n1)
    run alice timeout 60 srun -w n1 "${hello[@]}" senv-hello
    after=$(store_of n1)
    fails
    [[ $status -ne 124 ]]
    says "senv: " "hint: " "$@"
    [[ $output != *"senv-hello 1.0"* ]]
    [[ $before == "$after" ]]
    assert_no_drain
}

@test "server down" {
    run -0 alice srun "${hello[@]}" senv-hello
    cluster service login guix-publish stop
    origin_fails "10.77.0.1:8080"
    cluster service login guix-publish start
    assert_nothing_left
}

@test "guix publish --cache: what it still prepares (X-Baking) is awaited" {
    local profile item
    run -0 --separate-stderr alice senv resolve -m hello.scm -C channels.scm
    profile=$output
    cluster service login guix-publish stop
    # By default items below 10 MiB are served without being prepared.
    cluster root login sh -c 'printf "%s\n" --cache=/var/cache/publish --cache-bypass-threshold=0 >/etc/guix-publish.options'
    cluster service login guix-publish start
    empty_node n1
    run -0 alice srun -w n1 "${hello[@]}" senv-hello
    says "senv-hello 1.0"
    run -0 cluster log login guix-publish
    says "/$(hash_of "$profile").narinfo: 404 (baking)"
    for item in $(store_of n1); do says "/${item%%-*}.narinfo: 404 (baking)"; done
    cluster root login rm /etc/guix-publish.options
    cluster service login guix-publish restart
    assert_nothing_left
}
hash_of() { basename "$1" | cut -c1-32; }

@test "no server at all: senv export writes a folder, signed with the key of guix publish, that nodes and Guix believe" {
    local key=/opt/guix/etc/guix/signing-key
    alice senv lock -m hello.scm -C channels.scm -o hello.lock
    # What an item refers to is what Guix says, not what the author of the lock says.
    local forged
    forged=$(jq '.closure |= map(if .path | endswith("-profile") then .references |= .[1:] else . end)' \
        "$(cluster path login /home/alice/hello.lock)")
    alice tee forged.lock >/dev/null <<<"$forged"
    run -1 cluster root login senv export --key "$key.sec" /home/alice/forged.lock /home/forged
    says "it is not what Guix knows of these items" "-profile refers to " ", not so in the lock"
    cluster root login test ! -e /home/forged
    run -0 --separate-stderr cluster root login senv export --json --key "$key.sec" /home/alice/hello.lock /home/cache
    [[ $(jq '.items == .written and .items > 5' <<<"$output") == true ]]
    cluster service login guix-publish stop
    cluster root n1 sed -i 's|^origins.*|origins = ["file:///home/cache"]|' /etc/senv/senvd.toml
    empty_node n1
    run -0 alice srun -w n1 "${hello[@]}" senv-hello
    says "senv-hello 1.0"
    [[ $(store_of n1 | wc -l) -eq $(jq '.closure | length' "$(cluster path login /home/alice/hello.lock)") ]]

    cluster root login sh -c "printf '(acl (entry %s (tag (guix import))))' \"\$(cat $key.pub)\" >/home/cache/acl"
    alice tee valid.scm >/dev/null <<-'END'
	(use-modules (guix narinfo) (guix pki) (gcrypt pk-crypto) (ice-9 ftw) (ice-9 textual-ports))
	(define (text file) (call-with-input-file (string-append "/home/cache/" file) get-string-all))
	(define acl (canonical-sexp->sexp (string->canonical-sexp (text "acl"))))
	(for-each (lambda (file)
	            (format #t "~a ~a~%" file (valid-narinfo? (string->narinfo (text file) "http://host") acl #:verbose? #t)))
	          (scandir "/home/cache" (lambda (name) (string-suffix? ".narinfo" name))))
	END
    run -0 --separate-stderr alice guix repl -- valid.scm
    [[ $(grep -c '\.narinfo #t$' <<<"$output") -eq $(store_of n1 | wc -l) && $output != *"#f"* ]]
    cluster install "$SENV_INSTALL"    # the configuration of before
    cluster service login guix-publish start
    assert_nothing_left
}

@test "a key that the site did not authorise" {
    cluster root n1 cp /etc/senv/acl /etc/senv/acl.before
    cluster root n1 sh -c 'echo "(acl)" >/etc/senv/acl'
    origin_fails "is not among the authorised keys"
    cluster root n1 mv /etc/senv/acl.before /etc/senv/acl
}

@test "a server that alters a nar, or has a narinfo that nobody signed" {
    run -0 --separate-stderr alice srun -w n1 "${hello[@]}" bash -c 'echo "$GUIX_ENVIRONMENT"'
    local profile=$output item url folder narinfo
    folder=$(cluster path n1 /tmp)/origin
    mkdir "$folder"
    for item in $(alice guix gc -R "$profile"); do
        narinfo=${item#/gnu/store/}
        narinfo=${narinfo%%-*}.narinfo
        cluster root n1 curl -sSf "http://10.77.0.1:8080/$narinfo" -o "/tmp/origin/$narinfo"
        url=$(sed -n 's|^URL: \(nar/zstd/.*\)|\1|p' "$folder/$narinfo")
        cluster root n1 curl -sSf "http://10.77.0.1:8080/$url" --create-dirs -o "/tmp/origin/$url"
    done
    "$BATS_TEST_DIRNAME/cluster" root n1 python3 "$(cd "$BATS_TEST_DIRNAME/../support" && pwd)/origin.py" /tmp/origin --port 8082 \
        --port-file /tmp/origin.port --log /tmp/origin.log --rules /tmp/origin.rules >/dev/null 2>&1 3>&- &
    local origin=$!
    cluster root n1 timeout 60 sh -c 'until [ -s /tmp/origin.port ]; do sleep 0.1; done'
    cluster root n1 sed -i.before 's/10\.77\.0\.1:8080/127.0.0.1:8082/' /etc/senv/senvd.toml
    # As it is, it serves.
    empty_node n1
    run -0 alice srun -w n1 "${hello[@]}" senv-hello

    cluster root n1 sh -c 'echo "/nar/* flip 60" >/tmp/origin.rules'
    origin_fails "cannot fetch '/gnu/store/" ": http://127.0.0.1:8082/nar/zstd/"
    cluster root n1 sh -c ': >/tmp/origin.rules'
    narinfo=${profile#/gnu/store/}
    sed -i '/^Signature:/d' "$folder/${narinfo%%-*}.narinfo"
    origin_fails "cannot fetch '$profile': http://127.0.0.1:8082" "sign"

    kill "$origin"
    cluster root n1 mv /etc/senv/senvd.toml.before /etc/senv/senvd.toml
    empty_node n1
    assert_nothing_left
}

@test "item not on any server" {
    # A resolution that names a profile which nobody has, as after a garbage collection on the login host.
    local absent=/gnu/store/00000000000000000000000000000000-profile
    run alice env "SLURM_SENV_RESOLUTION=1 $absent lock=$(printf '%064d' 0) channels= enter=plain from=command-line:--env-manifest" \
        salloc -Q -N1 srun true
    fails    # salloc refuses to take an environment over from outside a job
    run alice salloc -Q -N1 env \
        "SLURM_SENV_RESOLUTION=1 $absent lock=$(printf '%064d' 0) channels= enter=plain from=command-line:--env-manifest" \
        timeout 60 srun true
    fails
    [[ $status -ne 124 ]]
    says "$absent" "hint: "
    assert_no_drain
}

@test "a step on one node leaves the other alone" {
    empty_node n2
    run -0 alice srun -w n1 "${hello[@]}" senv-hello
    [[ -z $(store_of n2) ]]
}

@test "after all this: no node was drained, nothing is left, every item verifies" {
    # Stores were emptied on the way: all of it once more.
    for manifest in pingpong-openmpi pingpong-mpich search-paths hello; do
        run -0 alice srun -N2 --mpi=none --env-manifest="$manifest.scm" --env-channels=channels.scm true
    done
    assert_no_drain
    assert_nothing_left
    assert_stores_are_sound
}
