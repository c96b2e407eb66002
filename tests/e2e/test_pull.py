"""Somebody else's images: pulled from registries that work, and from one that does not."""
import json
import os
import shutil
import subprocess
import tarfile
import threading
import time

import pytest

from host import APP, INGOT, wait_for
from registries import BadRegistry, DockerRegistry, Image, bomb, cut_off, digest, log_in, stall

NEEDED = {"docker-registry": "docker-registry", "skopeo": "skopeo", "openssl": "openssl"}


@pytest.fixture
def docker_registry(tmp_path):
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing:
        pytest.skip(f"SKIP: not installed: {', '.join(missing)}")
    made = []

    def make(**options):
        made.append(DockerRegistry(tmp_path / f"registry{len(made)}", **options))
        return made[-1]

    yield make
    for registry in made:
        registry.close()


@pytest.fixture
def bad_registry():
    made = []

    def make(**options):
        made.append(BadRegistry(**options))
        return made[-1]

    yield make
    for registry in made:
        registry.close()


def app_image(extra=b"one", **options):
    """The test program; half a megabyte that does not compress beside it."""
    noise = b"".join(os.urandom(1000) for _ in range(500))
    return Image([{"app": (APP.read_bytes(), 0o755)}, {"extra": extra, "noise": noise}], **options)


def define(host, reference, test="", replicas=1):
    host.define(f"""
version: 1
project: shop
images:
  app:
    image: "{reference}"
    {test}
services:
  web:
    image: app
    replicas: {replicas}
    port: 8080
    environment: {{ REVISION: one }}
    health: {{ ready: {{ http: /healthz, deadline: 5s }} }}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
""")


def lock_of(host):
    return json.loads((host.project / "ingot.lock").read_text())


def files_of_store(host):
    """What anybody could find in the store."""
    return [str(path.relative_to(host.root)) for folder in ("blobs", "layers", "objects", "objects.staging", "tmp")
            for path in (host.root / folder).rglob("*") if path.is_file()]


def assert_nothing_left(host):
    assert host.ok("images", "ls", "--all", "--json").json()["images"] == []
    assert files_of_store(host) == []
    assert not (host.project / "ingot.lock").exists()


def test_a_pulled_image_is_tested_applied_and_serves(served, docker_registry):
    registry = docker_registry()
    image = app_image()
    registry.push(image, "shop/app:1")
    define(served, f"{registry.name}/shop/app:1", test="test: [{ http: { port: 8080, path: /healthz } }]")
    served.apply()
    assert served.get()[:2] == (200, "one")
    assert served.get("/read?/extra")[2] == "one\n"
    listed = served.ok("images", "ls", "--json").json()["images"]
    assert [(i["digest"], i["golden"]) for i in listed] == [(image.digest, True)]
    assert lock_of(served)["references"] == {f"{registry.name}/shop/app:1": image.digest}
    assert served.apply()["accepted"]["accepted"] == "nothing"


def test_a_dockerfile_builds_on_a_pulled_image_and_copies_from_one(host, docker_registry):
    registry = docker_registry()
    registry.push(app_image(), "shop/base:1")
    registry.push(app_image(extra=b"copied", compression="none"), "shop/files:1")
    define(host, f"{registry.name}/shop/base:1")
    (host.project / "ingot.yaml").write_text("version: 1\nproject: shop\nimages: { web: { build: . } }\n")
    (host.project / "Dockerfile").write_text(
        f"FROM {registry.name}/shop/base:1\nCOPY --from={registry.name}/shop/files:1 /extra /copied\nCOPY app /mine\n")
    built = host.ok("build", "--json").json()["images"]["web"]
    assert built["golden"] and not built["cached"]
    assert set(lock_of(host)["references"]) == {f"{registry.name}/shop/{name}:1" for name in ("base", "files")}
    registry.close()
    again = host.ok("build", "--json").json()["images"]["web"]
    assert again["cached"] and again["digest"] == built["digest"]
    host.ok("images", "export", built["digest"], str(host.base / "layout"))


@pytest.mark.parametrize("options", [{}, {"docker": True}, {"compression": "none"}, {"compression": "zstd"}],
                         ids=["oci-gzip", "docker-schema2", "plain", "zstd"])
def test_every_format_comes_out_the_same(host, docker_registry, options):
    if options.get("compression") == "zstd" and shutil.which("zstd") is None:
        pytest.skip("SKIP: zstd is not installed")
    registry = docker_registry()
    link = tarfile.TarInfo("d/hard")
    link.type, link.linkname = tarfile.LNKTYPE, "d/file"
    soft = tarfile.TarInfo("d/soft")
    soft.type, soft.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("dev/null")
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
    long = "d/" + "l" * 120 + "/" + "m" * 120
    image = Image([{"d/file": b"f", "gone": b"g", "o/old": b"x", "d/hard": link, "d/soft": soft, "dev/null": device},
                   {".wh.gone": b"", "o/.wh..wh..opq": b"", "o/new": b"n", long: b"long"}], **options)
    registry.push(image, "a:1")
    define(host, f"{registry.name}/a:1")
    assert host.ok("build", "--json").json()["images"]["app"]["digest"] == image.digest
    assert host.ok("verify", "--json").code == 0
    # Out again, verbatim: another tool finds the same digests.
    host.ok("images", "export", image.digest, str(host.base / "layout"))
    blobs = host.base / "layout" / "blobs" / "sha256"
    for name, blob in image.blobs.items():
        assert (blobs / name[7:]).read_bytes() == blob


def test_a_password_is_needed_and_where_it_comes_from(host, docker_registry):
    registry = docker_registry(password="secret")
    image = app_image()
    registry.push(image, "shop/app:1")
    define(host, f"{registry.name}/shop/app:1")
    nobody = host.run("build", env={"DOCKER_CONFIG": "/nonexistent"})
    assert nobody.code == 1 and f"{registry.name}: 401: " in nobody.err, nobody
    assert f"log in with `docker login {registry.name}`" in nobody.err
    wrong = host.run("build", env=log_in(host.base / "wrong", registry.name, password="guessed"))
    assert wrong.code == 1 and "does not accept the log-in" in wrong.err and "guessed" not in wrong.err, wrong
    assert_nothing_left(host)
    right = host.ok("build", "--json", env=log_in(host.base / "right", registry.name)).json()
    assert right["images"]["app"]["digest"] == image.digest


def test_a_credential_helper_is_asked(host, docker_registry):
    registry = docker_registry(password="secret")
    registry.push(app_image(), "shop/app:1")
    define(host, f"{registry.name}/shop/app:1")
    programs = host.base / "bin"
    programs.mkdir()
    helper = programs / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread server\necho "{\\"Username\\":\\"user\\",\\"Secret\\":\\"secret\\"}"\n')
    helper.chmod(0o755)
    (host.base / "config").mkdir()
    (host.base / "config" / "config.json").write_text(json.dumps({"credHelpers": {registry.name: "test"}}))
    host.ok("build", env={"DOCKER_CONFIG": str(host.base / "config"), "PATH": f"{programs}:{os.environ['PATH']}"})


def test_a_token_is_fetched_for_a_password(host, bad_registry):
    registry = bad_registry(token=True)
    registry.put(app_image(), "app:1")
    define(host, f"{registry.name}/app:1")
    nobody = host.run("build", env={"DOCKER_CONFIG": "/nonexistent"})
    assert nobody.code == 1 and "incorrect username or password" in nobody.err and "docker login" in nobody.err, nobody
    host.ok("build", env=log_in(host.base / "config", registry.name))
    tokens = [path for path, _ in registry.asked if path.startswith("/token")]
    assert len(tokens) == 2 and "scope=repository%3Aapp%3Apull" in tokens[1], tokens


def test_tls_needs_an_authority_that_is_known(host, docker_registry):
    registry = docker_registry(tls=True)
    registry.push(app_image(), "shop/app:1")
    define(host, f"{registry.name}/shop/app:1")
    unknown = host.run("build")
    assert unknown.code == 4 and "TLS failed" in unknown.err and "certs.d" in unknown.err, unknown
    assert_nothing_left(host)
    host.ok("build", env={"SSL_CERT_FILE": str(registry.certificate)})


def test_a_pin_holds_until_it_is_upgraded(host, bad_registry):
    registry = bad_registry()
    first, second = app_image(b"one"), app_image(b"two")
    registry.put(first, "app:1")
    define(host, f"{registry.name}/app:1")
    refused = host.run("build", "--locked")
    assert refused.code == 4 and "is not pinned in ingot.lock" in refused.err, refused
    assert_nothing_left(host)
    assert host.ok("lock", "--json").json()["references"] == {
        f"{registry.name}/app:1": {"digest": first.digest, "before": None}}
    registry.put(second, "app:1")
    assert host.ok("build", "--locked", "--json").json()["images"]["app"]["digest"] == first.digest
    before = len(registry.asked)
    assert host.ok("build", "--json").json()["images"]["app"]["cached"]
    assert len(registry.asked) == before, "the store has it, so nobody is asked"
    assert host.ok("lock", "--json").json()["references"][f"{registry.name}/app:1"]["digest"] == first.digest
    text = host.ok("lock", "--upgrade").out
    assert f"{registry.name}/app:1: {second.digest}, was {first.digest[:19]}" in text, text
    assert host.ok("build", "--json").json()["images"]["app"]["digest"] == second.digest


def test_a_pinned_digest_that_is_gone_is_said_so(host, bad_registry):
    registry = bad_registry()
    image = app_image()
    registry.put(image, "app:1")
    define(host, f"{registry.name}/app:1")
    host.ok("lock")
    registry.images.clear()
    gone = host.run("build")
    assert gone.code == 1 and "404" in gone.err and "`ingot lock --upgrade`" in gone.err, gone


def test_the_platform_of_this_machine_is_chosen(host, bad_registry):
    registry = bad_registry()
    mine, other = app_image(), app_image(architecture="s390x")
    index = registry.put_index({"linux/s390x": other, "linux/amd64": mine}, "app:1")
    define(host, f"{registry.name}/app:1")
    if os.uname().machine != "x86_64":
        pytest.skip("SKIP: not an amd64 machine")
    assert host.ok("build", "--json").json()["images"]["app"]["digest"] == mine.digest
    assert lock_of(host)["references"][f"{registry.name}/app:1"] == index
    registry.put_index({"linux/s390x": other}, "app:2")
    define(host, f"{registry.name}/app:2")
    none = host.run("build")
    assert none.code == 1 and "no image for linux/amd64; it has linux/s390x" in none.err, none


def test_an_unknown_tag_and_a_registry_that_is_down(host, bad_registry):
    registry = bad_registry()
    registry.put(app_image(), "app:1")
    define(host, f"{registry.name}/app:2")
    unknown = host.run("build")
    assert unknown.code == 1 and f"{registry.name}: 404: there is no app:2" in unknown.err, unknown
    registry.close()
    down = host.run("build")
    assert down.code == 1 and "nobody accepts a connection" in down.err, down
    assert_nothing_left(host)


def test_a_registry_that_nobody_knows(host):
    define(host, "registry.invalid:5000/app:1")
    refused = host.run("build", timeout=120)
    assert refused.code == 1 and "no such host" in refused.err, refused


def test_a_name_that_may_be_a_slip_of_the_pen(host, bad_registry):
    registry = bad_registry()
    (host.project / "ingot.yaml").write_text(
        "version: 1\nproject: shop\nimages: { base: { build: base }, web: { build: . } }\n")
    (host.project / "base").mkdir()
    (host.project / "base" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /x\n")
    (host.project / "Dockerfile").write_text("FROM bsae\nCOPY app /app\n")
    done = host.run("build", env={"INGOT_DOCKER_MIRROR": f"http://{registry.name}", "INGOT_REGISTRY_TIMEOUT": "2s"})
    assert done.code == 1 and "Dockerfile:1: " in done.err, done
    assert any(path == "/v2/library/bsae/manifests/latest" for path, _ in registry.asked)


# --- a registry that misbehaves ---

def test_a_transfer_that_breaks_is_resumed_where_it_was(host, bad_registry):
    registry = bad_registry()
    image = app_image()
    registry.put(image, "app:1")
    define(host, f"{registry.name}/app:1")
    broken = []

    def misbehave(handler, path, body):
        if "/blobs/" not in path or path in broken or len(body) < 10_000:
            return False
        broken.append(path)
        cut_off(handler, body, 9_000)
        return True

    registry.misbehave = misbehave
    assert host.ok("build", "--json").json()["images"]["app"]["digest"] == image.digest
    ranges = [headers["Range"] for _, headers in registry.asked if "Range" in headers]
    assert ranges and all(entry == "bytes=9000-" for entry in ranges), ranges


def test_a_server_with_troubles_of_its_own_is_asked_again(host, bad_registry):
    registry = bad_registry()
    registry.put(app_image(), "app:1")
    define(host, f"{registry.name}/app:1")
    left = [503, 429, 500]

    def misbehave(handler, path, body):
        if not left:
            return False
        handler.answer(left.pop())
        return True

    registry.misbehave = misbehave
    host.ok("build")
    registry.misbehave = lambda handler, path, body: handler.answer(503) or True
    define(host, f"{registry.name}/app:1@{digest(b'other')}")
    registry.images["app", digest(b"other")] = ("x", b"other")
    done = host.run("build")
    assert done.code == 1 and "503: it has a trouble of its own" in done.err, done


@pytest.mark.parametrize("fault", ["flipped", "longer", "endless", "short", "stall", "loop", "to-http-elsewhere",
                                   "manifest", "bomb", "escape"])
def test_what_is_not_right_is_refused_and_leaves_nothing(host, bad_registry, fault):
    registry = bad_registry()
    image = app_image()
    if fault == "bomb":
        image = Image([{"app": b"x"}, bomb()])
    if fault == "escape":
        image = Image([{"../../etc/cron.d/evil": b"x"}])
    registry.put(image, "app:1")
    define(host, f"{registry.name}/app:1")
    victim = image.largest()

    def misbehave(handler, path, body):
        if fault == "manifest" and "/manifests/" in path:
            handler.answer(200, body + b" ", [("Content-Type", image.type), ("Docker-Content-Digest", image.digest)])
            return True
        if not path.endswith(victim):
            return False
        if fault == "flipped":
            handler.answer(200, body[:100] + bytes([body[100] ^ 1]) + body[101:])
        elif fault == "longer":
            handler.answer(200, body + b"x")
        elif fault == "short":
            handler.answer(200, body[:1000])
        elif fault == "endless":
            handler.send_response(200)
            handler.end_headers()
            while True:
                handler.wfile.write(body)
        elif fault == "stall":
            stall(handler, body, 2000, 30)
        elif fault == "loop":
            handler.answer(307, b"", [("Location", path)])
        elif fault == "to-http-elsewhere":
            handler.answer(307, b"", [("Location", "http://registry.invalid/blob")])
        else:
            return False
        return True

    registry.misbehave = misbehave
    begin = time.monotonic()
    done = host.run("build", env={"INGOT_REGISTRY_TIMEOUT": "2s"}, timeout=100)
    expected = {"flipped": (2, "has other contents"), "longer": (2, "longer than"), "endless": (2, "longer than"),
                "short": (2, "ends after"), "stall": (1, "has stalled for 2 s"), "loop": (4, "redirects in circles"),
                "to-http-elsewhere": (4, "not encrypted"), "manifest": (2, "nothing was taken"),
                "bomb": (4, "bomb"), "escape": (2, "lead out")}[fault]
    assert done.code == expected[0] and expected[1] in done.err, done
    assert time.monotonic() - begin < 60
    assert_nothing_left(host)


def test_what_a_killed_pull_left_is_collected(host, bad_registry):
    registry = bad_registry()
    image = app_image()
    registry.put(image, "app:1")
    define(host, f"{registry.name}/app:1")
    reached = threading.Event()

    def misbehave(handler, path, body):
        if not path.endswith(image.largest()):
            return False
        reached.set()
        stall(handler, body, 100_000, 20)
        return True

    registry.misbehave = misbehave
    process = subprocess.Popen([str(INGOT), "build"], cwd=host.project, env={**os.environ, "INGOT_ROOT": str(host.root)},
                               stdout=subprocess.DEVNULL)
    assert reached.wait(20)
    wait_for("a part has arrived", lambda: any(".tmp." in name for name in files_of_store(host)))
    process.kill()
    process.wait()
    registry.misbehave = None
    host.ok("gc")
    left = [name for name in files_of_store(host) if not name.startswith("tmp/")]
    assert left == [], left
    assert host.ok("build", "--json").json()["images"]["app"]["digest"] == image.digest


def test_two_projects_pull_the_same_image_at_once(host, bad_registry):
    registry = bad_registry()
    image = app_image()
    registry.put(image, "app:1")
    define(host, f"{registry.name}/app:1")
    other = host.base / "other"
    shutil.copytree(host.project, other)
    runs = [subprocess.Popen([str(INGOT), "build", "--json"], cwd=cwd, env={**os.environ, "INGOT_ROOT": str(host.root)},
                             stdout=subprocess.PIPE, text=True) for cwd in (host.project, other)]
    for run in runs:
        out, _ = run.communicate(timeout=60)
        assert run.returncode == 0 and json.loads(out)["images"]["app"]["digest"] == image.digest
    host.ok("verify")


def test_no_credential_goes_along_to_another_host(host, bad_registry):
    registry, store = bad_registry(token=True), bad_registry()
    image = app_image()
    registry.put(image, "app:1")
    store.put(image, "app:1")
    define(host, f"{registry.name}/app:1")

    def misbehave(handler, path, body):
        if "/blobs/" not in path:
            return False
        handler.answer(307, b"", [("Location", f"http://{store.name}{path}")])
        return True

    registry.misbehave = misbehave
    host.ok("build", env=log_in(host.base / "config", registry.name))
    assert len(store.asked) == 3 and all("Authorization" not in headers for _, headers in store.asked), store.asked
    assert any("Authorization" in headers for _, headers in registry.asked)


def test_a_build_that_pulls_nothing_does_not_load_the_http_client(host, bad_registry):
    registry = bad_registry()
    registry.put(app_image(), "app:1")
    define(host, f"{registry.name}/app:1")
    first = host.run("build", env={"LD_DEBUG": "files"})
    assert first.code == 0 and "libcurl" in first.err + first.out, "it is looked at in the right way"
    again = host.run("build", env={"LD_DEBUG": "files"})
    assert again.code == 0 and "libcurl" not in again.err + again.out
