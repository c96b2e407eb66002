"""Deploying to another host: its API by TLS, who is let in, what is sent, and what a client may not do to it."""
import http.client
import json
import os
import pathlib
import pty
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from host import INGOT, Finished, Host, free_port, wait_for

NOBODY = pwd.getpwnam("nobody")


def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True, timeout=60)


def certificate(directory, name, common_name, extension, *validity):
    """NAME.crt and NAME.key, signed by ca.crt; renamed to their names, the key first."""
    (directory / f"{name}.ext").write_text(extension)
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            f"{name}.key.new", "-out", f"{name}.csr", "-subj", f"/CN={common_name}")
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.crt.new", "-extfile", f"{name}.ext", *(validity or ("-days", "2")))
    os.rename(directory / f"{name}.key.new", directory / f"{name}.key")
    os.rename(directory / f"{name}.crt.new", directory / f"{name}.crt")


SERVER = "subjectAltName=IP:127.0.0.1\n"
CLIENT = "extendedKeyUsage=clientAuth\n"


class Far(Host):
    """The host that is deployed to."""

    def __init__(self):
        super().__init__()
        self.api = free_port()
        self.url = f"https://127.0.0.1:{self.api}"
        self.etc = self.base / "etc"
        self.etc.mkdir()
        openssl(self.etc, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority")
        certificate(self.etc, "server", "far", SERVER)
        (self.etc / "host.yaml").write_text(
            f'version: 1\napi: {{ listen: ["127.0.0.1:{self.api}"], tls: {{ certificate: server.crt, key: server.key, '
            "client_ca: ca.crt } }\n")

    def begin(self):
        self.start(env={"INGOT_HOST_CONFIG": str(self.etc / "host.yaml")})

    def token(self, name, *args):
        made = self.ok("token", "create", name, *args)
        assert made.out.startswith("ingot_") and len(made.out.strip()) == 6 + 64
        return made.out.strip()

    def trust(self, token=None):
        return {"INGOT_CA": str(self.etc / "ca.crt"), **({"INGOT_TOKEN": token} if token else {})}

    def ask(self, method, path, body=None, token=None, headers=(), certificate=None):
        """(status, JSON) over TLS."""
        context = ssl.create_default_context(cafile=self.etc / "ca.crt")
        if certificate:
            context.load_cert_chain(self.etc / f"{certificate}.crt", self.etc / f"{certificate}.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.api, context=context, timeout=30)
        try:
            connection.request(method, path, body, {**({"Authorization": f"Bearer {token}"} if token else {}), **dict(headers)})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith("{") else text
        finally:
            connection.close()


@pytest.fixture
def far():
    made = Far()
    made.begin()
    yield made
    made.close()


def definition(far, revision="one", more="", build=". "):
    return f"""
version: 1
project: shop
images: {{ app: {{ build: {build} }} }}
services:
  web:
    image: app
    port: 8080
    replicas: 2
    environment: {{ REVISION: {revision} }}
    health: {{ ready: {{ http: /healthz }} }}
    rollout: {{ keep_old: 1m, drain: 1s }}
routes: [{{ listen: "127.0.0.1:@PORT@", to: web }}]
environments: {{ staging: {{ host: "{far.url}" }} }}
{more}
"""


DOCKERFILE = 'FROM scratch\nCOPY app /app\nCOPY text /text\nUSER 1000:1000\nCMD ["/app"]\n'


def project(host, far, text="first", **options):
    host.define(definition(far, **options), DOCKERFILE)
    (host.project / ".dockerignore").write_text("*\n!app\n!text\n")
    (host.project / "text").write_text(text)


def test_a_release_to_another_host_sends_only_what_it_lacks(host, far):
    ci = far.token("ci", "--in", "shop/staging")
    mine = far.trust(ci)
    project(host, far)
    first = host.ok("apply", "-e", "staging", "--yes", env=mine)
    assert "2 layers, 2 files" in first.out, first
    assert host.get()[:2] == (200, "one")
    # One line changed: one layer with one file goes.
    project(host, far, text="second")
    second = host.ok("apply", "-e", "staging", "--yes", env=mine)
    assert "1 images, 1 layers, 1 files" in second.out, second
    # Nothing but the environment changed: no image goes.
    project(host, far, text="second", revision="two")
    third = host.ok("apply", "-e", "staging", "--yes", env=mine)
    assert "sent" not in third.out and host.get()[1] == "two"
    assert host.ok("plan", "-e", "staging", "--json", env=mine).json()["nothing_to_do"]

    # Every other verb is about that host, too; here no daemon runs.
    history = host.ok("history", "-e", "staging", "--json", env=mine).json()
    assert [entry["actor"] for entry in history["revisions"]] == ["token:ci"] * 3
    status = host.ok("status", "-e", "staging", "--json", env=mine).json()
    assert status["active"] == 3 and status["lost"] is None
    assert host.ok("rollback", "-e", "staging", "--json", env=mine).json()["rollout"]["to"] == 2
    assert host.get()[1] == "one"
    host.ok("scale", "web=1", "-e", "staging", env=mine)
    assert host.ok("logs", "-e", "staging", env=mine).code == 0
    # On whose word the images are golden there.
    received = [e for e in map(json.loads, far.ok("events", "--host", "--json").out.splitlines()) if e["kind"] == "image.received"]
    assert [(e["actor"], e["detail"]["image"], e["detail"]["golden"]) for e in received] == [("token:ci", "shop/app", True)] * 2
    digest = received[-1]["detail"]["digest"]
    assert far.ok("images", "inspect", digest, "--json").json()["tests"]["claimed_by"] == "token:ci"
    assert far.run("verify", "--json").code == 0
    # It may what it was made for, and nothing else.
    refused = host.run("destroy", "-e", "staging", "--yes", env=mine)
    assert refused.code == 1 and "token:ci" in refused.err and "destroy" in refused.err
    assert far.ask("DELETE", "/v1/host", token=ci)[0] == 403
    assert far.ask("GET", "/v1/tokens", token=ci)[0] == 403
    assert far.ask("GET", "/v1/projects/shop/environments/production", token=ci)[0] == 403
    assert far.ask("POST", "/v1/projects/other/environments/staging/images", b"{}", token=ci)[0] == 403


def test_an_unprivileged_client_builds_on_the_host(host, far):
    ci = far.token("ci", "--in", "shop/*", "--may", "deploy", "--for", "1h")
    home = host.base / "home"
    home.mkdir()
    shutil.copy(INGOT, host.base / "ingot")  # where anybody may run it
    project(host, far, build="{ context: ., args: { WHO: \"${WHO}\" } }")
    (host.project / "links").mkdir()
    (host.project / "links" / "link").symlink_to("/etc/shadow")
    (host.project / "Dockerfile").write_text('FROM scratch\nARG WHO\nLABEL who=$WHO\nCOPY app /app\nCOPY text /text\nCOPY links /links\nUSER 1000:1000\n'
                                             'CMD ["/app"]\n')
    (host.project / ".dockerignore").write_text("*\n!app\n!text\n!links\n")
    (host.project / "ignored").write_text("secret")
    for path in [home, host.project, *host.project.iterdir()]:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)

    def nobody(*args, stdin="", **env):
        return Finished(subprocess.run([str(host.base / "ingot"), *args], cwd=host.project, capture_output=True, text=True,
                                       input=stdin, timeout=120, user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[],
                                       env={"HOME": str(home), "NO_COLOR": "1", "PATH": os.environ["PATH"],
                                            "INGOT_ROOT": str(host.base / "no-root"), "WHO": "nobody", **env}))

    # A log-in is looked at first, and kept where nobody else reads it.
    wrong = nobody("login", far.url, "--ca", str(far.etc / "ca.crt"), "--token-stdin", stdin="ingot_wrong\n")
    assert wrong.code == 1 and "does not know this token" in wrong.err
    unbelieved = nobody("login", far.url, "--token-stdin", stdin=ci)
    assert unbelieved.code == 4 and "--ca FILE" in unbelieved.err
    assert "token:ci" in nobody("login", far.url, "--ca", str(far.etc / "ca.crt"), "--token-stdin", stdin=ci + "\n").out
    kept = home / ".config" / "ingot" / "hosts.json"
    assert kept.stat().st_mode & 0o777 == 0o600

    built = nobody("build", "-e", "staging", "--json")
    assert built.code == 0, built
    digest = built.json()["images"]["app"]["digest"]
    inspected = far.ok("images", "inspect", digest, "--json").json()
    assert inspected["golden"] and inspected["config"]["config"]["Labels"] == {"who": "nobody"}
    # A link stays a link: what it leads to on the host is not read.
    far.ok("images", "export", digest, str(far.base / "image.tar"))
    image = (far.base / "image.tar").read_bytes()
    assert b"/etc/shadow" in image and b"secret" not in image
    assert pathlib.Path("/etc/shadow").read_bytes().splitlines()[0] not in image
    applied = nobody("apply", "-e", "staging", "--yes")
    assert applied.code == 0, applied
    assert host.get()[:2] == (200, "one")
    assert not (host.base / "no-root").exists()
    assert nobody("build", "-e", "staging", "--json").json()["images"]["app"]["cached"]
    # A mistake of the Dockerfile is told as if it had been built here.
    (host.project / "Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    failed = nobody("build", "-e", "staging")
    assert failed.code != 0 and "Dockerfile:2" in failed.err, failed
    # What is not below the project, or read through a link, is not sent and not read.
    (host.base / "Dockerfile").write_text("FROM scratch\nCOPY text /\n")
    (host.project / "Dockerfile").unlink()
    (host.project / "Dockerfile").symlink_to("../Dockerfile")
    linked = nobody("build", "-e", "staging")
    assert linked.code == 2 and "symbolic link" in linked.err, linked
    host.define(definition(far, build="{ context: .. }"))
    outside = nobody("build", "-e", "staging")
    assert outside.code == 2 and "not below the project" in outside.err, outside
    assert not [path for path in (far.root / "tmp").iterdir() if path.name.startswith("received-build")]
    assert "forgot" in nobody("logout", far.url).out
    assert "ingot login" in nobody("status", "-e", "staging").err


def test_a_build_whose_client_is_killed_ends_on_the_host_and_leaves_nothing(host, far):
    ci = far.token("ci", "--in", "shop/staging", "--may", "deploy")
    project(host, far)
    dockerfile = (host.project / "Dockerfile").read_text()
    # A step that never ends, and is known by its environment wherever it runs.
    mark = f"BUILD_OF={far.base.name}"
    (host.project / "Dockerfile").write_text(dockerfile.replace("USER", f'ENV {mark}\nRUN ["/app"]\nUSER'))
    for path in [host.project, *host.project.iterdir()]:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    shutil.copy(INGOT, host.base / "ingot")
    before = sorted(far.traces())
    files = sorted(path.relative_to(far.root) for path in far.root.rglob("*"))

    def steps():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if mark.encode() in pathlib.Path("/proc", pid, "environ").read_bytes().split(b"\0"):
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def build():
        return subprocess.Popen([str(host.base / "ingot"), "build", "-e", "staging"], cwd=host.project, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=NOBODY.pw_uid, group=NOBODY.pw_gid,
                                extra_groups=[], env={"HOME": str(host.base), "PATH": os.environ["PATH"],
                                                      "INGOT_ROOT": str(host.base / "no-root"), **far.trust(ci)})

    def left():
        # The daemon makes network namespaces in advance, in its own time.
        return [trace for trace in far.traces() if trace not in before and "/run/ns/" not in trace]

    client = build()
    try:
        wait_for("the step runs", steps)
        assert any("build-received" in trace for trace in left()), left()
    finally:
        client.kill()
        client.wait()
    wait_for("the step ends", lambda: not steps())
    wait_for("nothing is left", lambda: not left())

    def staged():
        # As os.walk sees it: what goes meanwhile is no error. The daemon's own folder for what it receives stays.
        return [found for name in ("tmp", "objects.staging") for where, folders, names in os.walk(far.root / name)
                for path in [*(folders if name == "tmp" else ()), *names]
                if (found := pathlib.Path(where, path).relative_to(far.root)) not in files]

    wait_for("what was sent is gone", lambda: not staged())
    # And nothing is in the way of the next one.
    (host.project / "Dockerfile").write_text(dockerfile)
    assert host.ok("build", "-e", "staging", "--build-on", "host", "--json", env=far.trust(ci)).json()["images"]["app"]["digest"]
    assert far.run("verify", "--json").code == 0


@pytest.fixture
def other():
    made = Far()
    made.begin()
    yield made
    made.close()


def test_what_was_proven_on_one_host_is_promoted_to_another(host, far, other):
    """By somebody without root or a store here, who may ask both; neither host knows the other."""
    home = host.base / "home"
    home.mkdir()
    shutil.copy(INGOT, host.base / "ingot")
    project(host, far, more="")
    text = (host.project / "ingot.yaml").read_text().replace(f"127.0.0.1:{host.port}", "127.0.0.1:${LISTEN}")
    text = text[:text.index("environments:")] + (
        f'environments:\n  staging: {{ host: "{far.url}" }}\n  production: {{ host: "{other.url}", promote_from: staging }}\n')
    (host.project / "ingot.yaml").write_text(text)
    (host.project / "Dockerfile").write_text(DOCKERFILE.replace("COPY text /text\n", "COPY text /text\nCOPY files /files\n"))
    (host.project / ".dockerignore").write_text("*\n!app\n!text\n!files\n")
    # Files that come several in one piece, one that takes several pieces, and one that is empty.
    files = host.project / "files"
    files.mkdir()
    for number in range(1200):
        (files / f"small{number}").write_text(f"{number}\n" * (number % 50 + 1))
    (files / "large").write_bytes(os.urandom(20 << 20))
    (files / "empty").write_text("")
    for path in [home, host.project, *host.project.rglob("*")]:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    ports = {"staging": free_port(), "production": free_port()}

    def nobody(*args, stdin="", to="staging"):
        return Finished(subprocess.run([str(host.base / "ingot"), *args], cwd=host.project, capture_output=True, text=True,
                                       input=stdin, timeout=120, user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[],
                                       env={"HOME": str(home), "NO_COLOR": "1", "PATH": os.environ["PATH"],
                                            "INGOT_ROOT": str(host.base / "no-root"), "LISTEN": str(ports[to])}))

    def login(at, name, *may):
        token = at.token(name, "--in", "shop/*", "--may", ",".join(may))
        assert nobody("login", at.url, "--ca", str(at.etc / "ca.crt"), "--token-stdin", stdin=token + "\n").code == 0

    login(far, "ci", "deploy")
    login(other, "deployer", "deploy")
    staged = nobody("apply", "-e", "staging", "--yes", "--json")
    assert staged.code == 0, staged
    digest = far.ok("images", "ls", "--json").json()["images"][0]["digest"]

    def promote(*args):
        return nobody("promote", *args, "--to", "production", "--json")

    # Production has nothing yet, and builds nothing of its own.
    early = nobody("apply", "-e", "production", "--yes", to="production")
    assert early.code == 4 and "`ingot promote app --to production`" in early.err, early
    assert other.ok("images", "ls", "--json").json()["images"] == []
    # To deploy is not to promote.
    wait_for("it is proven", lambda: "was not verified in staging" not in promote("app").out)
    refused = promote("app")
    assert refused.code != 0 and refused.json()["error"]["code"] == "permission", refused
    login(other, "promoter", "deploy", "promote")
    # What was built since was not rolled out: the tag is another image's by now.
    (host.project / "text").write_text("second")
    assert nobody("build", "-e", "staging").code == 0
    unproven = promote("app")
    assert unproven.code == 4 and "was not verified in staging" in unproven.out, unproven
    done = promote(f"app@{digest}", "--reason", "CHG-17")
    assert done.code == 0, done
    assert done.json()["moved"] and done.json()["promotion"]["digest"] == digest
    assert promote(f"app@{digest}").json()["moved"] is False

    # What is deployed is what was proven, whatever the project has become.
    applied = nobody("apply", "-e", "production", "--yes", to="production")
    assert applied.code == 0, applied
    assert host.get(port=ports["production"])[:2] == (200, "one")
    assert host.get("/read?/text", port=ports["production"])[2].strip() == "first"
    for at in (far, other):
        at.ok("images", "export", digest, str(at.base / "image.tar"))
    assert (far.base / "image.tar").read_bytes() == (other.base / "image.tar").read_bytes()
    assert other.run("verify", "--json").code == 0
    events = [json.loads(line) for line in other.ok("events", "--host", "--json").out.splitlines()]
    moved = [event for event in events if event["kind"] == "image.promoted"]
    assert [(e["actor"], e["detail"]["from_host"], e["detail"]["reason"]) for e in moved] == [("token:promoter", far.url, "CHG-17")]
    # A second one of which it has all but one file carries that.
    second = nobody("apply", "-e", "staging", "--yes")
    assert second.code == 0, second
    carried = wait_for("it is promoted", lambda: (again := nobody("promote", "app", "--to", "production")).code == 0 and again)
    assert "1 layers, 1 files" in carried.err, carried
    assert not (host.base / "no-root").exists()
    # Another project's images are nobody's to see.
    asked = far.ask("POST", "/v1/projects/else/environments/staging/images/describe", json.dumps({"image": "app", "digest": digest}),
                    token=far.token("else", "--in", "else/*", "--may", "deploy"))
    assert asked[0] == 404, asked


def test_who_is_let_in(host, far):
    project(host, far)
    status = ("status", "-e", "staging")
    assert "ingot login" in host.run(*status, env=far.trust()).err
    wrong = host.run(*status, env=far.trust("ingot_" + "0" * 64))
    assert wrong.code == 1 and "does not know this token" in wrong.err
    unknown = host.run(*status, env={"INGOT_TOKEN": "x"})
    assert unknown.code == 4 and "TLS failed" in unknown.err
    # A token that is taken back ends what it follows, and is nobody's at once.
    ops = far.token("ops", "--may", "admin")
    assert far.ask("GET", "/v1/version", token=ops)[1]["you"] == "token:ops"
    assert far.ask("GET", "/v1/environments", token=ops)[0] == 200
    follower = subprocess.Popen(["curl", "-sN", "--cacert", str(far.etc / "ca.crt"), "-H", f"Authorization: Bearer {ops}",
                                 f"{far.url}/v1/events?follow"], stdout=subprocess.PIPE)
    assert json.loads(follower.stdout.readline())["kind"] == "token.created"
    far.ok("token", "rm", "ops")
    assert b"was removed or has expired" in follower.stdout.read().splitlines()[-1]
    follower.wait(timeout=20)
    assert far.ask("GET", "/v1/version", token=ops)[0] == 401
    kinds = [e["kind"] for e in map(json.loads, far.ok("events", "--host", "--json").out.splitlines())]
    assert kinds == ["token.created", "token.removed"]
    assert far.run("token", "rm", "ops").code == 1
    # One that has expired is no better; its name may be used again.
    brief = far.token("brief", "--in", "shop/staging", "--for", "1ms")
    assert far.ask("GET", "/v1/version", token=brief)[0] == 401
    assert far.ok("token", "ls", "--json").json()["tokens"][0]["expired"]
    assert brief not in (far.root / "tokens.json").read_text() and (far.root / "tokens.json").stat().st_mode & 0o777 == 0o600
    for bad in (["--in", "shop"], ["--may", "deploy"], ["--in", "a/b", "--may", "admin"], ["--in", "a/b", "--may", "fly"]):
        assert far.run("token", "create", "other", *bad).code == 2
    # By a certificate: what `access` gives its name.
    certificate(far.etc, "build", "build-1", CLIENT)
    assert far.ask("GET", "/v1/version", certificate="build")[1]["you"] == "cert:build-1"
    assert far.ask("GET", "/v1/projects/shop/environments/staging", certificate="build")[0] == 403
    ci = far.token("ci", "--in", "shop/staging")
    project(host, far, more='access: { machines: { may: [rollback], members: ["cert:build-1"] } }')
    host.ok("apply", "-e", "staging", "--yes", env=far.trust(ci))
    by_certificate = {"INGOT_CLIENT_CERT": str(far.etc / "build.crt"), "INGOT_CLIENT_KEY": str(far.etc / "build.key")}
    assert host.ok("status", "-e", "staging", "--json", env={**far.trust(), **by_certificate}).json()["active"] == 1
    refused = host.run("scale", "web=1", "-e", "staging", env={**far.trust(), **by_certificate})
    assert refused.code == 1 and "cert:build-1 has no role that may scale" in refused.err
    # Who guesses is not heard for a while: not even with the right one.
    answers = [far.ask("GET", "/v1/version", token=f"guess-{i}")[0] for i in range(25)]
    assert answers[0] == 401 and answers[-1] == 429
    assert far.ask("GET", "/v1/version", token=ci)[0] == 429


def test_a_certificate_is_renewed_without_a_restart(host, far):
    project(host, far)
    ci = far.token("ci", "--in", "shop/staging")
    host.ok("apply", "-e", "staging", "--yes", env=far.trust(ci))
    certificate(far.etc, "server", "far", SERVER, "-days", "0")

    def expired():
        done = host.run("status", "-e", "staging", env=far.trust(ci))
        return done.code == 4 and "expired" in done.err

    time.sleep(1.1)  # -days 0: it ends with the second in which it was made
    wait_for("the expired certificate is used, and refused", expired)
    certificate(far.etc, "server", "far", SERVER)
    wait_for("the new one is", lambda: host.run("status", "-e", "staging", env=far.trust(ci)).code == 0)
    # Nobody there, and a name that is none, are told apart.
    text = (host.project / "ingot.yaml").read_text()
    (host.project / "ingot.yaml").write_text(text.replace(far.url, f"https://127.0.0.1:{free_port()}"))
    assert "nobody accepts a connection" in host.run("status", "-e", "staging", env=far.trust(ci)).err
    (host.project / "ingot.yaml").write_text(text.replace(far.url, "https://host.invalid:7443"))
    assert "no such host is known" in host.run("status", "-e", "staging", env=far.trust(ci)).err


def test_two_clients_at_once(host, far):
    project(host, far)
    one, other = far.token("one", "--in", "shop/staging"), far.token("other", "--in", "shop/staging")
    host.ok("apply", "-e", "staging", "--yes", env=far.trust(one))
    project(host, far, revision="slow")
    mine, theirs = pty.openpty()
    asked = subprocess.Popen([str(INGOT), "apply", "-e", "staging"], cwd=host.project, stdin=theirs, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "INGOT_ROOT": str(host.root), "NO_COLOR": "1", **far.trust(one)})
    os.close(theirs)
    seen = ""
    while "[y/N]" not in seen:
        seen += asked.stdout.read(1)
    # While a person thinks, somebody else is quicker.
    project(host, far, revision="quick")
    host.ok("apply", "-e", "staging", "--yes", env=far.trust(other))
    os.write(mine, b"y\n")
    out, err = asked.communicate(timeout=60)
    os.close(mine)
    assert asked.returncode == 1 and "r2 of shop/staging, by token:other, has become active" in err, (seen + out, err)
    assert host.get()[1] == "quick"


def test_an_interrupted_push_leaves_nothing_half(host, far):
    ci = far.token("ci", "--in", "shop/staging")
    project(host, far)
    base = "/v1/projects/shop/environments/staging"
    # A client that goes away, one that lies, and one that sends nonsense.
    context = ssl.create_default_context(cafile=far.etc / "ca.crt")
    with socket.create_connection(("127.0.0.1", far.api)) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            body = b'{"images":[]}\nobject ' + b"ab" * 32 + b" 1000000\n" + b"x" * 1000
            secure.sendall(b"POST " + base.encode() + b"/images HTTP/1.1\r\nHost: far\r\nAuthorization: Bearer " + ci.encode()
                           + b"\r\nContent-Length: 2000000\r\n\r\n" + body)
    for body, code, word in [
            (b'{"images":[]}\nobject ' + b"ab" * 32 + b" 3\nabcend\n", 409, "not what it was said to be"),
            (b'{"images":[]}\ntree x 4\nabcdend\n', 400, "cannot be read"),
            (b'{"images":[]}\nblob sha256:' + b"ab" * 32 + b" 3\nabcend\n", 400, ""),
            (b'{"images":[{"image":"../x","manifest":"","config":"","golden":true}]}\nend\n', 400, "name of an image"),
            (b'{"images":[]}\nelephant x 1\naend\n', 400, "kind"),
            (b'{"images":[]}\nobject x\nend\n', 400, "entry"),
            (b'{"images":[]}\n', 400, "end early"),
            (b"nonsense\n", 400, "")]:
        status, answer = far.ask("POST", base + "/images", body, token=ci)
        assert status == code and word in answer["error"]["message"], (body, status, answer)
    assert far.ask("POST", base + "/builds", b'{"version":1}\nend\n', token=ci)[0] == 400
    # Who is nobody is told so before anything is read.
    assert far.ask("POST", base + "/images", b"x" * (1 << 20))[0] == 401
    assert far.ask("PUT", base + "/secrets/x", b"x" * (17 << 20), token=ci)[0] == 413
    assert far.ask("PUT", base + "/secrets/x", b"x" * (2 << 20), token=ci)[0] == 400

    # The host is killed in the middle of a push; what had come whole need not come again.
    with open(host.project / "text", "wb") as big:
        for _ in range(100):
            big.write(os.urandom(1 << 20))
    push = subprocess.Popen([str(INGOT), "apply", "-e", "staging", "--yes"], cwd=host.project, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "INGOT_ROOT": str(host.root), "NO_COLOR": "1", **far.trust(ci)})
    staging = far.root / "objects.staging"
    wait_for("it comes", lambda: any(path.is_file() and path.stat().st_size > 1 << 20 for path in staging.rglob("*")) or push.poll() is not None)
    far.kill_daemon(signal.SIGKILL)
    out, err = push.communicate(timeout=60)
    assert push.returncode == 1 and ("connection broke" in err or "nobody accepts" in err), (out, err)
    far.begin()
    assert far.ok("images", "ls", "--json").json()["images"] == []
    assert far.run("verify", "--json").code == 0
    host.ok("apply", "-e", "staging", "--yes", env=far.trust(ci))
    assert host.get()[:2] == (200, "one")
