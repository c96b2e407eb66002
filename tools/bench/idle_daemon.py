"""What the daemon takes with 20 instances and nothing to do: resident memory, and CPU over 10 s."""
import os
import pathlib
import time

from measure import Row
from service import served

INSTANCES = 20
SECONDS = 10


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("no VmRSS")


def run(_context):
    with served(replicas=INSTANCES) as service:
        service.wait_ready(INSTANCES)
        time.sleep(3)
        pid = service.host.daemon.pid
        before, begin = cpu_seconds(pid), time.monotonic()
        time.sleep(SECONDS)
        percent = 100 * (cpu_seconds(pid) - before) / (time.monotonic() - begin)
        return Row("idle_daemon", "MB", resident_mb(pid), 30, note=f"{percent:.1f} % CPU over {SECONDS} s (goal 1 %)",
                   also_met=percent <= 1)
