"""Images on their way: pushed, pulled, copied, imported, exported; with the clients that people use."""
import gzip
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading

import pytest

from host import wait_for
from registries import DockerRegistry, Image, digest, log_in
from test_pull import app_image, assert_nothing_left, define, docker_registry, lock_of  # noqa: F401
from test_registry import Registry, needs, registry  # noqa: F401

SKOPEO = ["skopeo", "--insecure-policy"]


def skopeo(*args):
    done = subprocess.run([*SKOPEO, *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def built(host, extra=b"mine"):
    """An image that was built here: its layers have no blob."""
    (host.project / "extra").write_bytes(extra)
    host.define("version: 1\nproject: shop\nimages: { web: { build: . } }\n",
                dockerfile='FROM scratch\nCOPY app /app\nCOPY extra /extra\nUSER 1000:1000\nCMD ["/app"]\n')
    (host.project / ".dockerignore").write_text("*\n!app\n!extra\n")
    return host.ok("build", "--json").json()["images"]["web"]["digest"]


def test_an_image_built_here_is_pushed_and_the_second_push_sends_nothing(host, docker_registry):  # noqa: F811
    there = docker_registry()
    made = built(host)
    first = host.ok("images", "push", "shop/web", f"{there.name}/team/web:1.0", "--json").json()
    assert first["digest"] == made and first["blobs_copied"] == 3 and first["blobs_present"] == 0
    found = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{there.name}/team/web:1.0"))
    assert found["Digest"] == made
    again = host.ok("images", "push", "web", f"{there.name}/team/web:1.1", "--json").json()
    assert again["blobs_copied"] == 0 and again["copied_bytes"] == 0
    assert digest(subprocess.run([*SKOPEO, "inspect", "--raw", "--tls-verify=false", f"docker://{there.name}/team/web:1.1"],
                                 capture_output=True, check=True).stdout) == made
    elsewhere = host.run("images", "push", "web")
    assert elsewhere.code == 2 and "say where to" in elsewhere.err, elsewhere


def test_a_push_needs_the_log_in_that_the_host_has(host, docker_registry):  # noqa: F811
    there = docker_registry(password="secret")
    built(host)
    nobody = host.run("images", "push", "web", f"{there.name}/web:1", env={"DOCKER_CONFIG": "/nonexistent"})
    assert nobody.code == 1 and "log in with" in nobody.err, nobody
    host.ok("images", "push", "web", f"{there.name}/web:1", env=log_in(host.base / "config", there.name))


def test_a_pulled_image_has_a_name_and_is_pushed_under_it(host, docker_registry):  # noqa: F811
    there = docker_registry()
    image = app_image()
    there.push(image, "shop/app:1")
    pulled = host.ok("images", "pull", f"{there.name}/shop/app:1", "--json").json()
    assert pulled["digest"] == image.digest and not pulled["known"]
    assert host.ok("images", "pull", f"{there.name}/shop/app:1", "--json").json()["known"]
    name = f"{there.name}/shop/app:1"
    listed = host.ok("images", "ls", "--json").json()["images"]
    assert [(i["digest"], i["names"]) for i in listed] == [(image.digest, [name])]
    pushed = host.ok("images", "push", name, "--json").json()
    assert pushed["digest"] == image.digest and pushed["target"] == name and pushed["blobs_copied"] == 0


def index_of(there, images, name):
    """Pushes an index of {architecture: Image} by skopeo's own ways, and returns its digest."""
    import urllib.request
    entries = []
    for architecture, image in images.items():
        there.push(image, f"{name.split(':')[0]}:{architecture}")
        entries.append({"mediaType": image.type, "digest": image.digest, "size": len(image.manifest),
                        "platform": {"os": "linux", "architecture": architecture}})
    kind = "application/vnd.oci.image.index.v1+json"
    body = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
    repository, tag = name.split(":")
    request = urllib.request.Request(f"http://{there.name}/v2/{repository}/manifests/{tag}", data=body, method="PUT",
                                     headers={"Content-Type": kind})
    assert urllib.request.urlopen(request, timeout=30).status == 201
    return digest(body)


def test_an_index_is_copied_whole_or_for_one_platform_and_mounted_on_the_same_registry(host, docker_registry):  # noqa: F811
    one, two = docker_registry(), docker_registry()
    images = {a: app_image(architecture=a, extra=a.encode()) for a in ("amd64", "arm64")}
    whole = index_of(one, images, "app:1")
    copied = host.ok("images", "copy", f"{one.name}/app:1", f"{two.name}/app:1", "--json").json()
    assert copied["digest"] == whole and copied["manifests"] == 3
    assert {m["digest"] for m in json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{two.name}/app:1"))[
        "manifests"]} == {i.digest for i in images.values()}
    mounted = host.ok("images", "copy", f"{two.name}/app:1", f"{two.name}/other/app:1", "--json").json()
    assert mounted["blobs_copied"] == 0 and mounted["blobs_mounted"] > 0 and mounted["copied_bytes"] == 0
    arm = host.ok("images", "copy", "--platform", "linux/arm64", f"{one.name}/app:1", f"{two.name}/arm:1", "--json").json()
    assert arm["digest"] == images["arm64"].digest and arm["manifests"] == 1
    missing = host.run("images", "copy", "--platform", "linux/s390x", f"{one.name}/app:1", f"{two.name}/arm:2")
    assert missing.code == 1 and "there is no image for linux/s390x" in missing.err, missing
    # By a folder and a tar, and back: the same digests.
    host.ok("images", "copy", f"{one.name}/app:1", f"oci:{host.base}/layout:1")
    host.ok("images", "copy", f"oci:{host.base}/layout:1", f"oci-archive:{host.base}/whole.tar:app:1")
    back = host.ok("images", "copy", f"oci-archive:{host.base}/whole.tar", f"{two.name}/back:1", "--json").json()
    assert back["digest"] == whole
    assert not host.root.exists()  # no store was needed


def refer(registry, repository, subject, size):  # noqa: F811
    """Pushes what `oras attach` would: a small artifact that refers to a manifest."""
    empty = b"{}"
    for blob in (empty, b"signed"):
        registry.push(repository, blob)
    kind = "application/vnd.oci.image.manifest.v1+json"
    body = json.dumps({
        "schemaVersion": 2, "mediaType": kind, "artifactType": "application/x-signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(empty), "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": digest(b"signed"), "size": 6}],
        "subject": {"mediaType": kind, "digest": subject, "size": size}}).encode()
    assert registry.call("PUT", f"/v2/{repository}/manifests/{digest(body)}", body, Content_Type=kind)[0] == 201
    return digest(body)


def test_what_refers_to_an_image_goes_along_also_to_a_registry_that_keeps_no_list(host, docker_registry, registry):  # noqa: F811
    needs("skopeo")
    old = docker_registry()
    image = app_image()
    old.push(image, "app:1")
    skopeo("copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{old.name}/app:1",
           f"docker://{registry.address}/team/app:1")
    signature = refer(registry, "team/app", image.digest, len(image.manifest))
    without = host.ok("images", "copy", f"{registry.address}/team/app:1", f"{old.name}/copy:1", "--json").json()
    assert without["referrers"] == 0
    copied = host.ok("images", "copy", "--referrers", f"{registry.address}/team/app:1", f"{old.name}/copy:1", "--json").json()
    assert copied["referrers"] == 1 and copied["digest"] == image.digest
    listed = json.loads(skopeo("inspect", "--raw", "--tls-verify=false",
                               f"docker://{old.name}/copy:{image.digest.replace(':', '-')}"))
    assert [m["digest"] for m in listed["manifests"]] == [signature]
    # And back by a tar, to a registry that has the API.
    host.ok("images", "copy", "--referrers", f"{old.name}/copy:1", f"oci-archive:{host.base}/signed.tar:app:1")
    host.ok("images", "copy", "--referrers", f"oci-archive:{host.base}/signed.tar", f"{registry.address}/again:1")
    status, _, body = registry.call("GET", f"/v2/again/referrers/{image.digest}")
    assert status == 200 and [m["digest"] for m in json.loads(body)["manifests"]] == [signature]


def test_a_push_that_is_cut_off_goes_on_where_it_stood(host, registry):  # noqa: F811
    built(host, extra=os.urandom(40 << 20))
    cuts = []
    sent = []

    class Handler(http.server.BaseHTTPRequestHandler):
        """Between client and registry; breaks the first large PATCH in its middle."""
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def pass_on(self):
            import http.client
            length = int(self.headers.get("Content-Length") or 0)
            upstream = http.client.HTTPConnection(registry.address, timeout=60)
            upstream.putrequest(self.command, self.path, skip_host=False, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("host", "connection"):
                    upstream.putheader(name, value)
            upstream.endheaders()
            limit = length
            if self.command == "PATCH" and length > (30 << 20) and not cuts:
                cuts.append(1)
                limit = 20 << 20
            if self.command == "PATCH":
                sent.append(length)
            left = limit
            while left > 0:
                piece = self.rfile.read(min(left, 1 << 20))
                if not piece:
                    break
                upstream.send(piece)
                left -= len(piece)
            if limit < length:
                import time
                time.sleep(0.5)  # what was sent arrives
                upstream.close()
                self.close_connection = True
                self.connection.close()
                return
            answer = upstream.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = host.ok("images", "push", "shop/web", f"127.0.0.1:{server.server_address[1]}/team/web:1")
    finally:
        server.shutdown()
        server.server_close()
    assert cuts and "trying again" in done.out, done
    large = [n for n in sent if n > (10 << 20)]
    assert len(large) == 2 and large[1] <= large[0] - (10 << 20), sent  # not from the beginning
    host.ok("images", "copy", f"{registry.address}/team/web:1", f"oci:{host.base}/out:1")


# --- archives ---

def test_archives_go_to_podman_and_docker_and_come_back(host):
    needs("podman", "skopeo")
    made = built(host)
    tar = host.base / "web.tar"
    host.ok("images", "export", "shop/web", str(tar))
    assert json.loads(skopeo("inspect", f"oci-archive:{tar}"))["Digest"] == made
    old = host.base / "old.tar"
    host.ok("images", "export", "shop/web", str(old), "--format", "docker-archive")
    config = json.loads(skopeo("inspect", "--config", f"docker-archive:{old}"))
    assert config["config"]["Cmd"] == ["/app"]
    with open(host.base / "piped.tar", "wb") as out:
        subprocess.run([str(__import__("host").INGOT), "images", "export", "shop/web", "-", "--format", "docker-archive"],
                       stdout=out, check=True, env={**os.environ, "INGOT_ROOT": str(host.root)})
    assert (host.base / "piped.tar").read_bytes() == old.read_bytes()
    store = ["--root", str(host.base / "podman"), "--runroot", str(host.base / "podman-run"), "--storage-driver", "vfs"]
    for archive in (tar, old):
        loaded = subprocess.run(["podman", *store, "load", "-i", archive], capture_output=True, text=True, timeout=120)
        assert loaded.returncode == 0 and "shop/web" in loaded.stdout, loaded
    saved = host.base / "saved.tar"
    subprocess.run(["podman", *store, "save", "--format", "docker-archive", "-o", saved, "localhost/shop/web:latest"],
                   check=True, capture_output=True, timeout=120)
    subprocess.run(["podman", *store, "rmi", "-af"], check=True, capture_output=True, timeout=120)
    packed = host.base / "saved.tar.gz"
    packed.write_bytes(gzip.compress(saved.read_bytes(), 1))
    for archive, name in ((saved, "one:1"), (packed, "two:1")):
        host.ok("images", "import", str(archive), "--tag", name)
    one = host.ok("images", "inspect", "one:1", "--json").json()
    two = host.ok("images", "inspect", "two:1", "--json").json()
    assert one["digest"] == two["digest"] and one["config"]["config"]["Cmd"] == ["/app"]
    mine = host.ok("images", "inspect", "shop/web", "--json").json()
    assert [x["diff_id"] for x in one["layers"]] == [x["diff_id"] for x in mine["layers"]]
    # Its own name, from standard input; and the whole digest by an archive that keeps it.
    with open(tar, "rb") as source:
        subprocess.run([str(__import__("host").INGOT), "images", "import", "-", "--tag", "back:1"], stdin=source, check=True,
                       capture_output=True, env={**os.environ, "INGOT_ROOT": str(host.root)})
    assert host.ok("images", "inspect", "back:1", "--json").json()["digest"] == made
    assert host.ok("verify", "--json").code == 0
    assert [p for p in (host.root / "tmp").rglob("*") if p.is_file()] == []


def docker_archive(image, names=("app:1",), layers=None, config=None):
    """As `docker save` of old writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        def add(name, data):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        parsed = json.loads(image.manifest)
        files = []
        for i, layer in enumerate(parsed["layers"]):
            files.append(f"{i}/layer.tar")
            add(files[-1], layers[i] if layers else gzip.decompress(image.blobs[layer["digest"]]))
        add("config.json", config or image.blobs[parsed["config"]["digest"]])
        add("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": list(names), "Layers": files}]).encode())
    return out.getvalue()


def test_hostile_archives_are_refused_and_leave_nothing(host):
    image = app_image()
    good = docker_archive(image)
    escape = tarfile.TarInfo("../../etc/evil")
    hostile = {
        "wrong layer": (docker_archive(image, layers=[b"\0" * 10240, b"\0" * 10240]), "other contents"),
        "no manifest": (docker_archive(image)[:0] + b"\0" * 1024, "no file in it"),
        "text": (b"hello world, I am no archive at all" * 30, "not a tar"),
        "cut": (good[:200_000], "ends in the middle"),
        "bomb": (gzip.compress(bytes(200 << 20), 9), "unpacks to more"),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(escape)
    hostile["escape"] = (out.getvalue(), "leads out")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, target in (("manifest.json", "a"), ("a", "manifest.json")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    hostile["circle"] = (out.getvalue(), "in circles")
    for what, (data, said) in hostile.items():
        (host.base / "bad.tar").write_bytes(data)
        refused = host.run("images", "import", str(host.base / "bad.tar"), "--tag", "bad:1")
        assert refused.code in (1, 2, 4) and said in refused.err, (what, refused)
        assert_nothing_left(host)
    (host.base / "good.tar").write_bytes(good)
    assert host.ok("images", "import", str(host.base / "good.tar"), "--json").json()["names"] == ["app:1"]


def test_a_log_in_of_podman_is_used(host, docker_registry):  # noqa: F811
    there = docker_registry(password="secret")
    built(host)
    log_in(host.base / "containers", there.name)
    (host.base / "containers" / "config.json").rename(host.base / "containers" / "auth.json")
    host.ok("images", "push", "web", f"{there.name}/web:1",
            env={"XDG_RUNTIME_DIR": str(host.base), "HOME": "/nonexistent", "DOCKER_CONFIG": ""})
    host.ok("images", "push", "web", f"{there.name}/web:2",
            env={"REGISTRY_AUTH_FILE": str(host.base / "containers" / "auth.json")})


def test_a_locked_apply_refuses_what_is_not_pinned(served, docker_registry):  # noqa: F811
    there = docker_registry()
    there.push(app_image(), "app:1")
    define(served, f"{there.name}/app:1")
    refused = served.run("apply", "--yes", "--locked")
    assert refused.code == 4 and "is not pinned" in refused.err, refused
    served.ok("lock")
    served.ok("apply", "--yes", "--locked")
    assert served.get()[:2] == (200, "one")


def test_what_does_not_fit_is_not_begun(host, docker_registry):  # noqa: F811
    there = docker_registry()
    image = Image([{"noise": os.urandom(6 << 20)}], compression="none")
    there.push(image, "app:1")
    small = host.base / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip("SKIP: no tmpfs can be mounted")
    try:
        refused = host.run("--root", str(small / "root"), "images", "pull", f"{there.name}/app:1")
        assert refused.code == 1 and "are free in" in refused.err and "ingot gc" in refused.err, refused
        assert not [p for p in (small / "root" / "blobs").rglob("*") if p.is_file()]
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_mirror_that_says_nothing_is_given_up_and_told_of(host, docker_registry):  # noqa: F811
    import socket
    import time
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        began = time.monotonic()
        done = host.run("images", "pull", "127.0.0.2:1/none:1", "--json")
        assert done.code == 1
        # docker.io is a name that this test does not reach: what counts is when the mirror is left.
        done = host.run("images", "pull", "redis:1",
                        env={"INGOT_DOCKER_MIRROR": f"http://127.0.0.1:{silent.getsockname()[1]}",
                             "INGOT_REGISTRY_TIMEOUT": "3s", "https_proxy": "http://127.0.0.1:1"}, timeout=100)
    assert done.code == 1 and "gives no answer for 3 s; asking docker.io instead" in done.out, done
    assert time.monotonic() - began < 60


# --- what was pushed here ---

def test_what_was_pushed_to_the_own_registry_is_an_image_of_the_store(served, docker_registry):  # noqa: F811
    needs("skopeo")
    registry = Registry(served)  # noqa: F811
    try:
        there = docker_registry()
        image = app_image()
        there.push(image, "app:1")
        skopeo("copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false",
               f"docker://{there.name}/app:1", f"docker://{registry.address}/team/web:1.0")
        listed = served.ok("images", "ls", "--json").json()["images"]
        assert [(i["digest"], i["names"], i["pushed"]) for i in listed] == [(image.digest, ["team/web:1.0"], True)]
        shown = served.ok("images", "inspect", "team/web:1.0", "--json").json()
        assert shown["digest"] == image.digest and len(shown["layers"]) == 2
        assert not [p for p in (served.root / "objects").rglob("*") if p.is_file()]  # not before it is needed
    finally:
        registry.stop()
    define(served, "team/web:1.0")
    served.apply()
    assert served.get()[:2] == (200, "one")
    assert lock_of(served)["references"] == {"docker.io/team/web:1.0": image.digest}
    listed = served.ok("images", "ls", "--json").json()["images"]
    assert [(i["digest"], i["golden"], i["pushed"]) for i in listed] == [(image.digest, True, False)]
    (served.project / "ingot.yaml").write_text("version: 1\nproject: shop\nimages: { web: { build: . } }\n")
    (served.project / "Dockerfile").write_text("FROM team/web:1.0\nCOPY app /mine\n")
    served.ok("build", "--json")
