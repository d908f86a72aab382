#!/usr/bin/env python3
"""The command line as a person and a script meet it.

client.py BUILD-DIR
"""
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, await_that  # noqa: E402

NASTY = "\x1b[2J\x7f\u009b2J\u202eend 日本"


class Client:
    def __init__(self, build, daemon):
        self.program = os.path.abspath(os.path.join(build, "stint"))
        self.env = {**os.environ, "STINT_URL": "unix://" + daemon.socket, "TERM": "xterm"}

    def __call__(self, *words, text=None, **options):
        return subprocess.run([self.program, *words], input=text, env=self.env, timeout=60,
                              capture_output=True, text=True, **options)

    def spawn(self, *words):
        return subprocess.Popen([self.program, *words], env=self.env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

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
    job = str(daemon.ask("POST", "/v1/jobs?wait=10", {
        "exec": {"argv": ["false"]}, "retry": 1, "name": "a-name-of-more-than-twenty-letters", "queue": "images"})[1]["id"])
    for line in ("ls", "ls -o wide", "show " + job, "queue ls"):
        for columns in 12, 40, 80, 200:
            lines = stint.on_terminal(columns, *line.split())
            if line.startswith("show"):
                lines = lines[lines.index("") + 1:]
            wide = [sum(2 if c in "日本" else 1 for c in text) for text in lines]
            claims.ok(f"lines_of_{line.replace(' ', '_')}_fit_{columns}_columns",
                      len(lines) > 1 and max(wide) <= columns, lines)
    head, *rows = stint.on_terminal(40, "ls")
    claims.ok("a_narrow_table_keeps_what_matters", head.split() == ["ID", "STATE", "WORK"] and
              any(row.split() == [job, "failed", "false"] for row in rows), [head] + rows)


class Terminal:
    """A program that runs on a terminal of its own, at which keys are pressed."""

    def __init__(self, stint, *words):
        self.text, self.status = b"", None
        self.pid, self.keys = pty.fork()
        if self.pid == 0:
            os.execve(stint.program, [stint.program, *words], stint.env)

    def says(self, word, seconds=20):
        """Whether it has said that by then; what it says is kept."""
        end = time.monotonic() + seconds
        while word not in self.text and self.status is None and time.monotonic() < end:
            try:
                if select.select([self.keys], [], [], 0.1)[0]:
                    self.text += os.read(self.keys, 65536)
            except OSError:  # its end is closed
                self.ends(end - time.monotonic())
        return word in self.text

    def ends(self, seconds=20):
        end = time.monotonic() + seconds
        while self.status is None and time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.01)
        return self.status

    def press_ctrl_c(self):
        os.write(self.keys, b"\x03")


def interrupts(claims, daemon, stint):
    """Ctrl-C at a terminal: the first cancels the job and waits for its end, the second leaves it."""
    def newest():
        return daemon.ask("GET", "/v1/jobs?limit=1")[1]["items"][0]
    once = Terminal(stint, "run", "--", "sh", "-c", "trap 'echo cleaned; exit 3' TERM; echo begun; sleep 100 & wait")
    claims.ok("run_is_under_way", once.says(b"begun"), once.text)
    once.press_ctrl_c()
    claims.ok("it_says_that_it_cancels", once.says(b"cancelling job") and once.says(b"cancelled_by_user"), once.text)
    claims.ok("ctrl_c_ends_with_130", once.ends() == 130, once.status)
    claims.ok("the_job_is_cancelled", newest()["state"] == "cancelled", newest())

    twice = Terminal(stint, "run", "--", "sh", "-c", "trap '' TERM; echo begun; while :; do sleep 1; done")
    claims.ok("one_that_does_not_listen_is_under_way", twice.says(b"begun"), twice.text)
    twice.press_ctrl_c()
    claims.ok("it_waits_for_its_end", twice.says(b"leaves it to itself") and twice.ends(0.3) is None, twice.text)
    twice.press_ctrl_c()
    claims.ok("the_second_leaves", twice.ends() == 130, twice.status)
    claims.ok("the_job_is_still_being_stopped", newest()["state"] == "stopping", newest())
    daemon.ask("POST", f"/v1/jobs/{newest()['id']}/cancel", {"force": True})

    for words in ("wait",), ("log", "-f"):
        job = daemon.ask("POST", "/v1/jobs", {"exec": {"shell": "echo begun; sleep 100"}})[1]["id"]
        there = Terminal(stint, *words, str(job))
        there.says(b"begun", 20 if words[0] == "log" else 0.5)
        there.press_ctrl_c()
        claims.ok(f"ctrl_c_ends_{words[0]}", there.ends() == -signal.SIGINT, there.status)
        claims.ok(f"and_not_the_job_of_{words[0]}", daemon.ask("GET", f"/v1/jobs/{job}")[1]["state"] == "running")
        daemon.ask("POST", f"/v1/jobs/{job}/cancel", {"force": True})


def words(claims, daemon, stint):
    """What stands on the command line is understood or refused, never passed over."""
    url = "unix://" + daemon.socket
    first = str(daemon.ask("POST", "/v1/jobs?wait=10", {"exec": {"argv": ["echo", "hi"]}})[1]["id"])
    claims.ok("options_stand_before_the_verb", stint("-u", url, "log", first).stdout == "hi\n")
    claims.ok("with_their_value_attached", stint("--url=" + url, "-q", "show", first).stdout == first + "\n")
    claims.ok("help_without_a_verb", "verbs:" in stint("-u", url, "--help").stdout)
    claims.ok("no_verb_is_told", stint("-u", url).returncode == 2)
    for line in ("ls extra", "ls --limit -5", "ls --limit 0", "doctor x", "version x", "queue ls x",
                 "queue pause a b", "show 18446744073709551616", "show 0", "show -1", "log 1 2", "-u",
                 "run -C /nonexistent/.. -- true", "run -C none -- true"):
        r = stint(*line.split())
        claims.ok("refused: " + line, r.returncode == 2 and r.stderr and not r.stdout, r)
    two = json.dumps({"exec": {"argv": ["true"]}}) + "\0" + "{}"
    claims.ok("a_document_is_not_cut_at_a_byte_of_0", stint("submit", "-", text=two).returncode == 2)


def outputs(claims, daemon, stint):
    stint("queue", "set", "mail", "--concurrency", "2")
    names = stint("queue", "ls", "-o", "id").stdout.split()
    lines = [json.loads(line) for line in stint("queue", "ls", "-o", "ndjson").stdout.splitlines()]
    claims.ok("a_queue_a_line", "mail" in names and [q["name"] for q in lines] == names, names)
    r = stint("queue", "set", "mail", "--concurrency", "3", "-o", "json")
    claims.ok("a_set_queue_is_shown", json.loads(r.stdout)["concurrency"] == 3, r)
    job = str(daemon.ask("POST", "/v1/jobs?wait=10", {"exec": {"argv": ["echo", "hi"]}})[1]["id"])
    with open("/dev/full", "w") as full:
        r = subprocess.run([stint.program, "log", job], env=stint.env, stdout=full, stderr=subprocess.PIPE)
    claims.ok("a_full_disk_is_named", r.returncode == 70 and b"No space left" in r.stderr, r)


def here(claims, daemon, stint):
    """-C . is the folder of the caller."""
    folder = os.path.join(claims.folder, "here")
    os.makedirs(folder)
    r = stint("run", "-q", "-C", ".", "--", "pwd", cwd=folder)
    claims.ok("a_command_runs_here", r.stdout == os.path.realpath(folder) + "\n", r)
    claims.ok("or_in_a_folder_of_its_own", stint("run", "-q", "--", "ls", "-A", cwd=folder).stdout == "")


def tokens(claims, daemon, stint):
    """The daemon's own token file serves the client, comments and scopes included."""
    path = os.path.join(claims.folder, "tokens")
    url = f"http://127.0.0.1:{daemon.port}"
    token = open(os.path.join(daemon.state, "token")).read()
    for name, text, status in (("as_made", token, 0), ("with_a_comment", "# mine\n\n" + token, 0),
                               ("none", "# none\n", 2), ("wrong", "x" * 64, 4)):
        with open(path, "w") as f:
            f.write(text)
        r = stint("ls", "-u", url, "--token-file", path)
        claims.ok("token_file_" + name, r.returncode == status, r)


def restarts(claims, daemon, stint):
    """Who waits for a job gets its end from the daemon that comes back."""
    flag = os.path.join(claims.folder, "flag")
    line = f"echo begun; test -e {flag} && exit 7; sleep 100"
    started = [stint.spawn("run", "--", "sh", "-c", line)]
    claims.ok("its_output_comes_at_once", started[0].stdout.readline() == "begun\n")
    job = daemon.ask("GET", "/v1/jobs?limit=1")[1]["items"][0]["id"]
    started += [stint.spawn("wait", str(job)), stint.spawn("log", "-f", str(job))]
    claims.ok("the_log_is_followed", started[2].stdout.readline() == "begun\n")

    def is_waited_for():
        return b'"/v1/jobs/{id}"' in daemon.ask("GET", "/v1/debug/tasks")[1]
    claims.ok("the_job_is_waited_for", await_that(is_waited_for))
    daemon.kill()
    open(flag, "w").close()
    claims.ok("they_wait_for_the_daemon", "come back" in started[1].stderr.readline())
    daemon.start()
    run, wait, log = (p.communicate(timeout=60) + (p.returncode,) for p in started)
    claims.ok("run_passes_the_code_of_the_second_try", run[2] == 7 and f"log -f {job}" in run[1], run)
    claims.ok("wait_passes_it_too", wait[2] == 7, wait)
    claims.ok("a_cut_log_is_told", log[2] == 69 and "the job is kept" in log[1], log)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main(build):
    claims = Claims("client")
    port = free_port()
    daemon = Daemon(build, claims.folder, daemon_listen=f"127.0.0.1:{port}").start()
    daemon.port = port
    stint = Client(build, daemon)
    try:
        strangers_words(claims, daemon, stint)
        widths(claims, daemon, stint)
        words(claims, daemon, stint)
        outputs(claims, daemon, stint)
        here(claims, daemon, stint)
        tokens(claims, daemon, stint)
        interrupts(claims, daemon, stint)
        restarts(claims, daemon, stint)
        claims.ok("the_daemon_stops_cleanly", daemon.stop() == 0)
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
    return claims.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
