#!/usr/bin/env python3
"""Mixed work at a moderate rate, and silences in between, for a long time.

soak.py BUILD-DIR MINUTES. Jobs of all kinds, followers of logs, clients that wait, cancels, workers
that lease with long polls, pauses of queues. In the silences nothing is asked of the daemon, so that
all its tasks sleep: what could look like a deadlock and is none. Claims:

  Z1  no deadlock was reported
  Z2  every job that was acknowledged ended, and as it should
  Z3  as many were counted in as out
  Z4  descriptors, tasks and memory are at last as they were at most in the first quarter of it
"""
import http.server
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, UnixConnection, request  # noqa: E402

A_SECOND = 12                # jobs
BUSY_S, SILENT_S = 40, (3, 10, 25)
MEMORY_KIB_MORE_MAX = 8 * 1024
DESCRIPTORS_MORE_MAX = 9     # three cgroups kept for the next commands
LINES = 5


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Life:
    """What all who use the daemon share: it, chance, and what they saw that was wrong."""

    def __init__(self, build, folder):
        self.files = os.path.join(folder, "files")
        os.makedirs(self.files)
        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.daemon = Daemon(build, folder, exec_concurrency=16, http_allow="127.0.0.0/8",
                             file_roots=self.files, jobs_keep_succeeded="90s", jobs_keep_failed="90s",
                             jobs_keep_cancelled="90s").start()
        self.random = random.Random(20)
        self.wrong, self.jobs, self.submitted = [], {}, 0
        self.lock = threading.Lock()
        self.busy = threading.Event()
        self.kinds = [self.quick, self.http, self.file, self.failing, self.slow, self.late, self.lost,
                      self.cancelled, self.held, self.timed_out, self.followed, self.waited]

    def submit(self, state, spec, wait=""):
        status, answer = self.daemon.ask("POST", "/v1/jobs" + wait, spec)
        if status not in (200, 201):
            raise SystemExit(f"FAIL a job was refused: {status} {answer}")
        with self.lock:
            self.jobs[answer["id"]] = state
            self.submitted += 1
        return answer

    def post(self, url, body=None):
        return self.daemon.ask("POST", url, body)

    # Each submits a job and says how it must end.

    def quick(self):
        self.submit("succeeded", {"exec": {"argv": ["true"]},
                                  "key": f"k{self.random.randint(0, 3)}"})

    def http(self):
        self.submit("succeeded", {"http": {"url": f"http://127.0.0.1:{self.web.server_port}/"}})

    def file(self):
        self.submit("succeeded", {"file": {"op": "write", "to": f"{self.files}/{self.submitted % 100}",
                                           "text": "soak\n", "overwrite": True}})

    def failing(self):
        self.submit("failed", {"exec": {"argv": ["false"]}, "retry": {"max_attempts": 2, "base": "100ms"}})

    def slow(self):
        self.submit("succeeded", {"exec": {"argv": ["sleep", "1"]}, "queue": "paused"})

    def late(self):
        self.submit("succeeded", {"worker": {"payload": 1}, "queue": "w", "delay": "700ms"})

    def lost(self):
        self.submit("succeeded", {"worker": {"payload": "forget", "lease": "1s"}, "queue": "w"})

    def cancelled(self):
        job = self.submit("cancelled", {"exec": {"argv": ["sleep", "100"]}})
        time.sleep(self.random.random() / 10)
        self.post(f"/v1/jobs/{job['id']}/cancel")

    def held(self):
        job = self.submit("succeeded", {"worker": {"payload": 2}, "queue": "w", "hold": True})
        self.post(f"/v1/jobs/{job['id']}/release")

    def timed_out(self):
        self.submit("failed", {"exec": {"argv": ["sleep", "100"]}, "timeout": "300ms",
                               "retry": {"max_attempts": 1}})

    def followed(self):
        job = self.submit("succeeded", {"exec": {
            "shell": f"for i in $(seq {LINES}); do echo line; sleep .1; done"}})
        threading.Thread(target=self.follow, args=(job["id"],)).start()

    def follow(self, job):
        c = UnixConnection(self.daemon.socket)
        c.request("GET", f"/v1/jobs/{job}/log?follow=true")
        if c.getresponse().read().count(b"line") != LINES:
            self.wrong.append(f"the follower of job {job} missed lines")
        c.close()

    def waited(self):
        threading.Thread(target=self.wait_for_one, args=(0.5,)).start()

    def wait_for_one(self, seconds):
        answer = self.submit("succeeded", {"exec": {"argv": ["sleep", str(seconds)]}}, "?wait=30s")
        if answer["state"] != "succeeded":
            self.wrong.append(f"a client that waited was answered {answer}")

    # Those who go on by themselves.

    def work(self):
        forgotten = set()
        while True:
            self.busy.wait()
            leases = self.post("/v1/leases?wait=2s", {"queues": ["w"], "max": 4})[1]["items"]
            for job in leases:
                if job["payload"] == "forget" and job["id"] not in forgotten:
                    forgotten.add(job["id"])
                    continue
                word = {"fence": job["fence"]}
                self.post(f"/v1/leases/{job['id']}/renew", word)
                self.post(f"/v1/leases/{job['id']}/complete", word)

    def pause(self):
        while True:
            self.busy.wait()
            for paused in (True, False):
                self.daemon.ask("PATCH", "/v1/queues/paused", {"paused": paused})
                time.sleep(2)

    def be_busy(self, seconds):
        end = time.monotonic() + seconds
        self.busy.set()
        each = list(self.kinds)  # once at least
        while each or time.monotonic() < end:
            (each.pop() if each else self.random.choice(self.kinds))()
            time.sleep(self.random.expovariate(A_SECOND))
        if not self.daemon.settle():
            self.wrong.append("jobs did not end")
        self.busy.clear()

    def be_silent(self, seconds, waited_for):
        """Nothing is asked; somebody may wait for an answer all the while."""
        if waited_for:
            threading.Thread(target=self.wait_for_one, args=(seconds,)).start()
            threading.Thread(target=self.post, args=(f"/v1/leases?wait={seconds}s", {"queues": ["none"]})).start()
        time.sleep(seconds + 1)

    def look_at_jobs(self):
        jobs, self.jobs = self.jobs, {}
        for job, state in jobs.items():
            seen = self.daemon.ask("GET", f"/v1/jobs/{job}")[1]
            if seen.get("state") != state:
                self.wrong.append(f"job {job} should be {state}: {seen}")

    def figures(self):
        """Descriptors, tasks, KiB; once nobody talks to it any more."""
        time.sleep(3)
        tasks = [line for line in self.daemon.ask("GET", "/metrics")[1].decode().splitlines()
                 if line.startswith("stint_tasks ")]
        return (len(os.listdir(f"/proc/{self.daemon.process.pid}/fd")), int(tasks[0].split()[1]),
                self.daemon.status("VmRSS"))

    def ended(self):
        return sum(int(line.split()[1]) for line in self.daemon.ask("GET", "/metrics")[1].decode().splitlines()
                   if line.startswith("stint_jobs_ended_total{"))


def cpu_s(pid):
    """Its own and that of the children it has waited for."""
    words = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


def main():
    claims, minutes = Claims("soak"), float(sys.argv[2])
    life = Life(sys.argv[1], claims.folder)
    daemon, began = life.daemon, time.monotonic()
    for fn in (life.work, life.work, life.pause):
        threading.Thread(target=fn, daemon=True).start()
    end, figures = began + 60 * minutes, []
    while len(figures) < 2 or time.monotonic() < end:
        life.be_busy(min(BUSY_S, 20 * minutes))
        life.look_at_jobs()
        figures.append(life.figures())
        rounds = len(figures)
        life.be_silent(SILENT_S[rounds % len(SILENT_S)] if minutes >= 1 else 1, rounds % 2 == 1)
    first, last = [max(of) for of in zip(*figures[:(rounds + 3) // 4])], figures[-1]
    lasted, took = time.monotonic() - began, cpu_s(daemon.process.pid) + time.process_time()
    print(f"     {life.submitted} jobs in {rounds} rounds, {lasted:.0f} s, {100 * took / lasted:.0f} % of a core; "
          f"descriptors, tasks, KiB: {first} at first, {list(last)} at last", flush=True)
    claims.ok("Z2 every job ended as it should, every follower and every wait was answered", not life.wrong,
              life.wrong[:5])
    claims.ok("Z3 as many were counted in as out", life.ended() == life.submitted, life.ended())
    claims.ok("Z4 descriptors, tasks and memory are as in its first quarter",
              last[0] <= first[0] + DESCRIPTORS_MORE_MAX and last[1] <= first[1]
              and last[2] <= first[2] + MEMORY_KIB_MORE_MAX)
    claims.ok("the daemon stops cleanly", daemon.stop() == 0)
    claims.ok("Z1 no deadlock was reported", "deadlock" not in daemon.log_text(), daemon.log_text()[-2000:])
    sys.stdout.flush()
    code = claims.end()
    sys.stdout.flush()
    os._exit(code)  # the workers never end


if __name__ == "__main__":
    main()
