# The events in senvd's log, whose table is in cache/daemon/log.h.
load helpers

nobody_has=/gnu/store/00000000000000000000000000000000-nobody-has-this

@test "log: everything about a request has job and step" {
    publish_closure
    start_origin other
    publish_closure -o other
    rules main "/nar/*tool* flip 200"
    start_senvd
    run -0 provision "$profile" --job 12 --step 3
    run -0 provision "$profile" --job 13 --step 4
    run -0 ask prefetch "$profile" --job 14
    run -1 provision "$nobody_has" --job 15 --step 6
    run -1 provision /etc/passwd --job 16 --step 7
    run -0 senv gc
    stop_senvd
    log_has starting "state_dir=$root/state"
    log_has ready "socket=$socket"
    log_has pending "profile=$profile" job=12 step=3
    log_has fetched "item=$lib" job=12 step=3 "bytes=$(sed -n 's/^NarSize: //p' "$root/main/${lib:11:32}.narinfo")" "origin=$main_url"
    grep -q "event=fetched item=$profile .* ms=[0-9]*\$" "$root/senvd.log"
    log_has nar-refused "item=$tool" job=12 step=3 "origin=$main_url" kind=corrupt
    log_has fetched "item=$tool" job=12 step=3 "origin=$other_url"
    log_has complete "profile=$profile" job=12 step=3 fetched_items=3
    log_has provisioned "profile=$profile" job=12 step=3 warm=no
    log_has provisioned "profile=$profile" job=13 step=4 warm=yes
    log_has prefetch "profile=$profile" job=14 step=0 warm=yes
    log_has failed "profile=$nobody_has" job=15 step=6 kind=missing
    log_has not-provisioned "profile=$nobody_has" job=15 step=6 kind=missing
    log_has refused request=provision job=16 step=7 kind=usage
    log_has evicted profiles=1 items=3
    grep -q ' event=stopping$' "$root/senvd.log"
    grep -q ' event=stopped$' "$root/senvd.log"
}
