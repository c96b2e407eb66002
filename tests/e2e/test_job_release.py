"""Jobs of `on: release`, through the real daemon and crun."""
import json
import threading
import time

import pytest

from host import wait_for
from test_jobs import JOBS, ended

RELEASE = "  tell: {{ image: app, command: [/app, job, env=REVISION, {words}], on: release, environment: {{ REVISION: {revision} }} }}"


def define(host, revision, words="print=told"):
    host.define(JOBS.format(revision=revision, more=RELEASE.format(revision=revision, words=words)))


def runs(host):
    """The runs of `tell` that are for a release, the oldest first."""
    listed = host.ok("job", "ls", "tell", "--json").json()["runs"]
    return [run for run in reversed(listed) if run["rollout"]]


def one_more(host, count):
    wait_for(f"{count} runs", lambda: len(runs(host)) == count)
    return ended(host, runs(host)[-1]["run"])


def test_each_release_begins_one_run_of_what_it_has_released(host):
    define(host, "one")
    host.start()
    host.apply()
    first = one_more(host, 1)
    assert (first["outcome"], first["revision"], first["rollout"], first["actor"]) == ("succeeded", 1, 1, "ingot"), first
    written = host.ok("job", "logs", str(first["run"])).out
    assert "one" in written and "told" in written, written
    assert "on release" in host.ok("job", "ls").out
    # The same again is no release; a second revision is.
    host.apply()
    define(host, "two")
    host.apply()
    second = one_more(host, 2)
    assert (second["revision"], second["rollout"]) == (2, 2), second
    assert "two" in host.ok("job", "logs", str(second["run"])).out
    # Going back is none.
    host.ok("rollback")
    wait_for("r1 serves", lambda: host.status()["active"] == 1)
    # One that fails is told, and reverts nothing.
    define(host, "three", words="exit=3")
    host.apply()
    third = one_more(host, 3)
    assert (third["outcome"], third["exit_code"]) == ("failed", 3), third
    assert host.status()["active"] == 3 and host.get()[1] == "three"
    kinds = [e["kind"] for e in map(json.loads, host.ok("events", "--json").out.splitlines())]
    assert "job.failed" in kinds and "rollout.reverted" not in kinds


def test_a_release_that_is_reverted_begins_none(host):
    define(host, "one")
    host.start()
    host.apply()
    one_more(host, 1)
    define(host, "bad")
    written = (host.project / "ingot.yaml").read_text()
    host.define(written.replace("{ REVISION: bad }", "{ REVISION: bad, HEALTH: 500 }", 1))
    assert host.run("apply", "--yes").code == 5
    assert len(runs(host)) == 1


@pytest.mark.parametrize("after", [0, 0.05, 0.15, 0.3])
def test_a_daemon_that_is_killed_around_the_switch_neither_loses_nor_doubles_it(host, after):
    define(host, "one")
    host.start()
    host.apply()
    one_more(host, 1)
    define(host, "two")
    applying = threading.Thread(target=lambda: host.run("apply", "--yes"))
    applying.start()

    def moved():
        events = map(json.loads, host.ok("events", "--json").out.splitlines())
        return [e for e in events if e["kind"] in ("rollout.verifying", "rollout.baking") and e["detail"]["to"] == "r2"]

    wait_for("the second rollout is under way", moved)
    time.sleep(after)
    host.kill_daemon()
    applying.join()
    host.start()
    # What was cut off while it was being proven may be taken back; then nothing was released.
    wait_for("it has ended", lambda: (host.status()["rollout"] or {"phase": "baking"})["phase"] == "baking")
    released = host.status()["active"] == 2
    if released:
        second = one_more(host, 2)
        assert (second["outcome"], second["rollout"]) == ("succeeded", 2), second
    host.kill_daemon()
    host.start()
    time.sleep(1)
    assert len(runs(host)) == (2 if released else 1)
