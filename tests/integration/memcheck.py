#!/usr/bin/env python3
"""The daemon under valgrind's memcheck, through jobs of all kinds and ends, a reload and a clean stop:
no invalid access, no leak. memcheck.py BUILD-DIR

Debian 12's valgrind knows no openat2: to a file job the kernel looks too old, and so it fails for
good; the tests of file jobs under ASan are those that see the rest of them.
"""
import http.server
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, await_that  # noqa: E402


class Checked(Daemon):
    def spawn(self):
        self.report = os.path.join(self.folder, "memcheck")
        self.process = subprocess.Popen(
            ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
             "--error-exitcode=99", "--child-silent-after-fork=yes", f"--log-file={self.report}",
             os.path.join(self.build, "stintd"), "--state", self.state, "--socket", self.socket],
            stdout=self.log, stderr=self.log, env=self.env)


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/good" else 500)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    do_POST = do_GET

    def log_message(self, *args):
        pass


def serve():
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{site.server_address[1]}"


def commands(claims, daemon):
    once = {"retry": {"max_attempts": 1}}
    ends = [({"exec": {"argv": ["echo", "hi"]}}, "succeeded"),
            ({"exec": {"shell": "echo out; echo err >&2; exit 3"}, **once}, "failed"),
            ({"exec": {"shell": "kill -SEGV $$"}, **once}, "failed"),
            ({"exec": {"argv": ["/no/such"]}, **once}, "failed"),
            ({"exec": {"argv": ["sleep", "60"]}, "timeout": "300ms", **once}, "failed"),
            ({"exec": {"argv": ["false"]}, "retry": {"max_attempts": 3, "base": "10ms"}}, "failed"),
            ({"exec": {"shell": "yes | head -c 200000"}}, "succeeded")]
    ids = [daemon.ask("POST", "/v1/jobs", job)[1]["id"] for job, _ in ends]
    states = [daemon.ask("GET", f"/v1/jobs/{i}?wait=60")[1]["state"] for i in ids]
    claims.ok("commands_end_as_they_should", states == [state for _, state in ends], states)
    logs = [len(daemon.ask("GET", f"/v1/jobs/{ids[6]}/log{q}")[1]) for q in ("", "?stream=stdout", "?follow=1")]
    claims.ok("their_output_is_read", logs == [200000] * 3, logs)
    job = daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["sleep", "60"]}})[1]["id"]
    await_that(lambda: daemon.ask("GET", f"/v1/jobs/{job}")[1]["state"] == "running")
    daemon.ask("POST", f"/v1/jobs/{job}/cancel")
    claims.ok("one_is_cancelled", daemon.ask("GET", f"/v1/jobs/{job}?wait=60")[1]["state"] == "cancelled")
    again = daemon.ask("POST", f"/v1/jobs/{ids[0]}/retry")
    claims.ok("one_runs_again", again[0] == 201, again)


def others(claims, daemon, folder, site):
    files = os.path.join(folder, "files")
    with open(os.path.join(files, "a"), "w") as f:
        f.write("x" * 100000)
    once = {"retry": {"max_attempts": 1}}
    jobs = [{"http": {"url": site + "/good"}}, {"http": {"url": site + "/bad"}, **once},
            {"http": {"url": site + "/good", "method": "POST", "json": {"a": 1}}},
            {"http": {"url": "http://127.0.0.1:1/"}, **once}, {"http": {"url": "http://nowhere.invalid/"}, **once},
            {"file": {"op": "copy", "from": files + "/a", "to": files + "/b"}, **once},
            {"file": {"op": "checksum", "from": files + "/a"}, **once}]
    answers = [daemon.ask("POST", "/v1/jobs", job) for job in jobs]
    bad = [a for status, a in answers if status != 201]
    ends = [daemon.ask("GET", f"/v1/jobs/{a['id']}?wait=60")[1] for status, a in answers if status == 201]
    claims.ok("http_and_files_end", not bad and [e["state"] == "succeeded" for e in ends[:5]] ==
              [True, False, True, False, False] and all(e["state"] in ("succeeded", "failed") for e in ends),
              bad or [(e["state"], e["reason"], e["error"]) for e in ends])
    job = daemon.ask("POST", "/v1/jobs", {"worker": {"payload": [1, {"a": "b"}]}})[1]["id"]
    lease = daemon.ask("POST", "/v1/leases?wait=5", {"max": 2})[1]["items"][0]
    renewed = daemon.ask("POST", f"/v1/leases/{job}/renew", {"fence": lease["fence"]})
    done = daemon.ask("POST", "/v1/leases/complete", [{"id": job, "fence": lease["fence"], "result": {"x": [1, 2]}}])
    claims.ok("a_worker_has_one", renewed[0] == done[0] == 200, (renewed, done))


def operations(claims, daemon, folder):
    batch = daemon.ask("POST", "/v1/jobs", [{"exec": {"argv": ["true"]}, "hold": True, "name": f"n{i}", "key": f"k{i}",
                                             "tags": ["t"]} for i in range(300)], {"Idempotency-Key": "k"})[1]["items"]
    daemon.ask("POST", "/v1/jobs", "[{}", {})
    daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["a"]}, "tmieout": 1})
    daemon.ask("PUT", "/v1/queues/default", {"concurrency": 2, "key_concurrency": 1, "paused": False})
    daemon.ask("POST", f"/v1/jobs/{batch[0]['id']}/release")
    daemon.ask("POST", f"/v1/jobs/{batch[1]['id']}/cancel")
    for url in ("/v1/jobs?state=held&limit=50", "/v1/jobs?name=n7", "/v1/jobs?key=k7", "/v1/jobs?tag=t", "/v1/queues",
                "/v1/doctor", "/metrics", "/v1/debug/tasks", "/v1/debug/trace?for=100ms", "/openapi.json", "/nothing"):
        daemon.ask("GET", url)
    copied = daemon.ask("POST", "/v1/backup", {"path": os.path.join(folder, "copy.db")})
    claims.ok("the_store_is_copied", copied[0] in (200, 201), copied)
    daemon.process.send_signal(signal.SIGHUP)


def main():
    claims = Claims("memcheck")
    began = time.monotonic()
    folder = claims.folder
    os.makedirs(os.path.join(folder, "files"))
    daemon = Checked(os.path.abspath(sys.argv[1]), folder, file_roots=os.path.join(folder, "files"),
                     http_allow="127.0.0.0/8", daemon_drain="200ms").start()
    try:
        commands(claims, daemon)
        others(claims, daemon, folder, serve())
        operations(claims, daemon, folder)
        daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["sleep", "60"]}, "queue": "last"})
        status = daemon.stop()
    finally:
        daemon.process.kill()
    with open(daemon.report) as f:
        found = [line for line in f if line.startswith("==")]  # else it speaks of itself
    claims.ok("memcheck_finds_nothing", status == 0 and not found, f"{status}\n{''.join(found[:60])}")
    print(f"     {time.monotonic() - began:.1f} s")
    return claims.end()


if __name__ == "__main__":
    sys.exit(main())
