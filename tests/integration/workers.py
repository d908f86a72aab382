#!/usr/bin/env python3
"""Workers that lease jobs while the daemon is killed under them.

workers.py BUILD-DIR ROUNDS: some workers do what they should, some die with jobs in hand, some
are slower than their leases, and all ask again when the daemon is away. They keep a journal of
what they were given and of what was acknowledged. Claims:

  L1  a lease taken before a kill -9 is renewed and completed after it, with its fence
  L2  a lease outlives a stop, too, and the stop does not wait for it
  L3  every acknowledged job ends as succeeded, though workers died and were slow
  L4  no job is given away after its completion was acknowledged
  L5  no fence of a job is given twice
  L6  one fence alone of each job was taken as its completion
  L7  a lease that is not renewed is lost, counted, and its fence is worth nothing any more
"""
import collections
import http.client
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, request  # noqa: E402

AWAY = (OSError, http.client.HTTPException, ValueError)


class Journal:
    """What was seen, in the order in which it was."""

    def __init__(self):
        self.lock = threading.Lock()
        self.fences = collections.defaultdict(list)
        self.completed = collections.defaultdict(set)
        self.wrong = []

    def leased(self, job, asked_at):
        with self.lock:
            self.fences[job["id"]].append(job["fence"])
            for at in [at for _, at in self.completed[job["id"]]]:
                if at < asked_at:
                    self.wrong.append(f"job {job['id']} was given away after its completion")

    def done(self, job):
        with self.lock:
            self.completed[job["id"]].add((job["fence"], time.monotonic()))


class Worker(threading.Thread):
    """good: renews and completes; dies: forgets what it has; slow: completes too late."""

    def __init__(self, server, number, character, journal, halt):
        super().__init__(daemon=True)
        self.server, self.character, self.journal, self.halt = server, character, journal, halt
        self.random = random.Random(number)
        self.superseded = 0

    def say(self, verb, jobs):
        """Until the daemon has answered. The answers, by place."""
        words = [{"id": job["id"], "fence": job["fence"]} for job in jobs]
        while True:
            try:
                status, answer = request(self.server.socket, "POST", f"/v1/leases/{verb}", words)
                if status == 200:
                    return answer["items"]
            except AWAY:
                pass
            time.sleep(0.02)

    def take(self):
        asked_at = time.monotonic()
        try:
            status, answer = request(self.server.socket, "POST", "/v1/leases?wait=200ms",
                                     {"queues": ["a", "b"], "max": self.random.randint(1, 8)})
        except AWAY:
            time.sleep(0.02)
            return []
        jobs = answer["items"] if status == 200 else []
        for job in jobs:
            self.journal.leased(job, asked_at)
        return jobs

    def run(self):
        while not self.halt.is_set():
            jobs = self.take()
            if not jobs or (self.character == "dies" and self.random.random() < 0.3):
                continue
            if self.character == "slow" and self.random.random() < 0.3:
                time.sleep(1.3)
            elif self.random.random() < 0.5:
                self.say("renew", jobs)
            for job, answer in zip(jobs, self.say("complete", jobs)):
                if answer.get("state") == "succeeded":
                    self.journal.done(job)
                else:
                    self.superseded += 1


def submit(daemon, count):
    """Ids of jobs whose 201 arrived."""
    ids = []
    for i in range(0, count, 20):
        jobs = [{"worker": {"payload": {"n": i + k}, "lease": "1s"}, "queue": "ab"[k % 2],
                 "retry": {"max_attempts": 50}} for k in range(20)]
        try:
            status, answer = daemon.ask("POST", "/v1/jobs", jobs)
        except AWAY:
            continue
        if status == 201:
            ids += [item["id"] for item in answer["items"]]
    return ids


def one_lease(daemon):
    job = daemon.ask("POST", "/v1/jobs", {"worker": {"payload": 1}, "queue": "one"})[1]
    lease = daemon.ask("POST", "/v1/leases", {"queues": ["one"]})[1]["items"][0]
    return job["id"], {"fence": lease["fence"]}


def outlives(claims, daemon, name, away):
    job, word = one_lease(daemon)
    away()
    daemon.start()
    renewed = daemon.ask("POST", f"/v1/leases/{job}/renew", word)
    other = daemon.ask("POST", "/v1/leases", {"queues": ["one"]})[1]["items"]
    completed = daemon.ask("POST", f"/v1/leases/{job}/complete", {**word, "result": {"ok": True}})
    seen = daemon.ask("GET", f"/v1/jobs/{job}")[1]
    claims.ok(name, renewed[0] == 200 and not renewed[1]["stop"] and not other
              and completed[0] == 200 and seen["state"] == "succeeded" and seen["attempt"] == 1
              and seen["crashes"] == 0, f"{renewed} {other} {completed} {seen}")


def too_late(claims, daemon):
    job = daemon.ask("POST", "/v1/jobs", {"worker": {"lease": "1s"}, "queue": "one"})[1]["id"]
    first = daemon.ask("POST", "/v1/leases", {"queues": ["one"]})[1]["items"][0]
    again = daemon.ask("POST", "/v1/leases?wait=20s", {"queues": ["one"]})[1]["items"]
    late = daemon.ask("POST", f"/v1/leases/{job}/complete", {"fence": first["fence"]})
    right = daemon.ask("POST", f"/v1/leases/{job}/complete", {"fence": again[0]["fence"]})
    attempts = daemon.ask("GET", f"/v1/jobs/{job}/attempts")[1]["items"]
    claims.ok("L7 a lost lease is counted, given to another, and its fence is superseded",
              again[0]["crashes"] == 1 and again[0]["attempt"] == 1 and late[0] == 409
              and late[1]["type"] == "/problems/superseded" and right[0] == 200
              and [a["reason"] for a in attempts] == ["superseded", None],
              f"{again} {late} {right} {attempts}")


def crowd(claims, daemon, rounds):
    journal, halt = Journal(), threading.Event()
    characters = ["good", "good", "good", "dies", "slow"]
    workers = [Worker(daemon, n, c, journal, halt) for n, c in enumerate(characters)]
    chance = random.Random(1)
    ids = []
    for worker in workers:
        worker.start()
    for _ in range(rounds):
        ids += submit(daemon, 100)
        time.sleep(chance.uniform(0.1, 0.5))
        daemon.kill()
        daemon.start()
    settled = daemon.settle()
    halt.set()
    for worker in workers:
        worker.join()
    states = collections.Counter(daemon.ask("GET", f"/v1/jobs/{i}")[1]["state"] for i in ids)
    late = sum(worker.superseded for worker in workers)
    leases = sum(len(f) for f in journal.fences.values())
    print(f"     {len(ids)} jobs, {rounds} kills, {leases} leases, {late} late words")
    claims.ok("L3 every acknowledged job was done, though workers died and were slow",
              settled and states == {"succeeded": len(ids)}, f"settled {settled}, {states}")
    claims.ok("L4 no job was given away after its completion", not journal.wrong,
              journal.wrong[:3])
    falling = [i for i, f in journal.fences.items() if len(set(f)) != len(f)]
    claims.ok("L5 no fence was given twice", not falling, falling[:3])
    twice = [i for i, c in journal.completed.items() if len({fence for fence, _ in c}) > 1]
    claims.ok("L6 one fence alone completed each job", not twice, twice[:3])


def main():
    build, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    claims = Claims("workers")
    daemon = Daemon(build, claims.folder, jobs_crashes_max=100).start()
    try:
        outlives(claims, daemon, "L1 a lease outlives a kill -9", daemon.kill)
        outlives(claims, daemon, "L2 a lease outlives a stop, which does not wait for it",
                 daemon.stop)
        too_late(claims, daemon)
        crowd(claims, daemon, rounds)
    finally:
        daemon.kill()
    return claims.end()


sys.exit(main())
