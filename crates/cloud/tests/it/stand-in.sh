#!/bin/sh
# Stands in for the octavia binary: the part of agent and proxy that has to do with processes.
# usage: stand-in.sh amphora|proxy --dir DIR …
# Files in DIR change its ways: `dies` = the agent exits at once; `stubborn` = nobody heeds SIGTERM;
# `unnamed` = the proxy never writes its pid.
[ "$1" = amphora ] && [ -z "$SESSION" ] && SESSION=own exec setsid "$0" "$@"
role=$1
dir=$3

record() { # FILE
    start=$(sed 's/.*) //' "/proc/$$/stat" | cut -d ' ' -f 20)
    echo "$$ $start" >"$dir/$1.new"
    mv "$dir/$1.new" "$dir/$1"
}

rest() {
    while :; do
        sleep 5 9>&- &
        sleeper=$!
        wait $sleeper
    done
}

echo "$role" >>"$dir/starts"
[ "$role" = amphora ] && [ -e "$dir/dies" ] && exit 1
exec 9>"$dir/$role.lock"
flock -n 9 || exit 3
if [ -e "$dir/stubborn" ]; then trap '' TERM; else trap 'kill $sleeper; [ "$role" = amphora ] && kill $(cut -d " " -f 1 "$dir/proxy.pid"); exit 0' TERM; fi
if [ "$role" = proxy ]; then
    [ -e "$dir/unnamed" ] || record proxy.pid
else
    flock -n "$dir/proxy.lock" true && setsid "$0" proxy --dir "$dir" 9>&- &
    record agent.pid
fi
rest
