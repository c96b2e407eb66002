"""Failed requests while the daemon is killed (kill -9) at every step of the journal of a rollout, 20 times each, at 300
requests/s on kept connections. It resumes by itself; nothing may be left over."""
import os
import sqlite3
import threading
import time

from host import wait_for
from measure import Row
from service import served

ROUNDS = int(os.environ.get("INGOT_ROUNDS", "20"))
STRATEGY = ", strategy: canary, steps: [{ weight: 50%, for: 1ms }, { weight: 100% }]"


def step_of(journal):
    return journal.execute("SELECT max(step) FROM environments").fetchone()[0]


class Turn:
    """One rollout, and a kill as soon as the journal is `after` steps further."""

    def __init__(self, service, journal, number):
        self.service, self.journal, self.number = service, journal, number
        service.define(revision=f"r{number}")

    def go(self, after):
        """(killed before its end, milliseconds until the next daemon answered)"""
        host = self.service.host
        begin = step_of(self.journal)
        client = threading.Thread(target=lambda: host.run("apply", "--yes", "--json", "--detach"))
        client.start()
        deadline = time.monotonic() + 10
        while step_of(self.journal) < begin + after and time.monotonic() < deadline:
            if not client.is_alive() and self.ended():
                client.join()
                return False, 0
        host.kill_daemon()
        client.join()
        back = time.perf_counter()
        host.start()
        return True, (time.perf_counter() - back) * 1000

    def ended(self):
        return (self.service.host.status()["rollout"] or {"phase": "baking"})["phase"] == "baking"


def run(_context):
    kills, slowest, orphans, number = 0, 0.0, 0, 0
    with served(replicas=2, keep_old="0s", rollout=STRATEGY) as service:
        journal = sqlite3.connect(f"file:{service.host.root}/state.db?mode=ro", uri=True, isolation_level=None)
        with service.host.load(rate=300, connections=8) as load:
            for _ in range(ROUNDS):
                after, going_on = 1, True
                while going_on:
                    number += 1
                    going_on, took = Turn(service, journal, number).go(after)
                    kills += going_on
                    after += 1
                    slowest = max(slowest, took)
                    wait_for("the rollout ends", lambda: not service.host.status()["rollout"], 60)
                    service.wait_alone()
                    service.wait_ready(2)
                    orphans += len(service.host.instances("web")) - 2
        journal.close()
    seen = load.result
    note = (f"{kills} kills in {number} rollouts, {kills / ROUNDS:.0f} steps of each; the next daemon answers after at most "
            f"{slowest:.0f} ms (goal 1,000); {orphans} left over; {seen['requests']} requests, max {seen['max_ms']:.0f} ms")
    if seen["failures"]:
        note += f"; {seen['failures']} {seen['examples']}"
    return Row("crash_every_step", "failed", seen["failed"], 0, note=note, also_met=slowest <= 1000 and orphans == 0)
