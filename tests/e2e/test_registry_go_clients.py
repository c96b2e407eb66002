"""oras and crane against the registry: plainly, and with TLS and a log-in. Built from the Go module proxy, as the
conformance suite is; tests/clients pins them."""
import json
import os
import re
import shutil
import subprocess

import pytest

from host import BUILD, SOURCE
from registries import digest
from test_registry import build_image, registry  # noqa: F401
from test_registry_access import guarded, layout_image  # noqa: F401

# They are built once, into one folder.
pytestmark = pytest.mark.xdist_group("go")

PROGRAMS = {"oras": "oras.land/oras/cmd/oras", "crane": "github.com/google/go-containerregistry/cmd/crane"}


@pytest.fixture(scope="module")
def programs():
    """The folder that has both."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("SKIP: Go is not installed, so oras and crane cannot be built")
    folder = BUILD / "tests" / "clients"
    folder.mkdir(parents=True, exist_ok=True)
    built = subprocess.run([go, "build", "-o", f"{folder}/", *PROGRAMS.values()], cwd=SOURCE / "tests" / "clients",
                           capture_output=True, text=True, timeout=900)
    if built.returncode != 0:
        if re.search(r"dial tcp|no such host|proxy|Forbidden|timeout|requires go", built.stderr):
            pytest.skip("SKIP: oras and crane cannot be fetched: " + built.stderr.strip()[-200:])
        pytest.fail(built.stderr[-2000:])
    return folder


class Clients:
    """Both programs, with one place for log-ins, and a registry: its address and how it is to be spoken to."""

    def __init__(self, folder, directory, address, authority=None):
        self.folder = folder
        self.address = address
        self.authority = authority
        self.auth = directory / "auth"
        self.auth.mkdir()
        self.environment = {**os.environ, "DOCKER_CONFIG": str(self.auth), "HOME": str(directory)}
        if authority:
            self.environment["SSL_CERT_FILE"] = str(authority)

    def run(self, program, *args, expect=0, cwd=None, text=None):
        done = subprocess.run([str(self.folder / program), *map(str, args)], cwd=cwd, env=self.environment, input=text,
                              capture_output=True, text=True, timeout=120)
        assert (done.returncode == 0) == (expect == 0), (program, args, done.returncode, done.stdout, done.stderr)
        return done.stdout if expect == 0 else done.stderr

    def oras(self, *args, ends=("",), **more):
        """`ends`: the prefixes of its options about a registry ("from-" and "to-" of a copy)."""
        plain = [] if self.authority else [f"--{end}plain-http" for end in ends]
        return self.run("oras", *args, *plain, **more)

    def crane(self, *args, **more):
        return self.run("crane", *([] if self.authority else ["--insecure"]), *args, **more)


@pytest.fixture(params=["plain", "tls"])
def clients(request, programs, tmp_path):
    if request.param == "plain":
        serving = request.getfixturevalue("registry")
        made = Clients(programs, tmp_path, serving.address)
    else:
        serving = request.getfixturevalue("guarded")
        made = Clients(programs, tmp_path, serving.address, serving.etc / "ca.crt")
    made.serving = serving
    made.secured = request.param == "tls"
    return made


def log_in(clients, user="ci", password="geheim"):
    if not clients.secured:
        return
    clients.run("oras", "login", clients.address, "-u", user, "--password-stdin", text=password)


def test_oras_pushes_pulls_copies_attaches_and_discovers(clients, tmp_path):
    name = f"{clients.address}/team/artifact"
    work = tmp_path / "work"
    work.mkdir()
    (work / "report.json").write_text('{"found": 0}')
    (work / "big").write_bytes(os.urandom(3 << 20))
    push = ["push", f"{name}:v1", "--artifact-type", "application/vnd.example.report", "report.json:application/json", "big"]
    if clients.secured:
        said = clients.oras(*push, cwd=work, expect=1)
        assert "401" in said or "credential" in said, said
        wrong = clients.run("oras", "login", clients.address, "-u", "ci", "--password-stdin", text="falsch", expect=1)
        assert "401" in wrong or "unauthorized" in wrong.lower(), wrong
    log_in(clients)
    clients.oras(*push, cwd=work)
    clients.oras("pull", f"{name}:v1", "-o", tmp_path / "back")
    for file in ("report.json", "big"):
        assert (tmp_path / "back" / file).read_bytes() == (work / file).read_bytes()

    clients.oras("tag", f"{name}:v1", "stable")
    assert clients.oras("repo", "tags", name).split() == ["stable", "v1"]
    # Two things about it, found by type and as a tree.
    (work / "sbom.json").write_text('{"packages": []}')
    for kind, file in ("sbom", "sbom.json"), ("signature", "report.json"):
        clients.oras("attach", f"{name}:v1", "--artifact-type", f"application/vnd.example.{kind}", f"{file}:application/json", cwd=work)
    found = json.loads(clients.oras("discover", f"{name}:v1", "--format", "json"))
    kinds = {one["artifactType"] for one in found.get("referrers", found.get("manifests"))}
    assert kinds == {"application/vnd.example.sbom", "application/vnd.example.signature"}, found
    found = json.loads(clients.oras("discover", f"{name}:v1", "--format", "json", "--artifact-type", "application/vnd.example.sbom"))
    entries = found.get("referrers", found.get("manifests"))
    assert [one["artifactType"] for one in entries] == ["application/vnd.example.sbom"], found

    # With what is attached to it, to another repository; byte for byte.
    clients.oras("copy", "-r", f"{name}:v1", f"{clients.address}/team/copy:v1", ends=("from-", "to-"))
    raw = clients.oras("manifest", "fetch", f"{name}:v1")
    assert clients.oras("manifest", "fetch", f"{clients.address}/team/copy:v1") == raw
    copied = json.loads(clients.oras("discover", f"{clients.address}/team/copy:v1", "--format", "json"))
    assert len(copied.get("referrers", copied.get("manifests"))) == 2, copied
    clients.oras("copy", "--to-oci-layout", f"{name}:v1", f"{tmp_path}/layout:v1", ends=("from-",))
    assert (tmp_path / "layout/blobs/sha256" / digest(raw.encode())[7:]).read_text() == raw

    blob = json.loads(raw)["layers"][1]
    assert blob["size"] == 3 << 20
    clients.oras("blob", "fetch", f"{name}@{blob['digest']}", "--output", tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == (work / "big").read_bytes()
    if clients.secured:  # ci may push there, and not delete
        said = clients.oras("manifest", "delete", "--force", f"{name}:stable", expect=1)
        assert "403" in said or "denied" in said.lower(), said
        log_in(clients, "ops", "streng")
    clients.oras("manifest", "delete", "--force", f"{clients.address}/team/copy:v1")
    assert "not found" in clients.oras("manifest", "fetch", f"{clients.address}/team/copy:v1", expect=1)
    assert clients.oras("manifest", "fetch", f"{name}:v1") == raw


def test_crane_pushes_appends_copies_lists_and_deletes(clients, tmp_path):
    name = f"{clients.address}/team/crane"
    image = layout_image(tmp_path / "image")
    if clients.secured:
        assert "401 Unauthorized" in clients.crane("push", tmp_path / "image", f"{name}:v1", expect=1)
        clients.crane("auth", "login", clients.address, "-u", "ci", "-p", "geheim")
    clients.crane("push", tmp_path / "image", f"{name}:v1")
    assert clients.crane("manifest", f"{name}:v1").encode() == image.manifest
    assert clients.crane("digest", f"{name}:v1").strip() == digest(image.manifest)
    # A layer on top, which is all that is sent.
    (tmp_path / "more").write_text("more")
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "more.tar", "more"], check=True)
    appended = clients.crane("append", "-b", f"{name}:v1", "-f", tmp_path / "more.tar", "-t", f"{name}:v2").strip()
    document = json.loads(clients.crane("manifest", f"{name}:v2"))
    assert len(document["layers"]) == 2 and document["layers"][0] == json.loads(image.manifest)["layers"][0]
    assert appended.endswith(clients.crane("digest", f"{name}:v2").strip())
    exported = subprocess.run(["tar", "-tf", "-"], input=subprocess.run(
        [str(clients.folder / "crane"), *([] if clients.secured else ["--insecure"]), "export", f"{name}:v2", "-"],
        env=clients.environment, capture_output=True, check=True, timeout=60).stdout, capture_output=True, check=True)
    assert set(exported.stdout.decode().split()) == {"hello", "more"}

    clients.crane("copy", f"{name}:v2", f"{clients.address}/team/copied:v2")
    assert clients.crane("digest", f"{clients.address}/team/copied:v2") == clients.crane("digest", f"{name}:v2")
    clients.crane("tag", f"{name}:v2", "latest")
    assert clients.crane("ls", name).split() == ["latest", "v1", "v2"]
    clients.crane("pull", "--format", "oci", f"{name}:v2", tmp_path / "back")
    assert (tmp_path / "back/blobs/sha256" / clients.crane("digest", f"{name}:v2").strip()[7:]).is_file()
    clients.crane("validate", "--remote", f"{name}:v2")
    if clients.secured:
        assert "DENIED" in clients.crane("delete", f"{clients.address}/team/copied:v2", expect=1)
        clients.crane("auth", "login", clients.address, "-u", "ops", "-p", "streng")
    # By digest, and by tag.
    clients.crane("delete", f"{clients.address}/team/copied@" + clients.crane("digest", f"{clients.address}/team/copied:v2").strip())
    assert "MANIFEST_UNKNOWN" in clients.crane("manifest", f"{clients.address}/team/copied:v2", expect=1)
    assert clients.crane("digest", f"{name}:v2").strip() in appended


def test_they_pull_what_was_built_here(host, registry, programs, tmp_path):  # noqa: F811
    build_image(host)
    clients = Clients(programs, tmp_path, registry.address)
    made = next(i for i in host.ok("images", "ls", "--json").json()["images"] if "shop/app:latest" in i["names"])
    name = f"{registry.address}/shop/app:latest"
    assert clients.crane("digest", name).strip() == made["digest"]
    # (`crane validate` takes every layer for gzip.)
    clients.crane("export", name, tmp_path / "files.tar")
    assert "app" in subprocess.run(["tar", "-tf", tmp_path / "files.tar"], capture_output=True, text=True, check=True).stdout.split()
    clients.oras("copy", "--to-oci-layout", name, f"{tmp_path}/layout:v", ends=("from-",))
    assert (tmp_path / "layout/blobs/sha256" / made["digest"][7:]).is_file()
    clients.crane("copy", name, f"{registry.address}/mirror/app:v1")
    assert clients.crane("digest", f"{registry.address}/mirror/app:v1").strip() == made["digest"]
