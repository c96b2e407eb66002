"""A host that lost its power: what was declared comes back, from the same digests, and what was under way is decided."""
import threading
import time

import pytest

from host import wait_for

CANARY = "{ strategy: canary, keep_old: 1m, drain: 1s, steps: [{ weight: 50% }, { pause: manual }, { weight: 100% }] }"


def images(host):
    return {service["name"]: service["image"] for service in host.status()["services"]}


def test_what_served_comes_back_from_the_same_digests(host):
    host.start()
    host.one_service("one")
    host.apply()
    host.one_service("two")
    host.apply()
    before = images(host)
    old = {instance["id"] for instance in host.instances("web")}
    host.power_off()
    assert host.get()[0] == 0, "nothing can answer"
    host.start()
    wait_for("two instances", lambda: len(host.instances("web", "ready")) == 2, seconds=30)
    assert host.get()[1] == "two" and images(host) == before and host.status()["active"] == 2
    assert not old & {instance["id"] for instance in host.instances("web")}, "an instance is never started twice"
    # The way back is still there, and nothing is wrong with what came back.
    host.ok("verify")
    host.ok("rollback")
    wait_for("r1 serves", lambda: host.get()[1] == "one", seconds=30)
    with host.load() as load:
        pass
    assert load.result["failed"] == 0, load.result


def test_a_release_that_had_begun_is_decided(host):
    host.start()
    host.one_service("one")
    host.apply()
    host.one_service("two", rollout=CANARY)
    host.ok("apply", "--yes", "--detach")
    wait_for("the step", lambda: host.ok("rollout", "status", "--json").json()["rollout"]["phase"] == "stepping", seconds=30)
    host.power_off()
    host.start()
    wait_for("an answer", lambda: host.get()[0] == 200, seconds=30)
    # Neither is lost, and users have what has been proven or what is being tried.
    wait_for("both fleets, or the old one",
             lambda: len(host.instances("web", "ready")) == 2 and host.status()["active"] == 1, seconds=30)
    host.run("rollout", "abort")
    wait_for("r1 alone", lambda: host.status()["rollout"] is None, seconds=30)
    assert {host.get()[1] for _ in range(20)} == {"one"}


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15])
def test_a_power_cut_within_a_release_completes_or_changes_nothing(host, seconds):
    host.start()
    host.one_service("one")
    host.apply()
    host.one_service("two")
    applying = threading.Thread(target=lambda: host.run("apply", "--yes"), daemon=True)
    applying.start()
    wait_for("it has begun", lambda: host.ok("rollout", "status", "--json").json()["rollout"] or host.status()["active"] == 2)
    time.sleep(seconds)
    host.power_off()
    applying.join(timeout=60)
    host.start()
    wait_for("it is decided", lambda: (host.status()["rollout"] or {"phase": "baking"})["phase"] == "baking", seconds=60)
    wait_for("both instances", lambda: len(host.instances("web", "ready")) == 2, seconds=30)
    word = {1: "one", 2: "two"}[host.status()["active"]]
    assert {host.get()[1] for _ in range(20)} == {word}
