# senvd killed while it fetches: what it leaves, and what the next one makes of it.
load helpers

@test "kill -9 inside a cold fetch, twenty times: nothing complete is lost or fetched again, nothing half stays" {
    run "$support/crash.py" --build "$build" --kills 20
    echo "$output"
    [[ $status -eq 0 ]]
}
