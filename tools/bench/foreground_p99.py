"""How much longer requests to one service take (p99) while another one is rolled out again and again: 1,000 requests/s on
kept connections; in turns without and with rollouts."""
import time

from host import Host
from measure import Row, median

TURNS = 4
SECONDS = 5

DEFINITION = """
version: 1
project: bench
images:
  app: {{ build: . }}
services:
  web: {{ image: app, replicas: 2, port: 8080, health: {{ ready: {{ http: /healthz }} }}, environment: {{ REVISION: web }} }}
  other:
    image: app
    replicas: 4
    port: 8080
    environment: {{ REVISION: "{revision}" }}
    health: {{ ready: {{ http: /healthz }} }}
    rollout: {{ keep_old: 0s, drain: 1s }}
routes: [{{ listen: "127.0.0.1:@PORT@", to: web }}]
"""


def measured(host, work):
    with host.load(rate=1050, connections=16) as load:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            work()
    return load.result


def run(_context):
    host = Host()
    quiet, busy, failed, rollouts = [], [], 0, 0
    try:
        host.start()
        host.define(DEFINITION.format(revision=0))
        host.apply()

        def roll_out():
            nonlocal rollouts
            rollouts += 1
            host.define(DEFINITION.format(revision=rollouts))
            host.apply()

        for _ in range(TURNS):
            for figures, work in ((quiet, lambda: time.sleep(0.1)), (busy, roll_out)):
                seen = measured(host, work)
                figures.append(seen["p99_ms"])
                failed += seen["failed"]
    finally:
        host.close()
    rise = median(busy) - median(quiet)
    return Row("foreground_p99", "ms", max(rise, 0), 5, also_met=failed == 0,
               note=f"p99 {median(quiet):.1f} ms without, {median(busy):.1f} ms with {rollouts} rollouts; {failed} failed")
