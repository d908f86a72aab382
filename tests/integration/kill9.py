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
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    def __init__(self, build, state):
        self.build, self.state, self.process = build, state, None
        self.socket = os.path.join(state, "stint.sock")
        self.log = open(os.path.join(state, "..", "daemon.log"), "ab")

    def start(self):
        self.process = subprocess.Popen(
            [os.path.join(self.build, "stintd"), "--state", self.state, "--log-level", "warn"],
            stdout=self.log, stderr=self.log,
            env={**os.environ, "STINTD_JOBS_CRASHES_MAX": "100"})
        self.wait_ready()

    def wait_ready(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if request(self.socket, "GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                raise SystemExit(f"FAIL the daemon ended by itself with {self.process.returncode}")
            time.sleep(0.005)
        raise SystemExit("FAIL the daemon did not become ready in 30 s")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def request(path, method, url, body=None):
    c = UnixConnection(path)
    try:
        c.request(method, url, None if body is None else json.dumps(body))
        r = c.getresponse()
        data = r.read()
        return r.status, json.loads(data) if data[:1] in b"{[" and data else data
    finally:
        c.close()


class Client(threading.Thread):
    """Submits until told to stop; remembers only what was acknowledged."""

    def __init__(self, daemon, number, journal, halt):
        super().__init__(daemon=True)
        self.server, self.number, self.journal, self.halt = daemon, number, journal, halt
        self.acknowledged, self.errors, self.surprises = [], 0, []
        self.random = random.Random(number)

    def job(self):
        work = self.random.choice(["", "", "sleep 0.02; ", "sleep 0.2; "])
        return {"exec": {"shell": f'echo "$STINT_JOB_ID $STINT_FENCE" >> {self.journal}; {work}exit 0'},
                "retry": {"max_attempts": 50, "base": 0.05, "cap": 0.2}}

    def run(self):
        while not self.halt.is_set():
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
    """Notes when it first saw a job ended, by its own clock."""

    def __init__(self, daemon, halt):
        super().__init__(daemon=True)
        self.server, self.halt, self.ended = daemon, halt, {}

    def run(self):
        while not self.halt.is_set():
            try:
                _, page = request(self.server.socket, "GET", "/v1/jobs?state=succeeded&limit=200")
                for job in page["items"]:
                    self.ended.setdefault(job["id"], job["fence"])
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


def settle(daemon, ids):
    """Waits until nothing is waiting or live any more."""
    deadline = time.monotonic() + 120
    live = "held,blocked,scheduled,queued,retrying,running,stopping"
    while time.monotonic() < deadline:
        _, page = request(daemon.socket, "GET", f"/v1/jobs?state={live}&limit=1")
        if not page["items"]:
            return True
        time.sleep(0.05)
    return False


def main():
    build, rounds, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    chance = random.Random(seed)
    folder = tempfile.mkdtemp(prefix="stint-kill9-")
    state, journal = os.path.join(folder, "state"), os.path.join(folder, "journal")
    os.mkdir(state)
    open(journal, "w").close()
    daemon = Daemon(build, state)
    bad = []
    halt = threading.Event()
    daemon.start()
    crowd = [Client(daemon, seed + n, journal, halt) for n in range(clients)]
    watcher = Watcher(daemon, halt)
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
    if not settle(daemon, ids):
        bad.append("jobs still live 120 s after the last kill")
    for i in ids:
        status, job = request(daemon.socket, "GET", f"/v1/jobs/{i}")
        if status != 200 or job["state"] != "succeeded":
            bad.append(f"A1 acknowledged job {i}: {status} {job if status != 200 else (job['state'], job.get('reason'), job.get('error'))}")
    starts = starts_of(journal)
    for i, fence in watcher.ended.items():
        later = [f for f in starts.get(i, []) if f > fence]
        if later:
            bad.append(f"A2 job {i} ended with fence {fence} and was started again: {later}")
    left = processes_of(state)
    if left:
        bad.append(f"A3 processes left: {left}")
    for i, fences in starts.items():
        if fences != sorted(set(fences)):
            bad.append(f"A4 fences of job {i}: {fences}")
    bad += [f"unexpected answer {s}" for c in crowd for s in c.surprises[:3]]
    if daemon.stop() != 0:
        bad.append("the last stop was not clean")
    again = sum(len(f) - 1 for f in starts.values())
    print(f"kill9: seed {seed}, {rounds} kills, {len(ids)} acknowledged, {len(watcher.ended)} seen ended, "
          f"{again} starts repeated after a crash, {sum(c.errors for c in crowd)} requests cut")
    for line in bad[:20]:
        print("FAIL", line)
    if not ids:
        bad.append("nothing was acknowledged")
    if not bad:
        shutil.rmtree(folder)
        print("ok   acknowledged_jobs_survive_kill_9")
    else:
        print(f"FAIL acknowledged_jobs_survive_kill_9 (kept: {folder})")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
