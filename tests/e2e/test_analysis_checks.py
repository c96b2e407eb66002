"""Canaries that are judged by a real Prometheus, by HTTP and by commands: success, failure, and what does not answer."""
import itertools
import json
import os
import signal

import pytest

from host import Applying, wait_for
from prometheus import PROGRAM, Exporter, Prometheus

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="SKIP: prometheus is not installed")

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def exporter():
    made = Exporter()
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(exporter):
    made = Prometheus(exporter.port)
    yield made
    made.close()


@pytest.fixture
def prometheus(running):
    """It answers when the test begins."""
    running.send(signal.SIGCONT)
    return running


class Shop:
    """A project whose second release is a canary that is judged by checks."""

    def __init__(self, host):
        self.host = host
        number = next(NUMBERS)  # what one test has counted is nothing to another
        self.old, self.new = f"old{number}", f"new{number}"
        (host.project / "password").write_text(f"{Prometheus.USER}:{Prometheus.PASSWORD}\n")
        host.start()
        self.define(revision=self.old)
        host.apply()

    def define(self, checks="", env="", steps="{ weight: 50%, for: 500ms }, { weight: 100% }", more="", revision=None):
        analysis = f"analysis: {{ {more} checks: {{ {checks} }} }}" if checks else ""
        self.host.define(f"""
version: 1
project: shop
images: {{ app: {{ build: . }} }}
secrets: {{ prometheus: {{ file: password }} }}
services:
  web:
    image: app
    replicas: 2
    port: 8080
    environment: {{ REVISION: {revision or self.new}{", " + env if env else ""} }}
    health: {{ ready: {{ http: /healthz, timeout: 500ms, deadline: 10s }} }}
    rollout:
      strategy: canary
      steps: [{steps}]
      keep_old: 1m
      drain: 2s
      {analysis}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
""")

    def errors(self, prometheus, secret="secret: prometheus,"):
        share = " / ".join(f'sum(rate(shop_{what}_total{{revision=\\"{self.new}\\"}}[3s]))' for what in ("errors", "requests"))
        return (f'errors: {{ prometheus: "{prometheus.url}", query: "{share}", success_condition: "< 0.05", {secret} '
                'interval: 200ms, timeout: 1s, fails: 2 }')

    def rollout(self):
        return self.host.ok("rollout", "status", "--json").json()

    def held(self, text):
        wait_for(f"held: {text}", lambda: text in ((self.rollout()["rollout"] or {}).get("held") or ""))

    def events(self, kind):
        events = map(json.loads, self.host.ok("events", "--json").out.splitlines())
        return [event["detail"] for event in events if event["kind"] == kind]


@pytest.fixture
def shop(host):
    return Shop(host)


def test_a_good_release_passes_by_prometheus(shop, exporter, prometheus):
    shop.define(shop.errors(prometheus))
    plan = shop.host.ok("plan").out
    assert "Each step is judged by checks:\n  web errors: sum(rate(shop_errors_total" in plan, plan
    assert "expected < 0.05, each 200ms, 2 failures in a row revert" in plan, plan
    with exporter.visiting(shop.host.port):
        done = Applying(shop.host).end()
    assert done.code == 0, done
    assert shop.host.get()[1] == shop.new
    assert shop.events("rollout.analysis") == []


def test_what_a_check_measures_is_shown(shop, exporter, prometheus):
    shop.define(shop.errors(prometheus), steps="{ weight: 50% }, { pause: manual }, { weight: 100% }")
    with exporter.visiting(shop.host.port):
        applying = Applying(shop.host)
        [check] = wait_for("a measurement", lambda: [c for c in shop.rollout()["checks"] if c["outcome"] == "success"])
        assert (check["service"], check["check"], check["value"], check["bound"]) == ("web", "errors", "0", "< 0.05"), check
        text = shop.host.ok("rollout", "status").out
        assert "  check web errors: success: 0, expected < 0.05" in text, text
        shop.host.ok("rollout", "advance")
        assert applying.end().code == 0, applying.done
    assert shop.rollout()["checks"] == []


def test_a_bad_release_is_taken_back_with_the_numbers(shop, exporter, prometheus):
    shop.define(shop.errors(prometheus), env="ERRORS_PER_MILLE: 300", steps="{ weight: 50%, for: 1m }, { weight: 100% }")
    with exporter.visiting(shop.host.port):
        done = Applying(shop.host).end()
    assert done.code == 5, done
    reason = done.json()["rollout"]["reason"]
    assert reason.startswith("analysis of web failed in step 1: check errors: 0."), reason
    assert ", expected < 0.05 (sum(rate(shop_errors_total" in reason and reason.endswith("2 of 2 failures in a row"), reason
    assert shop.host.get()[1] == shop.old
    [event] = shop.events("rollout.analysis")
    [check] = event["checks"]
    assert (check["check"], check["bound"], check["outcome"], check["fails"]) == ("errors", "< 0.05", "failure", 2), check
    assert 0.05 <= float(check["value"]) <= 1, check
    assert event["service"] == "web" and event["step"] == 1


def test_a_prometheus_that_is_stopped_holds_the_rollout_and_says_so(shop, exporter, prometheus):
    shop.define(shop.errors(prometheus))
    with exporter.visiting(shop.host.port):
        prometheus.send(signal.SIGSTOP)
        try:
            applying = Applying(shop.host)
            shop.held("it gave no whole answer within 1s")
            text = shop.host.ok("rollout", "status").out
            assert "inconclusive: analysis of web: check errors: no answer: " in text, text
            assert "  check web errors: inconclusive: no answer: " in text, text
            assert "a conclusive analysis, or `ingot rollout advance`" in text, text
            # The daemon goes on with everything else meanwhile.
            assert shop.host.ok("status", "--json").json()["active"] == 1
            assert shop.rollout()["rollout"]["step"] == 1
        finally:
            prometheus.send(signal.SIGCONT)
        assert applying.end().code == 0, applying.done
    assert shop.host.get()[1] == shop.new
    assert len(shop.events("rollout.held")) == 1
    assert "no whole answer" in shop.events("rollout.held")[0]["reason"]


def test_a_prometheus_that_is_killed_holds_the_rollout_and_says_so(shop, exporter, prometheus):
    shop.define(shop.errors(prometheus), steps="{ weight: 50%, for: 5s }, { weight: 100% }")
    with exporter.visiting(shop.host.port):
        applying = Applying(shop.host)
        wait_for("a measurement", lambda: [c for c in shop.rollout()["checks"] if c["measured"]])
        prometheus.kill()
        try:
            shop.held("nobody accepts a connection")
            assert shop.rollout()["rollout"]["phase"] == "stepping"
        finally:
            prometheus.start()
        assert applying.end().code == 0, applying.done
    assert shop.events("rollout.analysis") == []


def test_what_is_no_number_is_inconclusive_and_names_the_cause(shop, prometheus):
    def check(name, query):
        return (f'{name}: {{ prometheus: "{prometheus.url}", query: "{query}", success_condition: "< 1", '
                'secret: prometheus, interval: 200ms }')

    shop.define(", ".join([
        check("a-unknown", "rate(no_such_metric_total[1m])"), check("b-nan", "vector(0) / vector(0)"),
        check("c-several", "label_replace(vector(1), 'a', '1', '', '') or vector(2)"), check("d-refused", "no_such_function(1)"),
        check("e-scalar", "0.5"), shop.errors(prometheus, secret="")]))
    applying = Applying(shop.host)
    shop.held("check a-unknown: the answer is empty: no series fits the query")
    by_name = wait_for("all are measured", lambda: (lambda now: all(c["measured"] for c in now.values()) and now)(
        {c["check"]: c for c in shop.rollout()["checks"]}))
    assert "is NaN" in by_name["b-nan"]["message"]
    assert "samples, expected one" in by_name["c-several"]["message"]
    assert "refused the query: bad_data" in by_name["d-refused"]["message"]
    assert by_name["e-scalar"]["outcome"] == "success" and by_name["e-scalar"]["value"] == "0.5"
    assert by_name["errors"]["message"] == "it answered with status 401"
    shop.host.ok("rollout", "abort")
    assert applying.end().code == 5


def test_a_verdict_by_http(shop, exporter):
    verdict = f'verdict: {{ http: "http://127.0.0.1:{exporter.port}/of?web", interval: 100ms }}'
    shop.define(verdict)
    assert shop.host.apply()["rollout"]["phase"] in ("baking", "completed")
    shop.define(verdict, revision="three", steps="{ weight: 50%, for: 1m }, { weight: 100% }")
    applying = Applying(shop.host)
    wait_for("a measurement", lambda: [c for c in shop.rollout()["checks"] if c["outcome"] == "success"])
    exporter.verdict = 503
    try:
        done = applying.end()
    finally:
        exporter.verdict = 200
    assert done.code == 5, done
    assert "check verdict: status 503, expected status 200 to 299" in done.json()["rollout"]["reason"], done
    assert "the verdict on /of?web" in done.json()["rollout"]["reason"], done


def test_a_verdict_by_a_command(shop):
    judge = shop.host.project / "judge"
    judge.write_text("#!/bin/sh\necho $INGOT_PROJECT $INGOT_ENVIRONMENT $INGOT_SERVICE r$INGOT_REVISION step $INGOT_STEP\n"
                     f"exit $(cat {shop.host.project}/code)\n")
    judge.chmod(0o755)
    (shop.host.project / "code").write_text("0")
    shop.define(f"judge: {{ run: [{judge}], interval: 100ms }}", steps="{ weight: 50%, for: 1m }, { weight: 100% }")
    applying = Applying(shop.host)
    wait_for("a measurement", lambda: [c for c in shop.rollout()["checks"] if c["outcome"] == "success"])
    (shop.host.project / "code").write_text("1")
    done = applying.end()
    assert done.code == 5, done
    assert done.json()["rollout"]["reason"] == (
        f"analysis of web failed in step 1: check judge: exit code 1, expected exit code 0 ({judge}): "
        "shop local web r2 step 1"), done


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_command_that_hangs_holds_and_ends_with_its_step_and_its_daemon(shop):
    started = shop.host.project / "started"
    judge = f'judge: {{ run: "echo $$$$ >> {started}; exec sleep 1000", timeout: 5m, interval: 100ms }}'
    shop.define(judge, steps="{ weight: 50% }, { weight: 100% }")

    def pids():
        return [int(line) for line in started.read_text().split()] if started.exists() else []

    applying = Applying(shop.host)
    wait_for("it runs", pids)
    shop.host.kill_daemon(signal.SIGKILL)
    applying.end()
    wait_for("it ends with its daemon", lambda: not alive(pids()[0]))
    shop.host.start()
    # What was measured by the killed daemon is not known: the step's checks begin anew.
    wait_for("it runs again", lambda: len(pids()) == 2)
    assert shop.rollout()["rollout"]["phase"] == "stepping"
    shop.host.ok("rollout", "advance")
    wait_for("the switch", lambda: shop.host.status()["active"] == 2)
    wait_for("it ends with its step", lambda: not alive(pids()[1]))


def test_checks_beside_what_the_router_counts(shop, exporter):
    verdict = f'verdict: {{ http: "http://127.0.0.1:{exporter.port}/", interval: 100ms }}'
    shop.define(verdict, more="min_requests: 40,")
    applying = Applying(shop.host)
    shop.held("too few requests to tell")
    with exporter.visiting(shop.host.port):
        assert applying.end().code == 0, applying.done


def test_mistakes_are_refused_with_their_place(shop):
    shop.define('torn: { prometheus: "http://127.0.0.1:9090", query: "sum(rate(a[1m])", success_condition: "< 1" }')
    refused = shop.host.run("validate")
    assert refused.code != 0
    line = next(number for number, text in enumerate((shop.host.project / "ingot.yaml").read_text().splitlines(), 1)
                if "torn:" in text)
    assert f"ingot.yaml:{line}:" in refused.err and 'a ")" is missing at its end' in refused.err, refused
    shop.define('odd: { promethius: "http://127.0.0.1:9090" }')
    refused = shop.host.run("validate")
    assert 'unknown key "promethius"; did you mean "prometheus"?' in refused.err, refused
