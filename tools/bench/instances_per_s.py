"""From the start of `ingot scale` from 1 to 61 until all 60 new instances are healthy, per instance: 60/s are 16.7 ms."""
import subprocess
import time

import host
from measure import Failed, Row, median
from service import served
from start_instance import Api

RUNS = 4
MORE = 60


def wait(api, condition, what):
    deadline = time.monotonic() + 60
    while not condition(list(api.states().values())):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within a minute")
        time.sleep(0.02)  # asking more often would take the processor that the starts need


def run(_context):
    each = []
    with served(replicas=1) as service:
        service.wait_ready(1)
        api = Api(service.host.root / "run" / "api.sock")
        for _ in range(RUNS + 1):  # the first is not counted
            begin = time.perf_counter()
            subprocess.run([str(host.INGOT), "scale", f"web={MORE + 1}", "--root", str(service.host.root)],
                           cwd=service.host.project, check=True, stdout=subprocess.DEVNULL)
            wait(api, lambda states: states.count("ready") == MORE + 1, f"{MORE} more instances")
            each.append((time.perf_counter() - begin) * 1000 / MORE)
            service.host.ok("scale", "web=1")
            wait(api, lambda states: len(states) == 1, "the end of the others")
    each = each[1:]
    return Row("instances_per_s", "ms", median(each), 1000 / 60,
               note=f"{1000 / median(each):.0f} instances/s; {', '.join(f'{1000 / one:.0f}' for one in each)} in {RUNS} runs")
