#!/usr/bin/env python3
"""The command line as a person and a script meet it.

client.py BUILD-DIR
"""
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon  # noqa: E402

NASTY = "\x1b[2J\x7f\u009b2J\u202eend 日本"


class Client:
    def __init__(self, build, daemon):
        self.program = os.path.join(build, "stint")
        self.env = {**os.environ, "STINT_URL": "unix://" + daemon.socket, "TERM": "xterm"}

    def __call__(self, *words, text=None, **options):
        return subprocess.run([self.program, *words], input=text, env=self.env, timeout=60,
                              capture_output=True, text=True, **options)

    def on_terminal(self, columns, *words):
        """What a terminal of so many columns gets: lines without their colour."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        p = subprocess.Popen([self.program, *words], env={**self.env, "NO_COLOR": "1"}, stdout=theirs)
        os.close(theirs)
        text = b""
        try:
            while piece := os.read(ours, 65536):
                text += piece
        except OSError:
            pass
        os.close(ours)
        p.wait(60)
        return text.decode().split("\r\n")[:-1]


def is_harmless(text):
    return not any(c in text for c in "\x1b\x7f\u009b\u202e")


def strangers_words(claims, daemon, stint):
    """What somebody else wrote reaches the terminal as text."""
    job = daemon.ask("POST", "/v1/jobs", {"worker": {"payload": NASTY}, "retry": 1})[1]["id"]
    fence = daemon.ask("POST", "/v1/leases", {})[1]["items"][0]["fence"]
    daemon.ask("POST", f"/v1/leases/{job}/fail", {"fence": fence, "error": NASTY, "retry": False})
    daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["echo", NASTY]}, "hold": True})
    end = stint("wait", str(job))
    claims.ok("the_end_of_a_job_is_told_harmlessly", "end 日本" in end.stderr and is_harmless(end.stderr), end)
    for words in ("ls",), ("show", str(job)), ("show", str(job), "-o", "json"), ("ls", "-o", "ndjson"):
        r = stint(*words)
        claims.ok("_".join(("harmless",) + words[:1] + words[-1:]), "end 日本" in r.stdout and (
            is_harmless(r.stdout.replace("\u202e", "")) if "-o" in words else is_harmless(r.stdout)), r)
    told = json.loads(stint("show", str(job), "-o", "json").stdout)
    claims.ok("json_says_what_was_said", told["error"] == NASTY, told)


def widths(claims, daemon, stint):
    """A table's lines fit the terminal as far as all but the last column let them."""
    daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["echo", "日本" * 40]}, "hold": True})
    for columns in 80, 200:
        lines = stint.on_terminal(columns, "ls")
        wide = [sum(2 if c in "日本" else 1 for c in line) for line in lines]
        claims.ok(f"lines_fit_{columns}_columns", len(lines) > 1 and max(wide) <= columns, lines)


def main(build):
    claims = Claims("client")
    daemon = Daemon(build, claims.folder).start()
    stint = Client(build, daemon)
    try:
        strangers_words(claims, daemon, stint)
        widths(claims, daemon, stint)
        claims.ok("the_daemon_stops_cleanly", daemon.stop() == 0)
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
    return claims.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
