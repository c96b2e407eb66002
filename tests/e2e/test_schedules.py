"""Counts that follow the time of day. The real clock is nobody's to set here, so the schedules are written around it."""
import datetime
import json

import pytest

from host import wait_for


def count(host):
    return len([i for i in host.instances("web") if i["state"] == "ready"])


def around(now, minutes):
    at = now + datetime.timedelta(minutes=minutes)
    return f"{at.minute} {at.hour} * * *"


def schedules(earlier, later, more=""):
    """`earlier` since half an hour, `later` from in half an hour on."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return f'scale: {{ min: 1, max: 4, {more} schedules: [{{ at: "{around(now, 30)}", min: {later} }}, ' \
           f'{{ at: "{around(now, -30)}", min: {earlier} }}] }}'


def test_the_schedule_in_force_decides_and_is_taken_up_by_a_daemon_that_was_away(host):
    host.one_service(replicas=1)
    host.start()
    host.apply()
    host.one_service(replicas=1, extra=schedules(3, 1))
    shown = host.ok("plan").out
    assert 'web: 3 instances by "' in shown and "until" in shown, shown
    with host.load() as load:
        host.apply()
        wait_for("three instances", lambda: count(host) == 3, seconds=30)
        status = host.status()
        scale = next(s for s in status["services"] if s["name"] == "web")["scale"]
        assert (scale["min"], scale["max"]) == (3, 3) and scale["schedule"] and scale["until"], scale
        assert "web: 3 instances by" in host.ok("status").out
        refused = host.run("scale", "web=2")
        assert refused.code != 0 and "3 to 3 instances by" in refused.err, refused
        events = [e for e in map(json.loads, host.ok("events", "--json").out.splitlines()) if e["kind"] == "service.scaled"]
        assert events[-1]["actor"] == "autoscaler" and "by" in events[-1]["detail"]["reason"], events
        # The other way round, as if the time had come while no daemon ran.
        host.one_service(replicas=1, extra=schedules(2, 3))
        host.apply()
        host.kill_daemon()
        host.start()
        wait_for("two instances", lambda: len(host.instances("web")) == 2 and count(host) == 2, seconds=30)
    assert load.result["failed"] == 0, load.result
    assert host.status()["active"] == 1, "a schedule is no part of a revision"


@pytest.mark.parametrize("scale, words", [
    ('{ max: 2, schedules: [{ at: "0 8 * * *", min: 3 }] }', "min 3 is more than max 2"),
    ('{ max: 2, schedules: [{ at: "0 25 * * *", min: 1 }] }', "25"),
    ("{ min: 1, max: 2, schedules: [] }", "at least one"),
])
def test_what_cannot_be_is_refused_with_its_place(host, scale, words):
    host.one_service(replicas=1, extra="scale: " + scale)
    done = host.run("validate")
    assert done.code == 2 and words in done.err and "ingot.yaml:" in done.err and "schedules" in done.err, done
