"""What ends is found again: the daemon, HAProxy and instances die at any moment, and what serves goes on serving."""
import json
import os
import pathlib
import re
import signal
import time

import pytest

from host import wait_for


def fleet(host, service="web"):
    return {(i["id"], i["pid"]) for i in host.instances(service, "ready")}


def answered_by(host, count=40):
    return {host.get()[1] for _ in range(count)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_that_ends_under_load_costs_no_request_and_no_instance(served, number):
    served.one_service("one", replicas=3)
    served.apply()
    before = fleet(served)
    assert len(before) == 3
    with served.load() as load:
        served.kill_daemon(number)
        time.sleep(1)  # nobody watches for this long
        served.start()
        answers = time.monotonic()
        wait_for("the same instances are ready again", lambda: fleet(served) == before)
        back_after = time.monotonic() - answers
    assert load.result["failed"] == 0, load.result
    assert set(load.result["seen"]) == {"one"}
    assert back_after < 1, back_after
    status = served.status()
    assert status["active"] == 1 and status["routes_in_effect"] and status["problems"] == []


def router_processes(host):
    """pids of the HAProxy processes of this root."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"haproxy" and any(word.startswith(f"ingot.{host.key()}.router.".encode()) for word in words):
            found.append(int(pid))
    return found


def test_a_killed_haproxy_comes_back_on_the_same_sockets_and_refuses_nobody(served):
    served.one_service("one")
    served.apply()
    victims = router_processes(served)
    assert victims, "no HAProxy of this root was found"
    connections = 8
    with served.load(connections=connections) as load:
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        wait_for("another HAProxy", lambda: router_processes(served) and not set(router_processes(served)) & set(victims))
        wait_for("it answers", lambda: served.get()[:2] == (200, "one"))
    kinds = load.result["failures"]
    assert kinds.get("refused", 0) == 0, load.result
    assert load.result["failed"] <= connections, load.result
    assert load.result["seen"]["one"]["count"] > 0


def test_a_daemon_killed_in_the_middle_of_a_rollout_ends_it_wholly(served):
    served.one_service("one", replicas=3)
    served.apply()
    served.one_service("two", replicas=3, env='LISTEN_AFTER_MS: "800"')
    served.ok("build")
    import subprocess
    from host import INGOT
    with served.load() as load:
        apply = subprocess.Popen([str(INGOT), "apply", "--yes"], cwd=served.project, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, env={**os.environ, "INGOT_ROOT": str(served.root)})
        wait_for("candidates start", lambda: any(f["instances"] for f in served.status()["fleets"]))
        served.kill_daemon()
        assert apply.wait(timeout=20) != 0, "an apply whose daemon is gone must not say that it is done"
        served.start()
        wait_for("the rollout has ended", lambda: (served.status()["rollout"] or {"phase": "baking"})["phase"] == "baking")
    assert load.result["failed"] == 0, load.result
    active = served.status()["active"]
    revision = {1: "one", 2: "two"}[active]
    assert answered_by(served) == {revision}
    assert len(fleet(served)) == 3
    for service in served.status()["services"]:
        assert service["revision"] == active and service["ready"] == 3, service


def test_a_rollback_right_after_a_restart_is_warm(served):
    served.one_service("one")
    served.apply()
    first = fleet(served)
    served.one_service("two")
    served.apply()
    served.kill_daemon()
    served.start()
    with served.load() as load:
        served.ok("rollback")
    assert load.result["failed"] == 0, load.result
    assert answered_by(served) == {"one"}
    assert fleet(served) == first, "the warm fleet was used, not a new one"


def test_what_a_killed_daemon_had_half_written_is_no_instance(served):
    served.one_service("one")
    served.apply()
    before = fleet(served)
    assert len(before) == 2
    served.kill_daemon()
    files = served.root / "run" / "fleets"
    written = sorted(files.iterdir())
    # Killed before the rename: whole, of an instance that is there and of one that was never started.
    torn = files / (written[0].name + ".tmp.77.1")
    torn.write_text(written[0].read_text())
    name = json.loads(written[0].read_text())["instance"]
    (files / "never.json.tmp.77.2").write_text(written[0].read_text().replace(name, re.sub(r"\d+$", "99", name)))
    served.start()
    wait_for("the same instances are ready again", lambda: fleet(served) == before)
    assert sorted(files.iterdir()) == written


def test_an_instance_that_dies_while_the_daemon_is_away_is_replaced(served):
    served.one_service("one", replicas=2)
    served.apply()
    before = fleet(served)
    victim = min(before)
    served.kill_daemon()
    os.kill(victim[1], signal.SIGKILL)
    wait_for("it is dead", lambda: not pathlib.Path("/proc", str(victim[1])).exists())
    served.start()
    wait_for("a replacement", lambda: len(fleet(served)) == 2 and victim not in fleet(served))
    assert before - {victim} < fleet(served), "the other instance was left alone"
    lost = [json.loads(line) for line in served.ok("events", "--json").out.splitlines()]
    assert [e for e in lost if e["kind"] == "instance.lost" and victim[0] in json.dumps(e["detail"])]


def texts(host, *args):
    return [json.loads(line) for line in host.ok("logs", "--json", "--all", *args).out.splitlines()]


def test_logs_outlive_their_instance_and_the_daemon(served):
    served.one_service("one", replicas=1)
    served.apply()
    victim = served.instances("web", "ready")[0]
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for("a replacement", lambda: [i for i in served.instances("web", "ready") if i["id"] != victim["id"]])
    lines = texts(served, victim["name"])
    assert [line["text"] for line in lines] == ["revision one starts", "listening on 8080"]
    assert {line["instance"] for line in lines} == {victim["id"]}
    assert len({line["instance"] for line in texts(served, "web")}) == 2
    served.kill_daemon()
    served.start()
    assert texts(served, victim["name"]) == lines
    # What is written after the restart is kept as well: by conmon, which the daemon's end does not touch.
    served.one_service("two", replicas=1)
    served.apply()
    assert "revision two starts" in [line["text"] for line in texts(served, "web")]


def test_a_service_whose_name_ends_in_a_number_is_a_service_to_logs(served):
    served.define("""
version: 1
project: shop
images: { app: { build: . } }
services:
  api: { image: app, replicas: 2, port: 8080, environment: { REVISION: plain } }
  api-2: { image: app, replicas: 1, port: 8080, environment: { REVISION: numbered } }
routes: [{ listen: "127.0.0.1:@PORT@", to: api }]
""")
    served.apply()
    assert "revision numbered starts" in [line["text"] for line in texts(served, "api-2")]
    assert {line["text"] for line in texts(served, "api-2")}.isdisjoint({"revision plain starts"})
    instance = served.instances("api")[0]
    assert {line["instance"] for line in texts(served, instance["name"])} in ({instance["id"]}, set()) \
        or instance["name"] == "api-2"
    served.ok("destroy", "--yes")
    assert "revision numbered starts" in [line["text"] for line in texts(served, "api-2")]
