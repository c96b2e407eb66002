"""Times of whole processes, and what a row of the table is."""
import dataclasses
import os
import statistics
import subprocess
import tempfile
import time
from typing import Optional


class Failed(Exception):
    """A command that is measured did not do its work: there is no figure."""


@dataclasses.dataclass
class Row:
    """One line of the table. A peer that could not be measured is None, and the note says why."""
    name: str
    unit: str
    ingot: Optional[float]
    goal: Optional[float]  # None: it is made of the peer's figure, which there is none of
    peer: Optional[float] = None
    peer_name: Optional[str] = None
    note: str = ""
    also_met: bool = True  # what the goal asks beyond the one figure

    def json(self):
        ratio = None
        if self.peer is not None and self.ingot:
            ratio = round(self.peer / self.ingot, 2)
        return {
            "name": self.name, "unit": self.unit, "ingot": rounded(self.ingot), "peer": rounded(self.peer),
            "peer_name": self.peer_name, "ratio": ratio, "goal": rounded(self.goal),
            "met": self.ingot is not None and self.goal is not None and self.ingot <= self.goal and self.also_met, "note": self.note,
        }


def rounded(value):
    return None if value is None else round(value, 2)


def timed_ms(command, cwd=None, env=None):
    """Milliseconds from before the process is made until it has ended with 0. Its output costs no pipe."""
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter_ns()
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output)
        process.wait()
        took = (time.perf_counter_ns() - begin) / 1e6
        if process.returncode != 0:
            output.seek(0)
            text = output.read()[-1500:].decode(errors="replace")
            raise Failed(f"{' '.join(map(str, command))}: exit {process.returncode}: {text}")
    return took


def stolen_ms():
    """CPU time, of all cores together, that the hypervisor has given to others since boot; 0 on a machine of one's own."""
    with open("/proc/stat") as stat:
        return int(stat.readline().split()[8]) * 1000 / os.sysconf("SC_CLK_TCK")


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def median(values):
    return statistics.median(values)


def spread(values):
    return f"{min(values):.1f} to {max(values):.1f}, {len(values)} runs"
