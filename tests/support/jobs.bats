#!/usr/bin/env bats
# What tests/run makes of tests that fail, hang, crash, skip themselves or leave something. Needs root; takes seconds.
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    export SENV_CLUSTER_DIR=$PWD/clusters TMPDIR=$PWD
}

# jobs TEXT: a script as tests/run is one.
jobs() { run bash -euo pipefail -c "source '$BATS_TEST_DIRNAME/jobs.bash'; trap end_jobs EXIT; trap 'exit 143' TERM; $1" jobs "${@:2}"; }

# bats_file NAME: a file of tests, from stdin; job NAME LIMIT is how to add it.
bats_file() { sed 's/^TEST /@test /' >"$1.bats"; }
job() { echo "add bats $1.bats $2 bats --formatter cat --timing --print-output-on-failure $PWD/$1.bats;"; }

says() { [[ $output == *"$1"* ]] || { printf 'missing: %s\n--- output:\n%s\n' "$1" "$output"; return 1; }; }
ends() { [[ $output =~ $'\n'"$1, in "[0-9]+" s"$ ]] || { printf 'does not end with: %s\n--- output:\n%s\n' "$1" "$output"; return 1; }; }

@test "what passes is counted" {
    bats_file good <<<$'TEST "one" { true; }\nTEST "two" { true; }'
    jobs "$(job good 20) add one whole 20 true; run_jobs 2; report"
    [[ $status -eq 0 ]]
    says 'ok 2 two in '
    ends "3 passed, 0 failed"
    [[ $output != *"begin 1"* && $output != *"What failed"* ]]
}

@test "nothing that ran is no success" {
    bats_file empty <<<'# no tests'
    jobs "report"
    [[ $status -eq 1 ]]
    jobs "$(job empty 20) run_jobs 1; report"
    [[ $status -eq 1 ]]
    ends "0 passed, 1 failed"
}

@test "what fails, skips itself, crashes or comes after a crash is named, with its words, and counted" {
    bats_file bad <<'END'
TEST "good" { true; }
TEST "wrong" { echo words; false; }
TEST "no root here" { skip "why not"; }
TEST "crash" { kill -9 $$; }
END
    bats_file setup <<<$'setup_file() { false; }\nTEST "one" { true; }\nTEST "two" { true; }'
    bats_file teardown <<<$'teardown_file() { false; }\nTEST "one" { true; }'
    jobs "$(job bad 20) $(job setup 20) $(job teardown 20) add one whole 20 sh -c 'echo reason; exit 3'; run_jobs 1; report"
    [[ $status -eq 1 ]]
    ends "2 passed, 7 failed"
    output=${output#*What failed}
    says "--- bad.bats: exit status 1 after "
    says "not ok 2 wrong in "
    says "# words"
    says "ok 3 no root here in "
    says "why not"
    says "did not end: 4 crash"
    says "not ok 1 setup_file failed"
    says "not ok 2 teardown_file failed"
    says "--- whole: exit status 3 after "
    says "reason"
    [[ $output != *"ok 1 good"* ]]
}

@test "a file that hangs fails at its limit and holds up nothing; nothing of it stays" {
    bats_file hangs <<'END'
TEST "good" { true; }
TEST "waits for ever" {
    truncate -s 2M "$TMPDIR/disk"
    mkfs.ext4 -q -F "$TMPDIR/disk"
    mkdir "$TMPDIR/mount"
    mount -o loop "$TMPDIR/disk" "$TMPDIR/mount"
    losetup -j "$TMPDIR/disk" | grep -q loop
    touch /dev/shm/senv-jobs-test
    ip netns add senv-jobs-test
    mkdir -p "$SENV_CLUSTER_DIR/of-the-test/hosts"
    trap '' TERM
    run setsid sh -c 'trap "" TERM; sleep 4321.5; sleep 4321.5'
}
TEST "comes after" { true; }
END
    bats_file good <<<'TEST "beside it" { true; }'
    SECONDS=0
    jobs "$(job hangs 4) $(job good 20) $(job good 20) run_jobs 2; report"
    ((SECONDS < 60))
    [[ $status -eq 1 ]]
    ends "3 passed, 2 failed"
    [[ ${output%%hangs.bats*} == *"beside it"*"beside it"* ]]    # did not wait for it
    output=${output#*What failed}
    says "--- hangs.bats: exit status 137 after "
    says "which is its limit"
    says "did not end: 2 waits for ever"
    run -1 pgrep -f 'sleep 4321[.]5'
    [[ $(losetup --list --noheadings --output BACK-FILE) != *"$PWD"* ]]
    [[ ! -e /dev/shm/senv-jobs-test && ! -e /run/netns/senv-jobs-test && ! -e clusters ]]
    run -1 compgen -G 'tmp.*'
}

@test "a job that leaves a cluster which cannot be stopped has failed" {
    bats_file good <<<'TEST "one" { mkdir -p "$SENV_CLUSTER_DIR/no name"; }'
    jobs "$(job good 20) run_jobs 1; report"
    [[ $status -eq 1 ]]
    ends "1 passed, 1 failed"
    says "SENV_CLUSTER='no name'"
}

@test "a job's process that is killed takes all along" {
    local signal
    for signal in TERM KILL; do
        rm -f began
        "$BATS_TEST_DIRNAME/alone" 100 sh -c 'trap "" TERM; touch "$1/began"; sleep 4323.5; sleep 4323.5' - "$PWD" 3>&- &
        until [[ -e began ]]; do sleep 0.05; done
        kill -s "$signal" "$!"
        wait "$!" || true
        timeout 10 sh -c 'while pgrep -f "sleep 4323[.]5"; do sleep 0.05; done'
    done
    run -5 "$BATS_TEST_DIRNAME/alone" 100 sh -c 'exit 5'
}

@test "tests/run that is ended ends its jobs" {
    bats_file hangs <<<'TEST "waits" { touch "$1/began"; sleep 4322.5; }'
    sed -i "s|\$1|$PWD|" hangs.bats
    bash -euo pipefail -c "source '$BATS_TEST_DIRNAME/jobs.bash'; trap end_jobs EXIT; trap 'exit 143' TERM; $(job hangs 100) run_jobs 1" 3>&- &
    until [[ -e began ]]; do sleep 0.05; done
    local ended=0
    kill "$!"
    wait "$!" || ended=$?
    [[ $ended -eq 143 ]]
    run -1 pgrep -f 'sleep 4322[.]5'
    run -1 compgen -G 'tmp.*'
}

# As GoogleTest's programs speak, and end.
@test "the tests of each program count, and so does what a crash, a skip or a sanitizer says" {
    cat >good <<'END'
echo "Running main() from gmock_main.cc"
echo "[==========] Running 2 tests from 1 test suite."
echo "[ RUN      ] Store.Opens"
echo "[       OK ] Store.Opens (1 ms)"
echo "[ RUN      ] Store.Closes/Twice"
printf "no newline[       OK ] Store.Closes/Twice, where GetParam() = 3 (1 ms)\n"
END
    cat >bad <<'END'
echo "[==========] Running 5 tests from 1 test suite."
echo "[ RUN      ] Lease.Good"
echo "[       OK ] Lease.Good (1 ms)"
echo "[ RUN      ] Lease.Wrong"
echo "lease_test.cpp:12: Failure"
echo "[  FAILED  ] Lease.Wrong (1 ms)"
echo "[ RUN      ] Lease.Skips"
echo "[  SKIPPED ] Lease.Skips (0 ms)"
echo "[ RUN      ] Lease.Crashes"
echo "about to crash"
kill -SEGV $$
END
    cat >leaks <<'END'
echo "[==========] Running 1 test from 1 test suite."
echo "[ RUN      ] Leak.Good"
echo "[       OK ] Leak.Good (1 ms)"
echo "LeakSanitizer: detected memory leaks"
exit 23
END
    cat >CTestTestfile.cmake <<'END'
add_test(Good sh good)
add_test(Bad sh bad)
add_test(Leaks sh leaks)
add_test(Hangs sleep 60)
set_tests_properties(Hangs PROPERTIES TIMEOUT 1)
add_test(NotBuilt ./no-such-program)
add_test(Source.plain sh -c "echo fine")
END
    jobs "add ctest 'unit tests' 60 ctest --verbose -j 4 --test-dir '$PWD'; run_jobs 1; report"
    [[ $status -eq 1 ]]
    ends "5 passed, 7 failed"    # Lease: four of five; the leak; Hangs; NotBuilt
    output=${output#*What failed}
    says $'failed: Lease.Wrong\n    lease_test.cpp:12: Failure\n'
    says "skipped: Lease.Skips"
    says $'did not end: Lease.Crashes\n    about to crash\n'
    says "Bad: Exception: SegFault"
    says "LeakSanitizer: detected memory leaks"
    says "Hangs: Timeout"
    says "NotBuilt: Not Run"
    [[ $output != *Lease.Good* && $output != *Store* ]]
}
