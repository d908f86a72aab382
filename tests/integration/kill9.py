#!/usr/bin/env python3
"""Kill -9 under load, judged by a journal of its own.

kill9.py BUILD-DIR ROUNDS CLIENTS: clients submit commands one by one and in batches and note each
id only when its 201 has arrived. Each command notes its own start. The daemon is killed with -9 at
random moments and started again on the same store. At the end:

  A1  every acknowledged job ended as succeeded
  A2  no job that was seen as ended was started again after that
  A3  no process of a job is alive that the daemon does not know
  A4  the fences of one job's starts rise
"""
import http.client
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, request  # noqa: E402


BACKLOG = 5000  # jobs that wait: enough that work never ends, and few enough that it ends soon at last


class Client(threading.Thread):
    """Submits until told to stop, unless much waits; remembers only what was acknowledged."""

    def __init__(self, daemon, number, journal, halt, watcher):
        super().__init__(daemon=True)
        self.server, self.number, self.journal, self.halt = daemon, number, journal, halt
        self.watcher = watcher
        self.acknowledged, self.errors, self.surprises = [], 0, []
        self.random = random.Random(number)

    def job(self):
        work = self.random.choice(["", "", "sleep 0.02; ", "sleep 0.2; "])
        return {"exec": {"shell": f'echo "$STINT_JOB_ID $STINT_FENCE" >> {self.journal}; {work}exit 0'},
                "retry": {"max_attempts": 50, "base": 0.05, "cap": 0.2}}

    def run(self):
        while not self.halt.is_set():
            if self.watcher.waiting > BACKLOG:
                time.sleep(0.02)
                continue
            many = self.random.random() < 0.2
            body = [self.job() for _ in range(self.random.randint(2, 8))] if many else self.job()
            try:
                status, answer = request(self.server.socket, "POST", "/v1/jobs", body)
            except (OSError, http.client.HTTPException, ValueError):
                self.errors += 1
                time.sleep(0.01)
                continue
            if status in (200, 201):
                items = answer["items"] if many else [answer]
                self.acknowledged += [item["id"] for item in items]
            elif status == 503:
                time.sleep(0.05)
            else:
                self.surprises.append((status, answer))
            time.sleep(0.004)


class Watcher(threading.Thread):
    """Notes when it first saw a job ended, and how many wait."""

    def __init__(self, daemon, halt):
        super().__init__(daemon=True)
        self.server, self.halt, self.ended, self.waiting = daemon, halt, {}, 0

    def run(self):
        while not self.halt.is_set():
            try:
                _, page = request(self.server.socket, "GET", "/v1/jobs?state=succeeded&limit=200")
                for job in page["items"]:
                    self.ended.setdefault(job["id"], job["fence"])
                _, queue = request(self.server.socket, "GET", "/v1/queues/default")
                self.waiting = queue["counts"]["queued"] + queue["counts"]["retrying"]
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
                pass
            time.sleep(0.02)


def processes_of(state):
    mark = b"STINT_JOB_ID="
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environ = open(f"/proc/{pid}/environ", "rb").read()
        except OSError:
            continue
        if mark in environ and state.encode() in environ:
            found.append(int(pid))
    return found


def starts_of(journal):
    starts = {}
    with open(journal, "r") as f:
        for line in f:
            job, fence = line.split()
            starts.setdefault(int(job), []).append(int(fence))
    return starts


def main():
    build, rounds, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    chance = random.Random(seed)
    claims = Claims("kill9")
    journal = os.path.join(claims.folder, "journal")
    open(journal, "w").close()
    daemon = Daemon(build, claims.folder, jobs_crashes_max=100, exec_concurrency=64).start()
    halt = threading.Event()
    watcher = Watcher(daemon, halt)
    crowd = [Client(daemon, seed + n, journal, halt, watcher) for n in range(clients)]
    for t in crowd + [watcher]:
        t.start()
    for _ in range(rounds):
        time.sleep(chance.uniform(0.05, 0.5))
        daemon.kill()
        daemon.start()
    halt.set()
    for t in crowd + [watcher]:
        t.join()
    ids = [i for c in crowd for i in c.acknowledged]
    claims.ok("jobs_settle_after_the_last_kill", daemon.settle())
    lost = []
    for i in ids:
        status, job = daemon.ask("GET", f"/v1/jobs/{i}")
        if status != 200 or job["state"] != "succeeded":
            lost.append((i, status, job if status != 200 else (job["state"], job["reason"], job["error"])))
    starts = starts_of(journal)
    late = [(i, f, starts[i]) for i, f in watcher.ended.items() if max(starts.get(i, [0])) > f]
    left = processes_of(daemon.state)
    unsorted = [(i, f) for i, f in starts.items() if f != sorted(set(f))]
    surprises = [s for c in crowd for s in c.surprises]
    claims.ok("every_acknowledged_job_succeeded", ids and not lost, lost[:5])
    claims.ok("no_ended_job_was_started_again", watcher.ended and not late, late[:5])
    claims.ok("no_process_of_a_job_is_left", not left, left[:5])
    claims.ok("fences_of_a_job_rise", not unsorted, unsorted[:5])
    claims.ok("no_answer_was_a_surprise", not surprises, surprises[:5])
    claims.ok("the_last_stop_is_clean", daemon.stop() == 0)
    again = sum(len(f) - 1 for f in starts.values())
    print(f"     seed {seed}: {rounds} kills, {len(ids)} acknowledged, {len(watcher.ended)} seen ended, "
          f"{again} starts repeated after a crash, {sum(c.errors for c in crowd)} requests cut")
    return claims.end()


if __name__ == "__main__":
    sys.exit(main())
