#!/usr/bin/env python3
"""What goes wrong around the daemon: bad clients, a second daemon, no descriptors, a full disk.

trouble.py BUILD-DIR. Each row: what was sent, which status, which words must be in the answer.
"""
import ctypes
import http.client
import json
import os
import resource
import select
import socket
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, await_that  # noqa: E402

BAD_INPUT = [
    ("unknown_field", "POST", "/v1/jobs", '{"exec":{"argv":["a"]},"tmieout":3}', 422, ["/tmieout", "timeout"]),
    ("unknown_field_inside", "POST", "/v1/jobs", '{"exec":{"argv":["a"],"cwdd":"/"}}', 422, ["/exec/cwdd"]),
    ("wrong_type", "POST", "/v1/jobs", '{"exec":{"argv":"ls"}}', 422, ["/exec/argv"]),
    ("two_kinds", "POST", "/v1/jobs", '{"exec":{"argv":["a"]},"http":{"url":"http://a/"}}', 422, ["exec", "http"]),
    ("no_kind", "POST", "/v1/jobs", '{"name":"x"}', 422, ["exec", "http", "file"]),
    ("empty_argv", "POST", "/v1/jobs", '{"exec":{"argv":[]}}', 422, ["/exec/argv"]),
    ("broken_json", "POST", "/v1/jobs", '{"exec":', 400, ["JSON"]),
    ("empty_body", "POST", "/v1/jobs", "", 400, []),
    ("invalid_utf8", "POST", "/v1/jobs", b'{"name":"\xff","exec":{"argv":["a"]}}', 400, ["UTF-8"]),
    ("deep_nesting", "POST", "/v1/jobs", "[" * 100000, 400, ["nest"]),
    ("bad_item_of_a_batch", "POST", "/v1/jobs", '[{"exec":{"argv":["a"]}},{"exec":{}}]', 422, ["/1/exec"]),
    ("ten_megabytes", "POST", "/v1/jobs", '{"name":"' + "x" * 10_000_000 + '"}', 413, ["bytes"]),
    ("unknown_id", "GET", "/v1/jobs/999999", None, 404, ["999999"]),
    ("id_that_is_none", "GET", "/v1/jobs/abc", None, 404, []),
    ("unknown_route", "GET", "/v1/nothing", None, 404, []),
    ("unknown_method", "DELETE", "/v1/jobs", None, 405, []),
    ("unknown_state_in_a_filter", "GET", "/v1/jobs?state=quered", None, 400, ["quered"]),
    ("cancel_of_nothing", "POST", "/v1/jobs/999999/cancel", None, 404, []),
]


def bad_input(claims, daemon):
    for name, method, url, body, status, words in BAD_INPUT:
        try:
            got, answer = daemon.ask(method, url, body)
        except (BrokenPipeError, ConnectionResetError):
            got, answer = 413 if name == "ten_megabytes" else -1, {}
            words = []
        text = json.dumps(answer) if isinstance(answer, dict) else str(answer)
        claims.ok(f"refused_{name}", got == status and all(w in text for w in words), f"{got} {text[:300]}")
    _, page = daemon.ask("GET", "/v1/jobs")
    claims.ok("nothing_of_them_was_kept", page["items"] == [], page)


def tcp_door(claims, build, folder):
    os.makedirs(folder)
    # The port is told nowhere, so choose one that is free now.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    daemon = Daemon(build, folder, daemon_listen=f"127.0.0.1:{port}").start()
    token = open(os.path.join(daemon.state, "token")).read().split()[0]

    def ask(headers, url="/v1/jobs", method="GET", body=None):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        c.request(method, url, body, headers)
        r = c.getresponse()
        r.read()
        return r.status
    good = {"Authorization": f"Bearer {token}"}
    claims.ok("no_token_is_401", ask({}) == 401)
    claims.ok("a_bad_token_is_401", ask({"Authorization": "Bearer " + "x" * len(token)}) == 401)
    claims.ok("the_token_is_let_in", ask(good) == 200)
    claims.ok("a_target_that_names_the_host_is_let_in", ask(good, f"http://127.0.0.1:{port}/v1/jobs") == 200)
    claims.ok("the_token_file_is_private", os.stat(os.path.join(daemon.state, "token")).st_mode & 0o777 == 0o600)
    claims.ok("a_page_of_another_site_is_refused", ask({**good, "Origin": "http://evil.example"}) == 403)
    claims.ok("a_foreign_host_name_is_refused", ask({**good, "Host": "evil.example"}) in (403, 421))
    claims.ok("curl_d_without_a_header_works", ask(
        {**good, "Content-Type": "application/x-www-form-urlencoded"}, method="POST",
        body='{"exec":{"argv":["true"]}}') == 201)
    daemon.stop()


def second_daemon(claims, build, daemon):
    folder = os.path.join(claims.folder, "second")
    os.makedirs(folder)
    second = Daemon(build, folder, state=daemon.state)
    second.spawn()
    status = second.process.wait(20)
    claims.ok("a_second_daemon_on_a_store_is_refused",
              status == 75 and str(daemon.process.pid) in second.log_text(), f"{status} {second.log_text()}")
    claims.ok("the_first_goes_on", daemon.ask("GET", "/readyz")[0] == 200)


def newer_store(claims, build, folder):
    os.makedirs(folder)
    daemon = Daemon(build, folder).start()
    daemon.stop()
    db = sqlite3.connect(os.path.join(daemon.state, "stint.db"))
    db.execute("PRAGMA user_version = 9999")
    db.commit()
    db.close()
    daemon.spawn()
    status = daemon.process.wait(20)
    claims.ok("a_newer_store_is_refused_and_says_so",
              status == 74 and "newer" in daemon.log_text(), f"{status} {daemon.log_text()}")


def unwritable_folder(claims, build, folder):
    os.makedirs(folder)
    blocker = os.path.join(folder, "file")
    open(blocker, "w").close()
    daemon = Daemon(build, folder, state=os.path.join(blocker, "state"))
    daemon.spawn()
    status = daemon.process.wait(20)
    claims.ok("an_unusable_folder_is_refused_by_name", status == 74 and blocker in daemon.log_text(),
              f"{status} {daemon.log_text()}")


def full_disk(claims, build, folder):
    """A small tmpfs in a mount namespace of our own."""
    os.makedirs(folder)
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newns, ms_rec_private = 0x00020000, 0x44000
    if libc.unshare(clone_newns) != 0 or libc.mount(b"none", b"/", None, ms_rec_private, None) != 0:
        claims.ok("full_disk_can_be_made_here", False, "needs root")
        return
    state = os.path.join(folder, "small")
    os.makedirs(state)
    if libc.mount(b"tmpfs", state.encode(), b"tmpfs", 0, b"size=6m") != 0:
        claims.ok("full_disk_can_be_made_here", False, "tmpfs")
        return
    daemon = Daemon(build, folder, state=state).start()
    good = daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["true"]}})[1]["id"]
    filler = open(os.path.join(state, "filler"), "wb", buffering=0)
    try:
        while True:
            filler.write(b"x" * 4096)
    except OSError:
        pass
    held = {"exec": {"argv": ["true"], "stdin": "x" * 20000}, "hold": True}
    acknowledged, refused = [good], None
    deadline = time.monotonic() + 20
    while refused is None and time.monotonic() < deadline:
        status, answer = daemon.ask("POST", "/v1/jobs", held)
        if status == 201:
            acknowledged.append(answer["id"])
        else:
            refused = (status, answer)
    claims.ok("a_full_disk_is_503", refused and refused[0] == 503, refused)
    claims.ok("not_ready_while_it_is_full", daemon.ask("GET", "/readyz")[0] == 503)
    claims.ok("reading_goes_on", daemon.ask("GET", f"/v1/jobs/{good}")[0] == 200)
    os.unlink(filler.name)
    filler.close()
    deadline = time.monotonic() + 20
    while daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["true"]}})[0] != 201:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    claims.ok("it_recovers_when_there_is_room", daemon.ask("GET", "/readyz")[0] == 200)
    missing = [i for i in acknowledged if daemon.ask("GET", f"/v1/jobs/{i}")[0] != 200]
    claims.ok("nothing_acknowledged_is_lost", not missing, missing)
    claims.ok("stops_cleanly_after_it", daemon.stop() == 0)
    libc.umount2(state.encode(), 2)


def failed_sync(claims, build, folder):
    """The disk fails a sync: the daemon ends rather than guess, and the next start knows."""
    os.makedirs(folder)
    daemon = Daemon(build, folder)
    daemon.env["STINT_FAULT"] = "store.sync:40:EIO"
    daemon.start()
    acknowledged, deadline = [], time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            status, answer = daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["true"]}})
            if status == 201:
                acknowledged.append(answer["id"])
    except (OSError, http.client.HTTPException):
        pass
    claims.ok("a_failed_sync_ends_the_daemon", daemon.process.wait(20) == 74, daemon.log_text())
    del daemon.env["STINT_FAULT"]
    daemon.start()
    claims.ok("the_next_start_finishes_what_was_cut", daemon.settle())
    lost = [i for i in acknowledged if daemon.ask("GET", f"/v1/jobs/{i}")[1].get("state") != "succeeded"]
    claims.ok("nothing_acknowledged_before_it_is_lost", acknowledged and not lost, lost[:5])
    daemon.stop()


def processor_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def out_of_descriptors(claims, build, folder):
    """Clients wait in the door's queue while no descriptor can be had, and cost nothing there."""
    os.makedirs(folder)
    daemon = Daemon(build, folder).start()
    pid = daemon.process.pid
    most = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 9
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
    clients = []

    def connect():
        c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        c.connect(daemon.socket)
        clients.append(c)
        return c

    while len(clients) < 60:
        connect()
    claims.ok("a_daemon_out_of_descriptors_says_so",
              await_that(lambda: "api.accept" in daemon.log_text()), daemon.log_text())
    late = connect()
    late.settimeout(30)
    late.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    before = processor_seconds(pid)
    select.select([late], [], [], 1)
    used = processor_seconds(pid) - before
    claims.ok("who_waits_for_a_descriptor_costs_no_processor", used <= 0.1, f"{used} s in a second")
    claims.ok("and_says_so_rarely", daemon.log_text().count("api.accept") <= 2, daemon.log_text())
    for c in clients[:-1]:
        c.close()
    answer = late.recv(100)
    claims.ok("a_client_that_waited_is_served_when_there_are_descriptors", b" 200 " in answer, answer)
    claims.ok("and_so_is_the_next", daemon.ask("GET", "/readyz")[0] == 200)
    late.close()
    claims.ok("it_stops_cleanly_after_that", daemon.stop() == 0)


def cli_exit_codes(claims, build, daemon):
    stint = os.path.join(build, "stint")

    def run(*words, url=f"unix://{daemon.socket}"):
        return subprocess.run([stint, *words], env={**os.environ, "STINT_URL": url},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
    rows = [
        (("run", "-q", "--", "true"), 0), (("run", "-q", "--", "sh", "-c", "exit 9"), 9),
        (("run", "-q", "--", "sh", "-c", "kill -KILL $$"), 137), (("show", "999999"), 3),
        (("nonsense",), 2), (("ls", "--nonsense"), 2), (("show", "x"), 2), (("ls", "-o", "xml"), 2),
        (("submit", "/nowhere.json"), 2), (("run", "-q", "--", "/no/such/program"), 127),
        (("run", "-q", "--", "no-such-program"), 127), (("run", "-q", "--", "/etc/passwd"), 126),
        (("submit", "--wait", "-q", "--", "/etc/passwd"), 126), (("run", "-q", "--", "sh", "-c", "no-such"), 127),
        (("run", "-q", "-C", "/no/such/folder", "--", "true"), 1),
        (("run", "-o", "json", "--", "true"), 2), (("log", "-o", "json", "1"), 2), (("version", "-o", "json"), 0),
    ]
    for words, status in rows:
        done = run(*words)
        claims.ok(f"cli_exits_{status}_for_{'_'.join(words[:4]).replace(' ', '_')}"[:70],
                  done.returncode == status, f"{done.returncode} {done.stderr}")
    told = [
        (("show", "999999"), ["/v1/jobs/999999: ", "no job"]),
        (("run", "--timeout", "3x", "--", "true"), ["/timeout: must be a duration", '"3x"']),
        (("queue", "set", "q", "--concurrency", "-3"), ["/concurrency: must be"]),
        (("queue", "set", "q", "--concurrency", "few"), ["--concurrency few: must be a whole number"]),
        (("queue", "set", "q"), ["needs --concurrency"]), (("queue", "frob"), ["pause NAME"]),
        (("queue", "pause"), ["needs a queue's name"]),
        (("log", "1", "-o", "json"), ["-o does nothing for log", "ls, show, wait"]),
        (("run", "--", "/no/such/program"), ["cannot run /no/such/program: No such file or directory"]),
        (("run", "--", "/etc/passwd"), ["cannot run /etc/passwd: Permission denied"]),
    ]
    for words, parts in told:
        said = run(*words).stderr
        claims.ok(f"cli_tells_what_is_wrong_with_{'_'.join(words)}"[:70],
                  all(part in said for part in parts) and said.count(parts[-1]) == 1, said)
    held = run("submit", "--hold", "--", "true").stdout.strip()
    claims.ok("cli_wait_times_out_with_124", run("wait", "--timeout", "300ms", held).returncode == 124)
    claims.ok("cli_cancels_the_held_job", run("cancel", held).returncode == 0)
    claims.ok("cli_cancel_again_is_no_error", run("cancel", held).returncode == 0)
    claims.ok("cli_without_a_daemon_exits_69", run("ls", url="unix:///nowhere.sock").returncode == 69)


def main():
    build = sys.argv[1]
    claims = Claims("trouble")
    folder = os.path.join(claims.folder, "first")
    os.makedirs(folder)
    daemon = Daemon(build, folder).start()
    bad_input(claims, daemon)
    second_daemon(claims, build, daemon)
    cli_exit_codes(claims, build, daemon)
    claims.ok("a_stop_is_clean", daemon.stop() == 0)
    tcp_door(claims, build, os.path.join(claims.folder, "tcp"))
    out_of_descriptors(claims, build, os.path.join(claims.folder, "descriptors"))
    newer_store(claims, build, os.path.join(claims.folder, "newer"))
    unwritable_folder(claims, build, os.path.join(claims.folder, "unwritable"))
    failed_sync(claims, build, os.path.join(claims.folder, "sync"))
    full_disk(claims, build, os.path.join(claims.folder, "full"))
    return claims.end()


if __name__ == "__main__":
    sys.exit(main())
