"""Failed requests in 100 rollouts and rollbacks, at 1,000 requests/s on kept connections, half of them POST."""
from measure import Row
from service import served

TURNS = 100
RATE = 1000


def run(_context):
    with served(replicas=2, keep_old="2s") as service:
        # Asks for a little more: a client that was held up does not make up for all of it.
        with service.host.load(rate=RATE * 1.05, connections=32) as load:
            turns = applies = 0
            while turns < TURNS:
                applies += 1
                service.define(revision=f"r{applies}")
                service.host.apply()
                turns += 1
                if applies % 2 == 0 and turns < TURNS:
                    service.host.ok("rollback")
                    turns += 1
    seen = load.result
    missing = [n for n in range(1, applies + 1) if f"r{n}" not in seen["seen"]]
    note = (f"{applies} applies, {turns - applies} rollbacks; {seen['requests']} requests, {seen['posts']} POST, "
            f"{seen['rate']:.0f}/s, {seen['connects']} connects, p99 {seen['p99_ms']:.0f} ms, max {seen['max_ms']:.0f} ms")
    if seen["failures"]:
        note += f"; {seen['failures']} {seen['examples']}"
    if missing:
        note += f"; no answer of revisions {missing}"
    return Row("rollouts_under_load", "failed", seen["failed"], 0, note=note,
               also_met=seen["rate"] >= RATE and not missing)
