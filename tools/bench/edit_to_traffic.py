"""`ingot apply --yes` from its start to its end, when all traffic is on the new fleet; the build counts.

A line of a copied file has changed; 4 instances of a program that listens after 20 ms.
"""
import host
from measure import Failed, Row, median, spread, timed_ms
from service import served

RUNS = 15


def run(_context):
    times = []
    with served(replicas=4, listen_after_ms=20, keep_old="0s") as service:
        for n in range(RUNS + 1):  # the first is not counted
            service.wait_alone()
            service.page(f"version {n}")
            times.append(timed_ms([str(host.INGOT), "apply", "--yes"], service.host.project,
                                  {"INGOT_ROOT": str(service.host.root)}))
            for _ in range(8):
                status, _, body = service.host.get("/read?/page.txt")
                if status != 200 or f"version {n}\n" not in body:
                    raise Failed(f"after apply version {n} was expected, not {status} {body!r}")
    times = times[1:]
    return Row("edit_to_traffic", "ms", median(times), 300, note=spread(times))
