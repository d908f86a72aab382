#!/usr/bin/env python3
"""What the documents promise, tried: options, examples, variables, and every route of openapi.json.

manual.py BUILD-DIR
"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from stint_daemon import Claims, Daemon  # noqa: E402

VERBS = "run submit ls show log wait cancel retry hold release queue backup doctor".split()
# Put into the pages by tests/lint/man.sh.
HIDDEN = {"--manual", "--manual-jobs"}


def text_of(path):
    with open(path) as f:
        return f.read()


def page_options(page):
    """Long options that a page has as such."""
    found = set()
    for line in text_of(page).splitlines():
        if re.match(r"\.(It|Fl|Op|Oo|Cm)\b", line):
            found |= {"--" + name for name in re.findall(r"(?:Fl|\|) -?((?<=-)[a-z][a-z-]+)", line)}
            found |= {"--" + name for name in re.findall(r", -([a-z][a-z-]+)", line)}
    return found


def options(claims, build):
    def helped(*words):
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return set(re.findall(r"^ +(?:-., )? *(--[a-z][a-z-]*)", text, re.M))

    of_stint = set().union(*(helped(f"{build}/stint", verb, "--help") for verb in VERBS))
    for page, known in ("man/stint.1", of_stint | {"--version"}), ("man/stintd.8", helped(f"{build}/stintd", "--help")):
        told = page_options(page)
        claims.ok(f"{page}_has_every_option", not known - told, known - told)
        claims.ok(f"{page}_has_no_other", not told - known, told - known)


def examples(claims, build, daemon):
    """The README's first jobs, in a folder with something to make."""
    folder = os.path.join(claims.folder, "first")
    os.makedirs(folder)
    with open(os.path.join(folder, "Makefile"), "w") as f:
        f.write("all:\n\t@echo made here\n")
    env = {**os.environ, "PATH": os.path.abspath(build) + ":" + os.environ["PATH"]}

    def block(title):
        part = text_of("README.md").split("## " + title, 1)[1].split("##", 1)[0]
        lines = [line[4:] for line in part.splitlines() if line.startswith("    ") and "stintd --state" not in line]
        return "\n".join(lines).replace("/tmp/stint/stint.sock", daemon.socket)

    def run(script):
        r = subprocess.run(["bash", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
        return r.returncode, r.stdout, r.stderr
    status, out, err = run(block("A first job, by curl"))
    claims.ok("the_first_job_by_curl", status == 0 and '"state":"succeeded"' in out, out + err)
    status, out, err = run(block("A first job, by the command line").replace("convert in.png", "cat Makefile #"))
    claims.ok("the_first_job_by_the_command_line",
              status == 0 and out.startswith("made here\n") and "images" in out, out + err)


def variables(claims, daemon):
    page = text_of("man/stint-jobs.7").split(".Sh COMMANDS", 1)[1].split(".Sh", 1)[0]
    told = set(re.findall(r"\b(STINT_[A-Z_]+|PATH|HOME|LANG)\b", page))
    first = daemon.ask("POST", "/v1/jobs?wait=10", {"exec": {"argv": ["env"]}, "name": "n"})[1]["id"]
    job = daemon.ask("POST", f"/v1/jobs/{first}/retry")[1]["id"]
    daemon.ask("GET", f"/v1/jobs/{job}?wait=10")
    got = {line.split("=")[0] for line in daemon.ask("GET", f"/v1/jobs/{job}/log")[1].decode().splitlines()}
    claims.ok("a_command_has_the_variables_of_the_manual", told == got, told ^ got)


class Description:
    """openapi.json, strict: what it does not name is not there."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.doc = daemon.ask("GET", "/openapi.json")[1]
        self.schemas = self.doc["components"]["schemas"]
        self.wrong, self.asked = [], set()

    def resolve(self, node):
        while "$ref" in node:
            found = self.doc
            for part in node["$ref"].split("/")[1:]:
                found = found[part]
            if node["$ref"].endswith("/Job"):
                # It has what the submission said, too.
                found = {**found, "properties": {**self.schemas["Submission"]["properties"], **found["properties"]}}
            node = found
        return node

    def faults(self, schema, value, at=""):
        schema = self.resolve(schema)
        if "oneOf" in schema:
            tried = [self.faults(s, value, at) for s in schema["oneOf"]]
            return [] if [] in tried else min(tried, key=len)
        if "enum" in schema and value not in schema["enum"] or value != schema.get("const", value):
            return [f"{at}: {value!r}"]
        names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number",
                 type(None): "null"}
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        mine = names[type(value)]
        if types and mine not in types and not (mine == "integer" and "number" in types):
            return [f"{at}: {mine}, not {types}"]
        if isinstance(value, list):
            return [f for i, v in enumerate(value) for f in self.faults(schema.get("items", {}), v, f"{at}/{i}")]
        if not isinstance(value, dict) or not ("properties" in schema or "additionalProperties" in schema):
            return []
        found = [f"{at}: lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, v in value.items():
            part = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            found += [f"{at}/{name} is not described"] if part is None else self.faults(part, v, f"{at}/{name}")
        return found

    def ask(self, method, path, body=None, headers=None, expect=200, **values):
        """A request by the path of the description; its answer must be as described."""
        url = path.format(**values) + values.get("query", "")
        status, answer = self.daemon.ask(method, url, body, headers)
        answers = self.doc["paths"][path][method.lower()]["responses"]
        self.asked.add((method, path))
        where = f"{method} {url} {status}"
        if status != expect:
            self.wrong.append(f"{where}: expected {expect}: {answer}")
        if str(status) not in answers and status < 400:
            self.wrong.append(f"{where}: no such answer is described")
        node = self.resolve(answers.get(str(status), answers.get("default", {})))
        for kind, content in node.get("content", {}).items():
            if "json" in kind:
                self.wrong += [f"{where} {fault}" for fault in self.faults(content["schema"], answer)]
        return answer


def routes(claims, daemon):
    api, held = Description(daemon), {"exec": {"argv": ["true"]}, "hold": True}
    full = {**held, "name": "n", "queue": "q", "priority": 1, "key": "k", "tags": ["t"], "timeout": "1m", "start_by": "1h",
            "retry": {"max_attempts": 2, "base": "1s", "factor": 2, "cap": "1m"}, "retry_for": "1d", "delay": "1s"}
    work = {"worker": {"payload": 1}, "name": "w", "key": "k", "tags": ["t"]}
    one, lease = "/v1/jobs/{id}", "/v1/leases/{id}"
    first = api.ask("POST", "/v1/jobs", full, expect=201)["id"]
    api.ask("POST", "/v1/jobs", [held, held], expect=201)
    api.ask("POST", "/v1/jobs", held, {"Prefer": "return=minimal"}, expect=201)
    api.ask("POST", "/v1/jobs", {**held, "durability": "relaxed"}, {"Prefer": "return=minimal"}, expect=201)
    api.ask("POST", "/v1/jobs", [held, {}], expect=422)
    api.ask("POST", "/v1/jobs", [held, {}], query="?atomic=false")
    api.ask("POST", "/v1/jobs", held, query="?wait=0.01", expect=202)
    ended = api.ask("POST", "/v1/jobs", {"exec": {"argv": ["echo", "a"]}}, query="?wait=10")["id"]
    api.ask("POST", "/v1/jobs", {"http": {"url": "http://127.0.0.1:1/"}, "retry": 1}, query="?wait=10")
    api.ask("POST", "/v1/jobs", {"file": {"op": "remove", "from": "/nowhere/x"}, "retry": 1}, query="?wait=10")
    api.ask("POST", "/v1/jobs", "{", expect=400)
    api.ask("GET", "/v1/jobs")
    api.ask("GET", "/v1/jobs", query="?limit=0", expect=400)
    api.ask("GET", one, id=ended)
    api.ask("GET", one, id=first, query="?wait=0.01", expect=202)
    api.ask("GET", one, id=ended, headers={"If-None-Match": "*"}, expect=304)
    api.ask("GET", one, id=999999, expect=404)
    api.ask("GET", one + "/log", id=ended)
    api.ask("GET", one + "/log", id=ended, headers={"Range": "bytes=0-0"}, expect=206)
    api.ask("GET", one + "/log", id=ended, headers={"Range": "bytes=9-"}, expect=416)
    api.ask("GET", one + "/attempts", id=ended)
    api.ask("POST", one + "/release", id=first)
    api.ask("POST", one + "/hold", id=first)
    api.ask("POST", one + "/cancel", {"grace": "1s"}, id=first)
    api.ask("POST", one + "/cancel", id=ended, expect=409)
    api.ask("POST", one + "/hold", id=ended, expect=409)
    api.ask("POST", one + "/release", id=ended, expect=409)
    api.ask("POST", one + "/retry", id=ended, expect=201)
    running = daemon.ask("POST", "/v1/jobs", {"exec": {"argv": ["sleep", "60"]}})[1]["id"]
    api.ask("POST", one + "/cancel", id=running, expect=202)
    ends = (("complete", {"result": {"x": 1}}), ("fail", {"error": "e", "retry": True, "retry_after": "1h"}),
            ("snooze", {"for": "1h"}))
    daemon.ask("POST", "/v1/jobs", [work] * 2 * len(ends))
    for many in False, True:
        for verb, body in ends:
            got = api.ask("POST", "/v1/leases", {"max": 1})["items"][0]
            body = {**body, "fence": got["fence"]}
            if many:
                both = [{**body, "id": got["id"]}, {"id": 999999, "fence": 1}]
                api.ask("POST", "/v1/leases/renew", [{"id": b["id"], "fence": b["fence"]} for b in both])
                api.ask("POST", "/v1/leases/" + verb, both)
            else:
                api.ask("POST", lease + "/renew", {"fence": got["fence"]}, id=got["id"])
                api.ask("POST", f"{lease}/{verb}", body, id=got["id"])
                api.ask("POST", lease + "/renew", {"fence": 99}, id=got["id"], expect=409)
    api.ask("PUT", "/v1/queues/{name}", {"concurrency": 2}, name="q")
    api.ask("PATCH", "/v1/queues/{name}", {"paused": True}, name="q")
    api.ask("PATCH", "/v1/queues/{name}", {"bogus": True}, name="q", expect=422)
    for path in "/v1/queues", "/v1/doctor", "/v1/debug/tasks", "/healthz", "/readyz", "/metrics", "/openapi.json":
        api.ask("GET", path)
    api.ask("GET", "/v1/queues/{name}", name="q")
    api.ask("GET", "/v1/queues/{name}", name="none", expect=404)
    api.ask("GET", "/v1/debug/trace", query="?for=0.01")
    copy = os.path.join(daemon.folder, "copy.db")
    api.ask("POST", "/v1/backup", {"path": copy}, expect=201)
    api.ask("POST", "/v1/backup", {"path": copy}, expect=409)
    claims.ok("every_answer_is_as_described", not api.wrong, "\n  ".join(api.wrong))
    described = {(m.upper(), p) for p, o in api.doc["paths"].items() for m in o if m != "parameters"}
    claims.ok("every_route_was_asked", described == api.asked, described ^ api.asked)


def main(build):
    claims = Claims("manual")
    options(claims, build)
    daemon = Daemon(build, claims.folder).start()
    try:
        examples(claims, build, daemon)
        variables(claims, daemon)
        routes(claims, daemon)
        claims.ok("the_daemon_stops_cleanly", daemon.stop() == 0)
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
    return claims.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
