"""From the start of the daemon until 20 services of one instance each are healthy and answer, on a host that has lost its
power: no process, mount, namespace or cgroup of it is left, only what is on disk."""
import subprocess
import time

import host
from host import wait_for
from measure import Failed, Row, median, spread

RUNS = 5
SERVICES = 20

HEAD = """
version: 1
project: bench
images:
  app: { build: . }
services:
"""
SERVICE = """
  web{n}:
    image: app
    port: 8080
    environment: {{ REVISION: "web{n}", LISTEN_AFTER_MS: "20" }}
    health: {{ ready: {{ http: /healthz, deadline: 20s }} }}
"""


def run(_context):
    own = host.Host()
    ports = [own.port]
    while len(ports) < SERVICES:
        ports.append(host.free_port())
    try:
        own.start()
        own.define(HEAD + "".join(SERVICE.format(n=n) for n in range(SERVICES)) + "routes:\n" +
                   "".join(f'  - {{ listen: "127.0.0.1:{port}", to: web{n} }}\n' for n, port in enumerate(ports)))
        own.apply()
        times = []
        for _ in range(RUNS):
            own.power_off()
            begin = time.perf_counter()
            log = open(own.base / "daemon.log", "ab")
            own.daemon = subprocess.Popen([str(host.INGOT), "--root", str(own.root), "serve"], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log)
            log.close()

            def healthy():
                if own.daemon.poll() is not None:
                    raise Failed((own.base / "daemon.log").read_text()[-1000:])
                done = own.run("status", "--json")
                return done.code == 0 and sum(
                    instance["state"] == "ready" for service in done.json()["services"]
                    for instance in service["instances"]) == SERVICES

            wait_for("every service is healthy", healthy, 60)
            times.append((time.perf_counter() - begin) * 1000)
            for n, port in enumerate(ports):
                status, revision, body = own.get(port=port)
                if (status, revision) != (200, f"web{n}"):
                    raise Failed(f"web{n} answers {status} {revision} {body}")
    finally:
        own.close()
    return Row("boot_20", "ms", median(times), 3000, note=spread(times))
