"""From the start of `ingot scale` to the first request that is served by one more, which is a spare; and without one."""
import time

from measure import Failed, Row, median, spread
from host import wait_for
from service import served

RUNS = 9
BOOT_MS = 3000


def names(host):
    return {i["name"] for i in host.instances("web", "ready") if not i.get("held")}


def answers(host):
    return host.get("/read?/proc/sys/kernel/hostname")[2].strip()


def until_it_answers(host, count):
    """Milliseconds from the command until somebody else than before answers."""
    before = names(host)
    begin = time.perf_counter_ns()
    host.ok("scale", f"web={count}")
    while answers(host) in before:
        if time.perf_counter_ns() - begin > 30e9:
            raise Failed("the new instance never answered")
    return (time.perf_counter_ns() - begin) / 1e6


def run(_context):
    with served(replicas=1, listen_after_ms=BOOT_MS, extra="scale: { spares: 1 }") as service:
        host = service.host
        times = []
        for _ in range(RUNS):
            wait_for("a spare", lambda: any(i.get("held") and i["state"] == "ready" for i in host.instances("web")), 60)
            times.append(until_it_answers(host, 2))
            host.ok("scale", "web=1")
            wait_for("one serves", lambda: len(names(host)) == 1, 60)
    with served(replicas=1, listen_after_ms=BOOT_MS) as service:
        without = until_it_answers(service.host, 2)
    return Row("spare_promote", "ms", median(times), 100,
               note=f"{spread(times)}; an instance starts in {BOOT_MS} ms, and without a spare it took {without:.0f} ms")
