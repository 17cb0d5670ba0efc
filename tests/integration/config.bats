#!/usr/bin/env bats
# senv config: what is in force, and that the shipped files say the same.
load helpers

setup() { cd "$BATS_TEST_TMPDIR"; }
teardown() { :; }

config() { "$build/provisioner/cli/senv" --config "$1" config --senvd-config "$2" "${@:3}"; }

# keys FILE: those that a shipped file explains, in its order: "key" or "# key" at the beginning of a line, before " = ".
keys() { sed -nE 's/^(# )?([a-z_]+) = .*/\2/p' "$1" | uniq; }

@test "config: the shipped files name every key, in this order, with its default" {
    local file key
    run -0 --separate-stderr config "$checkout/etc/senv.toml" "$checkout/etc/senvd.toml" --json
    [[ -z $stderr && $(jq -c '[."senv-config", .files[].found]' <<<"$output") == '[1,true,true]' ]]
    for file in 0 1; do
        [[ $(jq -r ".files[$file].settings[].key" <<<"$output") == "$(keys "$(jq -r ".files[$file].file" <<<"$output")")" ]]
    done
    # What the comments call the default, set: the same is in force.
    sed -nE 's/^# ([a-z_]+ = .*)/\1/p' "$checkout/etc/senv.toml" | awk -F' = ' '!seen[$1]++' >senv.toml
    sed -nE 's/^(# )?([a-z_]+ = .*)/\2/p' "$checkout/etc/senvd.toml" | grep -vE '^(origins|cpus|user_leased|metrics_file|store) ' >senvd.toml
    local shipped
    shipped=$(jq -c '.files | map(.settings | map({key, value}))' <<<"$output")
    run -0 config senv.toml senvd.toml --json
    [[ $(jq -c '.files | map(.settings | map({key, value}))' <<<"$output") == "$shipped" ]]
    [[ $(jq -c '[.files[0].settings[].line]' <<<"$output") == '[1,2,3,4,5,6]' ]]
}

@test "config: each value with its file and line" {
    printf '# ours\nresolve_limit = 60\nguix = ["ssh", "build-host", "guix"]\n' >senv.toml
    printf 'origins = [\n  "http://host/",\n]\nhigh_water = "200 GiB"\nlow_water = "100 GiB"\n' >senvd.toml
    run -0 --separate-stderr config senv.toml senvd.toml
    [[ -z $stderr ]]
    says $'senv.toml\nguix           senv.toml:3  ["ssh","build-host","guix"]\nbuild          default      "here"\ntune           default      {}\nresolve_limit  senv.toml:2  60\nsilence_limit  default      900\n' \
        $'\n\nsenvd.toml\norigins        senvd.toml:1  ["http://host"]\n' $'\nhigh_water     senvd.toml:4  "200 GiB"\n' \
        $'\ncpus           default       -\n'
}

@test "config: files that are not there, or cannot be used" {
    run -0 --separate-stderr config nothing nothing-either
    says $'nothing is not there\nguix           default  "guix"\n' $'\n\nnothing-either is not there'
    run -0 config nothing nothing-either --json
    [[ $(jq -c '[.files[] | [.found, (.settings | length)]]' <<<"$output") == '[[false,6],[false,0]]' ]]
    echo 'grace = -1' >senvd.toml
    run -2 config nothing senvd.toml
    says "senv: cannot use 'senvd.toml': line 1: grace: want a whole number from 0"
    run -1 config . nothing
    says "senv: "
}
