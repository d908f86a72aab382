#!/usr/bin/env python3
"""The daemon as a service manager meets it: messages, sockets handed over, signals, exit statuses.

manager.py BUILD-DIR
"""
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, await_that, request  # noqa: E402

LONG = {"exec": {"argv": ["sleep", "1000"]}}


class Manager:
    """Hears what the daemon tells by sd_notify."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)

    def next(self, but=("WATCHDOG",)):
        while True:
            told = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())
            if not set(told) <= set(but):
                return told


def messages(claims, build, folder):
    os.makedirs(folder)
    manager, conf = Manager(folder), os.path.join(folder, "conf")
    daemon = Daemon(build, folder)
    daemon.env.update(NOTIFY_SOCKET=manager.path, STINTD_CONFIG=conf, WATCHDOG_USEC="300000")

    def settings(text):
        with open(conf, "w") as f:
            f.write(text)
    settings("[daemon]\ndrain = 1000s\n")
    daemon.spawn()
    told = manager.next()
    claims.ok("ready_is_told_with_the_door", told.get("READY") == "1" and daemon.socket in told["STATUS"], told)
    claims.ok("and_answered_at", request(daemon.socket, "GET", "/readyz")[0] == 200)
    claims.ok("the_watchdog_is_fed", "WATCHDOG" in manager.next(but=()))

    settings("[daemon]\ndrain = 900s\nsocket_mode = 0600\n[queue q]\nconcurrency = 3\n")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.process.send_signal(signal.SIGHUP)
    told = manager.next()
    claims.ok("a_reload_is_told_with_its_time", told.get("RELOADING") == "1" and
              before <= int(told["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, told)
    claims.ok("and_its_end", manager.next().get("READY") == "1")
    claims.ok("it_holds", daemon.ask("GET", "/v1/queues/q")[1]["concurrency"] == 3)
    claims.ok("what_needs_a_restart_is_named", "[daemon] socket_mode" in daemon.log_text(), daemon.log_text())

    settings("[queue q]\nconcurrency = many\n")
    daemon.process.send_signal(signal.SIGHUP)
    manager.next()
    told = manager.next()
    claims.ok("a_refused_reload_is_told", "refused" in told["STATUS"] and f"{conf}:2: " in told["STATUS"], told)
    claims.ok("and_keeps_what_held", daemon.ask("GET", "/v1/queues/q")[1]["concurrency"] == 3)

    job = daemon.ask("POST", "/v1/jobs", LONG)[1]["id"]
    daemon.process.send_signal(signal.SIGTERM)
    claims.ok("a_stop_is_told", manager.next().get("STOPPING") == "1")
    claims.ok("it_waits_for_what_runs", daemon.ask("GET", f"/v1/jobs/{job}")[1]["state"] == "running")
    daemon.process.send_signal(signal.SIGTERM)
    claims.ok("a_second_signal_stops_at_once", daemon.process.wait(30) == 0)
    claims.ok("its_socket_is_gone", not os.path.exists(daemon.socket))
    settings("")
    daemon.start()
    told = daemon.ask("GET", f"/v1/jobs/{job}")[1]
    claims.ok("the_job_goes_on_uncounted", (told["attempt"], told["crashes"]) == (1, 0), told)
    daemon.ask("POST", f"/v1/jobs/{job}/cancel", {"force": True})
    claims.ok("and_the_daemon_stops", daemon.stop() == 0)


def handed_over(claims, build, folder):
    """Sockets of the manager's are served, and named, in place of the configured ones."""
    os.makedirs(folder)
    daemon = Daemon(build, folder, daemon_log_level="info")
    theirs = os.path.join(folder, "theirs.sock")
    doors = [socket.socket(socket.AF_UNIX), socket.socket()]
    doors[0].bind(theirs)
    doors[1].bind(("127.0.0.1", 0))
    for i, door in enumerate(doors):
        door.listen()
        os.dup2(door.fileno(), 200 + i)
    daemon.process = subprocess.Popen(
        ["bash", "-c", 'exec 3<&200 4<&201; export LISTEN_PID=$$ LISTEN_FDS=2; exec "$@"', "sh",
         os.path.join(build, "stintd"), "--state", daemon.state, "--socket", daemon.socket],
        env=daemon.env, pass_fds=(200, 201), stdout=daemon.log, stderr=daemon.log)
    daemon.socket, unused = theirs, daemon.socket
    daemon.wait_ready()
    claims.ok("the_configured_socket_is_not_made", not os.path.exists(unused))
    address = "127.0.0.1:%d" % doors[1].getsockname()[1]
    log = daemon.log_text()
    claims.ok("the_log_names_them", f"socket={theirs}" in log and f"listen={address}" in log, log)
    job = daemon.ask("POST", "/v1/jobs?wait=10", {"exec": {"shell": "printf %s $STINT_SOCKET"}})[1]["id"]
    got = daemon.ask("GET", f"/v1/jobs/{job}/log")[1].decode()
    claims.ok("jobs_are_told_of_it", got == theirs, got)
    claims.ok("the_daemon_stops", daemon.stop() == 0)
    claims.ok("a_socket_of_another_stays", os.path.exists(theirs))


def statuses(claims, build, folder):
    os.makedirs(folder)
    daemon = Daemon(build, folder).start()
    state = os.path.join(folder, "other")

    def run(*words):
        r = subprocess.run([os.path.join(build, "stintd"), *words], env=daemon.env, timeout=30,
                           capture_output=True, text=True)
        return r.returncode, r.stderr
    long_name = os.path.join(folder, "x" * 110)
    for name, status, word, words in (
            ("second_daemon_75", 75, str(daemon.process.pid), ("--state", daemon.state)),
            ("socket_in_use_75", 75, "another daemon", ("--state", state, "--socket", daemon.socket)),
            ("no_folder_74", 74, "", ("--state", "/dev/null")),
            ("long_socket_74", 74, "107", ("--state", state, "--socket", long_name)),
            ("no_socket_74", 74, "no socket", ("--state", state, "--socket", __file__)),
            ("bad_setting_78", 78, "--drain", ("--drain", "soon")),
            ("bad_address_78", 78, "ADDR:PORT", ("--check", "--listen", "nonsense")),
            ("unknown_option_78", 78, "--help", ("--bogus",)),
            ("no_store_74", 74, "", ("--doctor", "--state", state + "2"))):
        got, said = run(*words)
        claims.ok("exit_status_" + name, got == status and word in said, f"{got} {said}")
    daemon.kill()
    daemon.start()
    claims.ok("a_socket_left_behind_is_replaced", daemon.ask("GET", "/readyz")[0] == 200)
    claims.ok("the_daemon_stops_cleanly", daemon.stop() == 0)
    claims.ok("nothing_else_was_said", await_that(lambda: "error" not in daemon.log_text(), 1), daemon.log_text())


def main(build):
    claims = Claims("manager")
    for test in messages, handed_over, statuses:
        test(claims, build, os.path.join(claims.folder, test.__name__))
    return claims.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
