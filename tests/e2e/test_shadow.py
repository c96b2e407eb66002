"""Shadows and the port of a preview, through the real HAProxy: what is copied, compared and dropped; and who never notices."""
import json
import os
import signal
import socket
import threading
import time
import urllib.request

import pytest

from host import Applying, free_port, wait_for
from test_canary import in_step, rollout
from test_daemon import router_processes


def shadowed(shadow, more="", after=""):
    return (f"{{ strategy: canary, steps: [{{ shadow: {{ {shadow} }} }}, {after}{{ weight: 100% }}], keep_old: 1m, "
            f"drain: 2s{more} }}")


def events(host, kind):
    return [event["detail"] for event in map(json.loads, host.ok("events", "--json").out.splitlines())
            if event["kind"] == kind]


def shadow_now(host):
    return (rollout(host)["shadows"] or [None])[0]


def reason_of(done):
    assert done.code == 5, done
    return done.json()["rollout"]["reason"]


@pytest.fixture
def served(host):
    host.one_service()
    host.start()
    host.apply()
    return host


def test_equal_answers_switch_and_only_what_changes_nothing_is_copied(served):
    served.one_service(revision="two", rollout=shadowed("for: 2s, least: 100"))
    plan = served.ok("plan").out
    assert "web 0 % and a copy of 100 % (shadow) for 2s" in plan, plan
    with served.load(rate=300) as load:
        applying = Applying(served)
        in_step(served, 1)
        wait_for("copies", lambda: shadow_now(served)["same"] > 50)
        text = served.ok("rollout", "status").out
        assert "shadow web: " in text and " same, 0 other status, 0 other body, 0 failed, 0 timed out" in text, text
        assert served.get()[1] == "one"
        done = applying.end()
        assert done.code == 0, done
    assert load.result["failed"] == 0, load.result
    assert served.get()[1] == "two"
    (event,) = events(served, "rollout.shadow")
    assert event["outcome"] == "success" and event["other_status"] == event["other_body"] == event["failed"] == 0, event
    # Every second request of the load is a POST.
    gets = load.result["requests"] - load.result["posts"]
    assert 100 <= event["same"] <= gets, (event, load.result)
    assert event["mean_ms"] is not None and event["shadow_mean_ms"] is not None, event


@pytest.mark.parametrize("env, example", [("STATUS: 404", "GET /: 200, new 404"),
                                          ("BODY: another", "GET /: 200, another body")])
def test_other_answers_take_it_back_with_the_numbers_and_nobody_gets_them(served, env, example):
    served.one_service(revision="two", env=env, rollout=shadowed("for: 1m, least: 100"))
    with served.load(rate=500) as load:
        reason = reason_of(Applying(served).end())
    assert "shadow of web failed in step 1: " in reason and " answers differ (100 %" in reason, reason
    assert example in reason, reason
    assert load.result["failed"] == 0, load.result
    assert set(load.result["seen"]) == {"one"}, load.result["seen"]
    (event,) = events(served, "rollout.shadow")
    assert event["outcome"] == "failure" and event["other_status"] + event["other_body"] >= 100, event


def test_statuses_alone_where_that_is_said(served):
    served.one_service(revision="two", env="BODY: another",
                       rollout=shadowed("for: 1s, least: 50, bodies: false"))
    with served.load(rate=500) as load:
        assert Applying(served).end().code == 0
    assert load.result["failed"] == 0, load.result


def test_a_fleet_that_hangs_is_found_and_no_user_is_later(served):
    with served.load(rate=300) as before:
        time.sleep(2)
    served.one_service(revision="two", env="DELAY_MS: 30000",
                       rollout=shadowed("for: 1m, least: 60, timeout: 700ms"))
    with served.load(rate=300) as load:
        reason = reason_of(Applying(served).end())
    assert " copies had no answer (100 %: 0 failed, " in reason, reason
    assert load.result["failed"] == 0, load.result
    assert set(load.result["seen"]) == {"one"}
    # Not the fleet's 30 s, nor the copies' 700 ms.
    assert load.result["p99_ms"] < before.result["p99_ms"] + 50, (before.result, load.result)


def test_no_user_can_pass_off_a_request_as_a_copy(served):
    def head():
        request = urllib.request.Request(f"http://127.0.0.1:{served.port}/headers", headers={"X-Ingot-Shadow": "1"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read().decode().lower()

    assert "x-ingot-shadow" in head(), "without a shadow the router changes nothing"
    # The copy's answer has its header: another body.
    served.one_service(revision="two", rollout=shadowed("for: 100ms, least: 1, bodies: false"))
    applying = Applying(served)
    in_step(served, 1)
    assert "x-ingot-shadow" not in head()
    for _ in range(3):
        served.get()
    assert applying.end().code == 0


def test_what_nobody_asks_is_held_and_says_so(served):
    served.one_service(revision="two", rollout=shadowed("for: 300ms, least: 20"))
    applying = Applying(served)
    wait_for("held", lambda: (rollout(served)["rollout"] or {}).get("held"))
    text = served.ok("rollout", "status").out
    assert "too few answers to compare: 0 of at least 20" in text and "a conclusive" in text, text
    # As soon as enough has been compared it goes on by itself.
    answers = [served.get()[1] for _ in range(19)]
    assert set(answers) == {"one"}, answers
    wait_for("the switch", lambda: served.get()[1] == "two")
    assert applying.end().code == 0


def test_a_router_that_is_killed_goes_on_copying(served):
    served.one_service(revision="two", rollout=shadowed("for: 4s, least: 100"))
    applying = Applying(served)
    in_step(served, 1)
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            served.get()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        wait_for("copies", lambda: shadow_now(served)["same"] > 50)
        pids = router_processes(served)
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        so_far = shadow_now(served)["same"]
        wait_for("copies after it", lambda: (shadow_now(served) or {"same": 10**9})["same"] > so_far + 50)
        assert applying.end().code == 0
    finally:
        stop.set()
        thread.join()
    (event,) = events(served, "rollout.shadow")
    assert event["other_status"] == event["other_body"] == 0, event


def test_a_daemon_that_is_killed_counts_anew(served):
    served.one_service(revision="two", rollout=shadowed("for: 3s, least: 400"))
    with served.load(rate=400) as load:
        applying = Applying(served)
        in_step(served, 1)
        wait_for("copies", lambda: shadow_now(served)["same"] > 200)
        served.kill_daemon(signal.SIGKILL)
        applying.end()
        time.sleep(0.5)
        restarted = time.monotonic()
        served.start()
        assert rollout(served)["rollout"]["step"] == 1
        wait_for("the switch", lambda: served.status()["active"] == 2)
        took = time.monotonic() - restarted
    assert load.result["failed"] == 0, load.result
    (event,) = events(served, "rollout.shadow")
    assert event["outcome"] == "success" and event["other_status"] == event["other_body"] == 0, event
    # 200 of the load's requests in a second are GETs: nothing of before the kill is among them.
    assert 400 <= event["same"] <= 200 * took + 60, (event, took)


def test_then_a_share_of_the_requests_follows(served):
    served.one_service(revision="two", rollout=shadowed(
        "for: 500ms, least: 50", after="{ weight: 30%, for: 500ms }, "))
    with served.load(rate=500) as load:
        assert Applying(served).end().code == 0
    assert load.result["failed"] == 0, load.result
    assert len(events(served, "rollout.step")) == 2


def test_a_port_shows_the_new_fleet_until_the_switch(served):
    port = free_port()
    preview = canary_with_port(port)
    served.one_service(revision="first", rollout=preview)
    applying = Applying(served)
    in_step(served, 1)
    served.ok("rollout", "advance")
    assert applying.end().code == 0
    assert served.get(port=port)[0] == 503
    served.one_service(revision="two", rollout=preview)
    applying = Applying(served)
    in_step(served, 1)
    wait_for("the new fleet at the port", lambda: served.get(port=port)[:2] == (200, "two"))
    assert served.get()[:2] == (200, "first")
    served.ok("rollout", "advance")
    assert applying.end().code == 0
    assert served.get(port=port)[0] == 503
    assert served.get()[:2] == (200, "two")


def canary_with_port(port):
    return (f"{{ strategy: canary, steps: [{{ weight: 0% }}, {{ pause: manual }}, {{ weight: 100% }}], keep_old: 1m, "
            f"drain: 2s, preview: {{ port: {port} }} }}")


def test_a_port_that_is_taken_changes_nothing(served):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        served.one_service(revision="two", rollout=canary_with_port(port))
        reason = reason_of(served.run("apply", "--yes", "--json"))
        assert str(port) in reason, reason
    assert served.get()[:2] == (200, "one")
    served.one_service(revision="two", rollout=canary_with_port(served.port))
    refused = served.run("plan")
    assert refused.code == 2 and "is in use by routes[0]" in refused.err, refused
