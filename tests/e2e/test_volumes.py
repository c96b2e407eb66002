"""Stateful services and their volumes: a real Redis, through the real crun and HAProxy."""
import json
import os
import signal
import subprocess
import threading

import pytest

import redis
from host import INGOT, free_port, wait_for

pytestmark = pytest.mark.skipif(not redis.PROGRAM.exists(), reason="SKIP: redis-server is not installed")


class Cache:
    """A project with one stateful service, and what it keeps."""

    def __init__(self, host):
        self.host = host
        self.port = free_port()
        self.data = host.root / "volumes" / "shop" / "local"
        redis.put_program(host.project / "rootfs")

    def define(self, revision="one", replicas=1, arguments="", snapshot="none", extra="", service="cache"):
        self.host.define(f"""
version: 1
project: shop
images:
  redis: {{ build: . }}
services:
  {service}:
    image: redis
    kind: stateful
    command: [/usr/bin/redis-server, --dir, /data, --appendonly, "yes", --appendfsync, always, --save, "", --protected-mode, "no"{arguments}]
    user: 1000:1000
    port: 6379
    replicas: {replicas}
    environment: {{ REVISION: {revision} }}
    volumes: [{{ name: data, path: /data }}]
    health:
      ready: {{ tcp: true, deadline: 5s }}
    rollout: {{ drain: 1s }}
    {extra}
routes:
  - {{ listen: "127.0.0.1:{self.port}", to: {service}, protocol: tcp }}
volumes: {{ data: {{ snapshot: {snapshot} }} }}
""", dockerfile="FROM scratch\nCOPY rootfs/ /\n")
        (self.host.project / ".dockerignore").write_text("*\n!rootfs\n")

    def talk(self, *commands):
        """As soon as somebody answers: a connection may come to a member that is just going."""
        def answers():
            try:
                return redis.talk(self.port, *commands)
            except OSError:
                return None
        return wait_for(f"answers to {commands}", answers)

    def ask(self, *words):
        return self.talk(words)[0]

    def members(self):
        """What each member has under the key `who`, made where it has nothing yet."""
        return {self.talk(["SETNX", "who", os.urandom(8).hex()], ["GET", "who"])[1] for _ in range(40)}

    def volumes(self):
        return {volume["name"]: volume for volume in self.host.ok("volume", "ls", "--json").json()["volumes"]}


@pytest.fixture
def cache(host):
    made = Cache(host)
    made.define()
    host.start()
    return made


def test_data_outlive_releases_rollbacks_and_the_daemon(cache):
    host = cache.host
    host.apply()
    assert cache.ask("SET", "greeting", "hello") == "OK"
    cache.define(revision="two")
    assert host.apply()["rollout"]["phase"] in ("baking", "completed")
    assert cache.ask("GET", "greeting") == "hello"
    cache.ask("SET", "greeting", "of two")
    host.ok("rollback", "--json")
    assert host.status()["active"] == 1
    # What the newer revision has written is not lost.
    assert cache.ask("GET", "greeting") == "of two"
    host.kill_daemon()
    assert cache.ask("GET", "greeting") == "of two"
    host.start()
    for instance in host.instances("cache"):
        os.kill(instance["pid"], signal.SIGKILL)
    wait_for("another instance", lambda: host.instances("cache", "ready"))
    assert cache.ask("GET", "greeting") == "of two"
    assert [v["instance"] for v in cache.volumes().values()] == [i["name"] for i in host.instances("cache")]


def test_files_belong_to_the_user_of_the_service_whatever_its_range(cache):
    host = cache.host
    host.apply()
    cache.ask("SET", "a", "1")
    data = cache.data / "data-0" / "data"
    first = host.instances("cache")[0]
    on_host = int([line for line in open(f"/proc/{first['pid']}/status") if line.startswith("Uid:")][0].split()[1])
    assert on_host > 100_000
    owners = {os.lstat(os.path.join(top, name)).st_uid for top, folders, files in os.walk(data)
              for name in folders + files} | {os.lstat(data).st_uid}
    assert owners == {1000}, owners
    # The next one has another range, and nothing had to be given to it.
    cache.define(revision="two")
    host.apply()
    cache.ask("SET", "b", "2")
    assert cache.ask("GET", "a") == "1"
    # Nobody else on the host gets at it.
    assert os.lstat(host.root / "volumes").st_mode & 0o777 == 0o700


def test_a_failing_version_gives_the_data_back_to_the_former_one(cache):
    host = cache.host
    cache.define(replicas=2)
    host.apply()
    kept = cache.members()
    assert len(kept) == 2
    cache.define(revision="bad", replicas=2, arguments=", --no-such-option")
    done = host.run("apply", "--yes", "--json")
    assert done.code == 5, done
    assert host.status()["active"] == 1
    assert cache.members() == kept
    volumes = cache.volumes()
    assert {volumes[name]["instance"] for name in ("data-0", "data-1")} == \
        {i["name"] for i in host.instances("cache", "ready")}


def test_members_are_replaced_one_by_one_and_go_and_come_with_their_data(cache):
    host = cache.host
    cache.define(replicas=3)
    host.apply()
    kept = cache.members()
    assert len(kept) == 3
    least = [3]
    over = threading.Event()

    def watch():
        while not over.is_set():
            seen = host.status()
            of_cache = [s for s in seen["services"] if s["name"] == "cache"] + \
                [f for f in seen["fleets"] if f["service"] == "cache"]
            least[0] = min(least[0], sum(i["state"] == "ready" for one in of_cache for i in one["instances"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    cache.define(revision="two", replicas=3)
    host.apply()
    over.set()
    watcher.join()
    assert least[0] >= 2
    assert cache.members() == kept

    host.ok("scale", "cache=1", "--json")
    wait_for("one member", lambda: [v["instance"] is not None for v in cache.volumes().values()] == [True, False, False])
    first = cache.members()
    assert len(first) == 1 and first < kept
    assert "data-2" in host.ok("events", "--json").out
    host.ok("scale", "cache=3", "--json")
    wait_for("three members", lambda: len(host.instances("cache", "ready")) == 3)
    assert cache.members() == kept


@pytest.mark.parametrize("after, arguments", [(0.05, ""), (0.2, ""), (0.35, ""), (0.5, ""), (0.1, ", --no-such-option"),
                                              (0.3, ", --no-such-option"), (0.6, ", --no-such-option")])
def test_a_daemon_that_is_killed_in_the_middle_of_a_replacement_goes_on(cache, after, arguments):
    host = cache.host
    cache.define(replicas=2)
    host.apply()
    kept = cache.members()
    cache.define(revision="two", replicas=2, arguments=arguments)
    host.ok("build")
    apply = subprocess.Popen([str(INGOT), "apply", "--yes"], cwd=host.project, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env={**os.environ, "INGOT_ROOT": str(host.root)})
    wait_for("it rolls", lambda: (host.status()["rollout"] or {}).get("phase") == "rolling")
    threading.Event().wait(after)
    host.kill_daemon()
    apply.wait(timeout=30)
    host.start()
    wait_for("it has ended", lambda: (host.status()["rollout"] or {"phase": "baking"})["phase"] == "baking"
             and len(host.instances("cache", "ready")) == 2, seconds=60)
    assert not arguments or host.status()["active"] == 1
    assert cache.members() == kept
    assert {v["instance"] for v in cache.volumes().values()} == {i["name"] for i in host.instances("cache")}


def test_volumes_by_hand(cache):
    host = cache.host
    host.ok("volume", "create", "data-0")
    assert host.run("volume", "create", "data-0").code == 1
    host.apply()
    holder = host.instances("cache")[0]["name"]
    cache.ask("SET", "k", "before")
    for words in (["snapshot", "data-0", "s"], ["restore", "data-0", "s"], ["rm", "data-0", "--force"]):
        done = host.run("volume", *words)
        assert done.code == 1 and f"in use by {holder}" in done.err, done

    host.ok("scale", "cache=0", "--json")
    wait_for("it is free", lambda: cache.volumes()["data-0"]["instance"] is None)
    done = host.ok("volume", "snapshot", "data-0", "s")
    shares = "warning" not in done.err
    assert host.run("volume", "snapshot", "data-0", "s").code == 1
    host.ok("scale", "cache=1", "--json")
    wait_for("it is back", lambda: host.instances("cache", "ready"))
    cache.ask("SET", "k", "after")
    host.ok("scale", "cache=0", "--json")
    wait_for("it is free", lambda: cache.volumes()["data-0"]["instance"] is None)
    restored = host.ok("volume", "restore", "data-0", "s", "--json").json()
    assert restored["shared_blocks"] == shares
    host.ok("scale", "cache=1", "--json")
    wait_for("it is back", lambda: host.instances("cache", "ready"))
    assert cache.ask("GET", "k") == "before"
    # And what it was is not lost.
    host.ok("scale", "cache=0", "--json")
    wait_for("it is free", lambda: cache.volumes()["data-0"]["instance"] is None)
    host.ok("volume", "restore", "data-0", restored["before"])
    host.ok("scale", "cache=1", "--json")
    wait_for("it is back", lambda: host.instances("cache", "ready"))
    assert cache.ask("GET", "k") == "after"

    host.ok("scale", "cache=0", "--json")
    wait_for("it is free", lambda: cache.volumes()["data-0"]["instance"] is None)
    host.ok("volume", "rm", "data-0", "--snapshot", "s")
    done = host.run("volume", "rm", "data-0")
    assert done.code == 4 and "r1" in done.err and "--force" in done.err, done
    host.ok("volume", "rm", "data-0", "--force")
    assert cache.volumes() == {} and not (cache.data / "data-0").exists()
    kinds = [json.loads(line)["kind"] for line in host.ok("events", "--json").out.splitlines()]
    assert [k for k in kinds if k.startswith("volume.")] == \
        ["volume.created", "volume.kept", "volume.snapshot", "volume.kept", "volume.restored", "volume.kept",
         "volume.restored", "volume.kept", "volume.removed", "volume.removed"]


def test_a_release_leaves_a_snapshot_of_what_was_before_it(cache):
    host = cache.host
    cache.define(snapshot="before-rollout")
    host.apply()
    assert cache.volumes()["data-0"]["snapshots"] == []  # it was new
    for number in range(2, 7):
        cache.ask("SET", "number", str(number))
        cache.define(revision=f"n{number}", snapshot="before-rollout")
        host.apply()
    names = [snapshot["name"] for snapshot in cache.volumes()["data-0"]["snapshots"]]
    assert [name.rsplit("-", 1)[0] for name in names] == ["before-r4", "before-r5", "before-r6"], names
    host.ok("scale", "cache=0", "--json")
    wait_for("it is free", lambda: cache.volumes()["data-0"]["instance"] is None)
    host.ok("volume", "restore", "data-0", names[0])
    host.ok("scale", "cache=1", "--json")
    wait_for("it is back", lambda: host.instances("cache", "ready"))
    assert cache.ask("GET", "number") == "4"


def test_a_snapshot_without_room_leaves_what_there_was(host):
    volumes = host.root / "volumes"
    volumes.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(volumes)], check=True)
    try:
        cache = Cache(host)
        cache.define(snapshot="before-rollout")
        host.start()
        host.apply()
        cache.ask("SET", "big", "x" * (12 << 20))
        cache.define(revision="two", snapshot="before-rollout")
        done = host.run("apply", "--yes", "--json")
        assert done.code == 5 and "No space left" in done.out, done
        assert host.status()["active"] == 1
        assert len(cache.ask("GET", "big")) == 12 << 20
        assert cache.volumes()["data-0"]["snapshots"] == []
        # Nothing of the half copy is left.
        assert os.statvfs(volumes).f_bavail * os.statvfs(volumes).f_frsize > 6 << 20
    finally:
        host.destroy()
        subprocess.run(["umount", str(volumes)], check=True)


def test_a_file_system_that_cannot_shift_owners_is_named(host):
    volumes = host.root / "volumes"
    parts = {name: host.base / name for name in ("lower", "upper", "work")}
    for folder in (volumes, *parts.values()):
        folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "overlay", "-o", ",".join(
        f"{name}dir={folder}" for name, folder in parts.items()), "overlay", str(volumes)],
        check=True)
    try:
        cache = Cache(host)
        cache.define()
        host.start()
        done = host.run("apply", "--yes", "--json")
        assert done.code == 5 and "cannot shift the owners" in done.out and "xfs" in done.out, done
    finally:
        host.destroy()
        subprocess.run(["umount", str(volumes)], check=True)


def test_an_instance_with_volumes_is_as_its_image(cache):
    host = cache.host
    host.apply()
    cache.ask("SET", "a", "1")
    found = host.ok("verify", host.instances("cache")[0]["name"], "--json").json()
    assert [i["state"] for i in found["instances"]] == ["none"], found


def test_data_stay_when_everything_else_is_destroyed(cache):
    host = cache.host
    host.apply()
    cache.ask("SET", "k", "v")
    host.ok("destroy", "--yes")
    wait_for("it is free", lambda: cache.volumes()["data-0"]["instance"] is None)
    host.apply()
    assert cache.ask("GET", "k") == "v"


def test_what_cannot_be_is_refused_with_its_place(cache):
    host = cache.host
    text = (host.project / "ingot.yaml").read_text()

    def refused(old, new, *words):
        assert old in text
        (host.project / "ingot.yaml").write_text(text.replace(old, new))
        done = host.run("validate")
        assert done.code == 2 and "ingot.yaml:" in done.err and all(word in done.err for word in words), done

    refused("    kind: stateful\n", "", "services.cache.volumes", "kind: stateful")
    refused("    volumes: [{ name: data, path: /data }]\n", "", "services.cache.kind", "volumes")
    refused("{ drain: 1s }", "{ strategy: blue-green }", "services.cache.rollout.strategy", "one by one")
    refused("[{ name: data, path: /data }]", "[{ name: data, path: /data }, { name: data, path: /other }]",
            "services.cache.volumes[1].name", "its own")


def test_a_size_that_is_no_limit_is_said_to_be_none(cache):
    host = cache.host
    text = (host.project / "ingot.yaml").read_text().replace("snapshot: none", "size: 64MiB")
    (host.project / "ingot.yaml").write_text(text)
    plan = host.ok("plan", "--json").json()
    host.apply()
    volume = cache.volumes()["data-0"]
    assert volume["size_bytes"] == 64 << 20
    warned = any("size of volume data" in warning and "prjquota" in warning
                 for warning in plan.get("plan", plan)["warnings"])
    assert warned != volume["size_enforced"], (plan, volume)
