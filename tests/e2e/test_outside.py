"""A server outside that a route gives a share to: the way from one that is patched by hand to the first release."""
import http.client
import os
import signal
import subprocess
import threading

import pytest

from host import APP, free_port, wait_for


class Old:
    """The server that is there already: a program on the host that Ingot does not know."""

    def __init__(self):
        self.port = free_port()
        self.process = None

    def start(self, **env):
        self.process = subprocess.Popen([str(APP)], env={"PORT": str(self.port), "REVISION": "old", **env},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def old():
    server = Old()
    server.start()
    yield server
    server.stop()


def declare(host, old, weight, revision="one", rollout="{ keep_old: 1m, drain: 2s }"):
    """`weight` None: the route is the service's alone."""
    to = "web" if weight is None else f'{{ service: web, address: "127.0.0.1:{old.port}", weight: {weight} }}'
    host.one_service(revision, rollout=rollout)
    host.define((host.project / "ingot.yaml").read_text().replace(", to: web }", f", to: {to} }}"))


def answers(host, requests=400):
    seen = {}
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=5)
    for _ in range(requests):
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        seen[answer.headers["X-Revision"]] = seen.get(answer.headers["X-Revision"], 0) + 1
    connection.close()
    return seen


def routers(host):
    """The HAProxy processes of the root, but those that are finishing."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if f"ingot.{host.key()}.".encode() in file.read():
                    found.add(int(pid))
        except OSError:
            pass
    return found


def test_a_server_is_replaced_share_by_share_and_nothing_is_lost(host, old):
    host.start()
    declare(host, old, 100)
    plan = host.ok("plan").out
    assert f"to web:8080, 100 % to 127.0.0.1:{old.port} (outside)" in plan, plan
    host.apply()
    assert answers(host, 50) == {"old": 50}
    processes = routers(host)
    seen = {}
    with host.load(rate=500) as load:
        for weight in (90, 50, 0):
            declare(host, old, weight)
            if weight == 90:
                plan = host.ok("plan").out
                assert (f"to web:8080, 90 % to 127.0.0.1:{old.port} (outside) (was web:8080, 100 % to "
                        f"127.0.0.1:{old.port} (outside))") in plan and "0 to start, 1 to keep" in plan, plan
            host.apply()
            seen[weight] = answers(host)
        # Back to what it was: one switch.
        host.ok("rollback")
        seen["back"] = answers(host)
    assert load.result["failed"] == 0, load.result
    # Of 400, with standard deviations of 6 and 10.
    assert 325 < seen[90]["old"] < 395, seen
    assert 145 < seen[50]["old"] < 255 and 145 < seen["back"]["old"] < 255, seen
    assert seen[0] == {"one": 400}, seen
    assert routers(host) == processes  # not one reload
    assert f"web, 50 % to 127.0.0.1:{old.port} (outside)" in host.ok("status").out
    route = host.status()["routes"][0]
    assert route["outside"] == {"address": f"127.0.0.1:{old.port}", "percent": 50, "up": True, "reason": ""}, route
    # The last step: the definition knows nothing of it any more.
    with host.load(rate=500) as load:
        declare(host, old, None)
        host.apply()
        assert answers(host, 100) == {"one": 100}
    assert load.result["failed"] == 0, load.result
    assert "(outside)" not in host.ok("status").out


def test_a_server_gets_a_share_of_what_serves_already_and_gives_it_back(host, old):
    host.start()
    declare(host, old, None)
    host.apply()
    assert answers(host, 50) == {"one": 50}
    with host.load(rate=300) as load:
        declare(host, old, 90)
        host.apply()
        seen = answers(host)
        declare(host, old, None)
        host.apply()
        assert answers(host, 100) == {"one": 100}
    assert load.result["failed"] == 0, load.result
    assert 325 < seen["old"] < 395 and seen["old"] + seen["one"] == 400, seen  # 360, with a standard deviation of 6


def test_an_outside_server_that_dies_under_load_costs_nothing_and_is_told(host, old):
    host.start()
    declare(host, old, 90)
    host.apply()
    with host.load(rate=300) as load:
        assert set(answers(host, 100)) == {"old", "one"}
    assert load.result["failed"] == 0, load.result
    # What it holds when it is killed is lost with it; it is idle here, and what comes then is the service's.
    old.stop()
    with host.load(rate=300) as load:
        assert answers(host, 200) == {"one": 200}
        problems = wait_for("it is told", lambda: host.status()["problems"])
        assert f"127.0.0.1:{old.port} (outside, 90 %) takes no connection" in problems[0], problems
        assert "web gets its requests" in host.ok("status").out
        declare(host, old, 80)
        planned = host.ok("plan")
        assert f"127.0.0.1:{old.port} (outside, 80 %) takes no connection (Connection refused); web gets" in planned.out
        old.start()
        assert "takes no connection" not in host.ok("plan").out
        wait_for("it is back", lambda: not host.status()["problems"])
        assert set(answers(host, 100)) == {"old", "one"}
    assert load.result["failed"] == 0, load.result


def test_shares_and_a_canary_at_once_and_a_killed_daemon(host, old):
    host.start()
    declare(host, old, 50)
    host.apply()
    canary = "{ strategy: canary, steps: [{ weight: 50% }, { pause: manual }, { weight: 100% }], keep_old: 1m, drain: 2s }"
    declare(host, old, 20, "two", canary)
    done = []
    thread = threading.Thread(target=lambda: done.append(host.run("apply", "--yes", "--json")))
    thread.start()

    def in_step():
        rollout = host.ok("rollout", "status", "--json").json()["rollout"]
        return rollout and rollout["step"] == 1 and rollout["step_in_effect"]

    wait_for("the step", in_step)
    # The former revision's share still holds; of the rest, half is the canary's.
    seen = answers(host)
    assert 145 < seen["old"] < 255 and 50 < seen["one"] < 150 and 50 < seen["two"] < 150, seen
    host.kill_daemon(signal.SIGKILL)
    thread.join()
    assert set(answers(host, 100)) == {"old", "one", "two"}
    host.start()
    host.ok("rollout", "advance")
    wait_for("the switch", lambda: host.status()["active"] == 2)
    seen = answers(host)
    assert 30 < seen["old"] < 130 and seen["two"] == 400 - seen["old"], seen  # 80, with a standard deviation of 8


def test_what_cannot_be_is_refused_with_its_place(host, old):
    for to, why in [
            ('{ address: "10.0.0.7:80", weight: 90 }', 'missing key "service"'),
            ('{ service: web, address: "10.0.0.7", weight: 90 }', "expected the address of a server"),
            ('{ service: web, address: "10.0.0.7:80", weight: 101 }', "a weight from 0 to 100 percent"),
            ('{ service: web, address: "10.0.0.7:80", weight: 9 }, protocol: tcp', "is of HTTP requests"),
            (f'{{ service: web, address: "127.0.0.1:{host.port}", weight: 9 }}', "is the listener of routes[0]")]:
        host.one_service()
        host.define((host.project / "ingot.yaml").read_text().replace(", to: web }", f", to: {to} }}"))
        refused = host.run("validate")
        assert refused.code == 2 and why in refused.err and "ingot.yaml:" in refused.err, refused
