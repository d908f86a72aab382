#!/bin/busybox sh
# shellcheck shell=dash disable=SC2016  # words between single quotes are for the jobs' shell
# The first process of a virtual machine whose kernel has all controllers: the daemon in a
# cgroup of its own as a service manager would start it, and jobs at their limits. One line a
# claim. See tests/integration/limits.sh.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp STINT_URL=unix:///tmp/state/stint.sock
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /proc/self/fd/2 /dev/stderr
service=/sys/fs/cgroup/service
ulimit -n 1024

ok() {
    local name=$1
    shift
    if "$@" >/tmp/out 2>&1; then
        echo "ok   $name"
    else
        echo "FAIL $name"
        sed 's/^/     | /' /tmp/out | head -n 12
    fi
}
# job 'LIMITS' 'SHELL': its id when it has ended. One attempt: what failed at its limit may be
# tried again, and usually would be.
job() {
    printf '{"exec":{"shell":"%s","limits":{%s}},"timeout":"20s","retry":{"max_attempts":1}}' "$2" "$1" |
        stint submit -o id - >/tmp/id && stint wait --timeout 60s "$(cat /tmp/id)" >/dev/null 2>&1
    cat /tmp/id
}
shows() { stint show "$1" | tee /dev/stderr | grep -q "$2"; }
ends_as() { shows "$1" "^state *$2" && { [ -z "$3" ] || shows "$1" "^reason *$3"; }; }
logs() { stint log "$1" | tee /dev/stderr | grep -q "$2"; }
cpu_ms() { stint show "$1" | sed -n 's/.*"cpu_seconds":\([0-9]*\)\.\([0-9]\{3\}\).*/\1\2/p' | sed 's/^0*//'; }
at_most() { echo "$1 of $2"; [ -n "$1" ] && [ "$1" -le "$2" ]; }
at_least() { echo "$1 of $2"; [ "$1" -ge "$2" ]; }
daemon_cgroup() { tee /dev/stderr <"/proc/$daemon/cgroup" | grep -q '^0::/service/stintd-main$'; }
no_cgroups() { ! find $service/stint-* -mindepth 1 -type d | grep .; }

echo '+memory +cpu +pids' >/sys/fs/cgroup/cgroup.subtree_control
mkdir $service
sh -c "echo \$\$ >$service/cgroup.procs; exec stintd --state /tmp/state >/tmp/log 2>&1" &
daemon=$!
for _ in $(seq 200); do
    ! grep -q daemon.ready /tmp/log || break
    usleep 50000
done

ok the_daemon_has_all_controllers grep -q 'limits on memory cpu pids' /tmp/log
ok the_daemon_moves_into_a_leaf daemon_cgroup

fill() { printf 'x=$(head -c %s /dev/zero | tr \\"\\\\0\\" a); echo got ${#x}' "$1"; }
id=$(job '"memory":"20M"' "$(fill 60000000)")
ok more_memory_than_allowed_is_oom ends_as "$id" failed oom
ok it_says_that_memory_was_out shows "$id" 'out of memory within its limit'
id=$(job '"memory":"20M"' 'head -c 60000000 /dev/zero | tail -c 50000000 | wc -c; echo survived')
ok the_whole_tree_goes_with_the_one_that_asked ends_as "$id" failed oom
ok nobody_of_it_goes_on sh -c "! stint log $id | grep survived"
id=$(job '"memory":"40M"' "$(fill 1000000)")
ok memory_within_the_limit_is_given ends_as "$id" succeeded
ok what_it_wrote_is_there logs "$id" 'got 1000000'

id=$(job '"pids":4' 'for i in 1 2 3 4 5 6; do sleep 1 & done; wait')
ok more_processes_than_allowed_are_not_made logs "$id" 'fork'
ok whose_shell_fails ends_as "$id" failed exit_nonzero
id=$(job '"pids":16' 'for i in 1 2 3 4 5 6; do sleep 0.1 & done; wait')
ok processes_within_the_limit_are_made ends_as "$id" succeeded

spin='timeout -s KILL 2 sh -c \"while :; do :; done\"; true'
free=$(job '' "$spin")
slow=$(job '"cpu":0.2' "$spin")
ok without_a_limit_a_job_has_a_processor at_least "$(cpu_ms "$free")" 1000
ok a_share_of_a_processor_is_kept at_most "$(cpu_ms "$slow")" 800

ok nothing_is_left_of_the_jobs no_cgroups
kill -TERM "$daemon"
wait "$daemon"
ok the_daemon_ends_well test $? = 0
echo "ok   the_machine_reached_its_end"
poweroff -f
