"""The registry as a cache of one that wants a log-in; and with a log-in of its own, over TLS."""
import base64
import http.client
import json
import os
import threading

import pytest

from host import wait_for
from registries import BadRegistry, Image, digest, log_in
from test_pull import docker_registry  # noqa: F401
from test_registry import Registry
from test_registry_access import Guarded
from test_upstream import gets, log


@pytest.fixture
def upstream():
    made = BadRegistry(token=True)
    yield made
    made.close()


def pull(registry, image, name):
    """The manifest and every blob, as they were put."""
    status, _, body = registry.call("GET", f"/v2/up.example/{name}")
    assert status == 200 and body == image.manifest, body
    repository = name.split("/manifests/")[0]
    for blob, data in image.blobs.items():
        status, _, body = registry.call("GET", f"/v2/up.example/{repository}/blobs/{blob}")
        assert status == 200 and body == data


def test_the_other_one_wants_a_password(host, docker_registry, monkeypatch):  # noqa: F811
    there = docker_registry(password="secret")
    image = Image([{"file": os.urandom(300_000)}])
    there.push(image, "team/app:1")
    options = ["--upstream", f"up.example/**=http://{there.name}"]
    # Nobody told it how to log in: that it may not is said, and what is not here is not "unknown".
    registry = Registry(host, *options)
    assert registry.call("GET", "/v2/up.example/team/app/manifests/1")[0] == 403
    assert registry.stop() == 0
    for key, value in log_in(host.base / "docker", there.name, "user", "secret").items():
        monkeypatch.setenv(key, value)
    registry = Registry(host, *options)
    try:
        pull(registry, image, "team/app/manifests/1")
        there.close()
        pull(registry, image, f"team/app/manifests/{image.digest}")
        assert "secret" not in log(host)
    finally:
        assert registry.stop() == 0


def test_the_other_one_wants_a_token(host, upstream, monkeypatch):
    image = Image([{"file": os.urandom(300_000)}])
    upstream.put(image, "app:1")
    options = ["--upstream", f"up.example/**=http://{upstream.name}"]
    for key, value in log_in(host.base / "docker", upstream.name, "user", "wrong").items():
        monkeypatch.setenv(key, value)
    registry = Registry(host, *options)
    assert registry.call("GET", "/v2/up.example/app/manifests/1")[0] == 403
    assert registry.stop() == 0
    log_in(host.base / "docker", upstream.name, "user", "secret")
    registry = Registry(host, *options)
    try:
        pull(registry, image, "app/manifests/1")
        # The password goes to the place of tokens alone, the token to the registry.
        password = "Basic " + base64.b64encode(b"user:secret").decode()
        for path, headers in upstream.asked:
            assert (headers.get("Authorization") == password) <= path.startswith("/token"), path
        assert gets(upstream, "/token")
    finally:
        assert registry.stop() == 0


YAML = """version: 1
registry:
  tls: {{ certificate: server.crt, key: server.key, client_ca: ca.crt }}
  htpasswd: users
  repositories:
    - {{ match: "up.example/**", read: [ci], push: [], delete: [] }}
    - {{ match: "**", read: [ops], push: [ops], delete: [] }}
  upstreams:
    - {{ match: "up.example/**", url: "http://{name}", ttl: 0s }}
"""


@pytest.fixture
def guarded(host, upstream):
    upstream.token = False
    registry = Guarded(host, YAML.format(name=upstream.name))
    yield registry
    registry.stop()


def test_rights_are_looked_at_before_the_other_one_is_asked(guarded, upstream):
    image = Image([{"file": b"file" * 1000}])
    upstream.put(image, "app:1")
    manifest, blob = "/v2/up.example/app/manifests/1", f"/v2/up.example/app/blobs/{image.largest()}"
    for path in manifest, blob, "/v2/up.example/app/tags/list", f"/v2/up.example/app/referrers/{image.digest}":
        for method in "GET", "HEAD":
            assert guarded.ask(method, path).status == 401
            assert guarded.ask(method, path, "ci:falsch").status == 401
            assert guarded.ask(method, path, "ops:streng").status == 403
    scoped = guarded.ask("GET", "/v2/token?scope=repository:other:pull", "ci:geheim")
    token = json.loads(scoped.bytes)["token"]
    assert guarded.ask("GET", manifest, Authorization=f"Bearer {token}").status == 401
    assert upstream.asked == [], "the other registry was asked for somebody who may not know"
    assert guarded.ask("GET", manifest, "ci:geheim").bytes == image.manifest
    assert digest(guarded.ask("GET", blob, "ci:geheim").bytes) == image.largest()
    # Also what is here by now is nobody else's.
    asked = len(upstream.asked)
    assert asked > 0 and guarded.ask("GET", blob, "ops:streng").status == 403 and len(upstream.asked) == asked
    # A mount leads nowhere either.
    mount = f"/v2/mine/blobs/uploads/?mount={image.largest()}"
    assert guarded.ask("POST", mount + "&from=up.example/app", "ops:streng").status == 202
    assert guarded.ask("POST", mount, "ops:streng").status == 202


def test_a_blob_that_still_grows_is_sent_through_tls(guarded, upstream):
    image = Image([{"file": os.urandom(4 << 20)}])
    upstream.put(image, "app:1")
    blob = image.largest()
    data = image.blobs[blob]
    gate = threading.Event()

    def slowly(handler, path, body):
        if blob not in path:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:2 << 20])
        handler.wfile.flush()
        gate.wait(30)
        handler.wfile.write(body[2 << 20:])
        return True

    upstream.misbehave = slowly
    login = {"Authorization": "Basic " + base64.b64encode(b"ci:geheim").decode()}

    def begin(**headers):
        connection = http.client.HTTPSConnection("127.0.0.1", guarded.port, context=guarded.context(), timeout=30)
        connection.request("GET", f"/v2/up.example/app/blobs/{blob}", headers={**login, **headers})
        return connection, connection.getresponse()

    connection, answer = begin()
    assert answer.status == 200 and int(answer.headers["Content-Length"]) == len(data)
    early = answer.read(1 << 20)
    assert early == data[:1 << 20] and not gate.is_set()
    # A part that has arrived, and one that has not, meanwhile.
    part, part_answer = begin(Range="bytes=1000-1999")
    assert part_answer.status == 206 and part_answer.read() == data[1000:2000]
    late, late_answer = begin(Range=f"bytes={len(data) - 100}-")
    assert late_answer.status == 206
    gone, gone_answer = begin()
    gone_answer.read(1000)
    gone.close()  # who goes away holds up nobody
    gate.set()
    assert early + answer.read() == data
    assert late_answer.read() == data[-100:]
    for each in connection, part, late:
        each.close()
    assert len(gets(upstream, blob)) == 1
    wait_for("it is kept", lambda: (guarded.host.root / "blobs" / "sha256" / blob[7:]).exists())
    assert guarded.ask("GET", f"/v2/up.example/app/blobs/{blob}", "ci:geheim").bytes == data
