"""What the registry answers to who is wrong, slow, half gone or too many, without TLS: the specification's codes, bounds,
and nothing left behind. (With TLS: test_registry_access.py.)"""
import hashlib
import json
import socket
import threading
import time

from host import wait_for
from registries import CONFIG, MANIFEST, digest
from test_registry import registry  # noqa: F401


def refusal(answer, status, code):
    got, _, body = answer
    assert got == status, (got, body)
    error = json.loads(body)["errors"][0]
    assert error["code"] == code and error["message"], error


def leftovers(registry):  # noqa: F811
    return [path for path in (registry.host.root / "tmp" / "uploads").glob("*/*") if path.name != "lock"]


def raw(registry, *pieces, half_close=False):  # noqa: F811
    """Sends the pieces and returns all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", registry.port), timeout=30) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = b""
        try:
            while piece := connection.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
        return got


def manifest(registry, repository="a", **more):  # noqa: F811
    config = registry.push(repository, b"{}")
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, "digest": config, "size": 2},
                       "layers": [], **more}).encode()


def test_manifests_that_are_wrong(registry):  # noqa: F811
    good = manifest(registry)
    put = lambda name, body, kind=MANIFEST: registry.call("PUT", f"/v2/a/manifests/{name}", body, Content_Type=kind)  # noqa: E731
    limit = 4 << 20
    refusal(put("big", good[:-1] + b" " * (limit - len(good) + 1) + b"}"), 413, "SIZE_INVALID")
    assert put("full", good[:-1] + b" " * (limit - len(good)) + b"}")[0] == 201
    # Said at once, before its body has come; and of a body without a length when it is too long.
    head = b"PUT /v2/a/manifests/big HTTP/1.1\r\nHost: x\r\nContent-Type: " + MANIFEST.encode() + b"\r\n"
    assert raw(registry, head + b"Content-Length: 100000000\r\n\r\n").startswith(b"HTTP/1.1 413")
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    answer = raw(registry, head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 5)
    assert answer.startswith(b"HTTP/1.1 413") or answer == b"", answer[:200]
    assert registry.call("HEAD", "/v2/a/manifests/big")[0] == 404

    refusal(put("x", b"{"), 400, "MANIFEST_INVALID")
    refusal(put("x", b"[]"), 400, "MANIFEST_INVALID")
    refusal(put("x", good, "text/plain"), 400, "MANIFEST_INVALID")
    refusal(put("x", good, "application/vnd.oci.image.index.v1+json"), 400, "MANIFEST_INVALID")
    refusal(put(digest(b"another"), good), 400, "DIGEST_INVALID")
    refusal(put("sha256:12", good), 400, "DIGEST_INVALID")
    refusal(put("x", manifest(registry, layers=[{"mediaType": "a/b", "digest": digest(b"none"), "size": 4}])), 404,
            "MANIFEST_BLOB_UNKNOWN")
    # A type that nobody knows is its client's affair, and comes back as it is.
    own = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.example.thing.v1+json", "thing": [1]}).encode()
    assert put("own", own, "application/vnd.example.thing.v1+json")[0] == 201
    status, headers, body = registry.call("GET", "/v2/a/manifests/own")
    assert (status, headers["Content-Type"], body) == (200, "application/vnd.example.thing.v1+json", own)


def test_names_that_are_wrong(registry):  # noqa: F811
    for name in "A", "a//b", "a/../b", "..", "a%2f..%2fb", "a b", "-a":
        status, _, body = registry.call("GET", f"/v2/{name.replace(' ', '%20')}/tags/list")
        assert status in (400, 404) and json.loads(body)["errors"][0]["code"] in ("NAME_INVALID", "UNSUPPORTED"), (name, status, body)
    refusal(registry.call("GET", "/v2/never/tags/list"), 404, "NAME_UNKNOWN")
    refusal(registry.call("GET", f"/v2/a/blobs/{digest(b'none')}"), 404, "BLOB_UNKNOWN")
    refusal(registry.call("GET", "/v2/a/blobs/sha256:zz"), 400, "DIGEST_INVALID")
    refusal(registry.call("GET", "/v2/a/manifests/none"), 404, "MANIFEST_UNKNOWN")
    for upload in "0" * 32, "x", "..", "%00":
        refusal(registry.call("GET", f"/v2/a/blobs/uploads/{upload}"), 404, "BLOB_UPLOAD_UNKNOWN")
    # As a path it leads to no endpoint at all.
    refusal(registry.call("GET", "/v2/a/blobs/uploads/..%2f..%2f..%2fstore.db"), 404, "UNSUPPORTED")
    refusal(registry.call("POST", "/v2/a/blobs/uploads/?digest=md5:0", b"x"), 400, "DIGEST_INVALID")


def test_blobs_that_are_not_what_was_said(registry):  # noqa: F811
    refusal(registry.call("POST", f"/v2/a/blobs/uploads/?digest={digest(b'other')}", b"bytes"), 400, "DIGEST_INVALID")
    place = registry.call("POST", "/v2/a/blobs/uploads/", b"")[1]["Location"]
    refusal(registry.call("PATCH", place, b"abc", Content_Range="1-3"), 416, "BLOB_UPLOAD_INVALID")
    refusal(registry.call("PATCH", place, b"abc", Content_Range="0-9"), 400, "SIZE_INVALID")
    assert registry.call("PATCH", place, b"abc", Content_Range="0-2")[0] == 202
    # Another repository does not have this upload.
    refusal(registry.call("GET", place.replace("/a/", "/b/")), 404, "BLOB_UPLOAD_UNKNOWN")
    refusal(registry.call("PUT", f"{place}?digest={digest(b'abcd')}", b""), 400, "DIGEST_INVALID")
    refusal(registry.call("GET", place), 404, "BLOB_UPLOAD_UNKNOWN")
    assert leftovers(registry) == []
    assert list((registry.host.root / "blobs" / "sha256").iterdir()) == []


def test_uploads_are_bounded(registry):  # noqa: F811
    places = []
    for _ in range(1024):
        status, headers, body = registry.call("POST", "/v2/a/blobs/uploads/", b"")
        assert status == 202, body
        places.append(headers["Location"])
    refusal(registry.call("POST", "/v2/a/blobs/uploads/", b""), 429, "TOOMANYREQUESTS")
    assert registry.call("DELETE", places.pop())[0] == 204
    assert registry.call("POST", "/v2/a/blobs/uploads/", b"")[0] == 202
    for place in places:
        assert registry.call("DELETE", place)[0] == 204
    assert registry.stop() == 0
    assert list((registry.host.root / "tmp" / "uploads").glob("*/*")) == []


def test_half_closed_and_abandoned_uploads(registry):  # noqa: F811
    data = bytes(range(256)) * 12000
    name = "sha256:" + hashlib.sha256(data).hexdigest()
    # A chunk whose client ends in the middle: the upload has what came, and goes on from there.
    place = registry.call("POST", "/v2/a/blobs/uploads/", b"")[1]["Location"]
    head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    raw(registry, head, data[:1_600_000], half_close=True)
    begin = lambda: registry.call("GET", place)  # noqa: E731
    wait_for("the upload is free again", lambda: begin()[0] == 204)
    last = int(begin()[1]["Range"].split("-")[1])
    assert 500_000 < last < 1_600_000  # whole pieces of 512 KiB count
    assert registry.call("PATCH", place, data[last + 1:], Content_Range=f"{last + 1}-{len(data) - 1}")[0] == 202
    assert registry.call("PUT", f"{place}?digest={name}", b"")[0] == 201
    assert registry.call("GET", f"/v2/a/blobs/{name}")[2] == data
    # Whole blobs whose clients go away, a hundred at once, leave nothing.
    other = digest(data + b"x")
    head = f"POST /v2/a/blobs/uploads/?digest={other} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data) + 1}\r\n\r\n".encode()

    def abandon():
        with socket.create_connection(("127.0.0.1", registry.port), timeout=30) as connection:
            connection.sendall(head + data[:600_000])

    threads = [threading.Thread(target=abandon) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for("nothing is left", lambda: leftovers(registry) == [])
    assert registry.call("HEAD", f"/v2/a/blobs/{other}")[0] == 404


def test_slow_heads_are_cut_off_however_they_trickle(registry):  # noqa: F811
    began = time.monotonic()
    slow = [socket.create_connection(("127.0.0.1", registry.port), timeout=30) for _ in range(200)]
    for one in slow:
        one.sendall(b"GET /v2/ HTTP/1.1\r\n")
    ended = set()
    while len(ended) < len(slow) and time.monotonic() - began < 25:
        for number, one in enumerate(slow):
            if number in ended:
                continue
            try:
                one.sendall(b"X: y\r\n")
                one.setblocking(False)
                try:
                    if one.recv(1000) == b"":
                        ended.add(number)
                except BlockingIOError:
                    pass
                one.setblocking(True)
            except OSError:
                ended.add(number)
        assert registry.call("GET", "/v2/")[0] == 200  # others are served
        time.sleep(0.5)
    assert len(ended) == len(slow)
    for one in slow:
        one.close()
