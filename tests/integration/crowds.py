#!/usr/bin/env python3
"""Many at once: 10,000 jobs of mixed kinds, 1,000 slow HTTP requests, 1,000 waiting clients.

crowds.py BUILD-DIR. Bounds are the project's promises, not this machine's speed.
"""
import json
import os
import resource
import selectors
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon  # noqa: E402

CROWD = 1000
MIXED = 10000
THREADS_MAX = 20
HTTP_MEMORY_KIB_MAX = 50 * 1024


def raise_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class SlowServer(threading.Thread):
    """Answers each request after a while; one thread for all of them."""

    def __init__(self, answer_after_s):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.answer_after_s, self.most, self.halt = answer_after_s, 0, False

    def run(self):
        poll = selectors.DefaultSelector()
        self.listener.setblocking(False)
        poll.register(self.listener, selectors.EVENT_READ)
        due = []
        while not self.halt:
            for key, _ in poll.select(0.05):
                if key.fileobj is self.listener:
                    try:
                        while True:
                            c, _ = self.listener.accept()
                            c.setblocking(False)
                            poll.register(c, selectors.EVENT_READ)
                    except BlockingIOError:
                        pass
                    continue
                try:
                    data = key.fileobj.recv(65536)
                except OSError:
                    data = b""
                if data:
                    due.append((time.monotonic() + self.answer_after_s, key.fileobj))
                    self.most = max(self.most, len(due))
                else:
                    poll.unregister(key.fileobj)
                    key.fileobj.close()
            while due and due[0][0] <= time.monotonic():
                c = due.pop(0)[1]
                try:
                    c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                except OSError:
                    pass


def mixed_kinds(claims, build):
    folder = os.path.join(claims.folder, "mixed")
    files = os.path.join(folder, "files")
    os.makedirs(files)
    server = SlowServer(0.01)
    server.start()
    daemon = Daemon(build, folder, exec_concurrency=64, http_allow="127.0.0.0/8", file_roots=files).start()
    kinds = [
        lambda i: {"exec": {"argv": ["true"]}},
        lambda i: {"http": {"url": f"http://127.0.0.1:{server.port}/{i}"}},
        lambda i: {"file": {"op": "write", "to": f"{files}/{i}", "text": f"job {i}\n"}},
        lambda i: {"exec": {"argv": ["sh", "-c", "exit 3"]}, "retry": {"max_attempts": 2, "base": 0.01}},
    ]
    for start in range(0, MIXED, 500):
        batch = [kinds[i % len(kinds)](i) for i in range(start, start + 500)]
        status, answer = daemon.ask("POST", "/v1/jobs", batch)
        assert status in (200, 201), answer
    claims.ok("ten_thousand_mixed_jobs_end", daemon.settle(240))
    _, queues = daemon.ask("GET", "/v1/queues")
    counts = queues["items"][0]["counts"]
    claims.ok("each_ended_as_it_should",
              counts["succeeded"] == MIXED * 3 // 4 and counts["failed"] == MIXED // 4, counts)
    claims.ok("every_file_is_there", len(os.listdir(files)) == MIXED // 4)
    claims.ok("daemon_stops_cleanly_after_them", daemon.stop() == 0)
    server.halt = True


def many_http(claims, build):
    folder = os.path.join(claims.folder, "http")
    os.makedirs(folder)
    server = SlowServer(3)
    server.start()
    daemon = Daemon(build, folder, http_allow="127.0.0.0/8").start()
    before = daemon.status("VmRSS")
    batch = [{"http": {"url": f"http://127.0.0.1:{server.port}/{i}"}} for i in range(CROWD)]
    status, answer = daemon.ask("POST", "/v1/jobs", batch)
    assert status in (200, 201), answer
    threads = 0
    while daemon.ask("GET", "/v1/jobs?state=queued,running&limit=1")[1]["items"]:
        threads = max(threads, daemon.status("Threads"))
        time.sleep(0.1)
    grown = daemon.status("VmHWM") - before
    counts = daemon.ask("GET", "/v1/queues")[1]["items"][0]["counts"]
    claims.ok("a_thousand_slow_requests_succeed", counts["succeeded"] == CROWD, counts)
    claims.ok("they_were_under_way_at_once", server.most >= CROWD * 9 // 10, server.most)
    claims.ok("they_cost_less_than_50_MB_in_all", grown < HTTP_MEMORY_KIB_MAX, f"{grown} KiB")
    claims.ok("they_cost_no_thread_each", threads < THREADS_MAX, threads)
    print(f"     {grown} KiB more for {server.most} requests at once, {threads} threads")
    daemon.stop()
    server.halt = True


def many_waiters(claims, build):
    folder = os.path.join(claims.folder, "wait")
    os.makedirs(folder)
    daemon = Daemon(build, folder).start()
    go = os.path.join(folder, "go")
    os.mkfifo(go)
    job = daemon.ask("POST", "/v1/jobs", {"exec": {"shell": f": <{go}"}})[1]
    before = daemon.status("VmRSS")
    clients = []
    for _ in range(CROWD):
        c = socket.socket(socket.AF_UNIX)
        c.connect(daemon.socket)
        c.sendall(f"GET /v1/jobs/{job['id']}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        clients.append(c)
    deadline = time.monotonic() + 30
    while waiting(daemon) < CROWD and time.monotonic() < deadline:
        time.sleep(0.05)
    claims.ok("a_thousand_clients_wait", waiting(daemon) >= CROWD, waiting(daemon))
    threads, grown = daemon.status("Threads"), daemon.status("VmRSS") - before
    claims.ok("they_are_tasks_not_threads", threads < THREADS_MAX, threads)
    open(go, "w").close()
    began = time.monotonic()
    answers = [answer_of(c) for c in clients]
    claims.ok("all_are_answered_when_it_ends", all(a and a["state"] == "succeeded" for a in answers))
    print(f"     {threads} threads, {grown} KiB for {CROWD} waiting clients, "
          f"answered in {time.monotonic() - began:.2f} s")
    daemon.stop()


def waiting(daemon):
    """Tasks that live: the waiting requests are nearly all of them."""
    _, text = daemon.ask("GET", "/metrics")
    for line in text.decode().splitlines():
        if line.startswith("stint_tasks "):
            return int(float(line.split()[1]))
    return -1


def answer_of(client):
    client.settimeout(30)
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        head, body = data.split(b"\r\n\r\n", 1)
        length = int([h for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")][0].split(b":")[1])
        while len(body) < length:
            body += client.recv(65536)
        return json.loads(body)
    except (OSError, ValueError, IndexError):
        return None
    finally:
        client.close()


def main():
    raise_files()
    claims = Claims("crowds")
    mixed_kinds(claims, sys.argv[1])
    many_http(claims, sys.argv[1])
    many_waiters(claims, sys.argv[1])
    return claims.end()


if __name__ == "__main__":
    sys.exit(main())
