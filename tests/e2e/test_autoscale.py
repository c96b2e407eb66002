"""Counts that follow the load, through the real HAProxy and cgroups."""
import json
import time

import pytest

from host import wait_for

BY_REQUESTS = "scale: { min: 1, max: 4, target: { requests: 50 }, cooldown: 3s }"


def count(host):
    return len([i for i in host.instances("web") if i["state"] == "ready"])


def stays(host, wanted, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert count(host) == wanted
        time.sleep(0.1)


def scalings(host):
    events = map(json.loads, host.ok("events", "--json").out.splitlines())
    return [e for e in events if e["kind"] == "service.scaled" and e["actor"] == "autoscaler"]


@pytest.fixture
def served(host):
    host.one_service(replicas=1, extra=BY_REQUESTS)
    host.start()
    host.apply()
    return host


def test_a_count_follows_the_requests_up_and_down(served):
    # 140 requests/s take three instances at 50 each.
    with served.load(rate=140) as load:
        wait_for("three instances", lambda: count(served) == 3, seconds=30)
        # A release keeps the count, and its fleet begins with it.
        served.one_service(revision="two", replicas=1, extra=BY_REQUESTS)
        served.apply()
        assert served.get()[1] == "two"
        stays(served, 3, seconds=5)
    assert load.result["failed"] == 0, load.result
    up = scalings(served)
    assert [e["detail"]["to"] for e in up][-1] == 3, up
    assert "where 50/s are wanted" in up[-1]["detail"]["reason"], up
    with served.load(rate=10) as load:
        wait_for("one instance", lambda: len(served.instances("web")) == 1, seconds=30)
    assert load.result["failed"] == 0, load.result
    assert served.status()["active"] == 2, "a count is no part of a revision"


def test_bounds_hold_for_everybody(served):
    done = served.run("scale", "web=9")
    assert done.code != 0 and "1 to 4" in done.err and "definition" in done.err, done
    served.ok("scale", "web=2")
    wait_for("two instances", lambda: count(served) == 2)
    # Narrower bounds make no revision; the count follows them.
    served.one_service(replicas=3, extra="scale: { min: 3, max: 4, target: { requests: 50 }, cooldown: 3s }")
    assert "web from 2 to 3" in served.ok("plan").out
    served.apply()
    wait_for("three instances", lambda: count(served) == 3, seconds=30)
    assert served.status()["active"] == 1


def test_without_it_the_declared_count_holds_again(served):
    with served.load(rate=140):
        wait_for("three instances", lambda: count(served) == 3, seconds=30)
    served.one_service(replicas=1)
    assert "web from 3 to 1" in served.ok("plan").out
    served.apply()
    wait_for("one instance", lambda: len(served.instances("web")) == 1)
    assert served.status()["active"] == 1


def test_a_count_follows_a_queue(host):
    length = host.base / "length"
    length.write_text("190\n")
    host.one_service(replicas=1, extra="scale: { min: 1, max: 6, cooldown: 3s, target: { queue: { run: [cat, %s], "
                                       "each: 50, interval: 200ms } } }" % length)
    host.start()
    host.apply()
    wait_for("four instances", lambda: count(host) == 4, seconds=30)
    assert "queue 190, of which 50 are one instance's" in scalings(host)[-1]["detail"]["reason"], scalings(host)
    # What nobody can see takes nothing away, and the log says why.
    length.write_text("many\n")
    wait_for("a word in the log", lambda: 'it printed no number but "many"' in (host.base / "daemon.log").read_text(), seconds=30)
    stays(host, 4, seconds=5)
    length.write_text("0\n")
    wait_for("one instance", lambda: len(host.instances("web")) == 1, seconds=30)


def test_a_restarted_daemon_goes_on(served):
    with served.load(rate=140) as load:
        wait_for("three instances", lambda: count(served) == 3, seconds=30)
        served.kill_daemon()
        served.start()
        wait_for("three instances", lambda: count(served) == 3)
        stays(served, 3, seconds=4)
    assert load.result["failed"] == 0, load.result


@pytest.mark.parametrize("scale, words", [
    ("{ min: 3, max: 2, target: { cpu: 50% } }", "min 3 is more than max 2"),
    ("{ min: 1, target: { cpu: 50% } }", "missing key \"max\""),
    ("{ min: 1, max: 2 }", "nothing to scale by"),
    ("{ min: 1, max: 2, target: { memory: 50% } }", "resources: with memory"),
    ("{ min: 1, max: 2, target: { queue: { run: [cat, /x] } } }", "missing key \"each\""),
    ("{ min: 1, max: 2, target: { queue: { each: 5 } } }", "prometheus"),
    ("{ min: 1, max: 2, target: { queue: { each: 5, run: x, query: up } } }", "query stands beside prometheus only"),
])
def test_what_cannot_be_is_refused_with_its_place(host, scale, words):
    host.one_service(replicas=1, extra="scale: " + scale)
    done = host.run("validate")
    assert done.code == 2 and words in done.err and "ingot.yaml:" in done.err, done


def test_a_count_follows_the_load_as_far_as_the_host_has_room(host):
    total = int(open("/proc/meminfo").readline().split()[1]) * 1024
    most = f"resources: {{ memory: {total // 10 * 4 >> 20}MiB }}"
    length = host.base / "length"
    length.write_text("1\n")
    host.one_service(replicas=1, extra="%s\n    scale: { min: 1, max: 6, cooldown: 3s, target: { queue: { run: [cat, %s], "
                                       "each: 1, interval: 200ms } } }" % (most, length))
    host.start()
    host.apply()
    length.write_text("9\n")
    wait_for("as many as fit", lambda: count(host) == 2, seconds=30)
    stays(host, 2, seconds=3)
    assert [e["detail"]["to"] for e in scalings(host)] == [2]
    wait_for("a word in the log", lambda: "but only 2 have room" in (host.base / "daemon.log").read_text(), seconds=30)
