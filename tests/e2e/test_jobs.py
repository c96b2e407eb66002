"""Jobs through the real daemon and crun: exit codes, limits, retries, schedules, kills, artifacts; `ingot run`."""
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from host import INGOT, wait_for

JOBS = """
version: 1
project: shop
images:
  app: {{ build: . }}
services:
  web:
    image: app
    replicas: 1
    port: 8080
    environment: {{ REVISION: {revision} }}
    health: {{ ready: {{ http: /healthz, deadline: 5s }} }}
    rollout: {{ keep_old: 2s, drain: 1s }}
jobs:
  say: {{ image: app, command: [/app, job], concurrency: allow, uses: [web], scratch: [/tmp], environment: {{ WHO: definition }} }}
  alone: {{ image: app, command: [/app, job] }}
  short: {{ image: app, command: [/app, job], timeout: 500ms }}
  again: {{ image: app, command: [/app, job, print=try], retries: 1 }}
  make: {{ image: app, command: [/app, job], artifacts: [/out], scratch: [{{ path: /out, size: 1MiB }}] }}
  replaced: {{ image: app, command: [/app, job], concurrency: replace }}
{more}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
"""


def define(host, revision="one", more=""):
    host.define(JOBS.format(revision=revision, more=more))


@pytest.fixture
def served(host):
    define(host)
    host.start()
    host.apply()
    return host


def begin(host, job, *words):
    return host.ok("job", "run", "--detach", "--json", job, "--", *words).json()["run"]


def status(host, run):
    return host.ok("job", "status", "--json", str(run)).json()


def ended(host, run, seconds=30):
    return wait_for(f"run {run} has ended", lambda: (lambda s: s if s["phase"] == "ended" else None)(status(host, run)), seconds)


def running(host, run):
    wait_for(f"run {run} runs", lambda: status(host, run)["started"] is not None)


def kinds(host):
    return [(e["kind"], e["detail"].get("run")) for e in map(json.loads, host.ok("events", "--json").out.splitlines())
            if e["kind"].startswith("job.")]


def instances_left(host):
    return [p.name for p in (host.root / "run" / "i").iterdir() if ".web." not in p.name]


def nothing_left(host):
    wait_for("nothing is left of runs", lambda: not instances_left(host))
    for place in ("run/fleets", "run/crun", "run/exits"):
        assert not [p.name for p in (host.root / place).iterdir() if ".web." not in p.name], place
    assert not [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                if str(host.root / "run" / "i") in line]
    left = [t for t in host.traces() if t.startswith("process ") and ".web." not in t and "shop.local." in t]
    assert not left, left


def test_a_run_writes_ends_and_leaves_nothing(served):
    done = served.run("job", "run", "say", "--env", "WHO=me", "--", "print=hello", "warn=careful", "env=WHO", "get=web:8080", "exit=7")
    assert done.code == 7, done
    assert done.out.splitlines() == ["hello", "me", "one"], done
    assert "careful" in done.err and "failed (7)" in done.err, done
    run = served.ok("job", "ls", "--json").json()["runs"][0]
    assert (run["outcome"], run["exit_code"], run["attempts"], run["phase"]) == ("failed", 7, 1, "ended")
    assert served.run("job", "run", "say", "--json", "--", "env=WHO").json()["outcome"] == "succeeded"
    logs = served.ok("job", "logs", str(run["run"])).out
    assert "hello" in logs and "me" in logs and "careful" in served.ok("job", "logs", str(run["run"])).err
    assert "hello" in served.ok("logs", "say").out
    nothing_left(served)
    first = [kind for kind, of in kinds(served) if of == run["run"]]
    assert first == ["job.queued", "job.started", "job.failed"], first
    # A root that is not writable, and no name that was not declared.
    assert served.run("job", "run", "say", "--", "write=/x:1").code == 93
    assert served.run("job", "run", "alone", "--", "get=web:8080").out == "unknown host\n"
    refused = served.run("job", "run", "nothing", "--json")
    assert refused.code == 1 and refused.json()["error"]["code"] == "not_found", refused


def test_a_run_beyond_its_time_is_ended_and_one_that_fails_is_repeated(served):
    done = served.run("job", "run", "short", "--", "ignore", "sleep=60000")
    assert done.code == 124, done
    assert "did not end within 500 ms" in done.err
    again = begin(served, "again", "exit=4")
    document = ended(served, again)
    assert (document["outcome"], document["attempts"], document["failures"], document["exit_code"]) == ("failed", 2, 2, 4)
    assert served.ok("job", "logs", str(again)).out.count("try") == 2
    assert ("job.retrying", again) in kinds(served)
    nothing_left(served)


def test_what_cannot_be_run_says_so(served):
    define(served, more="  broken: { image: app, command: [/nothing] }")
    served.apply()
    done = served.run("job", "run", "broken")
    assert done.code == 125 and "executable file `/nothing` not found" in done.err, done
    nothing_left(served)


def test_runs_are_refused_go_beside_or_take_the_place(served):
    first = begin(served, "alone", "sleep=60000")
    refused = served.run("job", "run", "alone", "--detach")
    assert refused.code == 1 and f"run {first} of alone goes on" in refused.err, refused
    beside = [begin(served, "say", "sleep=60000") for _ in range(3)]
    for run in beside:
        running(served, run)
    old = begin(served, "replaced", "sleep=60000")
    running(served, old)
    new = begin(served, "replaced", "sleep=60000")
    assert ended(served, old)["outcome"] == "cancelled"
    running(served, new)
    for run in [first, new, *beside]:
        done = served.ok("job", "cancel", "--wait", "--json", str(run)).json()
        assert (done["outcome"], done["phase"]) == ("cancelled", "ended")
    assert served.run("job", "cancel", str(first)).code == 1
    nothing_left(served)


def test_artifacts_are_copied_out_and_nothing_else(served):
    secret = served.base / "secret"
    secret.write_text("not for you")
    done = served.run("job", "run", "make", "--json", "--", "write=/out/report.txt:numbers", "mkdir=/out/deep",
                      "write=/out/deep/more:more", f"link=/out/link:{secret}", "sparse=/out/sparse", "print=made")
    assert done.code == 0, done
    run = str(done.json()["run"])
    target = served.base / "artifacts"
    copied = served.ok("job", "artifacts", run, str(target), "--json").json()
    assert copied["files"] == 2 and copied["size_bytes"] == len("numbersmore"), copied
    assert (target / "out/report.txt").read_text() == "numbers" and (target / "out/deep/more").read_text() == "more"
    assert sorted(p.name for p in target.rglob("*")) == ["deep", "more", "out", "report.txt"]
    left_out = " ".join(copied["left_out"])
    assert "/out/link: a symbolic link" in left_out and "/out/sparse: larger" in left_out, copied
    assert served.run("job", "artifacts", run, str(target)).code == 1  # not empty
    none = served.run("job", "run", "alone", "--json", "--", "print=x").json()["run"]
    missing = served.run("job", "artifacts", str(none), str(served.base / "none"))
    assert missing.code == 1 and "declares no artifacts" in missing.err, missing
    nothing_left(served)


def test_a_schedule_begins_runs_by_itself(served):
    define(served, more='  tick: { image: app, command: [/app, job, print=tick], schedule: "* * * * *" }')
    served.apply()
    listed = {job["job"]: job for job in served.ok("job", "ls", "--json").json()["jobs"]}
    assert listed["tick"]["next"] is not None and listed["say"]["next"] is None
    run = wait_for("a run by schedule", lambda: served.ok("job", "ls", "tick", "--json").json()["runs"], 70)[0]
    assert run["actor"] == "ingot" and run["due"].endswith(":00.000Z")
    assert ended(served, run["run"])["outcome"] == "succeeded"


def test_a_daemon_that_is_killed_finds_its_runs_again(served):
    goes_on = begin(served, "say", "print=before", "sleep=1500", "print=after", "exit=5")
    ends_meanwhile = begin(served, "say", "sleep=300", "exit=6")
    late = begin(served, "make", "write=/out/kept:kept", "sleep=1500")
    for run in (goes_on, ends_meanwhile, late):
        running(served, run)
    served.kill_daemon(signal.SIGKILL)
    time.sleep(0.6)
    served.start()
    for run, code in ((ends_meanwhile, 6), (goes_on, 5), (late, 0)):
        document = ended(served, run)
        assert (document["exit_code"], document["attempts"]) == (code, 1), document
    out = served.ok("job", "logs", str(goes_on)).out
    assert "before" in out and "after" in out
    served.ok("job", "artifacts", str(late), str(served.base / "kept"))
    assert (served.base / "kept/out/kept").read_text() == "kept"
    nothing_left(served)


def test_a_daemon_killed_at_any_moment_loses_no_run_and_runs_none_twice_at_a_time(served):
    runs = []
    for round_number in range(8):
        starter = threading.Thread(target=lambda: [served.run("job", "run", "--detach", "say", "--", "sleep=50", "exit=0")
                                                   for _ in range(4)])
        starter.start()
        time.sleep(0.05 * round_number)
        served.kill_daemon(signal.SIGKILL)
        starter.join()
        served.start()
    wait_for("every run has ended", lambda: not served.ok("job", "ls", "--json").json()["open"], 60)
    runs = served.ok("job", "ls", "--json").json()["runs"]
    assert runs and all(run["outcome"] == "succeeded" for run in runs), runs
    events = kinds(served)
    for run in runs:
        assert events.count(("job.succeeded", run["run"])) == 1, run
    nothing_left(served)


def test_an_environment_takes_its_runs_with_it(served):
    run = begin(served, "alone", "sleep=60000")
    running(served, run)
    served.ok("destroy", "--yes")
    assert status(served, run)["outcome"] == "cancelled"
    assert not instances_left(served)


def test_run_passes_streams_signals_and_the_exit_code(served):
    base = [str(INGOT), "run", "app"]
    environment = {**os.environ, "INGOT_ROOT": str(served.root)}

    def run(*words, **options):
        return subprocess.run([*base, *words], env=environment, capture_output=True, text=True, timeout=60, **options)

    done = run("--", "/app", "job", "cat", "warn=done", "exit=9", input="some words\n" * 20000)
    assert done.returncode == 9 and done.stdout == "SOME WORDS\n" * 20000 and done.stderr == "done\n"
    done = run("-e", "WHO=me", "--", "/app", "job", "env=WHO")
    assert (done.returncode, done.stdout) == (0, "me\n"), done
    done = run("--timeout", "300ms", "--", "/app", "job", "sleep=60000")
    assert done.returncode == 124 and "did not end within 300 ms" in done.stderr, done
    assert run("--", "/nothing").returncode == 125
    assert run("--", "/app", "job", "write=/x:1").returncode == 93
    assert run("--scratch", "/tmp", "--", "/app", "job", "write=/tmp/x:1").returncode == 0
    process = subprocess.Popen([*base, "--", "/app", "job", "interrupt", "exit=3"], env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, "interrupted\n")
    # Killed, it takes everything with it.
    process = subprocess.Popen([*base, "--", "/app", "job", "print=up", "sleep=60000"], env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.communicate(timeout=30)
    assert run("--", "/app", "job", "print=again").stdout == "again\n"
    wait_for("nothing is left", lambda: not [t for t in served.traces() if "/sb/" in t or "-sb/" in t or "run-" in t])
    assert not [p for p in (served.root / "run" / "sb").iterdir()]
    # A file that is given as standard output stays who it was.
    target = served.base / "out.txt"
    with open(target, "w") as out:
        subprocess.run([*base, "--", "/app", "job", "print=text"], env=environment, stdout=out, timeout=60, check=True)
    assert target.read_text() == "text\n" and target.stat().st_uid == os.getuid()


def test_many_runs_some_killed_at_random_each_end_once(served):
    """INGOT_JOBS sets how many. One in twenty loses its program or its supervisor; the daemon is killed twice on the way."""
    count = int(os.environ.get("INGOT_JOBS", "60"))
    define(served, more='  work: { image: app, command: [/app, job, sleep=150], concurrency: allow, retries: 3 }')
    served.apply()
    chance = random.Random(7)
    hit, looked_at, begun = 0, set(), set()

    def hurt():
        nonlocal hit
        for bundle in (served.root / "run" / "i").glob("shop.local.work.*"):
            if bundle.name in looked_at or not (bundle / "pid").exists():
                continue
            looked_at.add(bundle.name)
            if chance.random() >= 0.05 and hit:
                continue
            try:  # of an instance that has ended meanwhile there is none: the pid file goes with it
                pid = int((bundle / chance.choice(["pid", "conmon.pid"])).read_text())
                if served.key().encode() in pathlib.Path("/proc", str(pid), "cgroup").read_bytes() or \
                        str(bundle).encode() in pathlib.Path("/proc", str(pid), "cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    hit += 1
            except (OSError, ValueError):
                pass

    api = Api(served)
    deaths = [count // 3, 2 * count // 3]
    while len(begun) < count:
        if len(api.open()) < 12:
            begun.add(api.begin("work"))
        hurt()
        if deaths and len(begun) >= deaths[0]:
            deaths.pop(0)
            served.kill_daemon(signal.SIGKILL)
            served.start()

    def calm():
        hurt()
        return not api.open()

    wait_for("every run has ended", calm, 120)
    assert hit > 0
    ends = {}
    for kind, run in kinds(served):
        if kind in ("job.succeeded", "job.failed", "job.timed_out", "job.cancelled", "job.lost"):
            ends.setdefault(run, []).append(kind)
    # A request whose answer the kill took may have begun one more.
    assert begun <= set(ends) and all(len(kind) == 1 for kind in ends.values()), ends
    assert all(kind == ["job.succeeded"] for kind in ends.values()), ends
    nothing_left(served)


class Api:
    def __init__(self, host):
        self.path = str(host.root / "run" / "api.sock")

    def call(self, method, target, body=None):
        connection = http.client.HTTPConnection("ingot")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        connection.request(method, "/v1/projects/shop/environments/local" + target, body)
        answer = json.load(connection.getresponse())
        connection.close()
        return answer

    def begin(self, job):
        return self.call("POST", "/jobs/" + job)["run"]

    def open(self):
        return self.call("GET", "/jobs")["open"]
