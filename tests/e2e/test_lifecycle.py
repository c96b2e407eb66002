"""What stays, what goes, what may move: retention, disk_limit, immutable tags, channels."""
import hashlib
import json
import os
import signal
import subprocess

import pytest

from host import INGOT, wait_for
from test_registry import Registry


def configure(host, text):
    """A host.yaml for every command of the host."""
    file = host.base / "host.yaml"
    file.write_text("version: 1\n" + text)
    os.environ["INGOT_HOST_CONFIG"] = str(file)


@pytest.fixture(autouse=True)
def no_host_config():
    yield
    os.environ.pop("INGOT_HOST_CONFIG", None)


def build(host, version, policy=""):
    """shop/app:latest with one file of its own, golden."""
    host.define(f"version: 1\nproject: shop\nimages:\n  app: {{ build: . }}\n{policy}",
                "FROM scratch\nCOPY version /version\nCMD [\"/version\"]\n")
    (host.project / "version").write_text(f"version {version}\n" * 3000)
    (host.project / ".dockerignore").write_text("*\n!version\n")
    return digest_of(host.ok("build", "--json").json())


def digest_of(document):
    text = json.dumps(document)
    start = text.index("sha256:")
    return text[start:start + 71]


def images(host):
    return {i["digest"]: i for i in host.ok("images", "ls", "--json").json()["images"]}


def test_retention_of_a_project_keeps_the_newest_and_says_why_the_rest_goes(host):
    policy = "policy: { retention: { keep: 2 } }\n"
    digests = [build(host, n, policy) for n in range(5)]
    dry = host.ok("gc", "--dry-run", "--keep-cache", "0s", "--json").json()
    gone = {r["digest"]: r for r in dry["removed"]}
    assert set(gone) == set(digests[:3])
    for entry in gone.values():
        assert entry["rule"] == "policy.retention of shop: not among the 2 newest"
        assert entry["repositories"] == ["shop/app"] and entry["bytes"] >= 4096
    assert sum(r["bytes"] for r in gone.values()) <= dry["freed_bytes"]
    assert len(images(host)) == 5
    why = host.ok("images", "why", digests[3], "--keep-cache", "0s", "--json").json()
    assert [h["kind"] for h in why["held_by"]] == ["retention"]
    assert host.ok("images", "why", digests[0], "--keep-cache", "0s", "--json").json()["held"] is False
    done = host.ok("images", "prune", "--keep-cache", "0s", "--json").json()
    assert done["freed_bytes"] == dry["freed_bytes"] and {r["digest"] for r in done["removed"]} == set(gone)
    assert set(images(host)) == set(digests[3:])
    assert host.ok("verify", "--json", timeout=300).code == 0


def test_what_runs_by_hand_is_not_collected(host):
    host.define("version: 1\nproject: shop\nimages:\n  app: { build: . }\npolicy: { retention: { keep: 1 } }\n")
    first = digest_of(host.ok("build", "--json").json())
    with open(host.project / "Dockerfile", "a") as dockerfile:
        dockerfile.write("LABEL version=2\n")
    assert digest_of(host.ok("build", "--json").json()) != first
    process = subprocess.Popen([str(INGOT), "run", first, "--", "/app", "job", "interrupt"], text=True,
                               env={**os.environ, "INGOT_ROOT": str(host.root)}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "waiting\n"
        host.ok("gc", "--keep-cache", "0s")
        assert first in images(host)
    finally:
        process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "interrupted\n"
    host.ok("gc", "--keep-cache", "0s")
    assert first not in images(host)


def test_unique_size_is_what_goes_with_the_image(host):
    first, second = build(host, 1), build(host, 2)
    host.ok("images", "tag", first, "shop/app:old")
    unique = images(host)[first]["unique_bytes"]
    assert 0 < unique < images(host)[first]["size_bytes"] + (1 << 20)
    host.ok("images", "tag", second, "shop/app:old")
    dry = host.ok("gc", "--dry-run", "--keep-cache", "0s", "--json").json()
    assert [r["digest"] for r in dry["removed"]] == [first]
    assert dry["freed_bytes"] == unique == dry["removed"][0]["bytes"]


def test_an_immutable_tag_moves_neither_here_nor_by_a_push(host):
    first, second = build(host, 1), build(host, 2)
    host.ok("images", "tag", first, "shop/app:1.0")
    host.ok("images", "tag", first, "shop/app:1.0")
    refused = host.run("images", "tag", second, "shop/app:1.0")
    assert refused.code == 4 and "immutable" in refused.err and first in refused.err, refused
    registry = Registry(host)
    try:
        manifest = registry.call("GET", f"/v2/shop/app/manifests/{second}")
        status, _, body = registry.call("PUT", "/v2/shop/app/manifests/1.0", manifest[2],
                                        Content_Type=manifest[1]["Content-Type"])
        assert status == 403 and json.loads(body)["errors"][0]["code"] == "DENIED"
    finally:
        registry.stop()


def put_manifest(registry, repository, tag, number):
    config = registry.push(repository, b"{}")
    layer = registry.push(repository, f"layer {number}".encode() * 1000)
    body = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                       "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
                       "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer,
                                   "size": len(f"layer {number}") * 1000}]}).encode()
    status, headers, answer = registry.call("PUT", f"/v2/{repository}/manifests/{tag}", body,
                                            Content_Type="application/vnd.oci.image.manifest.v1+json")
    assert status == 201, answer
    return headers["Docker-Content-Digest"]


def test_what_was_pulled_lately_is_kept_in_the_registry_and_the_rest_goes(host):
    configure(host, "registry: { repositories: [{ match: 'team/*', retention: { keep: 1, keep_pulled: 1h, "
                    "keep_tags: ['release-*'] } }] }\n")
    registry = Registry(host)
    try:
        old = put_manifest(registry, "team/app", "old", 1)
        pulled = put_manifest(registry, "team/app", "pulled", 2)
        release = put_manifest(registry, "team/app", "release-1", 3)
        newest = put_manifest(registry, "team/app", "newest", 4)
        elsewhere = put_manifest(registry, "other/app", "old", 1)
        assert registry.call("GET", "/v2/team/app/manifests/pulled")[0] == 200
        assert registry.stop() == 0  # writes down what was pulled
        dry = host.ok("gc", "--dry-run", "--json").json()
        assert [(r["digest"], r["tags"]) for r in dry["removed"]] == [(old, ["old"])]
        assert dry["removed"][0]["rule"].startswith("host.yaml: team/*: not among the 1 newest")
        done = host.ok("gc", "--json").json()
        assert done["freed_bytes"] == dry["freed_bytes"]
        registry.start()
        for digest in (pulled, release, newest):
            assert registry.call("HEAD", f"/v2/team/app/manifests/{digest}")[0] == 200
        assert registry.call("HEAD", f"/v2/team/app/manifests/{old}")[0] == 404
        assert registry.call("HEAD", f"/v2/other/app/manifests/{elsewhere}")[0] == 200
        why = host.ok("images", "why", elsewhere, "--json").json()
        assert {h["kind"] for h in why["held_by"]} == {"registry", "registry tag"}
    finally:
        registry.stop()


def taken(host):
    total = 0
    for name in ("objects", "layers", "blobs", "objects.staging", "tmp"):
        for path in (host.root / name).rglob("*"):
            if path.is_file():
                total += path.stat().st_blocks * 512
    return total


def test_disk_limit_is_held_by_builds_and_pushes_at_once(host):
    limit = 24 << 20
    configure(host, "disk_limit: 24MiB\n")
    registry = Registry(host)
    try:
        statuses = []
        blobs = [os.urandom(3 << 20) for _ in range(12)]
        peak = 0
        for blob in blobs:
            digest = "sha256:" + hashlib.sha256(blob).hexdigest()
            status, _, body = registry.call("POST", f"/v2/team/a/blobs/uploads/?digest={digest}", blob)
            statuses.append(status)
            peak = max(peak, taken(host))
            if status != 201:
                assert status == 507 and b"disk_limit" in body and b"ingot gc" in body
        assert statuses[0] == 201 and 507 in statuses and peak <= limit
        # Another process: refused with the remedy, and nothing overrun.
        host.define("version: 1\nproject: shop\nimages:\n  app: { build: . }\n", "FROM scratch\nCOPY big /big\n")
        (host.project / ".dockerignore").write_text("*\n!big\n")
        (host.project / "big").write_bytes(os.urandom(12 << 20))
        refused = host.run("build")
        assert refused.code == 1 and "disk_limit" in refused.err and "ingot gc" in refused.err, refused
        assert taken(host) <= limit
        # Room is made by deleting and collecting.
        for blob in blobs:
            registry.call("DELETE", "/v2/team/a/blobs/sha256:" + hashlib.sha256(blob).hexdigest())
        host.ok("gc")
        host.ok("build")
        assert taken(host) <= limit
    finally:
        registry.stop()


PROMOTED = """
version: 1
project: shop
images:
  app: {{ build: . }}
services:
  web: {{ image: app, replicas: 1, port: 8080, environment: {{ REVISION: "{revision}" }},
          rollout: {{ keep_old: 1s, drain: 1s }} }}
routes: [ {{ listen: ":@PORT@", to: web }} ]
environments:
  staging: {{}}
  production: {{ promote_from: staging, services: {{ web: {{ replicas: 1 }} }} }}
"""


def test_production_deploys_only_what_was_promoted_from_staging(served):
    host = served
    host.define(PROMOTED.format(revision="one"))
    refused = host.run("plan", "-e", "production", "--allow-dirty")
    assert refused.code == 4, refused
    assert "ingot apply -e staging" in refused.err and "ingot promote app@sha256:" in refused.err
    command = refused.err[refused.err.index("ingot promote "):].split("`")[0].split()[1:]
    early = host.run(*command)
    assert early.code == 4 and "not verified in staging" in early.err, early
    host.ok("apply", "-e", "staging", "--yes", "--allow-dirty", "--json")
    wait_for("the rollout is on record", lambda: host.run(*command).code == 0)
    host.ok("destroy", "-e", "staging", "--yes")
    assert host.run("plan", "-e", "production", "--allow-dirty").code == 0
    host.ok("apply", "-e", "production", "--yes", "--allow-dirty", "--json")
    # A second image is not promoted yet, and the channel moves by nothing else.
    (host.project / "Dockerfile").write_text('FROM scratch\nCOPY app /app2\nCOPY app /app\nUSER 1000:1000\nCMD ["/app"]\n')
    assert host.run("apply", "-e", "production", "--yes", "--allow-dirty").code == 4
    digest = command[1].split("@")[1]
    other = next(d for d in images(host) if d != digest)
    moved = host.run("images", "tag", other, "shop/app:production")
    assert moved.code == 4 and "channel" in moved.err, moved
    history = host.ok("images", "history", "app", "--json").json()
    assert [(p["channel"], p["digest"], p["from"], p["actor"]) for p in history["promotions"]] == [
        ("production", digest, "staging", "uid:0")]
    assert images(host)[digest]["channels"] == ["production"]
    assert any("shop/production web" in place for place in images(host)[digest]["running"])
    events = host.ok("events", "-e", "production", "--json").out
    assert "image.promoted" in events
    kinds = {h["kind"] for h in host.ok("images", "why", digest, "--json").json()["held_by"]}
    assert {"channel", "revision"} <= kinds
    host.ok("gc", "--keep-cache", "0s")
    assert digest in images(host)
