"""Warm spares: ready instances that get no request until they are needed, through the real HAProxy and crun."""
import json
import os
import signal
import time

import pytest

from host import wait_for

BOOT_MS = 3000
SPARES = "scale: { spares: 1 }"


def instances(host, held, state="ready"):
    return {i["name"]: i for i in host.instances("web", state) if i.get("held", False) == held}


def define(host, revision="one", extra=SPARES, replicas=2, boot_ms=BOOT_MS):
    host.one_service(revision=revision, replicas=replicas, extra=extra, env=f"LISTEN_AFTER_MS: \"{boot_ms}\"", deadline="20s")


def has_spare(host):
    return len(instances(host, True)) == 1


@pytest.fixture
def shop(host):
    define(host)
    host.start()
    host.apply()
    wait_for("a spare", lambda: has_spare(host))
    return host


def count_served(host):
    return len(instances(host, False))


def answering(host, requests=40):
    """Who answers, by the name that each instance has for itself."""
    return {host.get("/read?/proc/sys/kernel/hostname")[2].strip() for _ in range(requests)}


def test_a_spare_gets_no_request_and_takes_a_place_at_once(shop):
    status = shop.ok("status").out
    assert "web: 2 + 1 spare\n" in status and "r1 spare" in status, status
    spare = next(iter(instances(shop, True)))
    with shop.load(rate=200) as load:
        assert answering(shop) == set(instances(shop, False)), "and the spare never"
        began = time.monotonic()
        shop.ok("scale", "web=3")
        wait_for("three serve", lambda: count_served(shop) == 3)
        took = time.monotonic() - began
        # A start takes BOOT_MS and more; two runs of the client are in this, too.
        assert took < BOOT_MS / 1000, took
        assert spare in instances(shop, False) and spare in answering(shop)
        wait_for("another spare behind it", lambda: has_spare(shop))
    assert load.result["failed"] == 0, load.result
    # What is scaled away ends; the spare stays one.
    spare = set(instances(shop, True))
    shop.ok("scale", "web=2")
    wait_for("two serve", lambda: len(shop.instances("web")) == 3)
    assert set(instances(shop, True)) == spare
    assert shop.status()["active"] == 1, "counts and spares are no part of a revision"


def test_a_dead_instance_is_replaced_by_the_spare_also_by_the_next_daemon(shop):
    victim = next(iter(instances(shop, False).values()))
    began = time.monotonic()
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for("two serve again", lambda: victim["name"] not in instances(shop, False) and count_served(shop) == 2)
    assert time.monotonic() - began < BOOT_MS / 1000
    wait_for("another spare", lambda: has_spare(shop))
    # A daemon that is killed finds its spare again, held as it was, and the one that dies meanwhile.
    before = {held: set(instances(shop, held)) for held in (True, False)}
    victim = next(iter(instances(shop, False).values()))
    shop.kill_daemon()
    os.kill(victim["pid"], signal.SIGKILL)
    shop.start()
    wait_for("two serve again", lambda: victim["name"] not in instances(shop, False) and count_served(shop) == 2, seconds=BOOT_MS / 1000)
    assert before[True] <= set(instances(shop, False)), "the spare has taken the place"
    with shop.load(rate=200) as load:
        pass
    assert load.result["failed"] == 0, load.result


def test_a_release_and_a_rollback_do_not_wait_for_spares(shop):
    with shop.load(rate=200) as load:
        define(shop, revision="two")
        done = shop.apply()
        assert done["rollout"]["phase"] in ("baking", "completed"), done
        assert shop.get()[1] == "two"
        # The new fleet gets its own after the switch; the old one, which is warm, has none.
        wait_for("its spare", lambda: has_spare(shop))
        status = shop.status()
        assert [i for fleet in status["fleets"] for i in fleet["instances"] if i.get("held")] == []
        shop.ok("rollback")
        assert shop.get()[1] == "one"
        wait_for("a spare of the former one", lambda: has_spare(shop) and shop.status()["active"] == 1)
    assert load.result["failed"] == 0, load.result


def test_spares_that_die_say_nothing_about_what_serves(host):
    define(host, boot_ms=0, extra="")
    host.start()
    host.apply()
    define(host, boot_ms=0)
    host.apply()
    wait_for("a spare", lambda: has_spare(host))
    for _ in range(2):
        spare = next(iter(instances(host, True).values()))
        os.kill(spare["pid"], signal.SIGKILL)
        # One look for both: between two of them the dead one may leave.
        wait_for("another one", lambda: (now := instances(host, True)) and spare["name"] not in now)
    service = host.status()["services"][0]
    assert not service["degraded"] and service["ready"] == 2, service
    events = map(json.loads, host.ok("events", "--json").out.splitlines())
    lost = [e["detail"] for e in events if e["kind"] == "instance.lost"]
    assert len(lost) == 2 and all(one["spare"] for one in lost), lost


def test_a_spare_that_stops_answering_is_replaced_while_it_is_held(host):
    """Without a liveness check, and nothing of it ends: only its readiness says so."""
    define(host, boot_ms=0)
    host.start()
    host.apply()
    wait_for("a spare", lambda: has_spare(host))
    spare = next(iter(instances(host, True).values()))
    os.kill(spare["pid"], signal.SIGSTOP)
    try:
        wait_for("another one", lambda: (now := instances(host, True)) and spare["name"] not in now)
    finally:
        try:
            os.kill(spare["pid"], signal.SIGCONT)
        except ProcessLookupError:
            pass
    lost = [e["detail"] for e in map(json.loads, host.ok("events", "--json").out.splitlines()) if e["kind"] == "instance.lost"]
    assert len(lost) == 1 and lost[0]["spare"] and "became unhealthy: GET /healthz" in lost[0]["reason"], lost
    service = host.status()["services"][0]
    assert not service["degraded"] and service["ready"] == 2, service
    # What serves without a liveness check is not asked on, as ever: also one that was a spare.
    spare = next(iter(instances(host, True)))
    host.ok("scale", "web=3")
    wait_for("it serves, and another spare", lambda: spare in instances(host, False) and has_spare(host))
    pid = instances(host, False)[spare]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        # Longer than the readiness of a held one takes to be lost, which the first part has shown.
        time.sleep(6)
        assert spare in instances(host, False)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_cannot_have_spares_is_refused_with_its_place(host):
    host.one_service(extra="scale: { spares: 1 }", rollout="{ strategy: recreate }")
    done = host.run("validate")
    assert done.code == 2 and "services.web.scale.spares" in done.err and "ingot.yaml:" in done.err, done
