"""Routes by host name and path, TLS, and the host's outer side, with real clients: curl and openssl."""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from host import APP, Host, free_port, wait_for


def certificate(folder, name, names, days=30):
    """NAME.crt and NAME.key, written as certbot does: whole, then renamed."""
    made = [folder / f"new.{name}.{kind}" for kind in ("crt", "key")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", made[1], "-out", made[0], "-days", str(days), "-subj", f"/CN={name}", "-addext",
                    "subjectAltName=" + ",".join(f"DNS:{n}" for n in names)], check=True, capture_output=True)
    made[1].rename(folder / f"{name}.key")
    made[0].rename(folder / f"{name}.crt")


class Edge(Host):
    """A host with a host.yaml: plain and TLS listeners of its own, two certificates."""

    def __init__(self, more=""):
        super().__init__()
        self.http, self.https = free_port(), free_port()
        self.tls = self.base / "tls"
        self.tls.mkdir()
        certificate(self.tls, "shop", ["shop.example", "*.shop.example"])
        certificate(self.tls, "blog", ["blog.example"])
        self.config = self.base / "host.yaml"
        self.config.write_text(f"""
version: 1
router:
  http: ["127.0.0.1:{self.http}"]
  https: ["127.0.0.1:{self.https}"]
  certificates:
    - {{ certificate: tls/shop.crt, key: tls/shop.key }}
    - {{ certificate: tls/blog.crt, key: tls/blog.key }}
{more}""")

    def start(self, env=None):
        super().start({"INGOT_HOST_CONFIG": str(self.config), **(env or {})})

    def project_of(self, name, services, routes):
        """A project in a folder of its own; a service's answers carry its name as revision."""
        folder = self.base / name
        folder.mkdir(exist_ok=True)
        shutil.copy(APP, folder / "app")
        (folder / "Dockerfile").write_text('FROM scratch\nCOPY app /app\nUSER 1000:1000\nCMD ["/app"]\n')
        (folder / ".dockerignore").write_text("*\n!app\n")
        lines = "".join(f"""
  {service}:
    image: app
    port: 8080
    environment: {{ REVISION: {revision} }}
    health: {{ ready: {{ http: /healthz }} }}
    rollout: {{ keep_old: 1s, drain: 3s }}
    {extra}""" for service, revision, extra in services)
        (folder / "ingot.yaml").write_text(
            f"version: 1\nproject: {name}\nimages: {{ app: {{ build: . }} }}\nservices:{lines}\nroutes:\n"
            + "".join(f"  - {route}\n" for route in routes))
        return folder

    def curl(self, url, *options, cacert="shop", stdin=subprocess.DEVNULL):
        """(status, headers, body) of a URL whose host is here; status 0: curl's own words in body."""
        host = url.split("/")[2].split(":")[0]
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", "10", "--resolve", f"{host}:{self.http}:127.0.0.1", "--resolve",
             f"{host}:{self.https}:127.0.0.1", "--cacert", self.tls / f"{cacert}.crt", *options,
             url.replace(f"//{host}/", f"//{host}:{self.https if url.startswith('https') else self.http}/")],
            stdin=stdin, capture_output=True)
        if done.returncode != 0:
            return 0, {}, done.stderr.decode()
        head, _, body = done.stdout.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in lines}
        headers["version"] = first.split()[0]
        return int(first.split()[1]), headers, body

    def revision(self, url, **options):
        status, headers, body = self.curl(url, **options)
        return headers.get("x-revision") if status == 200 else (status, body)


@pytest.fixture
def edge():
    host = Edge()
    yield host
    host.close()


def serial(edge, name):
    """The fingerprint of the certificate that a client of `name` is shown."""
    shown = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.https}", "-servername", name],
                           stdin=subprocess.DEVNULL, capture_output=True).stdout
    return subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256"], input=shown,
                          capture_output=True).stdout.decode().strip()


def fingerprint(file):
    return subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", file],
                          capture_output=True, text=True).stdout.strip()


def test_projects_share_one_listener_by_name_and_path(edge):
    edge.start()
    shop = edge.project_of("shop", [("web", "web", ""), ("api", "api", ""), ("deep", "deep", "")], [
        "{ host: shop.example, to: web, tls: true }",
        "{ host: shop.example, path: /api, to: api, tls: true }",
        "{ host: shop.example, path: /api/v2/, to: deep, tls: true }",
        '{ host: "*.shop.example", to: api, tls: true }',
        "{ host: plain.example, to: web }",
    ])
    edge.ok("apply", "--yes", cwd=shop)
    blog = edge.project_of("blog", [("web", "blog", "")], ["{ host: blog.example, to: web, tls: true }"])
    edge.ok("apply", "--yes", cwd=blog)

    for url, revision in [("https://shop.example/", "web"), ("https://shop.example/apix", "web"),
                          ("https://shop.example/api", "api"), ("https://shop.example/api?x=/api/v2", "api"),
                          ("https://shop.example/api/v1/x", "api"), ("https://shop.example/api/v2", "deep"),
                          ("https://shop.example/api/v2/x", "deep"), ("https://a.shop.example/x", "api"),
                          ("http://plain.example/x", "web")]:
        assert edge.revision(url) == revision, url
    # Each name has its certificate, and its project: curl verifies it.
    assert edge.revision("https://blog.example/", cacert="blog") == "blog"
    assert edge.curl("https://blog.example/", cacert="shop")[0] == 0
    # HTTP/2 with who asks for it, HTTP/1.1 with who does not.
    assert edge.curl("https://shop.example/", "--http2")[1]["version"] == "HTTP/2"
    assert edge.curl("https://shop.example/", "--http1.1")[1]["version"] == "HTTP/1.1"
    # Letters' case and a port in the name mean nothing.
    assert edge.revision("http://plain.example/", ) == "web"
    assert edge.curl("http://plain.example/", "-H", "Host: PLAIN.Example:1234")[0] == 200

    # What speaks TLS is sent there, with path and query; what does not is not served by TLS.
    status, headers, _ = edge.curl("http://shop.example/api/x?y=1")
    assert (status, headers["location"]) == (308, f"https://shop.example:{edge.https}/api/x?y=1")
    assert edge.revision("http://shop.example/api", ) == (308, "")
    status, _, body = edge.curl("http://nobody.example/x")
    assert (status, body) == (404, "no route leads from nobody.example/x\n")
    assert edge.curl("https://shop.example/", "-H", "Host: plain.example")[0] == 404
    assert edge.curl("https://shop.example/", "-H", "Host: a.b.shop.example")[0] == 404

    # An application learns who asks, and by what, whatever the client claims.
    _, _, heads = edge.curl("https://shop.example/headers", "-H", "X-Forwarded-For: 203.0.113.9", "-H",
                            "X-Forwarded-Proto: http", "-H", "Forwarded: for=203.0.113.9")
    assert "x-forwarded-for: 127.0.0.1" in heads and "x-forwarded-proto: https" in heads
    assert "203.0.113.9" not in heads
    assert "x-forwarded-proto: http\r\n" in edge.curl("http://plain.example/headers")[2] + "\r\n"

    # `status` and `plan` name routes by what they are.
    assert "https://shop.example/api → api" in edge.ok("status", cwd=shop).out
    routes = edge.ok("status", "--json", cwd=shop).json()["routes"]
    assert {"host": "*.shop.example", "path": "/", "tls": True}.items() <= routes[0].items()

    # What another project has cannot be had: refused at plan, and nothing is touched.
    thief = edge.project_of("thief", [("web", "thief", "")], ["{ host: shop.example, path: /api/, to: web, tls: true }"])
    done = edge.run("plan", cwd=thief)
    assert "host name shop.example/api/ belongs to shop/local" in done.out + done.err
    done = edge.run("apply", "--yes", cwd=thief)
    assert done.code == 1 and "belong to shop/local" in done.err, done
    # Nor the host's own listener, nor a name without a certificate.
    thief = edge.project_of("thief", [("web", "thief", "")], [f'{{ listen: ":{edge.https}", to: web }}'])
    done = edge.run("apply", "--yes", cwd=thief)
    assert done.code == 1 and "belongs to the routes by host name of" in done.err, done
    thief = edge.project_of("thief", [("web", "thief", "")], ["{ host: other.example, to: web, tls: true }"])
    done = edge.run("apply", "--yes", cwd=thief)
    assert done.code == 4 and "no certificate of this host is for other.example" in done.err, done
    assert edge.revision("https://shop.example/api/") == "api"

    # A route's removal is a release: its name is gone, the others never noticed.
    edge.project_of("shop", [("web", "web", ""), ("api", "api", "")], [
        "{ host: shop.example, to: web, tls: true }", "{ host: shop.example, path: /api, to: api, tls: true }"])
    edge.ok("apply", "--yes", cwd=shop)
    # While its last revision is warm it is not unknown: a rollback would bring it back.
    assert edge.curl("http://plain.example/")[0] == 503
    wait_for("the name is unknown", lambda: edge.curl("http://plain.example/")[0] == 404)
    assert edge.revision("https://shop.example/api/v2") == "api"
    # And one that is added alone is a release, too.
    edge.project_of("shop", [("web", "web", ""), ("api", "api", "")], [
        "{ host: shop.example, to: web, tls: true }", "{ host: shop.example, path: /api, to: api, tls: true }",
        "{ host: added.example, to: api }"])
    edge.ok("apply", "--yes", cwd=shop)
    assert edge.revision("http://added.example/") == "api"
    # With the last of them the listeners close.
    edge.ok("destroy", "--yes", cwd=blog)
    edge.ok("destroy", "--yes", cwd=shop)
    wait_for("the listener closes", lambda: socket.socket().connect_ex(("127.0.0.1", edge.https)) != 0)


def test_a_certificate_is_renewed_without_a_lost_connection(edge):
    edge.start()
    shop = edge.project_of("shop", [("web", "web", "")], ["{ host: shop.example, to: web, tls: true }"])
    edge.ok("apply", "--yes", cwd=shop)
    context = ssl.create_default_context(cafile=edge.tls / "shop.crt")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def connection():
        made = http.client.HTTPConnection("127.0.0.1", edge.https, timeout=10)
        made.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", edge.https)),
                                        server_hostname="shop.example")
        return made

    def ask(over):
        over.request("GET", "/", headers={"Host": "shop.example"})
        answer = over.getresponse()
        answer.read()
        return answer.status

    failures, asked, stop = [], [0], threading.Event()

    def load(fresh):
        over = connection()
        while not stop.is_set():
            try:
                if fresh:
                    over = connection()
                status = ask(over)
                asked[0] += 1
                if status != 200:
                    failures.append(status)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                failures.append(repr(error))
                return

    kept = connection()
    assert ask(kept) == 200
    threads = [threading.Thread(target=load, args=(fresh,)) for fresh in (True, False)]
    for thread in threads:
        thread.start()
    pids = edge.traces()
    first = fingerprint(edge.tls / "shop.crt")
    assert serial(edge, "shop.example") == first
    for _ in range(3):
        certificate(edge.tls, "shop", ["shop.example", "*.shop.example"])
        wanted = fingerprint(edge.tls / "shop.crt")
        wait_for("the new certificate", lambda: serial(edge, "shop.example") == wanted)
        # As a client does that keeps its connection: idle ones end after some seconds, so it goes on asking.
        assert ask(kept) == 200
    # One that is broken leaves the former, and is said.
    (edge.tls / "shop.crt").write_text("no certificate\n")
    events = wait_for("the refusal", lambda: [e for e in edge.ok("events", "--json", "--host", cwd=shop).out.splitlines()
                                              if "certificate.refused" in e])
    assert "is no certificate in PEM; the former certificate stays in use" in events[0]
    assert serial(edge, "shop.example") == wanted
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures and asked[0] > 50, (failures[:5], asked)
    # By the running HAProxy: no process was replaced.
    haproxy = [line for line in pids if "haproxy" in line]
    assert haproxy and [line for line in edge.traces() if "haproxy" in line] == haproxy
    done = edge.run("doctor", "--json", env={"INGOT_HOST_CONFIG": str(edge.config)})
    fact = next(f for f in done.json()["facts"] if f["name"] == "certificates")
    assert fact["state"] == "missing" and "shop.crt is no certificate" in fact["seen"]
    # A renewal while the daemon is away is made up for; so is HAProxy's death.
    edge.kill_daemon()
    certificate(edge.tls, "shop", ["shop.example"])
    edge.start()
    assert serial(edge, "shop.example") == fingerprint(edge.tls / "shop.crt")
    pid = int(next(line for line in pathlib.Path("/proc").iterdir()
                   if line.name.isdigit() and f"ingot.{edge.key()}.router".encode() in (line / "cmdline").read_bytes()).name)
    os.kill(pid, 9)
    wait_for("HAProxy is back", lambda: edge.revision("https://shop.example/") == "web")
    assert serial(edge, "shop.example") == fingerprint(edge.tls / "shop.crt")


class WebSocket:
    """A client's end (RFC 6455) over a socket that is connected."""

    def __init__(self, sock, host):
        self.sock, key = sock, base64.b64encode(os.urandom(16)).decode()
        sock.sendall(f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            got = sock.recv(1)
            assert got, head
            head += got
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        assert head.startswith(b"HTTP/1.1 101") and b"sec-websocket-accept: " + accept in \
            head.replace(b"Sec-WebSocket-Accept", b"sec-websocket-accept"), head

    def ask(self, text):
        mask = os.urandom(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(text.encode()))
        self.sock.sendall(bytes([0x81, 0x80 | len(data)]) + mask + data)
        head = self.sock.recv(2, socket.MSG_WAITALL) if not isinstance(self.sock, ssl.SSLSocket) else self.sock.recv(2)
        if len(head) < 2:
            raise ConnectionError("closed")
        return self.sock.recv(head[1] & 127).decode()


def test_streams_survive_a_release_until_drain(edge):
    edge.start()
    routes = ["{ host: shop.example, to: web, tls: true }", "{ host: plain.example, to: web }"]
    shop = edge.project_of("shop", [("web", "one", "")], routes)
    edge.ok("apply", "--yes", cwd=shop)
    context = ssl.create_default_context(cafile=edge.tls / "shop.crt")
    plain = WebSocket(socket.create_connection(("127.0.0.1", edge.http), timeout=30), "plain.example")
    secure = WebSocket(context.wrap_socket(socket.create_connection(("127.0.0.1", edge.https), timeout=30),
                                           server_hostname="shop.example"), "shop.example")
    events = subprocess.Popen(
        ["curl", "-sN", "--resolve", f"shop.example:{edge.https}:127.0.0.1", "--cacert", edge.tls / "shop.crt",
         f"https://shop.example:{edge.https}/events?20"], stdout=subprocess.PIPE, text=True)
    assert plain.ask("a") == "one a" and secure.ask("b") == "one b"
    assert events.stdout.readline().startswith("data: one 0")

    edge.project_of("shop", [("web", "two", "")], routes)
    edge.ok("apply", "--yes", cwd=shop)
    # New requests are the new revision's; what had begun goes on where it was.
    assert edge.revision("https://shop.example/") == "two" and edge.revision("http://plain.example/") == "two"
    assert plain.ask("c") == "one c" and secure.ask("d") == "one d"
    assert any(line.startswith("data: one") for line in (events.stdout.readline() for _ in range(3)))

    def cut():
        try:
            return not plain.ask("e").startswith("one")
        except OSError:
            return True

    # The old fleet is warm for keep_old, then drains, and what is left is cut.
    wait_for("the drain ends", cut, 30)
    assert not [line for line in events.stdout.read().splitlines() if line and not line.startswith("data: one")]
    events.wait(10)
    with pytest.raises(OSError):
        secure.ask("f")
    assert edge.revision("https://shop.example/") == "two"


def test_listeners_of_their_own_speak_tls_and_raw_tcp(edge):
    edge.start()
    web, raw = free_port(), free_port()
    shop = edge.project_of("shop", [("web", "web", ""), ("raw", "raw", "")], [
        f'{{ listen: "127.0.0.1:{web}", to: web, tls: true }}',
        f'{{ listen: "127.0.0.1:{raw}", to: raw, protocol: tcp, tls: true }}'])
    edge.ok("apply", "--yes", cwd=shop)
    assert edge.curl(f"https://shop.example:{web}/headers", "--resolve", f"shop.example:{web}:127.0.0.1")[0] == 200
    # No client names a host: the first certificate.
    shown = subprocess.run(["openssl", "s_client", "-quiet", "-CAfile", edge.tls / "shop.crt", "-verify_return_error",
                            "-connect", f"127.0.0.1:{raw}", "-ign_eof", "-noservername"],
                           input=b"GET /headers HTTP/1.1\r\nConnection: close\r\nX-A: b\r\n\r\n", capture_output=True)
    assert b"X-Revision: raw" in shown.stdout and b"X-Forwarded" not in shown.stdout, shown


def test_what_host_yaml_limits_and_believes():
    page = "<h1>Back soon</h1>\n"
    edge = Edge(more="""  maintenance: 503.html
  proxy_protocol_from: [127.0.0.2]
  trusted_proxies: [127.0.0.3, 198.51.100.0/24]
  limits: { request_body: 1KiB, request_headers: 1s }
""")
    (edge.base / "503.html").write_text(page)
    try:
        edge.start()
        shop = edge.project_of("shop", [("web", "web", "uses: [none]"), ("none", "none", "replicas: 0")], [
            "{ host: shop.example, to: web, tls: true }", "{ host: plain.example, to: web }",
            "{ host: none.example, to: none }", f'{{ listen: "127.0.0.1:{edge.port}", to: none }}'])
        edge.ok("apply", "--yes", cwd=shop)

        # Nothing serves: the host's page outside, a line of text inside.
        status, headers, body = edge.curl("http://none.example/")
        assert (status, headers["content-type"], headers["retry-after"], body) == \
            (503, "text/html; charset=utf-8", "1", page)
        assert edge.get("/")[0] == 503 and edge.get("/")[2] == page
        # (An instance's own question is answered in text: nothing of the page.)
        inside = edge.curl("http://plain.example/connect?none:8080")[2]
        assert inside == "connected\n", inside

        # Bodies: declared and small, or not at all.
        big, small = "x" * 1025, "x" * 1024
        assert edge.curl("https://shop.example/", "-d", small)[0] == 200
        assert edge.curl("https://shop.example/", "-d", big, "--http1.1")[0] == 413
        assert edge.curl("http://plain.example/", "-d", big)[0] == 413
        assert edge.curl("http://plain.example/", "-H", "Transfer-Encoding: chunked", "-d", small)[0] == 411
        # In HTTP/2 HAProxy ends the stream behind its answer, and a client may tell of that instead.
        for status, options in (413, ["-d", big]), (411, ["-X", "POST", "-T", "-"]):
            (edge.base / "streamed").write_text(small)
            with open(edge.base / "streamed") as streamed:
                got, _, words = edge.curl("https://shop.example/", *options, "--http2", stdin=streamed)
            assert got == status or "HTTP/2 stream 1 was not closed cleanly" in words, (got, words)

        # Headers that do not come in time.
        slow = socket.create_connection(("127.0.0.1", edge.http), timeout=20)
        slow.sendall(b"GET / HTTP/1.1\r\nHost: plain.example\r\n")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")

        def ask(source, prefix=b"", header=b""):
            """The request's head as the application saw it."""
            sock = socket.create_connection(("127.0.0.1", edge.http), timeout=10, source_address=(source, 0))
            sock.sendall(prefix + b"GET /headers HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n" + header +
                         b"\r\n")
            out = b""
            while got := sock.recv(4096):
                out += got
            return out.decode().lower()

        claim = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
        # A proxy's PROXY header is the client's address, and only a proxy's.
        v1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 80\r\n"
        v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", 12) + socket.inet_aton("198.51.100.4") + \
            socket.inet_aton("127.0.0.1") + struct.pack("!HH", 5000, 80)
        assert "x-forwarded-for: 203.0.113.7\r\n" in ask("127.0.0.2", v1, claim)
        assert ask("127.0.0.1", v1).startswith("http/1.1 400")
        # The address in it may itself be that of a proxy that is believed.
        head = ask("127.0.0.2", v2, claim)
        assert "x-forwarded-for: 203.0.113.9\r\n" in head and "x-forwarded-for: 198.51.100.4\r\n" in head
        assert "x-forwarded-proto: https" in head
        head = ask("127.0.0.3", b"", claim)
        assert "203.0.113.9" in head and "x-forwarded-for: 127.0.0.3" in head and "x-forwarded-proto: https" in head
        head = ask("127.0.0.1", b"", claim)
        assert "203.0.113.9" not in head and "x-forwarded-proto: http\r\n" in head
    finally:
        edge.close()


def test_validate_names_what_host_yaml_gets_wrong(tmp_path):
    edge_file = tmp_path / "host.yaml"
    edge_file.write_text("version: 1\nrouter: { limits: { body: 1 }, trusted_proxies: [nobody] }\n")
    from host import INGOT
    done = subprocess.run([INGOT, "validate", "--host", "--json", edge_file], capture_output=True, text=True)
    assert done.returncode == 2
    assert [p["message"].split(":")[0] for p in json.loads(done.stdout)["problems"]] == \
        ["router.limits", "router.trusted_proxies[0]"]


def test_a_canary_by_host_name_keeps_its_users(edge):
    """On the host's own listeners, too: shares, and who stays on which side, for the service that declares it alone."""
    edge.start()
    routes = ["{ host: shop.example, to: web, tls: true }", "{ host: other.example, to: other }"]
    shop = edge.project_of("shop", [("web", "one", ""), ("other", "other", "")], routes)
    edge.ok("apply", "--yes", cwd=shop)
    edge.project_of("shop", [("web", "two", ""), ("other", "other", "")], routes)
    file = shop / "ingot.yaml"
    file.write_text(file.read_text().replace(
        "rollout: { keep_old: 1s, drain: 3s }", "rollout: { strategy: canary, sticky: { cookie: side }, "
        "steps: [{ weight: 40% }, { pause: manual }, { weight: 100% }] }", 1))
    applying = threading.Thread(target=edge.run, args=("apply", "--yes"), kwargs={"cwd": shop})
    applying.start()

    def in_effect():
        now = edge.ok("rollout", "status", "--json", cwd=shop).json()["rollout"]
        return now and now["step"] == 1 and now["step_in_effect"]

    wait_for("the step", in_effect)
    sides = {}
    for _ in range(30):
        _, headers, _ = edge.curl("https://shop.example/")
        cookie, side = headers["set-cookie"].split(";")[0], headers["x-revision"]
        sides[cookie] = side
        assert edge.curl("https://shop.example/", "-H", f"Cookie: {cookie}")[1]["x-revision"] == side
    assert set(sides.values()) == {"one", "two"} and len(sides) == 30
    assert "set-cookie" not in edge.curl("http://other.example/")[1]
    edge.ok("rollout", "abort", cwd=shop)
    applying.join()
    assert edge.revision("https://shop.example/") == "one"
