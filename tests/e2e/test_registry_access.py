"""Who may do what in the registry: TLS, certificates, log-in and rights, with the clients that people use."""
import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import time

import pytest

from host import INGOT, free_port, wait_for
from registries import Image, digest
from test_registry import Registry, needs

HOST_YAML = """version: 1
registry:
  tls: { certificate: server.crt, key: server.key, client_ca: ca.crt }
  htpasswd: users
  repositories:
    - { match: "open/**", read: [anonymous], push: [ci], delete: [ops] }
    - { match: "machines/**", read: ["cert:build 1"], push: ["cert:build 1"], delete: [] }
    - { match: "team/**", read: [ci, ops], push: [ci], delete: [ops] }
    - { match: "**", read: [], push: [], delete: [] }
"""


def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True, timeout=60)


def certificate(directory, name, common_name, extension):
    """NAME.crt and NAME.key, signed by ca.crt."""
    (directory / f"{name}.ext").write_text(extension)
    openssl(directory, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={common_name}")
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-out", f"{name}.new", "-extfile", f"{name}.ext")
    os.rename(directory / f"{name}.new", directory / f"{name}.crt")


SERVER = "subjectAltName=IP:127.0.0.1,DNS:localhost\n"
CLIENT = "extendedKeyUsage=clientAuth\n"


class Guarded(Registry):
    """A registry with TLS and users."""

    def __init__(self, host, yaml=HOST_YAML):
        self.etc = host.base / "etc"
        self.etc.mkdir()
        openssl(self.etc, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt",
                "-days", "2", "-subj", "/CN=test authority")
        certificate(self.etc, "server", "localhost", SERVER)
        certificate(self.etc, "client", "build 1", CLIENT)
        (self.etc / "host.yaml").write_text(yaml)
        self.yaml = self.etc / "host.yaml"
        for user, password in ("ci", "geheim"), ("ops", "streng"):
            self.user("set", user, password=password)
        super().__init__(host, "--host-config", str(self.yaml))

    def answers(self):
        try:
            return self.ask("GET", "/v2/").status == 401
        except OSError:
            return False

    def user(self, verb, *args, password="", check=True):
        return subprocess.run([str(INGOT), "registry", "user", verb, *args, "--host-config", str(self.yaml)],
                              input=password + "\n", text=True, capture_output=True, check=check, timeout=60)

    def context(self, client=False):
        context = ssl.create_default_context(cafile=str(self.etc / "ca.crt"))
        if client:
            context.load_cert_chain(self.etc / "client.crt", self.etc / "client.key")
        return context

    def ask(self, method, path, login=None, body=None, client=False, **headers):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context(client), timeout=30)
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        if login:
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.bytes = answer.read()
        connection.close()
        return answer

    def push_blob(self, repository, data, login="ci:geheim", **more):
        return self.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest(data)}", login, data, **more).status

    def push_image(self, repository, tag, **more):
        image = Image([{"hello": b"hello"}])
        for blob in image.blobs.values():
            assert self.push_blob(repository, blob, **more) == 201
        answer = self.ask("PUT", f"/v2/{repository}/manifests/{tag}", more.get("login", "ci:geheim"), image.manifest,
                          client=more.get("client", False), Content_Type=image.type)
        assert answer.status == 201, answer.bytes
        return image


@pytest.fixture
def guarded(host):
    registry = Guarded(host)
    yield registry
    registry.stop()


def test_rights_by_repository(guarded):
    image = guarded.push_image("open/web", "1.0")
    manifest = "/v2/open/web/manifests/1.0"
    assert guarded.ask("GET", manifest).bytes == image.manifest
    assert guarded.ask("GET", "/v2/").status == 401
    assert guarded.ask("PUT", manifest, body=image.manifest, Content_Type=image.type).status == 401
    assert guarded.ask("PUT", manifest, "ops:streng", image.manifest, Content_Type=image.type).status == 403
    assert guarded.ask("GET", "/v2/other/tags/list", "ops:streng").status == 403
    # Of a repository that one may not read, nothing is mounted.
    secret = b"of the team alone"
    assert guarded.push_blob("team/secret", secret) == 201
    mount = f"/v2/open/web/blobs/uploads/?mount={digest(secret)}"
    assert guarded.ask("POST", mount + "&from=team/secret", "ci:geheim").status == 201
    assert guarded.push_blob("team/secret", b"another") == 201
    assert guarded.ask("POST", f"/v2/open/web/blobs/uploads/?mount={digest(b'another')}", "ci:geheim").status == 202
    assert guarded.ask("DELETE", manifest, "ci:geheim").status == 403
    assert guarded.ask("DELETE", manifest, "ops:streng").status in (202, 403)  # 403: the tag of a version


def test_conditional_requests(guarded):
    image = guarded.push_image("open/web", "1.0")
    manifest = "/v2/open/web/manifests/1.0"
    tag = guarded.ask("GET", manifest).getheader("ETag")
    assert tag == f'"{digest(image.manifest)}"'
    answer = guarded.ask("GET", manifest, If_None_Match=tag)
    assert (answer.status, answer.bytes, answer.getheader("ETag")) == (304, b"", tag)
    assert guarded.ask("GET", manifest, If_None_Match='"other"').status == 200
    blob = next(iter(image.blobs))
    assert guarded.ask("GET", f"/v2/open/web/blobs/{blob}", If_None_Match=f'W/"x", "{blob}"').status == 304


def test_bearer_tokens_of_the_docker_specification(guarded):
    guarded.push_image("team/web", "1.0")
    challenge = guarded.ask("GET", "/v2/team/web/manifests/1.0").getheader("WWW-Authenticate")
    assert challenge == (f'Bearer realm="https://127.0.0.1:{guarded.port}/v2/token",service="ingot",'
                         'scope="repository:team/web:pull"')

    def token(scope, login=None):
        answer = guarded.ask("GET", f"/v2/token?service=ingot&scope={scope}", login)
        return answer.status, json.loads(answer.bytes).get("token")

    status, good = token("repository:team/web:pull", "ops:streng")
    assert status == 200
    assert guarded.ask("GET", "/v2/team/web/manifests/1.0", Authorization=f"Bearer {good}").status == 200
    assert guarded.ask("DELETE", "/v2/team/web/manifests/1.0", Authorization=f"Bearer {good}").status == 401
    assert token("repository:team/web:pull", "ops:falsch")[0] == 401
    status, anonymous = token("repository:team/web:pull")
    assert guarded.ask("GET", "/v2/team/web/manifests/1.0", Authorization=f"Bearer {anonymous}").status == 401


def test_certificates_of_clients_with_curl(guarded):
    guarded.push_image("machines/app", "1.0", login=None, client=True)
    needs("curl")
    url = f"https://127.0.0.1:{guarded.port}/v2/machines/app/manifests/1.0"

    def curl(*args):
        return subprocess.run(["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--cacert", str(guarded.etc / "ca.crt"),
                               *args, url], capture_output=True, text=True, timeout=60).stdout

    mine = ["--cert", str(guarded.etc / "client.crt"), "--key", str(guarded.etc / "client.key")]
    assert curl(*mine) == "200"
    assert curl() == "401"
    assert curl("-u", "ci:geheim") == "403"
    # Signed by somebody else: no connection at all.
    openssl(guarded.etc, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "foreign.key", "-out", "foreign.crt",
            "-days", "2", "-subj", "/CN=build 1")
    assert curl("--cert", str(guarded.etc / "foreign.crt"), "--key", str(guarded.etc / "foreign.key")) == "000"


def test_who_guesses_passwords_has_to_wait(guarded):
    statuses = [guarded.ask("GET", "/v2/", f"ci:{i}").status for i in range(22)]
    assert statuses == [401] * 20 + [429] * 2
    answer = guarded.ask("GET", "/v2/", "ci:geheim")
    assert answer.status == 429 and 0 < int(answer.getheader("Retry-After")) <= 60
    # Who guesses nothing is not in the way.
    assert guarded.ask("GET", "/v2/open/web/tags/list").status == 404


def test_users_change_while_it_runs(guarded):
    assert guarded.user("ls").stdout.split() == ["ci", "ops"]
    assert guarded.ask("GET", "/v2/", "neu:wort").status == 401
    guarded.user("set", "neu", password="wort")
    wait_for("the new user", lambda: guarded.ask("GET", "/v2/", "neu:wort").status == 200, 10)
    assert (guarded.etc / "users").stat().st_mode & 0o777 == 0o600
    guarded.user("rm", "neu")
    wait_for("no such user", lambda: guarded.ask("GET", "/v2/", "neu:wort").status == 401, 10)
    assert guarded.user("rm", "neu", check=False).returncode == 1
    assert guarded.user("set", "a:b", password="x", check=False).returncode == 2


def test_a_new_certificate_counts_without_losing_connections(guarded):
    open_one = http.client.HTTPSConnection("127.0.0.1", guarded.port, context=guarded.context(), timeout=30)
    open_one.request("GET", "/v2/open/web/tags/list")
    open_one.getresponse().read()

    def served():
        with socket.create_connection(("127.0.0.1", guarded.port)) as plain:
            with guarded.context().wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                return secure.getpeercert()["serialNumber"]

    before = served()
    (guarded.etc / "server.crt").write_text("half of one")
    time.sleep(1.5)
    assert served() == before
    certificate(guarded.etc, "server", "localhost", SERVER)
    wait_for("the new certificate", lambda: served() != before, 10)
    open_one.request("GET", "/v2/open/web/tags/list")
    assert open_one.getresponse().status == 404
    open_one.close()


def test_slow_half_closed_and_abandoned_clients_under_tls(guarded):
    # A handshake that never comes, a head that stops, an upload that is left: others are served all the while.
    silent = socket.create_connection(("127.0.0.1", guarded.port))
    head = guarded.context().wrap_socket(socket.create_connection(("127.0.0.1", guarded.port)),
                                         server_hostname="127.0.0.1")
    head.sendall(b"GET /v2/ HT")
    login = base64.b64encode(b"ci:geheim")
    upload = guarded.context().wrap_socket(socket.create_connection(("127.0.0.1", guarded.port)),
                                           server_hostname="127.0.0.1")
    data = b"x" * 100_000
    upload.sendall(b"POST /v2/open/web/blobs/uploads/?digest=" + digest(data).encode() +
                   b" HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + login + b"\r\nContent-Length: 100000\r\n\r\n" +
                   data[:50_000])
    guarded.push_image("open/web", "1.0")
    upload.close()
    assert guarded.ask("HEAD", f"/v2/open/web/blobs/{digest(data)}").status == 404
    # Half-closed: what was asked is answered.
    half = guarded.context().wrap_socket(socket.create_connection(("127.0.0.1", guarded.port)),
                                         server_hostname="127.0.0.1")
    half.sendall(b"GET /v2/open/web/tags/list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    socket.socket.shutdown(half, socket.SHUT_WR)
    got = b""
    while piece := half.recv(4096):
        got += piece
    assert got.endswith(b'{"name":"open/web","tags":["1.0"]}'), got
    # The silent ones are cut off after the ten seconds of a head.
    silent.settimeout(20)
    head.settimeout(20)
    assert silent.recv(100) == b""
    assert head.recv(100) == b""
    left = [path for path in (guarded.host.root / "tmp" / "uploads").glob("*/*") if path.name != "lock"]
    assert left == [], [path.stat().st_size for path in left]


def test_large_blobs_come_back_through_tls(guarded):
    data = os.urandom(1 << 20) * 40
    assert guarded.push_blob("team/big", data) == 201
    assert guarded.ask("GET", f"/v2/team/big/blobs/{digest(data)}", "ci:geheim").bytes == data
    part = guarded.ask("GET", f"/v2/team/big/blobs/{digest(data)}", "ci:geheim", Range="bytes=1000000-30000000")
    assert part.status == 206 and part.bytes == data[1000000:30000001]


def layout_image(directory):
    """An OCI layout with one small image."""
    image = Image([{"hello": b"hello"}])
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for name, data in {**image.blobs, digest(image.manifest): image.manifest}.items():
        (blobs / name.split(":")[1]).write_bytes(data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{
        "mediaType": image.type, "digest": digest(image.manifest), "size": len(image.manifest),
        "annotations": {"org.opencontainers.image.ref.name": "v"}}]}))
    return image


def run(*args, **more):
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, timeout=300, **more)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def trust(guarded):
    """A folder for --cert-dir with the authority alone."""
    directory = guarded.etc / "trust"
    directory.mkdir()
    (directory / "ca.crt").write_bytes((guarded.etc / "ca.crt").read_bytes())
    return directory


def test_skopeo_logs_in_pushes_and_pulls(guarded, trust, tmp_path):
    needs("skopeo")
    image = layout_image(tmp_path / "image")
    run("skopeo", "--policy", guarded.policy, "copy", "--dest-cert-dir", trust, "--dest-creds", "ci:geheim",
        f"oci:{tmp_path}/image:v", f"docker://{guarded.address}/open/web:2.0")
    raw = run("skopeo", "inspect", "--raw", "--cert-dir", trust, "--no-creds", f"docker://{guarded.address}/open/web:2.0")
    assert raw.encode() == image.manifest
    denied = subprocess.run(["skopeo", "--policy", str(guarded.policy), "copy", "--dest-cert-dir", str(trust),
                             "--dest-creds", "ops:streng", f"oci:{tmp_path}/image:v",
                             f"docker://{guarded.address}/open/web:3.0"], capture_output=True, text=True, timeout=120)
    assert denied.returncode != 0


@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_podman_and_buildah_log_in_push_and_pull(guarded, trust, tmp_path, program):
    needs(program)
    image = layout_image(tmp_path / "image")
    auth = tmp_path / "auth.json"
    where = ["--root", guarded.host.base / "c", "--runroot", guarded.host.base / "r", "--storage-driver", "vfs"]
    policy = ["--signature-policy", guarded.policy]
    run(program, *where, "login", "--cert-dir", trust, "--authfile", auth, "-u", "ci", "-p", "geheim", guarded.address)
    run(program, *where, "pull", *policy, f"oci:{tmp_path}/image:v")
    found = run(program, *where, "images", "--quiet", "--no-trunc").split()[0]
    run(program, *where, "push", *policy, "--cert-dir", trust, "--authfile", auth, found,
        f"docker://{guarded.address}/team/web:2.0")
    run(program, *where, "rmi", "--force", found)
    run(program, *where, "pull", *policy, "--cert-dir", trust, "--authfile", auth, f"docker://{guarded.address}/team/web:2.0")
    assert guarded.ask("GET", "/v2/team/web/tags/list", "ci:geheim").bytes == b'{"name":"team/web","tags":["2.0"]}'
    assert image
    run(program, *where, "rmi", "--force", "--all")


class Background:
    """A program that serves until the test ends."""

    def __init__(self, log, *args):
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen([str(arg) for arg in args], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)


def archive_of(layout, file):
    run("tar", "-C", layout, "-cf", file, ".")
    return file


def test_containerd_pushes_and_pulls(guarded, trust, tmp_path):
    needs("containerd", "ctr")
    image = layout_image(tmp_path / "image")
    (tmp_path / "config.toml").write_text(
        f'version = 2\nroot = "{tmp_path}/root"\nstate = "{tmp_path}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
        f'[grpc]\n  address = "{tmp_path}/c.sock"\n[ttrpc]\n  address = "{tmp_path}/t.sock"\n')
    name = f"{guarded.address}/team/ctr:2.0"
    ctr = ["ctr", "-a", tmp_path / "c.sock", "images"]
    # Without a hosts.toml it speaks plain HTTP to a loopback address, whatever else is said.
    hosts = tmp_path / "hosts" / guarded.address
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text(f'[host."https://{guarded.address}"]\n  capabilities = ["pull", "resolve", "push"]\n  ca = "{guarded.etc}/ca.crt"\n')
    tls = ["--hosts-dir", tmp_path / "hosts", "--user", "ci:geheim"]
    with Background(tmp_path / "containerd.log", "containerd", "-c", tmp_path / "config.toml"):
        wait_for("containerd", lambda: subprocess.run([str(a) for a in ctr] + ["ls"], capture_output=True).returncode == 0, 60)
        run(*ctr, "import", "--no-unpack", "--base-name", "local/ctr", archive_of(tmp_path / "image", tmp_path / "image.tar"))
        run(*ctr, "tag", "local/ctr:v", name)
        run(*ctr, "push", *tls, name)
        run(*ctr, "rm", "--sync", name, "local/ctr:v")
        run(*ctr, "pull", *tls, "--snapshotter", "native", name)
        assert digest(image.manifest) in run(*ctr, "ls")
        assert guarded.ask("GET", "/v2/team/ctr/manifests/2.0", "ci:geheim").bytes == image.manifest


def test_docker_logs_in_pushes_and_pulls(guarded, tmp_path, short_path):
    needs("docker", "dockerd", "containerd")
    layout_image(tmp_path / "image")
    certs = tmp_path / "certs"
    docker = ["docker", "-H", f"unix://{short_path}/d.sock", "--config", tmp_path / "config"]
    # The engine looks for authorities in /etc/docker/certs.d alone: it gets an /etc/docker of its own.
    (certs / guarded.address).mkdir(parents=True)
    (certs / guarded.address / "ca.crt").write_bytes((guarded.etc / "ca.crt").read_bytes())
    os.makedirs("/etc/docker/certs.d", exist_ok=True)
    engine = ["unshare", "-m", "sh", "-c", f"mount --bind {certs} /etc/docker/certs.d && exec \"$@\"", "sh",
              "dockerd", "-H", f"unix://{short_path}/d.sock", "--data-root", tmp_path / "data", "--exec-root",
              short_path / "exec", "--pidfile", tmp_path / "pid", "--storage-driver", "vfs", "--iptables=false",
              "--ip6tables=false", "--bridge=none"]
    with Background(tmp_path / "dockerd.log", *engine):
        wait_for("the engine", lambda: subprocess.run([str(a) for a in docker] + ["version"], capture_output=True).returncode == 0, 60)
        archive = tmp_path / "docker.tar"
        needs("skopeo")
        name = f"{guarded.address}/team/docker:2.0"
        run("skopeo", "--policy", guarded.policy, "copy", f"oci:{tmp_path}/image:v", f"docker-archive:{archive}:{name}")
        run(*docker, "load", "-i", archive)
        bad = subprocess.run([str(a) for a in docker] + ["login", "-u", "ci", "--password-stdin", guarded.address],
                             input="falsch", text=True, capture_output=True, timeout=60)
        assert bad.returncode != 0
        run(*docker, "login", "-u", "ci", "--password-stdin", guarded.address, input="geheim")
        run(*docker, "push", name)
        run(*docker, "rmi", name)
        run(*docker, "pull", name)
        assert b'"2.0"' in guarded.ask("GET", "/v2/team/docker/tags/list", "ci:geheim").bytes
        run(*docker, "logout", guarded.address)
        run(*docker, "rmi", name)
        assert subprocess.run([str(a) for a in docker] + ["pull", name], capture_output=True, timeout=60).returncode != 0
