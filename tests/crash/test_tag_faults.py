"""What names an image is as safe as its bytes: promotions, tags, immutable tags and their deletion, with a fault at
every write, sync and rename (as in test_store_faults.py). A name leads to what it led to or to what was asked for; what
was acknowledged stays; a version never becomes something else; and a channel is what the record of promotions says.
"""
import contextlib
import json
import sqlite3

from faults import MANIFEST_TYPE, Points, Promises, Server, calls, check_swept, check_whole, copy, fault_command, ingot, sha256
from test_store_faults import (MODES, Client, again, built, image_named, manifest_of, pytestmark, remedied,  # noqa: F401
                               traceable, verb_at_points)

DEFINITION = """version: 1
project: shop
images:
  app: { build: . }
environments:
  staging: {}
"""


def two_versions(host):
    """A root whose shop/app:staging is the first of two builds; their digests."""
    built(host)
    (host.project / "ingot.yaml").write_text(DEFINITION)
    first = image_named(host.root, "shop/app:latest")["digest"]
    done = ingot(host.root, "promote", "app", "--to", "staging", cwd=host.project)
    assert done.returncode == 0, done.stderr
    (host.project / "app").write_text("version two\n" * 60)
    assert ingot(host.root, "build", cwd=host.project).returncode == 0
    second = image_named(host.root, "shop/app:latest")["digest"]
    assert first != second
    return first, second


def answer(root, *args):
    done = ingot(root, *args, "--json")
    assert done.returncode == 0, (args, done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_promote(host):
    """The channel, the record of it and its event."""
    first, second = two_versions(host)

    def after(root, acknowledged, point):
        record = [p for p in answer(root, "images", "history", "shop/app")["promotions"] if p["channel"] == "staging"]
        digests = {p["digest"] for p in record}
        held = image_named(root, "shop/app:staging")["digest"]
        assert digests == {first} | ({second} if held == second else set()) and len(record) == len(digests), (point, record)
        assert held == second or not acknowledged, (point, "a promotion that ended well is lost")

    def recorded(root, point):
        assert image_named(root, "shop/app:staging")["digest"] == second, point
        # Each promotion is one event, also of a process that did not come to it.
        with contextlib.closing(sqlite3.connect(root / "state.db")) as database:
            events = [json.loads(row[0]) for row in database.execute("SELECT document FROM events ORDER BY sequence")]
        events = [event["detail"]["digest"] for event in events if event["kind"] == "image.promoted"]
        assert events == [first, second], (point, events)

    verb_at_points(host, "promote", ["promote", "app", "--to", "staging", "--reason", "proven"], Promises(), 3,
                   cwd=host.project, after=after, finally_=recorded, pushes=False)


def test_tag(host):
    """A version is given to an image: it is that image's or nobody's, and once acknowledged never another's."""
    first, second = two_versions(host)

    def after(root, acknowledged, point):
        image = image_named(root, "shop/app:1.0")
        assert image is None or image["digest"] == second, point
        assert image is not None or not acknowledged, (point, "a tag that was acknowledged is lost")
        if image is not None:
            other = ingot(root, "images", "tag", first, "shop/app:1.0")
            assert other.returncode == 4 and "immutable" in other.stderr, (point, other.returncode, other.stderr)

    def given(root, point):
        assert image_named(root, "shop/app:1.0")["digest"] == second, point

    verb_at_points(host, "tag", ["images", "tag", second, "shop/app:1.0"], Promises(), 3, after=after, finally_=given,
                   pushes=False)


def test_tags_of_the_registry(host):
    """Versions and other tags are set, moved and deleted by clients."""
    config, layer = b'{"architecture":"amd64","os":"linux"}', b"layer" * 1000
    one = manifest_of(config, [layer])
    two = one.replace(b'"layers"', b'"annotations":{"v":"2"},"layers"')
    promises = Promises()
    server = Server(host.root, host.base / "log")
    assert server.answers()
    client = Client(server, promises)
    client.post("team/app", config)
    client.post("team/app", layer)
    for tag in ("1.0", "moved", "old"):
        client.manifest("team/app", tag, one)
    assert not promises.errors and server.stop() == 0

    def change(client):
        client.manifest("team/app", "2.0", two)
        client.manifest("team/app", "moved", two)
        client.delete("team/app", "1.0")
        client.delete("team/app", "old")

    report, work = host.base / "report", host.base / "work"
    server = Server(copy(host.root, work), host.base / "log", fault_command(work, report))
    assert server.answers()
    dry = again(promises)
    change(Client(server, dry))
    assert not dry.errors and server.stop() == 0
    found = calls(report)
    numbers = [number for number, _, _ in found]
    writes = [number for number, call, _ in found if call in ("write", "pwrite64")]
    assert len(numbers) > 20, found
    points = Points("tags", 6)
    tried = 0
    for what in MODES:
        for at in points.choose(writes if what == "short" else numbers):
            point = f"tags: {what} at {at} of {len(numbers)}: {found[at - 1][1:]}"
            tried += 1
            said = again(promises)
            server = Server(copy(host.root, work), host.base / "log", fault_command(work, report, at, what, at))
            try:
                if server.answers():
                    change(Client(server, said))
                    remedied(said, what, point)
            finally:
                code = server.stop()
            assert code in (0, 1, 137), (point, code)
            server = Server(work, host.base / "log")
            try:
                assert server.answers(), (point, "the registry does not start")
                said.check(server, point)
                check_swept(work, point)
                # 1.0 is what it was, deleted or not; 2.0 what it was first set to, if it was.
                for tag, kept in (("1.0", one), ("2.0", two)):
                    other = two if kept == one else one
                    status, _, body = server.call("PUT", f"/v2/team/app/manifests/{tag}", other, {"Content-Type": MANIFEST_TYPE})
                    free = tag == "2.0" and None in said.tags.get(("team/app", tag), {None})
                    assert status == 403 or (free and status == 201), (point, tag, status, body)
                    if status == 403:
                        assert json.loads(body)["errors"][0]["code"] == "DENIED", (point, body)
                        assert server.call("PUT", f"/v2/team/app/manifests/{tag}", kept, {"Content-Type": MANIFEST_TYPE})[0] == 201, point
                        assert sha256(server.call("GET", f"/v2/team/app/manifests/{tag}")[2]) == sha256(kept), point
            finally:
                assert server.stop() == 0, point
            check_whole(work, point)
    print(f"{tried} points of {len(numbers)} calls")
