# How much of the node senvd takes.
load helpers

threads() {    # PID: "NAME NICE CPUS" for each of its threads
    local task name stat cpus
    for task in /proc/"$1"/task/*; do
        { name=$(<"$task/comm") stat=$(<"$task/stat") cpus=$(<"$task/status"); } 2>/dev/null || return 1    # one has just ended
        read -ra stat <<<"${stat##*) }"
        cpus=${cpus#*Cpus_allowed_list:$'\t'}
        echo "$name ${stat[16]} ${cpus%%$'\n'*}"
    done
}

fetcher() { pgrep -P "$senvd_pid"; }    # the process that talks to servers

# Threads are there before they have their names: wait_until shared ….
shared() {    # LEVELS DOWNLOADS CPUS: those that answer are as nice as this shell, those that work so many levels more
    local mine more all name
    mine=$(nice)
    more=$((mine + $1 > 19 ? 19 : mine + $1))
    all=$(threads "$senvd_pid") || return 1
    for name in engine planner; do grep -qxF "senvd-$name $mine $3" <<<"$all" || return 1; done
    for name in vetting keeper; do grep -qxF "senvd-$name $more $3" <<<"$all" || return 1; done
    [[ $(grep -cxF "senvd-nar $more $3" <<<"$all") -eq $2 ]] || return 1
    [[ $(head -n 1 <<<"$all") == *" $mine $3" ]] || return 1    # the main thread
    all=$(threads "$(fetcher)") || return 1
    [[ $(cut -d' ' -f2- <<<"$all" | sort -u) == "$more $3" ]]
}

@test "nice, cpus, downloads: what fetches gives way to what answers, and all of it runs where it is told" {
    local cpus
    cpus=$(sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status)
    start_senvd
    wait_until shared 10 8 "$cpus"
    log_has starting nice=10 downloads=8 "cpus=$cpus"
    stop_senvd
    settings="nice = 4"$'\n'"downloads = 3"$'\n'"cpus = \"${cpus%%[,-]*},8191\""    # a node lacks that one
    start_senvd
    wait_until shared 4 3 "${cpus%%[,-]*}"
    stop_senvd
    settings='cpus = "8000-8191"'
    write_config
    run -2 as_senv "$build/provisioner/senvd/senvd" --config "$root/senvd.toml"
    says "cannot start senvd: cannot use the CPUs 8000-8191: this process may use none of them, but $cpus" "hint: "
}
