# shellcheck shell=bash disable=SC2016  # words between single quotes are for the inner shell
# Runs inside the booted root: the service as its operator sees it. One line a claim.
set -u
failed=0
ok() {
    local name=$1
    shift
    if "$@" >/tmp/out 2>&1; then
        echo "ok   $name"
    else
        echo "FAIL $name"
        sed 's/^/     | /' /tmp/out | head -n 12
        failed=1
    fi
}
until_true() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; "$@"; }
main_pid() { systemctl show -P MainPID stintd; }

ok account_is_made_by_sysusers bash -c 'systemd-sysusers && id stint'
ok settings_folder_is_made_by_tmpfiles systemd-tmpfiles --create
systemctl daemon-reload
ok units_verify systemd-analyze verify --man=no --recursive-errors=yes stintd.service stintd.socket

# The local door first: the service starts with the first client.
ok socket_starts systemctl start stintd.socket
ok service_does_not_run_yet bash -c '! systemctl is-active stintd'
ok first_request_starts_the_service bash -c 'curl -sS --max-time 20 --unix-socket /run/stint/stint.sock http://localhost/healthz | grep -q ok'
ok service_is_active systemctl is-active stintd
ok it_runs_as_stint bash -c '[ "$(ps -o user= -p "$(systemctl show -P MainPID stintd)")" = stint ]'
ok it_says_what_it_does bash -c 'systemctl show -P StatusText stintd | grep -q serving'
ok store_is_in_the_state_folder test -f /var/lib/stint/stint.db

ok job_by_curl bash -c 'curl -sS --unix-socket /run/stint/stint.sock http://localhost/v1/jobs -H "Prefer: wait=10" -d "{\"exec\":{\"argv\":[\"/bin/echo\",\"hello\"]}}" | grep -q "\"state\":\"succeeded\""'
ok job_by_cli bash -c '[ "$(stint run -q -- echo from the service)" = "from the service" ]'
ok exit_code_of_a_job_passes bash -c 'stint run -q -- sh -c "exit 7"; [ $? = 7 ]'
ok jobs_run_as_stint bash -c '[ "$(stint run -q -- id -un)" = stint ]'
ok job_has_a_cgroup_below_the_service bash -c 'stint run -q -- cat /proc/self/cgroup | grep -q stintd.service/'
ok job_cannot_write_to_usr bash -c '! stint run -q -- touch /usr/x'
ok tcp_needs_a_token bash -c '[ "$(curl -s -o /dev/null -w %{http_code} http://127.0.0.1:7846/v1/jobs)" = 401 ]'
ok tcp_with_the_token bash -c 'stint ls --url http://127.0.0.1:7846 --token-file /var/lib/stint/token -o id | grep -q .'

# A reload keeps the process; a restart loses nothing, and the socket stays.
pid=$(main_pid)
printf '[queue slow]\nconcurrency = 1\n' >>/etc/stint/stintd.conf
ok reload systemctl reload stintd
ok reload_keeps_the_process bash -c "[ \$(systemctl show -P MainPID stintd) = $pid ]"
ok reload_takes_the_queue bash -c 'for i in $(seq 100); do stint queue ls | grep -q "^slow" && exit 0; sleep 0.05; done; exit 1'
later=$(stint submit --delay 2s -- echo later)
ok restart systemctl restart stintd
ok restart_is_a_new_process bash -c "[ \$(systemctl show -P MainPID stintd) != $pid ]"
ok waiting_job_survives_the_restart stint wait --timeout 20s "$later"

# Kill -9: started again by systemd, and the running job runs again.
cut=$(stint submit --attempts 3 -- sh -c 'test "$STINT_CRASHES" -gt 0 || sleep 100')
until_true bash -c "stint show $cut | grep -q running"
pid=$(main_pid)
kill -9 "$pid"
ok systemd_starts_it_again until_true bash -c "p=\$(systemctl show -P MainPID stintd); [ \$p != $pid ] && [ \$p != 0 ]"
ok cut_job_runs_again stint wait --timeout 20s "$cut"

# The watchdog: a stopped process feeds nobody.
mkdir -p /run/systemd/system/stintd.service.d
printf '[Service]\nWatchdogSec=1s\n' >/run/systemd/system/stintd.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart stintd
pid=$(main_pid)
ok watchdog_is_fed bash -c "for i in \$(seq 25); do [ \$(systemctl show -P MainPID stintd) = $pid ] || exit 1; sleep 0.1; done"
kill -STOP "$pid"
ok watchdog_restarts_a_stuck_daemon until_true bash -c "p=\$(systemctl show -P MainPID stintd); [ \$p != $pid ] && [ \$p != 0 ]"
rm -r /run/systemd/system/stintd.service.d
systemctl daemon-reload
systemctl restart stintd

# A backup, restored word for word as stintd(8) has it.
kept=$(stint submit --hold -- echo kept)
ok backup stint backup /var/lib/stint/copy.db
lost=$(stint submit --hold -- echo lost)
sed -n '/^# systemctl stop stintd.socket stintd$/,/^# systemctl start/s/^# //p' /usr/share/man/man8/stintd.8 |
    sed 's# FILE # /var/lib/stint/copy.db #' >/tmp/restore
ok the_manual_has_words_for_a_restore test "$(wc -l </tmp/restore)" = 6
ok restore_by_the_words_of_the_manual bash -e /tmp/restore
ok what_was_in_the_backup_is_there bash -c "stint show $kept | grep -q held"
ok what_came_after_it_is_not bash -c "stint show $lost; [ \$? = 3 ]"
ok and_it_works bash -c '[ "$(stint run -q -- echo restored)" = restored ]'

# A stop is clean, and the journal tells it, with priorities.
ok stop bash -c 'systemctl stop stintd && [ "$(systemctl show -P Result stintd)" = success ]'
ok socket_outlives_the_service test -S /run/stint/stint.sock
ok journal_has_the_start bash -c 'journalctl -u stintd -o cat | grep -q daemon.ready'
ok journal_knows_priorities bash -c 'journalctl -u stintd -p info..info -o cat | grep -q daemon.stopped'
ok bad_settings_are_refused_with_the_place bash -c 'echo "bogus = 1" >>/etc/stint/stintd.conf; ! systemctl start stintd && journalctl -u stintd -o cat | grep -q "stintd.conf:.*bogus"'
exit $failed
