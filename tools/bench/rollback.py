"""From the start of `ingot rollback` to the last request that the bad fleet was given, seen by the clients."""
import time

from measure import Failed, Row, median, quantile
from service import served

RUNS = 25


def run(_context):
    began = {}
    with served(replicas=2) as service:
        with service.host.load(rate=1000, connections=16) as load:
            for n in range(RUNS):
                service.define(revision=f"bad{n}")
                service.host.apply()
                time.sleep(0.2)
                began[f"bad{n}"] = time.time_ns()
                service.host.ok("rollback")
                time.sleep(0.1)
    if load.result["failed"] != 0:
        raise Failed(f"requests failed: {load.result['failures']} {load.result['examples']}")
    times = [max(0.0, (load.result["seen"][name]["last_ns"] - at) / 1e6) for name, at in began.items()]
    return Row("rollback", "ms", median(times), 20,
               note=f"p99 {quantile(times, 0.99):.1f}; {RUNS} runs; {load.result['rate']:.0f} requests/s, 0 failed")
