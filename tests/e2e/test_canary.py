"""Canaries and rolling releases through the real HAProxy, under load: shares, stickiness, words, kills, failures."""
import http.client
import json
import os
import signal
import subprocess
import time

import pytest

from host import INGOT, Applying, wait_for

STEPS = "{ strategy: canary, steps: [%s], keep_old: 1m, drain: 2s%s }"


def canary(steps, more=""):
    return STEPS % (steps, more)


def rollout(host):
    return host.ok("rollout", "status", "--json").json()


def in_step(host, number):
    def there():
        now = rollout(host)["rollout"]
        return now and now["step"] == number and now["step_in_effect"]

    wait_for(f"step {number}", there)


@pytest.fixture
def served(host):
    host.one_service()
    host.start()
    host.apply()
    return host


def shares(host, requests=400):
    """How many of so many requests each revision answered, over one connection."""
    seen = {}
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=5)
    for _ in range(requests):
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        revision = answer.headers["X-Revision"]
        seen[revision] = seen.get(revision, 0) + 1
    connection.close()
    return seen


def test_a_canary_steps_and_nothing_is_lost(served):
    served.one_service(revision="two", rollout=canary(
        "{ weight: 20% }, { pause: manual }, { weight: 50%, for: 200ms }, { weight: 100% }"))
    plan = served.ok("plan").out
    assert "1. web 20 % until `ingot rollout advance`" in plan and "2. web 50 % for 200ms" in plan, plan
    with served.load(rate=500) as load:
        applying = Applying(served)
        in_step(served, 1)
        before = served.status()
        first = shares(served)
        assert 30 < first["two"] < 150, first  # 80 are expected, with a standard deviation of 8
        assert served.run("rollout", "status").out.count("`ingot rollout advance`") == 2
        served.ok("rollout", "advance")
        done = applying.end()
        assert done.code == 0, done
    assert load.result["failed"] == 0, load.result
    assert load.result["seen"]["two"]["count"] > 0
    assert shares(served, 50) == {"two": 50}
    kinds = [event["kind"] for event in map(json.loads, served.ok("events", "--json").out.splitlines())]
    assert kinds.count("rollout.step") == 2 and "rollout.advanced" in kinds
    assert before["active"] == 1
    assert "no rollout is running" in served.ok("rollout", "status").out or rollout(served)["rollout"]["phase"] == "baking"


def test_a_user_stays_on_one_side(served):
    served.one_service(revision="two", rollout=canary(
        "{ weight: 40% }, { pause: manual }, { weight: 100% }", ", sticky: { cookie: side }"))
    applying = Applying(served)
    in_step(served, 1)
    sides = set()
    for _ in range(30):
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=5)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        cookie = answer.headers["Set-Cookie"].split(";")[0]
        assert cookie.startswith("side=")
        side = answer.headers["X-Revision"]
        sides.add(side)
        for _ in range(5):
            connection.request("GET", "/", headers={"Cookie": cookie})
            answer = connection.getresponse()
            answer.read()
            assert answer.headers["X-Revision"] == side
        connection.close()
    assert sides == {"one", "two"}
    served.ok("rollout", "abort")
    assert applying.end().code == 5
    assert shares(served, 50) == {"one": 50}


def test_a_word_out_of_place_is_refused_and_says_why(served):
    refused = served.run("rollout", "pause")
    assert refused.code == 1 and "no rollout of shop/local is running" in refused.err, refused
    served.one_service(revision="two", rollout=canary("{ weight: 10% }, { pause: manual }, { weight: 100% }"))
    applying = Applying(served)
    in_step(served, 1)
    assert "is not paused" in served.run("rollout", "resume").err
    served.ok("rollout", "pause")
    again = served.run("rollout", "pause", "--json")
    assert again.code == 1 and again.json()["error"]["code"] == "conflict", again
    assert "paused by" in served.ok("rollout", "status").out
    served.ok("rollout", "resume")
    served.ok("rollout", "advance")
    assert applying.end().code == 0


def test_a_daemon_killed_in_a_step_goes_on_with_it(served):
    served.one_service(revision="two", rollout=canary("{ weight: 30% }, { pause: manual }, { weight: 100% }"))
    with served.load(rate=500) as load:
        applying = Applying(served)
        in_step(served, 1)
        served.kill_daemon(signal.SIGKILL)
        applying.end()
        during = shares(served, 200)
        served.start()
        assert rollout(served)["rollout"]["step"] == 1
        after = shares(served, 200)
        served.ok("rollout", "advance")
        wait_for("the switch", lambda: served.status()["active"] == 2)
    assert load.result["failed"] == 0, load.result
    for seen in (during, after):
        assert 20 < seen["two"] < 110, seen


def test_a_canary_that_dies_is_taken_back_and_the_rest_loses_nothing(served):
    served.one_service(revision="two", env="EXIT_AFTER_MS: 1500", rollout=canary(
        "{ weight: 10%, for: 1m }, { weight: 100% }"))
    with served.load(rate=500) as load:
        done = Applying(served).end()
        assert done.code == 5, done
        assert "exited with code 1" in done.json()["rollout"]["reason"]
    # Both instances of the canary die together: of its tenth of the requests those fail that come before the router is
    # told, at most half a second's; nobody else's.
    assert load.result["failed"] <= 25, load.result
    assert load.result["seen"]["one"]["count"] > 500
    assert shares(served, 50) == {"one": 50}
    time.sleep(0.1)
    assert [i["state"] for i in served.instances("web")] == ["ready", "ready"]


def test_a_canary_with_errors_is_found_and_taken_back_with_the_numbers(served):
    served.one_service(revision="two", env="ERRORS_PER_MILLE: 50", rollout=canary(
        "{ weight: 50%, for: 1m }, { weight: 100% }", ", analysis: {}"))
    with served.load(rate=1000) as load:
        done = Applying(served).end()
        assert done.code == 5, done
        reason = done.json()["rollout"]["reason"]
        assert "analysis of web failed in step 1: errors: " in reason and "evidence" in reason, reason
    # Nobody got an error but from the canary's own application.
    assert list(load.result["failed_by"]) == ["two"], load.result
    assert load.result["failed"] == load.result["failed_by"]["two"], load.result
    assert shares(served, 50) == {"one": 50}
    events = [json.loads(line) for line in served.ok("events", "--json").out.splitlines()]
    tests = [event["detail"]["tests"] for event in events if event["kind"] == "rollout.analysis"]
    assert len(tests) == 1 and tests[0][0]["outcome"] == "failure" and tests[0][0]["metric"] == "errors", tests


def test_a_slow_canary_is_found(served):
    served.one_service(revision="two", env="DELAY_MS: 60", rollout=canary(
        "{ weight: 50%, for: 1m }, { weight: 100% }", ', analysis: { p90: "< 30ms" }'))
    with served.load(rate=200) as load:
        done = Applying(served).end()
    assert done.code == 5 and "p90: " in done.json()["rollout"]["reason"], done
    assert load.result["failed"] == 0, load.result


def test_a_good_canary_passes_and_one_without_requests_is_held(served):
    good = canary("{ weight: 50%, for: 300ms }, { weight: 100% }",
                  ', analysis: { error_rate: "< 5%", p99: "< 500ms", min_requests: 40 }')
    served.one_service(revision="two", rollout=good)
    with served.load(rate=500) as load:
        assert Applying(served).end().code == 0
    assert load.result["failed"] == 0, load.result
    served.one_service(revision="three", rollout=good)
    applying = Applying(served)
    wait_for("held", lambda: rollout(served)["rollout"]["held"])
    text = served.ok("rollout", "status").out
    assert "too few requests to tell: 0 of at least 40" in text and "a conclusive analysis" in text, text
    served.ok("rollout", "advance")
    assert applying.end().code == 0


ROLLING = "{ strategy: rolling, batch: 1, surge: 1, drain: 2s }"


def test_rolling_replaces_batch_by_batch_back_and_forth_and_loses_nothing(served):
    served.one_service(replicas=3, rollout=ROLLING)
    served.apply()
    most = 0
    with served.load(rate=500) as load:
        served.one_service(revision="two", replicas=3, rollout=ROLLING)
        assert "rolling: 1 at a time, at most 1 beyond the count" in served.ok("plan").out
        applying = Applying(served)
        while applying.thread.is_alive():
            status = served.status()
            live = sum(len(fleet["instances"]) for fleet in status["services"] + status["fleets"])
            most = max(most, live)
        assert applying.end().code == 0
        wait_for("the old ones are gone", lambda: not served.status()["fleets"] or
                 all(not fleet["instances"] for fleet in served.status()["fleets"]))
        served.ok("rollback")
    assert load.result["failed"] == 0, load.result
    assert most <= 4, most
    assert {"one", "two"} <= set(load.result["seen"])
    assert shares(served, 50) == {"one": 50}


def test_a_rolling_release_that_fails_halfway_is_taken_back_and_loses_nothing(served):
    served.one_service(replicas=3, rollout=ROLLING)
    served.apply()
    # Slow enough that the word comes before the last batch.
    served.one_service(revision="two", replicas=3, rollout=ROLLING, env="LISTEN_AFTER_MS: 700", deadline="10s")
    with served.load(rate=500) as load:
        applying = Applying(served)
        wait_for("a batch", lambda: (rollout(served)["rollout"] or {}).get("weights", {}).get("web", 0) >= 500)
        served.ok("rollout", "abort")
        assert applying.end().code == 5
    assert load.result["failed"] == 0, load.result
    assert shares(served, 50) == {"one": 50}
    assert len(served.instances("web", "ready")) == 3


def asked(host, headers):
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=5)
    connection.request("GET", "/", headers=headers)
    return connection.getresponse().headers["X-Revision"]


def test_a_preview_is_seen_by_who_knows_it_and_by_nobody_else(served):
    steps = "{ weight: 0% }, { pause: manual }, { weight: 100% }"
    for number, headers in enumerate(({"X-Preview": "abc-1"}, {"Cookie": "look=abc-1"})):
        kind = "header: X-Preview" if number == 0 else "cookie: look"
        old, new = ("one", "two") if number == 0 else ("two", "three")
        served.one_service(new, rollout=canary(steps, ", preview: { %s, value: abc-1 }" % kind))
        applying = Applying(served)
        wait_for("the release", lambda: (rollout(served)["rollout"] or {"phase": ""})["phase"] == "stepping")
        in_step(served, 1)
        assert (asked(served, headers), asked(served, {})) == (new, old)
        assert old == asked(served, {name: value + "x" for name, value in headers.items()})
        assert set(shares(served, 50)) == {old}
        served.ok("rollout", "advance")
        assert applying.end().code == 0
        assert new == asked(served, {})


def test_a_client_that_is_interrupted_says_that_the_rollout_goes_on(served):
    served.one_service(revision="two", rollout=canary("{ weight: 20% }, { pause: manual }, { weight: 100% }"))
    apply = subprocess.Popen([str(INGOT), "apply", "--yes"], cwd=served.project, text=True, stderr=subprocess.PIPE,
                             env={**os.environ, "INGOT_ROOT": str(served.root)})
    in_step(served, 1)
    apply.send_signal(signal.SIGINT)
    said = apply.communicate(timeout=20)[1]
    assert apply.returncode == -signal.SIGINT and "the rollout goes on: `ingot rollout status`" in said, (apply, said)
    assert rollout(served)["rollout"]["step"] == 1
    served.ok("rollout", "abort")
