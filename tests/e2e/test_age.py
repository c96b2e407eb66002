"""Replacement by age, through the real HAProxy and crun, under load."""
import json

from host import wait_for


def names(host):
    return {i["name"] for i in host.instances("web")}


def aged(host):
    events = map(json.loads, host.ok("events", "--json").out.splitlines())
    return [e["detail"]["instance"] for e in events if e["kind"] == "instance.aged"]


def test_every_instance_gives_its_place_to_a_younger_one_and_no_request_is_lost(host):
    host.one_service(replicas=2)
    host.start()
    host.apply()
    first = names(host)
    # Another age is no revision, and the instances know nothing of it.
    host.one_service(replicas=2, extra="max_age: 10s")
    host.apply()
    assert names(host) == first and host.status()["active"] == 1
    with host.load() as load:
        wait_for("none of the first is left", lambda: not names(host) & first and len(names(host)) == 2, seconds=60)
        # A daemon that is killed meanwhile goes on, and so do the ages. (When it was just starting one, that one
        # may count as a death: then the service has to be well for a minute first.)
        second = names(host)
        host.kill_daemon()
        host.start()
        wait_for("none of the second is left", lambda: not names(host) & second and len(names(host)) == 2, seconds=150)
    assert load.result["failed"] == 0, load.result
    assert load.result["requests"] > 0, load.result
    assert host.status()["active"] == 1
    assert len(aged(host)) >= 4
    # And a release is one as ever.
    host.one_service(revision="two", replicas=2, extra="max_age: 10s")
    host.apply()
    assert host.get()[1] == "two"


def test_what_must_be_alone_ends_before_its_successor_starts(host):
    host.one_service(replicas=1, extra="max_age: 10s", rollout="{ strategy: recreate, keep_old: 1s, drain: 1s }")
    host.start()
    host.apply()
    first = names(host)

    def younger():
        there = names(host)
        assert len(there) <= 1, there
        return there and not there & first and host.instances("web", "ready")

    wait_for("a younger one", younger, seconds=60)
    assert host.get()[0] == 200


def test_what_cannot_be_is_refused_with_its_place(host):
    host.one_service(extra="max_age: 9s")
    done = host.run("validate")
    assert done.code == 2 and "services.web.max_age" in done.err and "10s or more" in done.err and "ingot.yaml:" in done.err, done
