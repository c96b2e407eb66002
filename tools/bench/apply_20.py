"""`ingot apply` of a changed definition from its start to its end, when all traffic is on 20 new instances of a program
that listens after 50 ms. Nothing is built: what differs is a line of the environment."""
import host
from measure import Failed, Row, median, spread, timed_ms
from service import served

RUNS = 10


def run(_context):
    times = []
    with served(replicas=20, listen_after_ms=50, keep_old="0s") as service:
        for n in range(RUNS + 1):  # the first is not counted
            service.wait_alone()
            service.wait_ready(20)
            service.define(revision=f"r{n + 1}")
            times.append(timed_ms([str(host.INGOT), "apply", "--yes"], service.host.project,
                                  {"INGOT_ROOT": str(service.host.root)}))
            if service.host.get()[1] != f"r{n + 1}":
                raise Failed(f"after the apply r{n + 1} was expected, not {service.host.get()}")
    return Row("apply_20", "ms", median(times[1:]), 1000, note=spread(times[1:]))
