"""A daemon on a scratch folder, and requests to it; for the integration tests."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
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
    """One stintd. Settings are given as in the environment: exec_concurrency=64."""

    def __init__(self, build, folder, state=None, **settings):
        self.build, self.folder, self.process = build, folder, None
        self.state = state or os.path.join(folder, "state")
        self.socket = os.path.join(folder, "stint.sock")
        self.log = open(os.path.join(folder, "daemon.log"), "ab")
        self.env = {**os.environ, "STINTD_CONFIG": "/dev/null", "STINTD_DAEMON_LOG_LEVEL": "warn"}
        for key, value in settings.items():
            self.env["STINTD_" + key.upper()] = str(value)

    def spawn(self):
        self.process = subprocess.Popen(
            [os.path.join(self.build, "stintd"), "--state", self.state, "--socket", self.socket],
            stdout=self.log, stderr=self.log, env=self.env)

    def start(self):
        self.spawn()
        self.wait_ready()
        return self

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

    def ask(self, method, url, body=None, headers=None):
        return request(self.socket, method, url, body, headers)

    def settle(self, seconds=120):
        """Waits until nothing is waiting or live any more."""
        live = "held,blocked,scheduled,queued,retrying,running,stopping"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.ask("GET", f"/v1/jobs?state={live}&limit=1")[1]["items"]:
                return True
            time.sleep(0.05)
        return False

    def status(self, field):
        """A number of /proc/PID/status: Threads, VmRSS (KiB), VmHWM (KiB)."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise KeyError(field)

    def log_text(self):
        return open(os.path.join(self.folder, "daemon.log")).read()


def request(path, method, url, body=None, headers=None):
    c = UnixConnection(path)
    try:
        data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        c.request(method, url, data, headers or {})
        r = c.getresponse()
        data = r.read()
        return r.status, json.loads(data) if data[:1] in b"{[" and data else data
    finally:
        c.close()


def await_that(truth, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if truth():
            return True
        time.sleep(0.02)
    return False


class Claims:
    """Prints a line a claim, as the runner wants them, and keeps the scratch folder of a failure."""

    def __init__(self, name):
        self.failed, self.folder = 0, tempfile.mkdtemp(prefix=f"stint-{name}-")

    def ok(self, name, truth, detail=""):
        print(f"ok   {name}" if truth else f"FAIL {name} {detail}", flush=True)
        self.failed += not truth
        return truth

    def end(self):
        if self.failed:
            print(f"     kept: {self.folder}")
        else:
            shutil.rmtree(self.folder)
        return 1 if self.failed else 0
