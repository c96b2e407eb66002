"""Certificates that a real authority (Debian's pebble) issues over ACME, proven over http-01 through HAProxy."""
import http.client
import json
import signal
import socket
import ssl
import threading
import time

import pytest

from host import Host, free_port, wait_for
from pebble import PROGRAMS, Pebble

pytestmark = pytest.mark.skipif(not all(PROGRAMS), reason="SKIP: pebble is not installed")


class Gate:
    """Between the authority and the host: requests for proofs wait here until it is opened."""

    def __init__(self, target):
        self.target, self.paths, self.answers = target, [], []
        self.open = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(connection,), daemon=True).start()

    def carry(self, connection):
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (some := connection.recv(65536)):
                    return
                head += some
            self.paths.append(head.split()[1].decode())
            self.open.wait()
            with socket.create_connection(("127.0.0.1", self.target)) as host:
                host.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                answer = b""
                while some := host.recv(65536):
                    answer += some
            connection.sendall(answer)
            self.answers.append(int(answer.split()[1]))

    def close(self):
        self.open.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Issued(Host):
    """A host whose certificates come from an authority; `held`: whose requests for proofs wait."""

    def __init__(self, held=False, **pebble):
        super().__init__()
        self.http, self.https = free_port(), free_port()
        self.gate = Gate(self.http) if held else None
        self.pebble = Pebble(self.gate.port if held else self.http, **pebble)
        self.config = self.base / "host.yaml"
        self.configure()

    def configure(self, more=""):
        self.config.write_text(f"""
version: 1
router:
  http: ["127.0.0.1:{self.http}"]
  https: ["127.0.0.1:{self.https}"]
  acme: {{ directory: "{self.pebble.directory}", email: ops@shop.example, ca: {self.pebble.ca}{more} }}
""")

    def start(self, env=None):
        super().start({"INGOT_HOST_CONFIG": str(self.config), **(env or {})})

    def close(self):
        try:
            super().close()
        finally:
            if self.gate:
                self.gate.close()
            self.pebble.close()

    def proof(self, path):
        """What anybody is answered who asks for a proof."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": "shop.example"})
            return connection.getresponse().status
        finally:
            connection.close()

    def routes(self, *names):
        self.one_service()
        text = (self.project / "ingot.yaml").read_text()
        self.define(text[:text.index("routes:")] + "routes:\n" + "".join(
            f"  - {{ host: {name}, to: web, tls: true }}\n" for name in names))

    def shown(self, name):
        """The certificate that a client of `name` is shown and believes, or the error of the handshake."""
        context = ssl.create_default_context(cafile=str(self.pebble.root()))
        try:
            with socket.create_connection(("127.0.0.1", self.https), timeout=5) as connection:
                with context.wrap_socket(connection, server_hostname=name) as tls:
                    return tls.getpeercert()
        except OSError as error:
            return error

    def handshake(self, name):
        """Whether one succeeds, whoever is shown."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection(("127.0.0.1", self.https), timeout=5) as connection:
                with context.wrap_socket(connection, server_hostname=name):
                    return True
        except OSError:
            return False

    def served(self, name):
        return isinstance(self.shown(name), dict)

    def events(self):
        return [json.loads(line) for line in self.ok("events", "--host", "--json").out.splitlines()]

    def kinds(self):
        return [event["kind"] for event in self.events() if event["kind"].startswith("certificate.")]


@pytest.fixture
def make():
    made = []

    def one(**options):
        made.append(Issued(**options))
        return made[-1]

    yield one
    for host in made:
        host.close()


def test_a_name_gets_its_certificate_and_a_restart_orders_nothing_anew(make):
    host = make(nonce_rejects=50)
    host.start()
    host.routes("shop.example", "www.shop.example")
    host.apply()
    for name in ("shop.example", "www.shop.example"):
        wait_for(f"the certificate of {name}", lambda: host.served(name))
        assert ("DNS", name) in host.shown(name)["subjectAltName"]
    # The proof came over the listener that sends everybody on to HTTPS.
    connection = http.client.HTTPConnection("127.0.0.1", host.http, timeout=5)
    connection.request("GET", "/x", headers={"Host": "shop.example"})
    assert connection.getresponse().status == 308
    connection.close()
    connection.request("GET", "/.well-known/acme-challenge/nothing", headers={"Host": "shop.example"})
    assert connection.getresponse().status == 308  # none is pending: the path is the service's
    connection.close()
    status = host.status()
    assert status["problems"] == [] and all(r["certificate"]["waiting"] == "" for r in status["routes"]), status
    assert host.kinds().count("certificate.issued") == 2 and "certificate.failed" not in host.kinds()
    # Keys and account are the daemon's alone.
    folder = host.root / "acme"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    before = host.shown("shop.example")["serialNumber"]
    orders = host.pebble.log().count("/order-plz")
    host.kill_daemon(signal.SIGKILL)
    assert host.served("shop.example")
    host.start()
    time.sleep(2.5)
    assert host.shown("shop.example")["serialNumber"] == before
    assert host.pebble.log().count("/order-plz") == orders


def test_a_certificate_is_renewed_without_a_lost_connection(make):
    host = make(validity=24)
    host.start()
    host.routes("shop.example")
    host.apply()
    wait_for("the certificate", lambda: host.served("shop.example"))
    first = host.shown("shop.example")["serialNumber"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = context.wrap_socket(socket.create_connection(("127.0.0.1", host.https)), server_hostname="shop.example")
    asked, failed = 0, 0
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        answer = connection.recv(65536)
        asked += 1
        failed += not answer.startswith(b"HTTP/1.1 200")
        now = host.shown("shop.example")
        if isinstance(now, dict) and now["serialNumber"] != first:
            break
        time.sleep(0.1)
    assert host.shown("shop.example")["serialNumber"] != first
    assert failed == 0 and asked > 10
    connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    connection.close()
    assert "certificate.renewed" in host.kinds() and host.kinds().count("certificate.issued") == 1


def test_what_the_authority_refuses_is_told_and_the_rest_is_served(make):
    host = make(refused=["blocked.example"])
    host.configure(", domains: ['*.example']")
    host.start()
    host.routes("shop.example", "blocked.example")
    host.apply()
    wait_for("the certificate", lambda: host.served("shop.example"))
    problems = wait_for("the refusal", lambda: [p for p in host.status()["problems"] if "next attempt" in p])
    assert "route blocked.example with TLS: it waits for its certificate" in problems[0], problems
    assert "the authority says rejectedIdentifier" in problems[0], problems
    assert "problem:" in host.ok("status").out
    doctor = host.run("doctor", env={"INGOT_HOST_CONFIG": str(host.config)})
    assert "blocked.example: it waits for its certificate" in doctor.out, doctor
    failed = [event for event in host.events() if event["kind"] == "certificate.failed"]
    assert failed and failed[0]["detail"]["name"] == "blocked.example", failed
    # What no authority is asked for is refused before anything is done.
    for name, why in (("other.test", "does not let an authority issue it"), ('"*.shop.example"', "none for a wildcard")):
        host.routes("shop.example", name)
        refused = host.run("apply", "--yes")
        assert refused.code != 0 and why in refused.err, refused


def test_an_authority_that_is_away_leaves_the_former_certificate_and_is_asked_again(make):
    host = make()
    host.pebble.stop()
    host.start()
    host.routes("shop.example")
    host.apply()
    problems = wait_for("it is told", lambda: [p for p in host.status()["problems"] if "next attempt" in p])
    assert "nobody accepts a connection" in problems[0], problems
    assert not host.handshake("shop.example")
    host.pebble.start()
    wait_for("the certificate", lambda: host.served("shop.example"), seconds=40)
    assert host.status()["problems"] == []
    host.pebble.stop()
    host.kill_daemon(signal.SIGKILL)
    host.start()
    assert host.handshake("shop.example")


@pytest.mark.parametrize("proven", ["while nobody is there", "when the next one is there"])
def test_the_next_daemon_goes_on_with_an_order_and_leaves_no_proof_behind(make, proven):
    host = make(held=True, nonce_rejects=0)
    host.start()
    host.routes("shop.example")
    host.apply()
    path = wait_for("the authority asks for the proof", lambda: host.gate.paths)[0]
    assert path.startswith("/.well-known/acme-challenge/") and host.proof(path) == 200
    host.kill_daemon(signal.SIGKILL)
    # The router still has it.
    assert host.proof(path) == 200
    if proven == "while nobody is there":
        host.gate.open.set()
        wait_for("the proof is taken", lambda: 200 in host.gate.answers)
        host.start()
    else:
        host.start()
        wait_for("the proof is there again", lambda: host.proof(path) == 200)
        host.gate.open.set()
    wait_for("the certificate", lambda: host.served("shop.example"), seconds=40)
    assert set(host.gate.answers) == {200}
    assert host.pebble.log().count("/order-plz") == 1, "the order was gone on with"
    assert host.kinds() == ["certificate.issued"]
    # Nothing is left of it: the path is the service's again, here and in what the next daemon takes over.
    for _ in range(2):
        wait_for("no proof", lambda: {host.proof(asked) for asked in host.gate.paths} == {308})
        host.kill_daemon(signal.SIGKILL)
        host.start()
    folder = host.root / "acme"
    assert json.loads((folder / "shop.example.json").read_text())["order"] == ""
    assert sorted(file.name for file in folder.iterdir() if "shop.example" in file.name) == ["shop.example.json", "shop.example.pem"]
