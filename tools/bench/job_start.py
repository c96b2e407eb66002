"""A run of a job: from the request to the first instruction of its program, each in a fresh instance.

The end is the time that the program itself takes as its first act and writes (CLOCK_REALTIME of the same machine);
the begin is taken before the request is sent on the daemon's socket. The peer is `docker run --rm` of the same image
and program, with the time that it writes.
"""
import json
import re
import time

import start_instance
from measure import Failed, Row, median, quantile, spread
from service import served

RUNS = 30
JOB = """
jobs:
  now: { image: app, command: [/app, job], environment: { REVISION: job } }
"""


def written_ns(text):
    found = re.search(r"^now (\d+)$", text, re.M)
    if not found:
        raise Failed(f"the program did not say when it began: {text[-300:]}")
    return int(found[1])


def once(service, api):
    begin = time.time_ns()
    api.request("POST", "/v1/projects/bench/environments/local/jobs/now", json.dumps({"arguments": ["now"]}))
    run = json.load(api.getresponse())
    if "run" not in run:
        raise Failed(f"the run was not begun: {run}")
    api.request("GET", f"/v1/projects/bench/environments/local/runs/{run['run']}?wait")
    ended = json.load(api.getresponse())
    if ended.get("outcome") != "succeeded":
        raise Failed(f"the run did not succeed: {ended}")
    text = "\n".join(json.loads(line)["text"] for line in service.host.ok("job", "logs", "--json", str(run["run"])).out.splitlines())
    return (written_ns(text) - begin) / 1e6


def run(context):
    with served(replicas=1) as service:
        definition = service.host.project / "ingot.yaml"
        definition.write_text(definition.read_text() + JOB)
        service.host.apply()
        service.wait_alone()
        api = start_instance.Api(service.host.root / "run" / "api.sock")
        once(service, api)  # the first compiles the seccomp profile
        times = [once(service, api) for _ in range(RUNS)]
        row = Row("job_start", "ms", median(times), 50, note=f"{spread(times)}; p90 {quantile(times, 0.9):.1f}; no pool of instances made ahead")

        def peer(docker):
            docker.load(service.host, "bench/app", "program")
            took = []
            for _ in range(6):  # the first is not counted
                begin = time.time_ns()
                took.append((written_ns(docker.run("run", "--rm", "--network", "none", "program", "/app", "job", "now").stdout) - begin) / 1e6)
            return median(took[1:]), f"docker run ({docker.name})"

        return context.beside(row, peer)
