"""Damaged bytes: never served, set aside, repaired from another copy, or named as lost with all they affect."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from host import INGOT, free_port, wait_for
from registries import BadRegistry, Image


def spoil(path):
    """One byte changes; size and name stay."""
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
        file.flush()
        os.fsync(file.fileno())


STARTED = []


@pytest.fixture(autouse=True)
def none_left():
    """A test that fails leaves no registry behind."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.wait()
    STARTED.clear()


class Registry:
    def __init__(self, host, config=None):
        self.port = free_port()
        self.log = host.base / "registry.log"
        command = [str(INGOT), "registry", "serve", "--listen", f"127.0.0.1:{self.port}"]
        if config:
            command += ["--host-config", str(config)]
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env={**os.environ, "INGOT_ROOT": str(host.root)})
        STARTED.append(self.process)

        def answers():
            assert self.process.poll() is None, self.log.read_text()
            return self.call("GET", "/v2/")[0] == 200

        wait_for("the registry answers", answers)

    def call(self, method, path, body=None, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, method=method,
                                         headers={k.replace("_", "-"): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except Exception as error:  # an answer that was cut off
            return 0, str(error).encode()

    def push(self, repository, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        assert self.call("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data)[0] == 201
        return digest

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def build(host):
    (host.project / "big").write_bytes(os.urandom(3 << 20))
    host.define("version: 1\nproject: shop\nimages:\n  app: { build: . }\n",
                'FROM scratch\nCOPY app big /\nUSER 1000:1000\nCMD ["/app"]\n')
    (host.project / ".dockerignore").write_text("*\n!app\n!big\n")
    host.ok("build")
    return next(i for i in host.ok("images", "ls", "--json").json()["images"] if "shop/app:latest" in i["names"])


def objects(host):
    return sorted((p for p in (host.root / "objects").rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size)


def test_a_registry_never_serves_bytes_that_do_not_match(host):
    image = build(host)
    registry = Registry(host)
    data = os.urandom(1 << 20)
    digest = registry.push("team/app", data)
    assert registry.call("GET", f"/v2/team/app/blobs/{digest}") == (200, data)
    manifest = json.loads(registry.call("GET", "/v2/shop/app/manifests/latest")[1])
    layer = manifest["layers"][0]
    status, tar = registry.call("GET", f"/v2/shop/app/blobs/{layer['digest']}")
    assert status == 200 and "sha256:" + hashlib.sha256(tar).hexdigest() == layer["digest"]
    assert registry.stop() == 0

    spoil(host.root / "blobs" / "sha256" / digest[7:])
    spoil(objects(host)[0])
    registry = Registry(host)
    status, body = registry.call("GET", f"/v2/team/app/blobs/{digest}")
    assert status == 500 and b"damaged" in body, body[:300]
    assert registry.call("GET", f"/v2/team/app/blobs/{digest}", Range="bytes=100-199")[0] == 500
    status, body = registry.call("GET", f"/v2/shop/app/blobs/{layer['digest']}")
    assert (status, body) != (200, tar) and "sha256:" + hashlib.sha256(body).hexdigest() != layer["digest"]
    assert status != 200 or len(body) < layer["size"]
    # What is pushed again is served again.
    registry.push("team/app", data)
    assert registry.call("GET", f"/v2/team/app/blobs/{digest}") == (200, data)
    assert registry.stop() == 0
    assert image["digest"]


def test_verify_repairs_by_building_again_and_names_what_is_lost(host):
    build(host)
    victim = objects(host)[0]
    spoil(victim)
    assert host.run("verify").code == 1
    # Away from the project there is nothing to build from.
    done = host.run("verify", "--repair", "--json", cwd=host.base)
    assert done.code == 1, done
    report = done.json()
    assert report["missing"] == 1 and report["repaired"] == []
    lost = report["lost"][0]
    assert lost["thing"] == "object" and lost["names"] == ["shop/app:latest"] and lost["instances"] is None
    assert not victim.exists()
    doctor = host.run("doctor", "--json").json()
    fact = next(f for f in doctor["facts"] if f["name"] == "store")
    assert fact["state"] == "missing" and lost["name"] in fact["lost"]
    done = host.run("verify", "--repair", "--json", timeout=300)
    assert done.code == 0, done
    report = done.json()
    assert [r["how"] for r in report["repaired"]] == ["built again"] and report["lost"] == []
    assert victim.exists() and list((host.root / "quarantine").iterdir()) == []


def test_what_gc_has_removed_is_no_longer_lost(host):
    """Verify, status and doctor judge alike: lost as long as an image needs it, and no longer."""
    image = build(host)
    spoil(objects(host)[0])
    assert host.run("verify", "--repair", cwd=host.base).code == 1

    def judged():
        fact = next(f for f in host.run("doctor", "--json").json()["facts"] if f["name"] == "store")
        return fact["state"], fact["seen"], host.run("verify", "--json", cwd=host.base)

    state, seen, verified = judged()
    assert state == "missing" and "shop/app:latest" in seen and verified.code == 1, (state, seen, verified)
    # One without a tag is named by what it was called last.
    (host.project / "big").write_bytes(b"another")
    host.ok("build")
    state, seen, verified = judged()
    assert state == "missing" and "shop/app@" + image["digest"] in seen and verified.code == 1, (state, seen, verified)
    host.ok("gc", "--keep-cache", "0s")
    state, seen, verified = judged()
    assert state == "ok" and verified.code == 0 and verified.json()["lost"] == [], (state, seen, verified)
    assert list((host.root / "quarantine").iterdir()) == []


def test_verify_repairs_from_the_registry_that_an_image_came_from(host):
    upstream = BadRegistry()
    try:
        upstream.put(Image([{"bin/base": b"base" * 3000}, {"bin/more": b"more" * 100}]), "lib/base:1")
        host.define("version: 1\nproject: shop\nimages:\n  app: { build: . }\n",
                    f'FROM {upstream.name}/lib/base:1\nCOPY app /app\nCMD ["/app"]\n')
        host.ok("build")
        blobs = sorted((host.root / "blobs" / "sha256").iterdir(), key=lambda p: -p.stat().st_size)
        layer = next(p for p in blobs if p.read_bytes()[:2] == b"\x1f\x8b")
        spoil(layer)
        spoil(next(p for p in objects(host) if p.stat().st_size == 12000))
        done = host.run("verify", "--repair", "--json", cwd=host.base)
        assert done.code == 0, done
        how = {r["thing"]: r["how"] for r in done.json()["repaired"]}
        assert how["blob"].startswith(upstream.name) and how["object"] == "another copy in this store", how
    finally:
        upstream.close()


def test_the_scrub_finds_damage_resumes_and_repairs(host):
    build(host)
    config = host.base / "host.yaml"
    config.write_text("version: 1\nscrub: { rate: 1MiB, every: 1h }\n")
    state = host.root / "scrub.json"
    registry = Registry(host, config)
    # 4 MiB at 1 MiB/s: it is ended in its middle.
    time.sleep(1.2)
    assert registry.stop() == 0
    first = json.loads(state.read_text())
    assert first["completed"] is None and first["bytes"] > 0
    spoil(objects(host)[0])
    config.write_text("version: 1\nscrub: { rate: 100MiB, every: 1h }\n")
    registry = Registry(host, config)
    wait_for("the round ends", lambda: json.loads(state.read_text())["completed"])
    last = json.loads(state.read_text())
    assert last["began"] == first["began"], "it began anew instead of going on"
    assert registry.stop() == 0
    log = registry.log.read_text()
    looked_at = [p for p in objects(host)]
    assert last["found"] == 1 or first["cursor"], log
    if last["found"]:
        assert "store.damaged" in log and "store.lost" in log
        assert len(looked_at) >= 1


def test_an_instance_is_not_started_on_what_is_lost(served):
    served.one_service("one")
    served.apply()
    victim = objects(served)[0]
    spoil(victim)
    assert served.run("verify", "--repair", cwd=served.base).code == 1
    status = served.status()
    assert status["lost"] and status["lost"][0]["instances"], status["lost"]
    done = served.run("scale", "web=3")
    assert done.code in (0, 1)

    def refused():
        text = json.dumps(served.status())
        return status["lost"][0]["name"] in json.dumps(served.status()["services"]) or "is lost" in text

    wait_for("the reason names what is lost", refused)
    assert served.run("verify", "--repair", timeout=300).code == 0
    wait_for("three instances", lambda: len(served.instances("web", "ready")) == 3, 60)
