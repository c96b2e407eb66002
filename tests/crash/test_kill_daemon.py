"""kill -9 of the real daemon at every journal step: before each commit is written and after each is on disk.

strace ends the process at the n-th such system call of the thread that decides. Whatever the step was, requests go on
being answered by a whole revision, the next daemon brings the rollout to an end, and nothing is left over.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from host import INGOT, wait_for

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="SKIP: strace is not installed")

ROLLOUT = "{ keep_old: 0s, drain: 1s }"


def control_thread(host):
    for task in pathlib.Path(f"/proc/{host.daemon.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "control":
            return task.name
    raise AssertionError("the daemon has no thread named control")


class Tracer:
    """strace on the control thread, from before the command until the daemon has ended or close()."""

    def __init__(self, host, *options):
        self.output = host.base / "strace"  # a pipe that nobody reads would hold the daemon up
        self.process = subprocess.Popen(["strace", "-p", control_thread(host), "-e", "trace=pwrite64,fdatasync",
                                         "-y", "-o", str(self.output), *options], stderr=subprocess.PIPE, text=True)
        assert "attached" in self.process.stderr.readline()

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)
        return self.output.read_text()


def journal_steps(host, do):
    """How often each call was made before every commit of the journal or the record, one entry per commit."""
    tracer = Tracer(host)
    do()
    settle(host)
    writes, before = 0, []
    seen_write = False
    for line in tracer.close().splitlines():
        if "state.db" not in line:
            continue
        if line.startswith("pwrite64"):
            writes += 1
            if not seen_write:
                before.append(writes)
            seen_write = True
        elif line.startswith("fdatasync"):
            seen_write = False
    return before


def settle(host):
    def done():
        status = host.status()
        return (status["rollout"] is None or status["rollout"]["phase"] == "baking") and not status["problems"] \
            and all(s["ready"] == s["desired"] for s in status["services"]) \
            and all(r["role"] in ("active", "warm") for r in status["revisions"])

    wait_for("everything has come to its end", done, 20)


def left_over(host):
    """What there is of the root beyond the instances that its daemon knows."""
    status = host.status()
    known = {i["id"] for part in (status["services"], status["fleets"]) for s in part for i in s["instances"]}
    count = len(known)
    found = {
        "instances": len(os.listdir(host.root / "run" / "i")),
        "remembered": len(os.listdir(host.root / "run" / "fleets")),
        "slots": len([name for name in os.listdir(host.root / "run" / "ns") if name.endswith(".held")]),
        "id ranges": sum(host.key() in line for line in pathlib.Path("/run/ingot-ids/ranges").read_text().splitlines()),
    }
    traces = host.traces()
    found["conmons"] = sum(trace.startswith("process conmon ") for trace in traces)
    routers = sum(trace.startswith("process haproxy") for trace in traces)
    return {name: number for name, number in found.items() if number != count} | \
        ({"routers": routers} if routers != 1 else {})


def cgroups(host):
    found = set()
    for directory, folders, _ in os.walk("/sys/fs/cgroup"):
        if directory.endswith(f"/ingot-{host.key()}"):
            found |= set(folders)
            folders.clear()
    return found


def killed_at(host, call, n, command):
    """Runs the command with the daemon killed at that call; False when it was not reached."""
    tracer = Tracer(host, "-e", f"inject={call}:signal=SIGKILL:when={n}")
    process = subprocess.Popen([str(INGOT), *command], cwd=host.project, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env={**os.environ, "INGOT_ROOT": str(host.root)})
    try:
        deadline = time.monotonic() + 15
        while host.daemon.poll() is None and time.monotonic() < deadline:
            if process.poll() is not None and quiet(host):
                return False
            time.sleep(0.01)
        assert host.daemon.poll() is not None, f"the daemon neither died nor came to rest at {call} {n}"
        return True
    finally:
        process.wait(timeout=20)
        tracer.close()


def quiet(host):
    done = host.run("status", "--json")
    if done.code != 0:
        return False
    status = done.json()
    return (status["rollout"] is None or status["rollout"]["phase"] == "baking") and not status["fleets"] \
        and all(r["role"] == "active" for r in status["revisions"])


def check_after(host, point):
    host.start()
    began = time.monotonic()
    answers = {host.get()[1] for _ in range(20)}
    settle(host)
    took = time.monotonic() - began
    active = host.status()["services"][0]["revision"]
    final = {host.get()[1] for _ in range(20)}
    assert len(final) == 1, (point, final)
    assert None not in answers, (point, answers)
    deadline = time.monotonic() + 10
    while (left := left_over(host)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, (point, left)
    known = {i["name"] for s in host.status()["services"] for i in s["instances"]}
    assert len(cgroups(host)) == len(known), (point, cgroups(host), known)
    return active, final.pop(), took


def scenario_apply(host, n):
    host.one_service(f"v{n}", rollout=ROLLOUT)
    return ["apply", "--yes"]


def scenario_failing_apply(host, n):
    host.one_service(f"bad{n}", rollout=ROLLOUT, env='HEALTH: "500"', deadline="600ms")
    return ["apply", "--yes"]


def scenario_rollback(host, n):
    """Back to a revision whose instances are gone."""
    host.one_service(f"v{n}", rollout=ROLLOUT)
    host.apply()
    wait_for("rest", lambda: quiet(host))
    return ["rollback"]


SCENARIOS = {"apply": scenario_apply, "failing apply": scenario_failing_apply, "rollback": scenario_rollback}


@pytest.mark.parametrize("name", SCENARIOS)
def test_at_every_journal_step(served, name):
    scenario = SCENARIOS[name]
    served.one_service("first", rollout=ROLLOUT)
    served.apply()
    served.one_service("second", rollout=ROLLOUT)
    served.apply()
    settle(served)
    wait_for("rest", lambda: quiet(served))

    command = scenario(served, 0)

    def dry():
        done = served.run(*command, timeout=30)
        assert done.code == (5 if name == "failing apply" else 0), done
        wait_for("rest", lambda: quiet(served))

    before = journal_steps(served, dry)
    assert len(before) >= 8, before
    points = [("pwrite64", at) for at in before] + [("fdatasync", n + 1) for n in range(len(before))]
    killed, slowest = 0, 0.0
    with served.load(rate=200) as load:
        for n, (call, at) in enumerate(points, 1):
            point = f"{name}: {call} {at}"
            if killed_at(served, call, at, scenario(served, n)):
                killed += 1
                _, answer, took = check_after(served, point)
                slowest = max(slowest, took)
                assert not answer.startswith("bad"), point
            wait_for("rest", lambda: quiet(served))
    print(f"\n{name}: {killed} kills at {len(points)} points, at most {slowest:.2f} s from the daemon's answer to the end")
    assert killed >= len(points) * 3 // 4, "most points are reached"
    assert load.result["failed"] == 0, load.result
    assert not [seen for seen in load.result["seen"] if seen.startswith("bad")], load.result["seen"]
    if name == "apply":  # a rollback brings former revisions back
        one_after_the_other(load.result["seen"])


def one_after_the_other(seen):
    """Revisions take turns: no request is answered by one long after its successor has begun to answer (I4)."""
    if any(entry["count"] == 0 for entry in seen.values()):
        return
    order = sorted((entry["first_ns"], entry["last_ns"], name) for name, entry in seen.items() if name.startswith("v"))
    for (_, last, name), (first, _, successor) in zip(order, order[1:]):
        assert last - first < 1e9, f"{name} answered {(last - first) / 1e6:.0f} ms after {successor} began"
