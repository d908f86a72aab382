#!/usr/bin/env python3
"""What a crash leaves behind, on the real daemon: poison.py BUILD-DIR.

A job prints a line and hangs; the daemon is killed with -9 once the line is in the log. Twice the
job runs again, the third time it is failed for poison. A job beside it that waits is started each
time as if nothing had been, and every attempt's last line can still be read.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon  # noqa: E402

HANG = {"exec": {"shell": 'echo "tail of fence $STINT_FENCE"; exec sleep 600'}}


def log_of(daemon, job, choice=""):
    text = daemon.ask("GET", f"/v1/jobs/{job}/log{choice}")[1]
    return text.decode() if isinstance(text, bytes) else str(text)


def await_tail(daemon, job, fence):
    """The line of this attempt has reached the log."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if f"tail of fence {fence}" in log_of(daemon, job):
            return True
        time.sleep(0.01)
    return False


def state_of(daemon, job):
    return daemon.ask("GET", f"/v1/jobs/{job}")[1]


def main():
    claims = Claims("poison")
    daemon = Daemon(sys.argv[1], claims.folder, exec_concurrency=1).start()
    bad = daemon.ask("POST", "/v1/jobs", HANG)[1]["id"]
    after = daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["true"]}})[1]["id"]
    seen = []
    for fence in (1, 2, 3):
        seen.append(await_tail(daemon, bad, fence))
        job = state_of(daemon, bad)
        seen.append((job["state"], job["crashes"], job["fence"]) == ("running", fence - 1, fence))
        daemon.kill()
        daemon.start()
    claims.ok("a_job_runs_again_after_a_crash_in_its_place", all(seen), seen)
    job = state_of(daemon, bad)
    claims.ok("the_third_crash_is_poison",
              (job["state"], job["reason"], job["crashes"], job["dead_letter"]) == ("failed", "poison", 3, True), job)
    claims.ok("the_tail_of_the_last_attempt_is_in_the_log", "tail of fence 3" in log_of(daemon, bad), log_of(daemon, bad))
    tails = [log_of(daemon, bad, f"?fence={fence}") for fence in (1, 2, 3)]
    claims.ok("the_tails_of_all_tries_are_kept_apart",
              tails == [f"tail of fence {fence}\n" for fence in (1, 2, 3)], tails)
    claims.ok("the_attempt_they_share_is_the_last_of_them", log_of(daemon, bad, "?attempt=1") == tails[2])
    told = subprocess.run([os.path.join(sys.argv[1], "stint"), "-u", "unix://" + daemon.socket, "log", str(bad),
                           "--fence", "1"], capture_output=True, text=True)
    claims.ok("stint_log_tells_one_that_was_cut_off", told.stdout == tails[0], told)
    attempts = daemon.ask("GET", f"/v1/jobs/{bad}/attempts")[1]["items"]
    claims.ok("each_attempt_says_that_it_crashed",
              [a["reason"] for a in attempts] == ["crashed"] * 3 and [a["fence"] for a in attempts] == [1, 2, 3], attempts)
    claims.ok("what_waited_behind_it_ends", daemon.settle() and state_of(daemon, after)["state"] == "succeeded")
    claims.ok("the_last_stop_is_clean", daemon.stop() == 0)
    return claims.end()


if __name__ == "__main__":
    sys.exit(main())
