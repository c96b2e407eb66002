"""201 only after durable, and exit 0 likewise: the registry and the verbs that write the store are ended, run out of
room, are refused by the disk, or lose their power at every write, sync and rename below the root.

ingot_fault numbers these calls. After each fault: nothing that was acknowledged is lost, nothing is served that does
not match its digest, the next start removes what is half made, the same command succeeds, and a refusal says what to do.
"""
import json
import pathlib
import re
import subprocess

import pytest

import faults
from faults import MANIFEST_TYPE, Points, Promises, Server, calls, copy, fault_command, ingot, sha256
from registries import BadRegistry, Image

pytestmark = pytest.mark.skipif(not faults.FAULT.exists(), reason=f"SKIP: not built: {faults.FAULT}")

MODES = ["kill", "power", "short", "full", "EIO"]
BLOB = bytes(range(256)) * 1500  # above what is hashed on a second thread


def may_trace():
    done = subprocess.run([str(faults.FAULT), "--below", "/nowhere", "--report", "/dev/null", "--", "true"],
                          capture_output=True)
    return done.returncode == 0


@pytest.fixture(autouse=True)
def traceable():
    if not may_trace():
        pytest.skip("SKIP: this machine does not allow ptrace")


def manifest_of(config, layers):
    entries = [{"mediaType": "application/octet-stream", "digest": sha256(data), "size": len(data)} for data in layers]
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE,
                       "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config),
                                  "size": len(config)}, "layers": entries}).encode()


class Client:
    """Pushes in every way there is, and remembers what was acknowledged."""

    def __init__(self, server, promises, salt=b""):
        self.server = server
        self.promises = promises
        self.salt = salt

    def answered(self, expect, got, key=None, data=None):
        status, headers, body = got
        if status == expect:
            if key is not None:
                self.promises.blobs[key] = data
            return headers
        if status != 0:
            self.promises.errors.append((status, body))
        return None

    def post(self, repository, data):
        digest = sha256(data)
        self.answered(201, self.server.call("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data),
                      (repository, digest), data)

    def chunks(self, repository, data):
        digest = sha256(data)
        begun = self.answered(202, self.server.call("POST", f"/v2/{repository}/blobs/uploads/"))
        if begun is None:
            return
        place, half = begun["Location"], len(data) // 2
        if self.answered(202, self.server.call("PATCH", place, data[:half],
                                               {"Content-Range": f"0-{half - 1}"})) is None:
            return
        self.answered(201, self.server.call("PUT", f"{place}?digest={digest}", data[half:]), (repository, digest), data)

    def mount(self, repository, source, data):
        digest = sha256(data)
        got = self.server.call("POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from={source}")
        if got[0] == 202:  # an upload instead
            return
        self.answered(201, got, (repository, digest), data)

    def manifest(self, repository, tag, data):
        key = (repository, tag)
        before = self.promises.tags.get(key, {None})
        self.promises.gone.discard(key)
        self.promises.tags[key] = before | {sha256(data)}
        if self.answered(201, self.server.call("PUT", f"/v2/{repository}/manifests/{tag}", data,
                                               {"Content-Type": MANIFEST_TYPE}), (repository, sha256(data)), data) is not None:
            self.promises.tags[key] = {sha256(data)}

    def delete(self, repository, tag):
        key = (repository, tag)
        if key not in self.promises.tags:
            return
        self.promises.tags[key] = self.promises.tags[key] | {None}
        if self.answered(202, self.server.call("DELETE", f"/v2/{repository}/manifests/{tag}")) is not None:
            del self.promises.tags[key]
            self.promises.gone.add(key)

    def everything(self):
        config, layer = b'{"architecture":"amd64","os":"linux"}' + self.salt, BLOB + self.salt
        self.post("team/app", config)
        self.chunks("team/app", layer)
        self.mount("other/app", "team/app", layer)
        self.post("other/app", config)
        manifest = manifest_of(config, [layer])
        self.manifest("team/app", "v1", manifest)
        self.manifest("other/app", "v1", manifest)
        self.manifest("team/app", "moved", manifest)
        self.manifest("team/app", "old", manifest)
        self.delete("team/app", "old")
        # A layer that was built here is made into a file.
        status, _, body = self.server.call("GET", "/v2/shop/app/manifests/latest")
        if status == 200:
            local = json.loads(body)
            digest = local["layers"][0]["digest"]
            status, _, data = self.server.call("GET", f"/v2/shop/app/blobs/{digest}")
            if status == 200 and sha256(data) == digest:
                self.mount("release/app", "shop/app", data)


def built(host, version="one"):
    """A project of one image on a copied file, built into the root."""
    (host.project / "app").write_text(f"version {version}\n" * 50)
    for n in range(8):
        (host.project / f"file{n}").write_text(f"{n}" * 5000)
    (host.project / "ingot.yaml").write_text("version: 1\nproject: shop\nimages:\n  app: { build: . }\n")
    (host.project / "Dockerfile").write_text('FROM scratch\nCOPY app file* /\nCMD ["/app"]\n')
    done = ingot(host.root, "build", cwd=host.project)
    assert done.returncode == 0, done.stderr


def prepared(host):
    """A root with a built image, and promises of former pushes."""
    built(host)
    promises = Promises()
    server = Server(host.root, host.base / "log")
    assert server.answers()
    client = Client(server, promises, b"before")
    client.everything()
    assert not promises.errors and len(promises.blobs) >= 7
    assert server.stop() == 0
    return promises


def again(promises):
    copied = Promises()
    copied.blobs, copied.tags, copied.gone = dict(promises.blobs), dict(promises.tags), set(promises.gone)
    return copied


REPOSITORIES = ["team/app", "other/app", "release/app", "shop/app"]


def check_restarted(host, root, promises, point, pushes=True):
    server = Server(root, host.base / "log")
    try:
        assert server.answers(), (point, "the registry does not start", (host.base / "log").read_text()[-1500:])
        promises.check(server, point)
        faults.check_served(server, REPOSITORIES, point)
        faults.check_swept(root, point)
        if pushes:
            # Life goes on: everything can be pushed, also what had failed.
            renewed = again(promises)
            Client(server, renewed, b"new").everything()
            Client(server, renewed, b"after").everything()
            assert not renewed.errors, (point, renewed.errors)
            renewed.check(server, point)
    finally:
        assert server.stop() == 0, point
    faults.check_whole(root, point)


def remedied(promises, what, point):
    """Refusals are the server's, of the right kind, and say what happened."""
    for status, body in promises.errors:
        if status in (404, 416):  # what a former step did not bring
            continue
        message = json.loads(body)["errors"][0]["message"]
        assert status == (507 if what == "full" else 500) and message, (point, status, body)
        if what == "full":
            assert "space" in message or "full" in message, (point, body)


def test_push(host):
    """Uploads of each kind, mounts, manifests, tags, deletion, the start and the end of the server."""
    promises = prepared(host)
    report, work = host.base / "report", host.base / "work"
    dry = again(promises)
    server = Server(copy(host.root, work), host.base / "log", fault_command(work, report))
    assert server.answers()
    Client(server, dry, b"new").everything()
    assert not dry.errors, dry.errors
    assert server.stop() == 0
    numbers = [number for number, _, _ in calls(report)]
    writes = [number for number, call, _ in calls(report) if call in ("write", "pwrite64")]
    assert len(numbers) > 100, numbers
    points = Points("push", 9)
    tried = 0
    for what in MODES:
        for at in points.choose(writes if what == "short" else numbers):
            point = f"push: {what} at {at} of {len(numbers)}"
            tried += 1
            said = again(promises)
            server = Server(copy(host.root, work), host.base / "log", fault_command(work, report, at, what, at))
            try:
                if server.answers():
                    Client(server, said, b"new").everything()
                    if what in ("full", "EIO") and server.process.poll() is None:
                        remedied(said, what, point)
                        (host.base / "room").touch()
                        Client(server, said, b"second").everything()
                        said.errors.clear()  # the call in question may have come only now
                        Client(server, said, b"third").everything()
                        if server.process.poll() is None:
                            assert not said.errors, (point, "it does not recover", said.errors)
                            said.check(server, point)
            finally:
                code = server.stop()
                (host.base / "room").unlink(missing_ok=True)
            assert code in (0, 1, 137), (point, code, (host.base / "log").read_text()[-1500:])
            check_restarted(host, work, said, point)
    print(f"{tried} points of {len(numbers)} calls")


def verb_at_points(host, name, command, promises, each, cwd=None, env=None, after=None, finally_=None, pushes=True):
    """A verb that exits 0, or says why not; afterwards it succeeds. `after` looks at the root before the command is
    repeated, `finally_` once more then."""
    report, work = host.base / "report", host.base / "work"
    copy(host.root, work)
    done = ingot(work, *command, prefix=fault_command(work, report), cwd=cwd, env=env)
    assert done.returncode == 0, (done.stdout, done.stderr)
    found = calls(report)
    numbers = [number for number, _, _ in found]
    writes = [number for number, call, _ in found if call in ("write", "pwrite64")]
    assert len(numbers) > 20, found
    points = Points(name, each)
    tried = 0
    for what in MODES:
        for at in points.choose(writes if what == "short" else numbers):
            point = f"{name}: {what} at {at} of {len(numbers)}: {found[at - 1][1:]}"
            tried += 1
            copy(host.root, work)
            done = ingot(work, *command, prefix=fault_command(work, report, at, what, at), cwd=cwd, env=env)
            if what in ("kill", "power"):
                assert done.returncode in (0, 137), (point, done.returncode, done.stderr)
            elif what == "short":
                assert done.returncode == 0, (point, done.stderr)
            else:
                assert done.returncode in (0, 1), (point, done.returncode, done.stdout, done.stderr)
                if done.returncode == 1:
                    assert re.match(r"(?s).*error: ", done.stderr), (point, done.stderr)
                    if what == "full":
                        assert re.search(r"(?i)no space left|full", done.stderr), (point, done.stderr)
            acknowledged = done.returncode == 0
            check_restarted(host, work, promises, point, pushes)
            if after:
                after(work, acknowledged, point)
            done = ingot(work, *command, cwd=cwd, env=env)
            assert done.returncode == 0, (point, "again", done.stderr)
            if finally_:
                finally_(work, point)
            faults.check_whole(work, point)
    print(f"{tried} points of {len(numbers)} calls")


def image_named(root, name):
    done = ingot(root, "images", "ls", "--json")
    assert done.returncode == 0, done.stderr
    return next((i for i in json.loads(done.stdout)["images"] if name in i["names"]), None)


def test_build(host):
    """A second version: objects, layers, image, golden, the tag that moves, the cache."""
    promises = prepared(host)
    old = image_named(host.root, "shop/app:latest")["digest"]
    (host.project / "app").write_text("version two\n" * 60)
    for n in range(3):
        (host.project / f"file{n}").write_text(f"{n} is new" * 900)

    def after(root, acknowledged, point):
        image = image_named(root, "shop/app:latest")
        assert image is not None and image["golden"], point
        assert not acknowledged or image["digest"] != old, (point, "a build that ended well is lost")

    verb_at_points(host, "build", ["build"], promises, 6, cwd=host.project, after=after)


def test_pull(host):
    """A base from another registry: layers received, looked into, sealed, kept as they came."""
    promises = prepared(host)
    registry = BadRegistry()
    try:
        registry.put(Image([{"bin/base": b"base" * 3000, "etc/x": b"x" * 9000}, {"bin/more": b"more" * 100}]), "lib/base:1")
        (host.project / "Dockerfile").write_text(f'FROM {registry.name}/lib/base:1\nCOPY app /app\nCMD ["/app"]\n')
        (host.project / "ingot.lock").unlink(missing_ok=True)
        verb_at_points(host, "pull", ["build"], promises, 5, cwd=host.project)
    finally:
        registry.close()


def test_collect(host):
    """Garbage goes, and nothing else, wherever it stops."""
    promises = prepared(host)
    for version in ("two", "three"):
        (host.project / "app").write_text(f"version {version}\n" * 50)
        assert ingot(host.root, "build", cwd=host.project).returncode == 0
    server = Server(host.root, host.base / "log")
    assert server.answers()
    for (repository, tag) in list(promises.tags):
        if tag == "moved":
            Client(server, promises).delete(repository, tag)
    assert server.stop() == 0
    verb_at_points(host, "collect", ["gc", "--keep-cache", "1ms"], promises, 5)
