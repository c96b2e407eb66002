"""`ingot gc` of 90 of 100 versions of the image of 150 MB that differ in one file, by a rule of retention, while a client
pushes blobs of 1 MB to the registry of the same store and pulls them: how much longer these take meanwhile is in the
note (at most 10 %)."""
import hashlib
import http.client
import os
import shutil
import statistics
import subprocess
import threading
import time

import host
from measure import Failed, Row, timed_ms

VERSIONS = 100
KEPT = 10
ROUNDS = 5
POLICY = f"policy: {{ retention: {{ keep: {KEPT} }} }}\n"


class Client(threading.Thread):
    """Pushes and pulls one after the other; (begin, end, milliseconds) of each."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection(address, timeout=60)
        self.stopping = False
        self.pushes, self.pulls, self.failure = [], [], None

    def request(self, method, path, body=None):
        self.connection.request(method, path, body=body)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status not in (200, 201):
            raise Failed(f"{method} {path}: status {answer.status}")

    def timed(self, list, *request):
        begin = time.perf_counter()
        self.request(*request)
        end = time.perf_counter()
        list.append((begin, end, (end - begin) * 1e3))

    def run(self):
        try:
            piece = os.urandom(1 << 20)
            number = 0
            while not self.stopping:
                number += 1
                blob = number.to_bytes(8, "big") + piece[8:]
                digest = "sha256:" + hashlib.sha256(blob).hexdigest()
                self.timed(self.pushes, "POST", f"/v2/bench/blobs/uploads/?digest={digest}", blob)
                self.timed(self.pulls, "GET", f"/v2/bench/blobs/{digest}")
        except Exception as error:
            self.failure = error


def slowdown(samples, spans):
    """Median of those within the spans by the median of the others, in percent."""
    within = [ms for begin, end, ms in samples if any(begin < b and end > a for a, b in spans)]
    beside = [ms for begin, end, ms in samples if not any(begin < b and end > a for a, b in spans)]
    if len(within) < 5 or len(beside) < 5:
        raise Failed(f"{len(within)} requests met the collection and {len(beside)} did not")
    return (statistics.median(within) / statistics.median(beside) - 1) * 100


def run(context):
    image = context.debian()
    definition = image.host.project / "ingot.yaml"
    before = definition.read_text()
    base = image.host.base / "collect"
    times, spans = [], []
    try:
        definition.write_text(before + POLICY)
        root = base / "root"
        base.mkdir()
        subprocess.run(["cp", "-a", str(image.first_root), str(root)], check=True)
        env = {"INGOT_ROOT": str(root)}
        for _ in range(VERSIONS):
            image.change_a_line()
            timed_ms([str(host.INGOT), "build", "app"], image.host.project, env)
        for number in range(ROUNDS):
            subprocess.run(["cp", "-a", str(root), str(base / f"{number}")], check=True)
        # One root serves while others are collected would prove nothing: each round has its registry.
        pushes, pulls = [], []
        for number in range(ROUNDS):
            own = {"INGOT_ROOT": str(base / f"{number}")}
            address = f"127.0.0.1:{host.free_port()}"
            with open(base / "log", "ab") as log:
                registry = subprocess.Popen([str(host.INGOT), "registry", "serve", "--listen", address],
                                            env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                time.sleep(1)
                client = Client(address)
                client.start()
                time.sleep(1)
                begin = time.perf_counter()
                times.append(timed_ms([str(host.INGOT), "gc", "--keep-cache", "0s"], image.host.project, own))
                spans.append((begin, time.perf_counter()))
                time.sleep(1)
                client.stopping = True
                client.join(timeout=60)
                if client.failure:
                    raise client.failure
                pushes += client.pushes
                pulls += client.pulls
            finally:
                registry.terminate()
                registry.wait(timeout=30)
            left = image.host.ok("images", "ls", "--all", "--json", env=own).json()["images"]
            apps = [i for i in left if not any(name.startswith("bench/base") for name in i["names"])]
            if len(apps) != KEPT:
                raise Failed(f"{len(apps)} versions are left, expected {KEPT}")
            shutil.rmtree(base / f"{number}")
    finally:
        definition.write_text(before)
        shutil.rmtree(base, ignore_errors=True)
    push, pull = slowdown(pushes, spans), slowdown(pulls, spans)
    return Row("collect", "ms", statistics.median(times), 1000, also_met=push <= 10 and pull <= 10,
               note=f"beside it a push of 1 MB takes {push:+.0f} % and a pull {pull:+.0f} % (goal +10 %); "
                    f"collections {min(times):.0f} to {max(times):.0f} ms")
