"""Time per GET over TLS through the router, two instances behind it: `wrk` with one thread and 32 kept connections, on the
same machine. The peer is HAProxy alone with the router's own limits, ciphers and options and one backend of the same two
instances, in the router's network namespace as they are reached from there alone; asked in turn, so that both see the same
machine."""
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import host
from measure import Failed, Row, median, timed_ms
from service import Service

RUNS = 5
PROGRAM = "/usr/sbin/haproxy"

# What differs from the router: no map is looked up and no request split, since there is one backend.
FRONTEND = """
frontend plain
  bind 127.0.0.1:{port} ssl crt {certificate} alpn h2,http/1.1
  mode http
  maxconn 20000
  option http-server-close
  option idle-close-on-response
  timeout http-request 10s
  timeout http-keep-alive 10s
  option forwardfor
  http-request del-header X-Forwarded-For
  http-request del-header Forwarded
  http-request set-header X-Forwarded-Proto https
  default_backend apps
backend apps
  mode http
  balance roundrobin
  option http-server-close
  retry-on conn-failure
  default-server check inter 1s fall 3 rise 1
"""


def certificate(folder):
    """One file of a certificate and its key, both as PEM; the client believes any."""
    made = folder / "bench.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=bench.example", "-addext", "subjectAltName=DNS:bench.example", "-keyout", folder / "bench.key",
                    "-out", folder / "bench.crt"], check=True, capture_output=True)
    made.write_text((folder / "bench.crt").read_text() + (folder / "bench.key").read_text())
    return made


def per_request(port, inside=()):
    """Microseconds, over three seconds."""
    done = subprocess.run([*inside, "wrk", "-t1", "-c32", "-d3s", "-H", "Host: bench.example", f"https://127.0.0.1:{port}/"],
                          capture_output=True, text=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if done.returncode != 0 or rate is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise Failed("wrk: " + done.stdout[-500:] + done.stderr[-500:])
    return 1e6 / float(rate[1])


class Plain:
    """HAProxy with what the router's configuration has in `global` and `defaults`, before the same instances."""

    def __init__(self, router, pem, namespace, addresses):
        self.port = host.free_port()
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="ingot-bench-", dir="/tmp"))
        self.inside = ["nsenter", f"--net={namespace}"]
        text = router.split("\nbackend ")[0].split("\nfrontend ")[0]
        text = re.sub(r"(?m)^\s*stats .*\n", "", text + "\n")
        text += FRONTEND.format(port=self.port, certificate=pem)
        text += "".join(f"  server s{n} {address}:8080\n" for n, address in enumerate(addresses))
        (self.base / "plain.cfg").write_text(text)
        with open(self.base / "log", "wb") as log:
            self.process = subprocess.Popen([*self.inside, PROGRAM, "-db", "-f", str(self.base / "plain.cfg")],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        time.sleep(1)
        if self.process.poll() is not None:
            why = (self.base / "log").read_text()[-500:]
            self.close()
            raise Failed(f"the peer ended: {why}")

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.base, ignore_errors=True)


def run(_context):
    if shutil.which("wrk") is None:
        raise Failed("wrk is not installed (tools/packages install test)")
    own = host.Host()
    try:
        pem = certificate(own.base)
        https = host.free_port()
        (own.base / "host.yaml").write_text(f"""
version: 1
router:
  http: ["127.0.0.1:{host.free_port()}"]
  https: ["127.0.0.1:{https}"]
  certificates: [{{ certificate: bench.crt, key: bench.key }}]
""")
        own.start({"INGOT_HOST_CONFIG": str(own.base / "host.yaml")})
        service = Service(own)
        text = (own.project / "ingot.yaml").read_text()
        (own.project / "ingot.yaml").write_text(text + "  - { host: bench.example, to: web, tls: true }\n")
        timed_ms([str(host.INGOT), "apply", "--yes"], own.project, {
            "INGOT_ROOT": str(own.root), "INGOT_HOST_CONFIG": str(own.base / "host.yaml")})
        service.wait_ready(2)
        configuration = next(own.root.rglob("router.cfg")).read_text()
        plain = Plain(configuration, pem, own.root / "run/ns/router",
                      [instance["address"] for instance in own.instances("web")])
        try:
            pairs = [(per_request(https), per_request(plain.port, plain.inside)) for _ in range(RUNS + 1)][1:]
        finally:
            plain.close()
    finally:
        own.close()
    mine, peer = (median([pair[side] for pair in pairs]) for side in (0, 1))
    share = median([there / here for here, there in pairs])
    return Row("tls_requests", "µs", mine, peer / 0.9, peer=peer, peer_name="HAProxy alone, same settings",
               note=f"{1e6 / mine:.0f} requests/s, {share:.2f} x the peer's {1e6 / peer:.0f} (goal 0.9 x)")
