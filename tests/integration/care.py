#!/usr/bin/env python3
"""Care for the store: old jobs go, a copy is made under load and restored, damage is found.

care.py BUILD-DIR
"""
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon, await_that  # noqa: E402

HELD = {"exec": {"argv": ["true"], "stdin": "x" * 2000}, "hold": True}
ECHO = {"exec": {"argv": ["echo", "gone soon"]}}
SUBMITTERS = 4


def removed(daemon):
    for line in daemon.ask("GET", "/metrics")[1].decode().splitlines():
        if line.startswith("stint_jobs_removed_total "):
            return int(line.split()[1])
    return -1


def retention(claims, build, folder):
    os.makedirs(folder)
    conf = os.path.join(folder, "conf")
    daemon = Daemon(build, folder)
    daemon.env["STINTD_CONFIG"] = conf

    def keep(**settings):
        with open(conf, "w") as f:
            f.write("[jobs]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()))
    keep()
    daemon.start()
    batch = daemon.ask("POST", "/v1/jobs", [ECHO] * 40)[1]["items"]
    failed = daemon.ask("POST", "/v1/jobs?wait=30", {
        "exec": {"argv": ["false"]}, "retry": {"max_attempts": 1}})[1]["id"]
    daemon.settle()
    logs = os.path.join(daemon.state, "log")
    claims.ok("ended_jobs_stay_by_default", removed(daemon) == 0 and len(os.listdir(logs)) >= 40,
              os.listdir(logs))
    keep(keep_succeeded="1s")
    daemon.process.send_signal(signal.SIGHUP)
    claims.ok("a_reload_removes_what_is_too_old", await_that(lambda: removed(daemon) == 40), removed(daemon))
    claims.ok("they_are_gone", all(daemon.ask("GET", f"/v1/jobs/{j['id']}")[0] == 404 for j in batch))
    claims.ok("their_logs_too", os.listdir(logs) == [], os.listdir(logs))
    claims.ok("failed_ones_stay", daemon.ask("GET", f"/v1/jobs/{failed}")[0] == 200)
    daemon.stop()


def submit_until(daemon, stop, ids, worst):
    while not stop.is_set():
        began = time.monotonic()
        status, answer = daemon.ask("POST", "/v1/jobs", HELD)
        worst.append(time.monotonic() - began)
        if status == 201:
            ids.append(answer["id"])


def copy_and_restore(claims, build, folder):
    os.makedirs(folder)
    daemon = Daemon(build, folder).start()
    stint = os.path.join(build, "stint")
    env = {**os.environ, "STINT_URL": "unix://" + daemon.socket}
    for _ in range(4):
        daemon.ask("POST", "/v1/jobs", [HELD] * 1000)
    stop, ids, worst = threading.Event(), [], []
    threads = [threading.Thread(target=submit_until, args=(daemon, stop, ids, worst))
               for _ in range(SUBMITTERS)]
    for t in threads:
        t.start()
    await_that(lambda: len(ids) >= 200)
    flag = os.path.join(folder, "flag")
    running = daemon.ask("POST", "/v1/jobs", {
        "exec": {"shell": f"echo $STINT_FENCE; while ! test -e {flag}; do sleep 0.02; done"}})[1]["id"]
    await_that(lambda: daemon.ask("GET", f"/v1/jobs/{running}/log")[1] == b"1\n")
    before = sorted(ids)
    copy = subprocess.run([stint, "backup", "copy.db"], cwd=folder, env=env, capture_output=True, text=True)
    after = len(ids)
    claims.ok("a_copy_is_made_under_load", copy.returncode == 0 and "bytes" in copy.stdout, copy)
    again = subprocess.run([stint, "backup", "copy.db"], cwd=folder, env=env, capture_output=True, text=True)
    claims.ok("nothing_is_overwritten", again.returncode == 5 and "is there already" in again.stderr, again)
    stop.set()
    for t in threads:
        t.join()
    claims.ok("submissions_went_on_meanwhile", after > len(before), f"{len(before)} {after}")
    healthy = subprocess.run([stint, "doctor"], env=env, capture_output=True, text=True)
    later = daemon.ask("POST", "/v1/jobs?wait=30", ECHO)[1]["id"]
    with open(flag, "w"):
        claims.ok("what_ran_meanwhile_ends", daemon.ask("GET", f"/v1/jobs/{running}?wait=30")[1]["state"] == "succeeded")
    claims.ok("the_doctor_says_it_is_sound", healthy.returncode == 0 and "is sound" in healthy.stdout, healthy)
    busy = doctor(build, daemon.state)
    claims.ok("stintd_doctor_keeps_away_from_a_running_daemon", busy.returncode == 75 and
              f"stint -u unix://{daemon.state}/stint.sock doctor" in busy.stderr, busy)
    daemon.kill()

    for name in ("stint.db", "stint.db-wal", "stint.db-shm"):
        path = os.path.join(daemon.state, name)
        if os.path.exists(path):
            os.unlink(path)
    os.rename(os.path.join(folder, "copy.db"), os.path.join(daemon.state, "stint.db"))
    sound = doctor(build, daemon.state)
    claims.ok("the_restored_store_is_sound", sound.returncode == 0 and "is sound" in sound.stdout, sound)
    daemon.start()
    missing = [i for i in before + list(range(1, 4001)) if daemon.ask("GET", f"/v1/jobs/{i}")[0] != 200]
    claims.ok("all_that_was_acknowledged_before_is_in_it", before and not missing, missing[:10])
    again = daemon.ask("GET", f"/v1/jobs/{running}?wait=30")[1]
    claims.ok("what_ran_when_it_was_made_runs_again",
              (again["state"], again["crashes"], again["fence"]) == ("succeeded", 1, 2), again)
    claims.ok("what_came_after_it_is_forgotten", daemon.ask("GET", f"/v1/jobs/{later}")[0] == 404)
    while daemon.ask("POST", "/v1/jobs", HELD)[1]["id"] < later - 1:
        pass
    silent = daemon.ask("POST", "/v1/jobs?wait=30", {"exec": {"argv": ["true"]}})[1]["id"]
    claims.ok("a_job_that_has_its_id_has_not_its_log", silent == later and
              daemon.ask("GET", f"/v1/jobs/{silent}/log")[1] == b"", silent)
    fresh = daemon.ask("POST", "/v1/jobs?wait=30", ECHO)[1]
    claims.ok("and_it_goes_on", fresh.get("state") == "succeeded", fresh)
    daemon.stop()
    return daemon


def cut_copy(claims, build, folder):
    """A daemon that is killed in the middle of a copy leaves nothing that is in the way of the next."""
    os.makedirs(folder)
    daemon = Daemon(build, folder).start()
    copy = os.path.join(folder, "copy.db")
    for _ in range(10):
        daemon.ask("POST", "/v1/jobs", [HELD] * 1000)

    def cut():
        """Whether the copy was under way when the daemon was killed."""
        begun = subprocess.Popen([os.path.join(build, "stint"), "-u", "unix://" + daemon.socket, "backup", copy],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(copy + ".partial") and begun.poll() is None:
            pass
        daemon.kill()
        begun.wait()
        daemon.start()
        whole = os.path.exists(copy)
        if whole:
            os.unlink(copy)
        return os.path.exists(copy + ".partial") and not whole
    claims.ok("a_copy_can_be_cut_off", any(cut() for _ in range(20)))
    again = subprocess.run([os.path.join(build, "stint"), "-u", "unix://" + daemon.socket, "backup", copy],
                           capture_output=True, text=True)
    claims.ok("the_next_copy_takes_its_name", again.returncode == 0 and not os.path.exists(copy + ".partial"), again)
    for left in copy, copy + ".partial":
        if os.path.exists(left):
            os.unlink(left)
    with open(copy + ".partial", "w") as f:
        f.write("mine")
    again = subprocess.run([os.path.join(build, "stint"), "-u", "unix://" + daemon.socket, "backup", copy],
                           capture_output=True, text=True)
    claims.ok("what_is_no_copy_is_told_with_what_to_do", again.returncode == 5 and
              "choose another name, or remove it" in again.stderr and open(copy + ".partial").read() == "mine", again)
    daemon.stop()


def doctor(build, state):
    env = {**os.environ, "STINTD_CONFIG": "/dev/null"}
    return subprocess.run([os.path.join(build, "stintd"), "--state", state, "--doctor"],
                          env=env, capture_output=True, text=True)


def snapshot(state):
    """What is in the folder: nothing that only looks may change it."""
    found = {}
    for name in os.listdir(state):
        path = os.path.join(state, name)
        info = os.stat(path)
        found[name] = (info.st_size, info.st_mode, info.st_mtime_ns,
                       open(path, "rb").read() if os.path.isfile(path) else sorted(os.listdir(path)))
    return found


def looking(claims, build, folder):
    """A check changes nothing: not a store that was not closed, nor one of an older version."""
    os.makedirs(folder)
    daemon = Daemon(build, folder).start()
    daemon.ask("POST", "/v1/jobs", [HELD] * 20)
    daemon.kill()
    os.unlink(daemon.socket)
    before = snapshot(daemon.state)
    claims.ok("a_killed_daemon_leaves_a_log", before["stint.db-wal"][0] > 0)
    seen = doctor(build, daemon.state)
    claims.ok("a_store_that_was_not_closed_is_looked_at", seen.returncode == 0 and "is sound" in seen.stdout, seen)
    claims.ok("its_log_stays_as_it_is", snapshot(daemon.state) == before)
    path = os.path.join(daemon.state, "stint.db")
    subprocess.run([sys.executable, "-c", f"""
import os, sqlite3
db = sqlite3.connect({path!r})
db.execute("DELETE FROM doc WHERE id=7")
db.commit()
os._exit(0)"""], check=True)
    seen = doctor(build, daemon.state)
    claims.ok("what_only_the_log_has_is_seen", seen.returncode == 1 and "job 7" in seen.stdout, seen)

    db = sqlite3.connect(path)
    newest = db.execute("PRAGMA user_version").fetchone()[0]
    db.execute("INSERT INTO doc SELECT 7" + db.execute(
        "SELECT group_concat(',' || name, '') FROM pragma_table_info('doc') WHERE name <> 'id'").fetchone()[0] +
        " FROM doc WHERE id=8")
    db.commit()
    db.close()
    older(path)
    before = snapshot(daemon.state)
    seen = doctor(build, daemon.state)
    claims.ok("an_older_store_is_looked_at", seen.returncode == 0 and "is sound" in seen.stdout and
              f"of schema 3: a start keeps a copy of it and brings it to {newest}" in seen.stdout, seen)
    claims.ok("and_stays_older", snapshot(daemon.state) == before)
    os.unlink(os.path.join(daemon.state, "lock"))
    claims.ok("no_lock_file_is_made", doctor(build, daemon.state).returncode == 0 and
              not os.path.exists(os.path.join(daemon.state, "lock")))
    daemon.start()
    claims.ok("a_start_brings_it_on", os.path.exists(path + ".v3") and
              daemon.ask("GET", "/v1/jobs/20")[0] == 200, os.listdir(daemon.state))
    daemon.stop()


def older(path):
    """Takes the store back to schema 3, as storage/schema.c does."""
    db = sqlite3.connect(path)
    if db.execute("PRAGMA user_version").fetchone()[0] >= 4:
        db.execute("ALTER TABLE queue DROP COLUMN key_concurrency")
    db.execute("PRAGMA user_version = 3")
    db.commit()
    db.close()


def damage(claims, build, daemon):
    path = os.path.join(daemon.state, "stint.db")
    db = sqlite3.connect(path)
    db.execute("DELETE FROM doc WHERE id=7")
    db.commit()
    db.close()
    found = doctor(build, daemon.state)
    claims.ok("a_lost_row_is_found", found.returncode == 1 and "job 7" in found.stdout, found)
    daemon.start()
    status, answer = daemon.ask("GET", "/v1/doctor")
    claims.ok("the_daemon_finds_it_too", status == 200 and not answer["healthy"] and
              any("job 7" in s for s in answer["findings"]), answer)
    daemon.stop()
    empty = os.path.join(claims.folder, "empty")
    os.makedirs(empty)
    none = doctor(build, empty)
    claims.ok("a_folder_without_a_store_is_left_alone", none.returncode == 74 and os.listdir(empty) == [], none)
    with open(os.path.join(empty, "stint.db"), "wb"):
        pass
    none = doctor(build, empty)
    claims.ok("an_empty_file_is_no_sound_store", none.returncode == 74 and "restore a backup" in none.stderr, none)
    with open(path, "r+b") as f:
        f.seek(4096 * 2)
        f.write(os.urandom(4096 * 40))
    torn = doctor(build, daemon.state)
    claims.ok("a_torn_store_is_told_with_what_to_do",
              torn.returncode == 1 and "restore a backup" in torn.stdout, torn)
    with open(path, "r+b") as f:
        f.seek(0)
        f.write(b"this is no store of ours")
    broken = doctor(build, daemon.state)
    claims.ok("a_file_that_is_no_store_is_told", broken.returncode == 1 and "restore a backup" in broken.stdout, broken)


def main():
    claims = Claims("care")
    build = os.path.abspath(sys.argv[1])
    retention(claims, build, os.path.join(claims.folder, "retention"))
    daemon = copy_and_restore(claims, build, os.path.join(claims.folder, "copy"))
    damage(claims, build, daemon)
    looking(claims, build, os.path.join(claims.folder, "look"))
    cut_copy(claims, build, os.path.join(claims.folder, "cut"))
    return claims.end()


if __name__ == "__main__":
    sys.exit(main())
