#!/usr/bin/env python3
"""A disk that is read-only, and one that becomes so under a working daemon: readonly.py BUILD-DIR.

Mounts in a namespace of its own, so it needs root. The second disk is ext4 on a loop device, whose
driver is told of an error, after which the kernel takes it for read-only at once, as it would
after a real one; a mere remount is refused while a file is open for writing. Such a disk comes back
by way of a repair and a new mount alone. Where no loop device can be had, that part is left out.
"""
import ctypes
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, await_that  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_RDONLY, MS_REMOUNT, MS_REC_PRIVATE = 0x00020000, 1, 32, 0x44000
ECHO = {"exec": {"argv": ["echo", "hi"]}}


def mount(source, target, kind, flags, data):
    return LIBC.mount(source and source.encode(), target.encode(), kind and kind.encode(), flags,
                      data and data.encode()) == 0


def doctor(build, state):
    return subprocess.run([os.path.join(build, "stintd"), "--state", state, "--doctor"], capture_output=True,
                          text=True, env={**os.environ, "STINTD_CONFIG": "/dev/null"})


def start_on_it(claims, build, folder):
    """Also of a store that was not closed: there is a log that only a start could copy."""
    disk = os.path.join(folder, "disk")
    os.makedirs(disk)
    if not claims.ok("a_disk_can_be_mounted", mount("tmpfs", disk, "tmpfs", 0, "size=64m")):
        return
    daemon = Daemon(build, folder, state=os.path.join(disk, "state")).start()
    job = daemon.ask("POST", "/v1/jobs?wait=30", ECHO)[1]["id"]
    daemon.kill()
    mount(None, disk, None, MS_REMOUNT | MS_RDONLY, None)
    daemon.spawn()
    status, said = daemon.process.wait(20), daemon.log_text()
    claims.ok("a_start_on_a_read_only_disk_says_so", status == 74 and daemon.state in said and
              "Read-only file system" in said, f"{status} {said}")
    seen = doctor(build, daemon.state)
    claims.ok("the_doctor_reads_it_all_the_same", seen.returncode == 0 and "is sound" in seen.stdout, seen)
    mount(None, disk, None, MS_REMOUNT, None)
    daemon.start()
    claims.ok("nothing_is_lost_by_it", daemon.ask("GET", f"/v1/jobs/{job}")[1]["state"] == "succeeded")
    claims.ok("it_stops_cleanly", daemon.stop() == 0)
    LIBC.umount2(disk.encode(), 2)


def loop_disk(folder, image, disk):
    """The device's name, or None."""
    made = subprocess.run(f"truncate -s 64M {image} && mkfs.ext4 -q -F {image} && "
                          f"mount -o loop,errors=remount-ro {image} {disk}", shell=True, capture_output=True, text=True)
    name = subprocess.run(["findmnt", "-no", "SOURCE", disk], capture_output=True, text=True).stdout.strip()
    trigger = f"/sys/fs/ext4/{os.path.basename(name)}/trigger_fs_error"
    if made.returncode == 0 and os.access(trigger, os.W_OK):
        return trigger
    print(f"     no loop device with ext4 here, so no disk that turns read-only: {made.stderr.strip()}")
    return None


def under_a_daemon(claims, build, folder):
    image, disk = os.path.join(folder, "image"), os.path.join(folder, "disk")
    os.makedirs(disk)
    trigger = loop_disk(folder, image, disk)
    if trigger is None:
        return
    flag = os.path.join(folder, "flag")
    slow = {"exec": {"shell": f"echo begun; while ! test -e {flag}; do sleep 0.02; done"}}
    daemon = Daemon(build, folder, state=os.path.join(disk, "state")).start()
    ended = [daemon.ask("POST", "/v1/jobs?wait=30", ECHO)[1]["id"] for _ in range(5)]
    running = daemon.ask("POST", "/v1/jobs", slow)[1]["id"]
    held = daemon.ask("POST", "/v1/jobs", {**ECHO, "hold": True})[1]["id"]
    await_that(lambda: daemon.ask("GET", f"/v1/jobs/{running}/log")[1] == b"begun\n")
    subprocess.run(["sync", "-f", disk], check=True)  # as the error is to meet an idle disk
    with open(trigger, "w") as f:
        f.write("1")

    answers = [daemon.ask("POST", "/v1/jobs", ECHO) for _ in range(3)]
    claims.ok("submissions_are_503_and_say_why", all(
        status == 503 and "read-only" in a["detail"] and "nothing was changed" in a["detail"] and a["retryable"]
        for status, a in answers), answers)
    claims.ok("so_are_changes", daemon.ask("POST", f"/v1/jobs/{held}/release")[0] == 503)
    claims.ok("it_is_not_ready", daemon.ask("GET", "/readyz")[0] == 503)
    claims.ok("it_is_alive", daemon.ask("GET", "/healthz")[0] == 200)
    claims.ok("jobs_are_read", all(daemon.ask("GET", f"/v1/jobs/{i}")[1]["state"] == "succeeded" for i in ended))
    claims.ok("lists_are_read", len(daemon.ask("GET", "/v1/jobs")[1]["items"]) == 7)
    claims.ok("logs_are_read", daemon.ask("GET", f"/v1/jobs/{ended[0]}/log")[1] == b"hi\n")
    open(flag, "w").close()
    claims.ok("an_end_waits_for_the_store", await_that(
        lambda: "store.refused" in daemon.log_text() and "Read-only file system" in daemon.log_text()) and
        daemon.ask("GET", f"/v1/jobs/{running}")[1]["state"] == "running", daemon.log_text())
    claims.ok("it_stops_cleanly_all_the_same", daemon.stop() == 0, daemon.log_text())
    claims.ok("and_says_what_will_run_again", "engine.ends_lost" in daemon.log_text(), daemon.log_text())

    repaired = subprocess.run(f"umount {disk} && e2fsck -fy {image}; mount -o loop {image} {disk}", shell=True,
                              capture_output=True, text=True)
    daemon.start()
    claims.ok("a_repaired_disk_has_all_that_was_acknowledged",
              all(daemon.ask("GET", f"/v1/jobs/{i}")[1]["state"] == "succeeded" for i in ended) and
              daemon.ask("GET", f"/v1/jobs/{held}")[1]["state"] == "held", repaired)
    end = daemon.ask("GET", f"/v1/jobs/{running}?wait=30")[1]
    claims.ok("what_lost_its_end_runs_again", (end["state"], end["crashes"]) == ("succeeded", 1), end)
    claims.ok("nothing_refused_was_kept", len(daemon.ask("GET", "/v1/jobs")[1]["items"]) == 7)
    claims.ok("the_last_stop_is_clean", daemon.stop() == 0)
    subprocess.run(["umount", disk], check=False)


def main():
    build = os.path.abspath(sys.argv[1])
    claims = Claims("readonly")
    if os.geteuid() != 0:
        print("     mounting needs root: nothing was tried")
    elif claims.ok("a_namespace_can_be_had", LIBC.unshare(CLONE_NEWNS) == 0 and
                   mount("none", "/", None, MS_REC_PRIVATE, None)):
        start_on_it(claims, build, os.path.join(claims.folder, "start"))
        under_a_daemon(claims, build, os.path.join(claims.folder, "under"))
    return claims.end()


if __name__ == "__main__":
    sys.exit(main())
