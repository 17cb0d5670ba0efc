# Figures for Prometheus: what senvd counts, and the file that it keeps.
load helpers

nobody_has=/gnu/store/00000000000000000000000000000000-nobody-has-this

use_figures() {
    mkdir "$root/figures"
    [[ $(id -u) -ne 0 ]] || chown 64001:64001 "$root/figures"
    settings="metrics_file = \"$root/figures/senvd.prom\""
}

stop_and_read() {
    stop_senvd
    figures=$("$support/figures.py" "$root/figures/senvd.prom") || { echo "$figures"; return 1; }
}

figure() {    # SERIES VALUE
    grep -qxF -- "$1 $2" <<<"$figures" || { echo "want $1 $2, but:"; grep -F -- "${1%%\{*}" <<<"$figures"; return 1; }
}

nar_size() { sed -n 's/^NarSize: //p' "$root/state/narinfo/${1##*/}"; }

waits_for() { log_has pending "profile=$profile" "job=$1"; }

@test "figures: after known requests they are right, and in the format of Prometheus" {
    publish_closure
    use_figures
    start_senvd
    run -0 provision "$profile" --job 1
    run -0 provision "$profile" --job 2
    run -0 provision "$profile" --job 3
    run -1 provision "$nobody_has" --job 4
    run -1 provision /etc/passwd --job 5
    run -0 ask prefetch "$profile"
    "$support/ask.py" "$socket" provision "$profile" --hold "$root/held" --job 6 >/dev/null 3>&- &
    pids+=($!)
    wait_until test -e "$root/held"
    stop_and_read
    local bytes=$(($(nar_size "$profile") + $(nar_size "$tool") + $(nar_size "$lib")))
    figure 'senvd_requests_total{result="hit"}' 3
    figure 'senvd_requests_total{result="miss"}' 1
    figure 'senvd_requests_total{result="failed"}' 1
    figure 'senvd_requests_total{result="refused"}' 1
    figure 'senvd_requests_total{result="gone"}' 0
    figure 'senvd_warm_answer_seconds_count' 3
    figure 'senvd_fetch_seconds_count' 1
    figure 'senvd_item_fetch_seconds_count' 3
    figure 'senvd_fetch_failures_total{kind="missing"}' 1
    figure "senvd_fetched_items_total{origin=\"$main_url\"}" 3
    figure "senvd_fetched_nar_bytes_total{origin=\"$main_url\"}" "$bytes"
    figure "senvd_narinfo_requests_total{origin=\"$main_url\",outcome=\"found\"}" 3
    figure "senvd_narinfo_requests_total{origin=\"$main_url\",outcome=\"absent\"}" 1
    figure senvd_store_items 3
    figure senvd_store_nar_bytes "$bytes"
    figure senvd_profiles 1
    figure senvd_leases 1
    figure senvd_connections 0
    figure senvd_fetches 0
    figure senvd_store_inodes "$(($(find "$root"/state/store/* | wc -l) + 3))"    # and three narinfos
    [[ $(stat -c %a "$root/figures/senvd.prom") == 644 && $(ls -A "$root/figures") == senvd.prom ]]

    # Counters begin anew with the process; what is complete is a hit, also after a restart.
    kill -9 "${pids[-1]}"
    wait "${pids[-1]}" || true
    start_senvd
    run -0 provision "$profile"
    run -0 senv gc
    stop_and_read
    figure 'senvd_requests_total{result="hit"}' 1
    figure 'senvd_requests_total{result="miss"}' 0
    figure senvd_fetch_seconds_count 0
    figure senvd_evicted_items_total 3
    figure senvd_evicted_nar_bytes_total "$bytes"
    figure senvd_store_items 0
    figure senvd_profiles 0
    figure senvd_leases 0
}

@test "figures: a client that goes away, and one that waits when senvd is stopped" {
    publish_closure
    use_figures
    rules main "/nar/*tool* stall 20"
    start_senvd
    "$support/ask.py" "$socket" provision "$profile" --job 1 >/dev/null 3>&- &
    local client=$!
    wait_until waits_for 1
    kill -9 "$client"
    wait "$client" || true    # its connection is closed then
    "$support/ask.py" "$socket" provision "$profile" --job 2 >/dev/null 3>&- &
    pids+=($!)
    wait_until waits_for 2
    stop_and_read
    figure 'senvd_requests_total{result="gone"}' 1
    figure 'senvd_requests_total{result="failed"}' 1
    figure senvd_connections 0
}

@test "figures: what is counted and what is looked up are of one moment in each file" {
    publish_closure
    use_figures
    start_senvd
    wait_until grep -q '^senvd_store_items 0$' "$root/figures/senvd.prom"
    run -0 provision "$profile"
    run -0 senv gc    # nothing is held
    run -0 provision "$profile"
    # Whenever the file is replaced: fetched items are in the store, or were evicted.
    local _ seen=0
    for _ in {1..250}; do
        figures=$(<"$root/figures/senvd.prom")
        figure senvd_store_items "$(($(awk '/^senvd_fetched_items_total/ { n += $2 } END { print n }' <<<"$figures") -
            $(awk '/^senvd_evicted_items_total/ { print $2 }' <<<"$figures")))"
        [[ $figures != *$'\nsenvd_store_items 3\n'* ]] || { seen=1; break; }
        sleep 0.1
    done
    ((seen))
    stop_senvd
}
