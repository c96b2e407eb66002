"""Releases that wait for somebody's word, times in which nothing is released, and who may do what without being root."""
import datetime
import grp
import json
import os
import pwd
import shutil
import subprocess
import time

import pytest

from host import INGOT, Finished, free_port, wait_for

STRANGER = pwd.getpwnam("nobody")
GROUP = grp.getgrgid(100).gr_name  # that of the socket
OPS = "games"                      # any group of the host


def definition(version, approval="{ role: ops, within: 1h }", strategy="{ strategy: blue-green, drain: 1s }", rules="", replicas=2):
    return f"""
version: 1
project: shop
images: {{ app: {{ build: . }} }}
services:
  web:
    image: app
    environment: {{ REVISION: "{version}" }}
    port: 8080
    replicas: {replicas}
    health: {{ ready: {{ http: /healthz }} }}
    rollout: {strategy}
routes: [{{ listen: "127.0.0.1:@PORT@", to: web }}]
environments: {{ local: {{ {"approval: " + approval if approval else ""} }} }}
access:
  ops: {{ may: [approve, rollback], members: ["group:{OPS}"] }}
  onlookers: {{ may: [read], members: [bin] }}
{rules}
"""


@pytest.fixture
def gated(host):
    config = host.base / "host.yaml"
    config.write_text(f"version: 1\napi: {{ group: {GROUP} }}\n")
    shutil.copy(INGOT, host.base / "ingot")  # where anybody may run it
    host.define(definition(1))
    host.start(env={"INGOT_HOST_CONFIG": str(config)})
    yield host


def as_user(host, *args, groups=(), user=STRANGER):
    """The program as somebody who is not root, in these groups."""
    gids = [grp.getgrnam(name).gr_gid for name in groups]
    return Finished(subprocess.run([str(host.base / "ingot"), *args], cwd=host.project, capture_output=True, text=True,
                                   timeout=60, user=user.pw_uid, group=user.pw_gid, extra_groups=gids,
                                   env={"INGOT_ROOT": str(host.root), "NO_COLOR": "1", "PATH": os.environ["PATH"]}))


def begin(host, **options):
    host.define(definition(**options))
    done = host.ok("apply", "--yes", "--json", "--detach").json()
    assert done["accepted"]["accepted"] == "rollout"



def rollout(host):
    return host.ok("rollout", "status", "--json").json()


def events(host):
    return [json.loads(line) for line in host.ok("events", "--json").out.splitlines()]


def first(host):
    begin(host, version=1)
    assert rollout(host)["approval"]["roles"] == ["ops"]
    host.ok("rollout", "approve")
    wait_for("the first release", lambda: host.status()["active"] == 1 and not rollout(host)["rollout"])


def test_a_release_waits_for_somebody_of_the_role_and_for_nobody_else(gated):
    first(gated)
    before = {instance["id"] for instance in gated.instances("web")}
    plan = gated.define(definition(2)) or gated.ok("plan").out
    assert "wait for somebody of ops to approve, at most 1h" in plan
    begin(gated, version=2)
    waiting = rollout(gated)
    assert waiting["rollout"]["phase"] == "planned" and "somebody of ops" in waiting["waits_for"]
    assert "planned, waits for somebody of ops" in gated.ok("status").out
    # Not in the socket's group: not heard. In it, but of no role: named. Of another role: may look.
    assert "may not ask the daemon" in as_user(gated, "rollout", "approve", groups=[OPS]).err
    stranger = as_user(gated, "rollout", "approve", groups=[GROUP])
    assert stranger.code == 1 and "nobody has no role" in stranger.err
    onlooker = pwd.getpwnam("bin")
    assert as_user(gated, "rollout", "status", groups=[GROUP], user=onlooker).code == 0
    refused = as_user(gated, "rollout", "approve", groups=[GROUP], user=onlooker)
    assert refused.code == 1 and "bin is not among those who may approve it" in refused.err
    assert {instance["id"] for instance in gated.instances("web")} == before
    done = as_user(gated, "rollout", "approve", "-m", "seen & good", groups=[GROUP, OPS])
    assert done.code == 0, done
    wait_for("the release", lambda: gated.status()["active"] == 2)
    approved = [e for e in events(gated) if e["kind"] == "rollout.approved"][-1]
    assert (approved["actor"], approved["detail"]["note"], approved["detail"]["roles"]) == ("nobody", "seen & good", ["ops"])


def test_who_is_not_root_may_what_his_role_may(gated):
    first(gated)
    begin(gated, version=2)
    gated.ok("rollout", "approve")
    wait_for("the second", lambda: gated.status()["active"] == 2)
    may = {"groups": [GROUP, OPS]}
    for args in (["scale", "web=3"], ["destroy", "--yes"], ["status", "--host"], ["apply", "--yes"], ["rollback"]):
        who = {"groups": [GROUP]} if args == ["rollback"] else may
        done = as_user(gated, *args, **who)
        assert done.code != 0 and gated.status()["active"] == 2, done
    assert len(gated.instances("web")) == 2
    assert "may scale in shop/local" in as_user(gated, "scale", "web=3", **may).err
    assert as_user(gated, "rollback", **may).code == 0
    assert gated.status()["active"] == 1


def test_the_rule_in_force_counts_and_an_abort_leaves_everything_as_it_was(gated):
    first(gated)
    before = {instance["id"] for instance in gated.instances("web")}
    begin(gated, version=2, approval="{ role: ops, within: 300ms }")
    # The rule in force is the old one: an hour. A release does not shorten it.
    time.sleep(0.6)
    assert rollout(gated)["rollout"]["phase"] == "planned"
    gated.ok("rollout", "abort")
    wait_for("the abort", lambda: not rollout(gated)["rollout"])
    assert {instance["id"] for instance in gated.instances("web")} == before


def test_a_step_waits_and_expires(gated):
    first(gated)
    steps = "{ strategy: canary, drain: 1s, steps: [{ weight: 20% }, { approve: ops, within: 500ms }, { weight: 100% }] }"
    begin(gated, version=2, approval="", strategy=steps)
    gated.ok("rollout", "approve")
    wait_for("the revert", lambda: rollout(gated)["last"] and rollout(gated)["last"]["phase"] == "reverted")
    assert "in vain for somebody of ops" in rollout(gated)["last"]["reason"]
    assert gated.status()["active"] == 1
    begin(gated, version=3, approval="", strategy=steps.replace("500ms", "1h"))
    gated.ok("rollout", "approve")
    wait_for("the step", lambda: rollout(gated)["rollout"]["step_in_effect"])
    assert "somebody of ops" in rollout(gated)["waits_for"]
    gated.kill_daemon()
    gated.start(env={"INGOT_HOST_CONFIG": str(gated.base / "host.yaml")})
    assert as_user(gated, "rollout", "approve", groups=[GROUP, OPS]).code == 0
    wait_for("the switch", lambda: gated.status()["active"] == 3)


def test_nothing_new_is_released_while_it_is_frozen(gated):
    first(gated)
    now = datetime.datetime.now(datetime.timezone.utc)
    until = (now + datetime.timedelta(days=2)).strftime("%Y-%m-%d")
    freeze = f"policy: {{ freeze: [{{ from: 2020-01-01, until: {until}, reason: the sale }}] }}"
    gated.define(definition(1, rules=freeze))
    assert gated.apply()["accepted"]["accepted"] == "scaled"
    gated.define(definition(2))
    plan = gated.run("plan")
    assert plan.code == 1 and "the sale" in plan.out and "--override-freeze" in plan.err
    refused = gated.run("apply", "--yes", "--detach")
    assert refused.code == 4 and "the sale" in refused.err
    gated.define(definition(1, rules=freeze, replicas=3))
    assert gated.apply()["accepted"]["accepted"] == "scaled"
    gated.define(definition(2))
    gated.ok("apply", "--yes", "--json", "--detach", "--override-freeze", "a hole to close")
    gated.ok("rollout", "approve")
    wait_for("the release", lambda: gated.status()["active"] == 2)
    overridden = [e for e in events(gated) if e["kind"] == "freeze.overridden"]
    assert [e["detail"]["reason"] for e in overridden] == ["a hole to close"]
    assert overridden[0]["detail"]["freeze"] == "the sale"


def test_the_hosts_files_are_named_to_root_alone(host):
    config = host.base / "host.yaml"
    config.write_text(f"version: 1\napi: {{ group: {GROUP} }}\n"
                      "router: { certificates: [{ certificate: absent.crt, key: absent.key }] }\n")
    shutil.copy(INGOT, host.base / "ingot")
    host.define(definition(1, approval=""))
    host.start(env={"INGOT_HOST_CONFIG": str(config)})
    host.apply()
    [problem] = host.status()["problems"]
    assert problem.startswith("certificate of host.yaml: router.certificates[0]: ") and "absent.crt" in problem, problem
    done = as_user(host, "status", "--json", groups=[GROUP], user=pwd.getpwnam("bin"))
    assert done.code == 0, done
    assert done.json()["problems"] == ["certificate of host.yaml: router.certificates[0]: it cannot be used; clients refuse it"]
