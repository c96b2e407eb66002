"""One more instance: from the start of `ingot scale` until the platform sees its process run.

The peer is `docker run -d` of the same image, without a network, which returns when the container runs.
"""
import http.client
import json
import socket
import subprocess
import time

import host
from measure import Failed, Row, median, spread
from service import served

RUNS = 20


class Api(http.client.HTTPConnection):
    """The daemon's API on one kept connection: asking costs less than the time that is measured."""

    def __init__(self, path):
        super().__init__("ingot")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def states(self):
        self.request("GET", "/v1/projects/bench/environments/local")
        status = json.load(self.getresponse())
        return {i["id"]: i["state"] for s in status["services"] for i in s["instances"]}


def once(service, api):
    known = set(api.states())
    begin = time.perf_counter()
    command = subprocess.Popen([str(host.INGOT), "scale", "web=2", "--root", str(service.host.root)],
                               cwd=service.host.project, stdout=subprocess.DEVNULL)
    running = ready = None
    while ready is None:
        for name, state in api.states().items():
            if name in known:
                continue
            if state in ("running", "ready") and running is None:
                running = (time.perf_counter() - begin) * 1000
            if state == "ready":
                ready = (time.perf_counter() - begin) * 1000
        if time.perf_counter() - begin > 20:
            raise Failed("the instance did not become ready within 20 s")
        time.sleep(0.002)  # asking more often would take the processor that the start needs
    if command.wait() != 0:
        raise Failed("scale failed")
    service.host.ok("scale", "web=1")
    deadline = time.monotonic() + 30
    while len(api.states()) != 1:
        if time.monotonic() > deadline:
            raise Failed("the instance did not end within 30 s")
        time.sleep(0.01)
    time.sleep(0.3)
    return running, ready


def run(context):
    with served(replicas=1) as service:
        service.wait_ready(1)
        api = Api(service.host.root / "run" / "api.sock")
        once(service, api)
        both = [once(service, api) for _ in range(RUNS)]
        running = [one for one, _ in both]
        row = Row("start_instance", "ms", median(running), 30,
                  note=f"{spread(running)}; ready after {median([r for _, r in both]):.1f}")

        def peer(docker):
            docker.load(service.host, "bench/app", "program")
            times = []
            for n in range(6):  # the first is not counted
                times.append(docker.timed_ms("run", "-d", "--network", "none", "--name", f"c{n}", "program"))
                docker.run("rm", "-f", f"c{n}")
            return median(times[1:]), f"docker run ({docker.name})"

        return context.beside(row, peer)
