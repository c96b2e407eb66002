"""From the start of `ingot rollback` to the last request that the bad fleet was given, seen by the clients."""
import time

from measure import Failed, Row, median, quantile, stolen_ms
from service import served

RUNS = 200
P99_MS = 20


def run(_context):
    began, alone = {}, set()
    with served(replicas=2) as service:
        with service.host.load(rate=1000, connections=16) as load:
            for n in range(RUNS):
                service.define(revision=f"bad{n}")
                service.host.apply()
                time.sleep(0.05)  # the bad fleet has its requests
                stolen = stolen_ms()
                began[f"bad{n}"] = time.time_ns()
                service.host.ok("rollback")
                if stolen_ms() == stolen:
                    alone.add(f"bad{n}")
    if load.result["failed"] != 0:
        raise Failed(f"requests failed: {load.result['failures']} {load.result['examples']}")
    missing = [name for name in began if name not in load.result["seen"]]
    if missing:
        raise Failed(f"the clients saw nothing of {len(missing)} releases: {missing[:3]}")
    took = {name: max(0.0, (load.result["seen"][name]["last_ns"] - at) / 1e6) for name, at in began.items()}
    times = list(took.values())
    # A millisecond that the hypervisor gives to another machine is nobody's fault here: said, but not left out.
    undisturbed = [took[name] for name in alone]
    beside = f"; p99 {quantile(undisturbed, 0.99):.1f} of the {len(alone)} of which the hypervisor took nothing" if alone and len(alone) < RUNS else ""
    return Row("rollback", "ms", quantile(times, 0.99), P99_MS,
               note=f"p99 of {RUNS} runs; median {median(times):.1f}, worst {max(times):.1f}{beside}; "
                    f"{load.result['rate']:.0f} requests/s, 0 failed")
