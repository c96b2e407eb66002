"""What can be seen of the registry: its access log, its metrics, the events of pushes and deletions."""
import http.client
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request

from host import INGOT, free_port, wait_for
from registries import Image
from test_registry import Registry, registry  # noqa: F401
from test_registry_access import Guarded


def metrics(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
            if not line.startswith("#")}


def test_log_and_metrics(host):
    address = f"127.0.0.1:{free_port()}"
    registry = Registry(host, "--metrics", address)
    try:
        wait_for("metrics are served", lambda: metrics(address))
        assert metrics(address)["ingot_store_readable"] == 1
        digest = registry.push("team/web", b"x" * 100_000)
        status, headers, body = registry.call("GET", f"/v2/team/web/blobs/{digest}", Range="bytes=0-999")
        assert status == 206 and len(body) == 1000
        assert registry.call("GET", "/v2/team/web/manifests/none")[0] == 404

        # A client that goes before its answer is there is counted, too.
        connection = socket.create_connection(("127.0.0.1", registry.port))
        connection.sendall(b"POST /v2/team/web/blobs/uploads/?digest=sha256:" + b"0" * 64 +
                           b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        connection.close()
        log = host.root / "logs" / "registry" / "access.log"

        def lines():
            if not log.exists():
                return []
            return [json.loads(line) for line in log.read_text().splitlines()]

        wait_for("the log has it all", lambda: any(line["status"] == 0 for line in lines()))
        push = next(line for line in lines() if line["method"] == "POST" and line["status"] == 201)
        assert push["received_bytes"] == 100_000 and push["path"] == "/v2/team/web/blobs/uploads/", push
        part = next(line for line in lines() if line["status"] == 206)
        assert 1000 < part["sent_bytes"] < 2000 and part["complete"], part

        seen = metrics(address)
        assert seen['ingot_registry_requests_total{method="POST",endpoint="upload",status="201"}'] == 1
        assert seen['ingot_registry_requests_total{method="GET",endpoint="manifest",status="404"}'] == 1
        assert seen['ingot_registry_requests_total{method="POST",endpoint="upload",status="0"}'] == 1
        assert seen["ingot_registry_received_bytes_total"] >= 100_000
        assert seen["ingot_registry_broken_off_total"] == 1
        for path, status in ("/", 404), ("/v2/", 404):
            try:
                urllib.request.urlopen(f"http://{address}{path}", timeout=30)
                raise AssertionError("answered")
            except urllib.error.HTTPError as error:
                assert error.code == status
        # Who connects and says nothing does not keep others from being answered for long.
        with socket.create_connection(("127.0.0.1", int(address.split(":")[1]))):
            assert metrics(address)
    finally:
        assert registry.stop() == 0


def test_the_log_names_who_and_the_record_what(host):
    guarded = Guarded(host)
    try:
        image = guarded.push_image("team/web", "1.0")
        assert guarded.ask("DELETE", "/v2/team/web/manifests/1.0", "ci:geheim").status == 403
        assert guarded.ask("DELETE", "/v2/team/web/manifests/1.0", "ops:streng").status == 202
    finally:
        guarded.stop()
    log = (host.root / "logs" / "registry" / "access.log").read_text()
    assert "geheim" not in log and "streng" not in log
    lines = [json.loads(line) for line in log.splitlines()]
    deletes = [(line["user"], line["status"]) for line in lines if line["method"] == "DELETE"]
    assert deletes == [("ci", 403), ("ops", 202)], deletes
    assert all(line["user"] == "ci" for line in lines if line["status"] == 201)

    # The daemon of the same root shows what the registry alone has recorded.
    host.start()
    done = subprocess.run([str(INGOT), "events", "--host", "--json"], env={**os.environ, "INGOT_ROOT": str(host.root)},
                          capture_output=True, text=True, check=True, timeout=60)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    pushed = next(event for event in events if event["kind"] == "registry.pushed")
    assert pushed["actor"] == "ci" and pushed["detail"]["tags"] == ["1.0"], pushed
    assert pushed["detail"]["digest"] == "sha256:" + __import__("hashlib").sha256(image.manifest).hexdigest()
    gone = next(event for event in events if event["kind"] == "registry.untagged")
    assert gone["actor"] == "ops" and gone["detail"]["tag"] == "1.0", gone


def test_no_log_where_none_is_wanted(host):
    etc = host.base / "host.yaml"
    etc.write_text("version: 1\nregistry: { access_log: none }\n")
    registry = Registry(host, "--host-config", str(etc))
    assert registry.call("GET", "/v2/")[0] == 200
    assert registry.stop() == 0
    assert not (host.root / "logs" / "registry").exists()
