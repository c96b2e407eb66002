"""Releases under load: nothing is lost, nothing is mixed, what did not change stays."""
import signal

from host import wait_for


def ids(host, service):
    return {i["id"] for i in host.instances(service, "ready")}


def test_first_release_serves_and_the_same_again_is_nothing_to_do(served):
    served.one_service("one")
    done = served.apply()
    assert done["accepted"]["accepted"] == "rollout"
    assert done["rollout"]["phase"] == "completed", "there is no old fleet to keep"
    assert served.get()[:2] == (200, "one")
    before = ids(served, "web")
    assert len(before) == 2
    assert served.apply()["accepted"]["accepted"] == "nothing"
    assert ids(served, "web") == before


def test_a_changed_environment_variable_is_a_new_revision_without_a_failed_request(served):
    served.one_service("one", replicas=3)
    served.apply()
    with served.load() as load:
        served.one_service("two", replicas=3)
        served.apply()
    assert load.result["failed"] == 0, load.result
    one, two = load.result["seen"]["one"], load.result["seen"]["two"]
    assert one["count"] > 0 and two["count"] > 0
    assert served.get()[1] == "two"


def test_rollback_to_a_warm_revision_starts_nothing(served):
    served.one_service("one")
    served.apply()
    first = ids(served, "web")
    served.one_service("two")
    served.apply()
    with served.load() as load:
        served.ok("rollback")
    assert load.result["failed"] == 0, load.result
    assert served.get()[1] == "one"
    assert ids(served, "web") == first, "the old fleet was kept, not started again"


def test_rollback_does_not_wait_for_a_valid_definition(served):
    served.one_service("one")
    served.apply()
    served.one_service("two")
    served.apply()
    file = served.project / "ingot.yaml"
    file.write_text(file.read_text() + "\nreplica: 3\n")
    assert served.run("plan").code == 2
    served.ok("rollback")
    assert served.get()[1] == "one"


def test_rollback_after_the_window_starts_the_kept_image_again(served):
    served.one_service("one", rollout="{ keep_old: 0s, drain: 1s }")
    served.apply()
    first = ids(served, "web")
    served.one_service("two", rollout="{ keep_old: 0s, drain: 1s }")
    served.apply()
    wait_for("the old fleet is retired", lambda: len(served.status()["revisions"]) == 1)
    with served.load() as load:
        served.ok("rollback")
    assert load.result["failed"] == 0, load.result
    assert served.get()[1] == "one"
    assert not ids(served, "web") & first


TWO_SERVICES = """
version: 1
project: shop
images:
  app: {{ build: . }}
services:
  web:
    image: app
    replicas: 2
    port: 8080
    environment: {{ REVISION: {web}, UPSTREAM: "api:9000" }}
    uses: [api]
    health: {{ ready: {{ http: /healthz, deadline: 5s }} }}
    rollout: {{ keep_old: 1m, drain: 2s }}
  api:
    image: app
    replicas: 2
    port: 9000
    environment: {{ REVISION: {api}, PORT: "9000" }}
    health: {{ ready: {{ http: /healthz, deadline: 5s }} }}
    rollout: {{ keep_old: 1m, drain: 2s }}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
"""


def upstream(host):
    import urllib.request
    with urllib.request.urlopen(f"http://127.0.0.1:{host.port}/", timeout=5) as answer:
        return answer.headers["X-Revision"], answer.headers["X-Upstream"]


def test_a_request_stays_within_its_revision_and_what_did_not_change_keeps_its_instances(served):
    served.define(TWO_SERVICES.format(web="w1", api="a1"))
    served.apply()
    assert upstream(served) == ("w1", "a1")
    web, api = ids(served, "web"), ids(served, "api")
    # Both change: never w2 in front of a1 nor the other way round.
    served.define(TWO_SERVICES.format(web="w2", api="a2"))
    pairs = set()
    import threading
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            pairs.add(upstream(served))

    watcher = threading.Thread(target=watch)
    watcher.start()
    served.apply()
    stop.set()
    watcher.join()
    pairs.add(upstream(served))
    assert pairs <= {("w1", "a1"), ("w2", "a2")} and ("w2", "a2") in pairs, pairs
    assert not ids(served, "web") & web and not ids(served, "api") & api
    # Only web changes: api keeps its instances.
    api = ids(served, "api")
    served.define(TWO_SERVICES.format(web="w3", api="a2"))
    served.apply()
    assert upstream(served) == ("w3", "a2")
    assert ids(served, "api") == api


def test_scale_changes_a_count_and_no_revision(served):
    served.one_service("one", replicas=1)
    served.apply()
    first = ids(served, "web")
    served.ok("scale", "web=3")
    wait_for("three instances", lambda: len(ids(served, "web")) == 3)
    assert first < ids(served, "web")
    assert served.status()["active"] == 1
    with served.load() as load:
        served.ok("scale", "web=1")
        wait_for("one instance", lambda: len(served.instances("web")) == 1)
    assert load.result["failed"] == 0, load.result


def test_many_rollouts_and_rollbacks_under_load_lose_nothing(served):
    served.one_service("r0")
    served.apply()
    with served.load(rate=600) as load:
        for n in range(1, 11):
            served.one_service(f"r{n}")
            served.apply()
            if n % 3 == 0:
                served.ok("rollback")
    assert load.result["failed"] == 0, load.result
    assert load.result["posts"] > 100


def test_a_changed_file_is_one_small_layer_and_a_new_revision(served):
    served.one_service("one")
    (served.project / "extra").write_text("a")
    dockerfile = 'FROM scratch\nCOPY app /app\nCOPY extra /extra\nUSER 1000:1000\nCMD ["/app"]\n'
    (served.project / "Dockerfile").write_text(dockerfile)
    (served.project / ".dockerignore").unlink()
    served.apply()
    assert served.get("/read?/extra")[2] == "a\n"
    (served.project / "extra").write_text("b")
    with served.load() as load:
        served.apply()
    assert load.result["failed"] == 0, load.result
    assert served.get("/read?/extra")[2] == "b\n"


def test_a_killed_instance_is_replaced_by_a_new_one(served):
    import os
    served.one_service("one", replicas=2)
    served.apply()
    victim = served.instances("web", "ready")[0]
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for("a replacement", lambda: len(ids(served, "web")) == 2 and victim["id"] not in ids(served, "web"))
    assert served.get()[:2] == (200, "one")
    events = [e for e in map(__import__("json").loads, served.ok("events", "--json").out.splitlines())]
    assert any(victim["id"] in str(e["detail"]) and e["kind"] == "instance.lost" for e in events), events[-5:]


RECREATED = """
version: 1
project: shop
images:
  app: {{ build: . }}
services:
  web:
    image: app
    replicas: 2
    port: 8080
    environment: {{ REVISION: {web} }}
    health: {{ ready: {{ http: /healthz, deadline: 3s }} }}
    rollout: {{ keep_old: 1m, drain: 2s }}
  writer:
    image: app
    port: 9000
    environment: {{ REVISION: {writer}, PORT: "9000", HEALTH: "{health}" }}
    health: {{ ready: {{ http: /healthz, deadline: 2s }} }}
    rollout: {{ strategy: recreate, keep_old: 1m, drain: 1s }}
  mailer:
    image: app
    kind: worker
    environment: {{ REVISION: {web} }}
    rollout: {{ keep_old: 1m, drain: 1s }}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
"""


def watch_pids(host, service, stop, most):
    """How many instances of a service ran at once, as the platform saw them."""
    while not stop.is_set():
        status = host.status()
        groups = [s for s in status["services"] if s["name"] == service]
        groups += [f for f in status["fleets"] if f["service"] == service]
        most.append(sum(1 for g in groups for i in g["instances"] if i.get("pid")))


def test_recreate_never_runs_two_and_brings_the_old_one_back_and_the_rest_loses_nothing(served):
    import threading
    served.define(RECREATED.format(web="w1", writer="a", health="200"))
    served.apply()
    plan = None
    stop, most = threading.Event(), []
    watcher = threading.Thread(target=watch_pids, args=(served, "writer", stop, most))
    watcher.start()
    try:
        with served.load() as load:
            served.define(RECREATED.format(web="w2", writer="b", health="200"))
            plan = served.ok("plan").out
            served.apply()
            assert served.get()[1] == "w2"
            second = ids(served, "writer")
            served.define(RECREATED.format(web="w3", writer="c", health="500"))
            failed = served.run("apply", "--yes", "--json")
            assert failed.code == 5, failed
            assert failed.json()["rollout"]["phase"] == "reverted"
            wait_for("the old writer is back", lambda: len(ids(served, "writer")) == 1)
            assert not ids(served, "writer") & second, "a new instance of the old fleet"
            served.ok("rollback")
            assert served.get()[1] == "w1"
    finally:
        stop.set()
        watcher.join()
    assert load.result["failed"] == 0, load.result
    assert "recreate: after the old ones have ended" in plan
    assert most and max(most) == 1, max(most)


def test_workers_of_the_old_revision_end_at_the_switch(served):
    served.define(RECREATED.format(web="w1", writer="a", health="200"))
    served.apply()
    first = ids(served, "mailer")
    assert len(first) == 1
    served.define(RECREATED.format(web="w2", writer="a", health="200"))
    served.apply()
    second = ids(served, "mailer")
    assert len(second) == 1 and not first & second

    def old_is_gone():
        return not [i for f in served.status()["fleets"] if f["service"] == "mailer" for i in f["instances"]]

    wait_for("the old worker has ended", old_is_gone)


def test_an_apply_of_what_is_warm_needs_no_room_twice(host):
    total = int(open("/proc/meminfo").readline().split()[1]) * 1024
    # Two of them fit on the host, three do not.
    most = f"resources: {{ memory: {total // 10 * 4 >> 20}MiB }}"
    host.start()
    for revision in ["one", "two"]:
        host.one_service(revision, replicas=1, extra=most)
        host.apply()
    host.one_service("three", replicas=1, extra=most)
    third = host.run("plan")
    assert third.code == 1 and "memory" in third.out + third.err, third
    assert host.run("diff").out == third.out
    host.one_service("one", replicas=1, extra=most)
    host.apply()
    assert host.get()[1] == "one"


def test_a_count_that_the_host_has_no_room_for_is_refused_before_anything_starts(host):
    total = int(open("/proc/meminfo").readline().split()[1]) * 1024
    most = f"resources: {{ memory: {total // 10 * 2 >> 20}MiB }}"
    host.start()
    host.one_service("one", replicas=1, extra=most)
    host.apply()
    # One that serves and the one before it, which is warm, leave room for two more of these.
    host.one_service("two", replicas=1, extra=most)
    host.apply()
    done = host.run("scale", "web=4", "--json")
    assert done.code != 0, done
    refused = done.json()["error"]
    assert refused["code"] == "refused" and "but this host has" in refused["message"], refused
    assert "lower `resources.memory` or `replicas`" in refused["message"], refused
    assert len(host.instances("web")) == 1, "nothing was started"
    host.ok("scale", "web=3")
    wait_for("three instances", lambda: len([i for i in host.instances("web") if i["state"] == "ready"]) == 3)
    # Fewer are never refused.
    host.ok("scale", "web=2")
