"""The registry as a cache of another one: for podman and skopeo, when the other is slow, gone, or lies."""
import concurrent.futures
import http.client
import os
import subprocess
import threading
import time

import pytest

from host import wait_for
from registries import BadRegistry, Image, cut_off, digest
from test_pull import docker_registry  # noqa: F401
from test_registry import Registry, needs
from test_transfer import index_of, skopeo


@pytest.fixture
def cache(host):
    """A registry whose repositories below up.example/ are those of another one."""
    made = []

    def start(upstream, *options):
        made.append(Registry(host, "--upstream", f"up.example/**=http://{upstream}", *options))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            assert each.stop() == 0


@pytest.fixture
def upstream():
    made = BadRegistry()
    yield made
    made.close()


def image(size=500_000):
    return Image([{"file": os.urandom(size)}])


def gets(upstream, what):
    return [path for path, _ in upstream.asked if what in path]


def log(host):
    return (host.base / "registry.log").read_text()


def test_fifty_clients_of_one_blob_are_one_question(host, cache, upstream):
    made = image(8 << 20)
    upstream.put(made, "app:1")
    blob = made.largest()
    gate = threading.Event()

    def slowly(handler, path, body):
        if blob not in path:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:1 << 20])
        handler.wfile.flush()
        gate.wait(20)
        handler.wfile.write(body[1 << 20:])
        return True

    upstream.misbehave = slowly
    registry = cache(upstream.name)
    status, headers, body = registry.call("GET", "/v2/up.example/app/manifests/1")
    assert status == 200 and body == made.manifest and headers["Docker-Content-Digest"] == made.digest
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        pulls = [pool.submit(registry.call, "GET", f"/v2/up.example/app/blobs/{blob}") for _ in range(50)]
        wait_for("the blob is asked for", lambda: gets(upstream, blob))
        # Whoever waits holds up nobody else.
        began = time.monotonic()
        assert registry.call("GET", "/v2/")[0] == 200
        assert registry.call("GET", f"/v2/up.example/app/manifests/{made.digest}")[0] == 200
        assert time.monotonic() - began < 15
        gate.set()
        for pull in pulls:
            status, _, body = pull.result()
            assert status == 200 and digest(body) == blob
    assert len(gets(upstream, blob)) == 1
    part = registry.call("GET", f"/v2/up.example/app/blobs/{blob}", Range="bytes=10-19")
    assert part[0] == 206 and len(part[2]) == 10 and len(gets(upstream, blob)) == 1


def test_podman_and_skopeo_pull_through_it_and_again_without_the_other(host, cache, docker_registry):  # noqa: F811
    needs("podman", "skopeo")
    there = docker_registry()
    images = {a: Image([{"who": a.encode(), "noise": os.urandom(300_000)}], architecture=a) for a in ("amd64", "arm64")}
    whole = index_of(there, images, "team/app:1")
    registry = cache(there.name, "--upstream-ttl", "1s")
    store = ["--root", str(host.base / "podman"), "--runroot", str(host.base / "run"), "--storage-driver", "vfs"]
    # As a mirror: the name that is pulled is the other's own.
    (host.base / "registries.conf").write_text(
        f'[[registry]]\nlocation = "up.example"\n'
        f'[[registry.mirror]]\nlocation = "{registry.address}/up.example"\ninsecure = true\n')
    env = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(host.base / "registries.conf")}

    def pull():
        done = subprocess.run(["podman", *store, "pull", "up.example/team/app:1"], env=env, capture_output=True, text=True,
                              timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        subprocess.run(["podman", *store, "rmi", "-af"], check=True, capture_output=True, timeout=120)

    pull()
    assert digest(subprocess.run(["skopeo", "--insecure-policy", "inspect", "--raw", "--tls-verify=false",
                                  f"docker://{registry.address}/up.example/team/app:1"], check=True,
                                 capture_output=True).stdout) == whole
    there.close()
    time.sleep(1.2)  # the tag is old now
    pull()
    assert "team/app:1 is served as it was" in log(host)
    status, headers, _ = registry.call("GET", "/v2/up.example/team/app/manifests/1")
    assert status == 200 and headers["Warning"].startswith("110") and int(headers["Age"]) >= 1
    # What was never asked for is not here, and nobody says that it does not exist.
    arm = images["arm64"].layers[0]["digest"]
    assert registry.call("GET", f"/v2/up.example/team/app/blobs/{arm}")[0] == 502
    assert host.ok("gc", "--json").code == 0
    assert host.ok("verify", "--json").code == 0
    pull()
    # It stays when the registry is started again, also without ever asking.
    registry.stop()
    again = cache(there.name, "--upstream-offline")
    assert again.call("GET", "/v2/up.example/team/app/manifests/1")[0] == 200
    assert again.call("GET", f"/v2/up.example/team/app/blobs/{arm}")[0] == 404


def test_a_tag_moves_when_its_time_is_up_and_a_digest_never(host, cache, upstream):
    first, second = image(), image()
    upstream.put(first, "app:1")
    registry = cache(upstream.name, "--upstream-ttl", "2s")
    get = lambda: registry.call("GET", "/v2/up.example/app/manifests/1")[1]["Docker-Content-Digest"]  # noqa: E731
    assert get() == first.digest
    upstream.put(second, "app:1")
    asked = len(upstream.asked)
    assert get() == first.digest and len(upstream.asked) == asked
    time.sleep(2.1)
    assert get() == second.digest
    asked = len(upstream.asked)
    assert registry.call("GET", f"/v2/up.example/app/manifests/{first.digest}")[2] == first.manifest
    assert len(upstream.asked) == asked
    del upstream.images["app", "1"]
    time.sleep(2.1)
    assert registry.call("GET", "/v2/up.example/app/manifests/1")[0] == 404
    assert registry.call("GET", "/v2/up.example/none/manifests/1")[0] == 404
    assert registry.call("GET", "/v2/up.example/app/blobs/sha256:" + "0" * 64)[0] == 404
    assert registry.call("POST", "/v2/up.example/app/blobs/uploads/")[0] == 403


def test_a_blob_that_is_cut_off_goes_on_and_one_that_lies_ends_short(host, cache, upstream):
    made = image(3 << 20)
    upstream.put(made, "app:1")
    blob = made.largest()
    cuts = []

    def cut_once(handler, path, body):
        if blob not in path or cuts:
            return False
        cuts.append(path)
        cut_off(handler, body, 2 << 20)
        return True

    upstream.misbehave = cut_once
    registry = cache(upstream.name)
    status, _, body = registry.call("GET", f"/v2/up.example/app/blobs/{blob}")
    assert status == 200 and digest(body) == blob
    assert [headers.get("Range") for path, headers in upstream.asked if blob in path] == [None, f"bytes={2 << 20}-"]
    wrong = "sha256:" + "1" * 64
    upstream.blobs[wrong] = os.urandom(1 << 20)
    with pytest.raises(http.client.IncompleteRead):
        registry.call("GET", f"/v2/up.example/app/blobs/{wrong}")
    wait_for("it is told", lambda: "other contents" in log(host))
    assert not (host.root / "blobs" / "sha256" / ("1" * 64)).exists()


def test_stopping_waits_for_nobody_elsewhere(host, cache, upstream):
    made = image()
    upstream.put(made, "app:1")
    upstream.misbehave = lambda handler, path, body: (time.sleep(20), False)[1]
    registry = cache(upstream.name)
    threading.Thread(target=registry.call, args=("GET", f"/v2/up.example/app/blobs/{made.largest()}"), daemon=True).start()
    wait_for("it is asked for", lambda: gets(upstream, made.largest()))
    began = time.monotonic()
    assert registry.stop() == 0
    assert time.monotonic() - began < 15
