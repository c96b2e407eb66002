"""Failed requests while Ingot is upgraded ten times at 1,000 requests/s: the program is another file each time, as the
package's is, the daemon is told to end (SIGTERM, as systemd does) and the new file's starts. No instance may be touched."""
import os
import shutil
import signal
import subprocess
import time

import host
from measure import Row
from service import served

ROUNDS = 10


def run(_context):
    with served(replicas=4) as service:
        own = service.host
        before = {instance["id"]: instance["pid"] for instance in own.instances("web")}
        slowest = 0.0
        with own.load(rate=1000, connections=32) as load:
            for n in range(ROUNDS):
                time.sleep(0.5)
                new = own.base / f"ingot-{n}"
                shutil.copy2(host.INGOT, new)
                own.kill_daemon(signal.SIGTERM)
                begin = time.perf_counter()
                log = open(own.base / "daemon.log", "ab")
                own.daemon = subprocess.Popen([str(new), "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env={**os.environ, "INGOT_ROOT": str(own.root)})
                log.close()
                host.wait_for("the daemon answers", lambda: own.run("status", "--host", "--json").code == 0)
                slowest = max(slowest, (time.perf_counter() - begin) * 1000)
        after = {instance["id"]: instance["pid"] for instance in own.instances("web")}
    seen = load.result
    note = (f"{ROUNDS} upgrades, the new daemon answers after at most {slowest:.0f} ms; "
            f"{'no instance was touched' if before == after else f'instances before {before}, after {after}'}; "
            f"{seen['requests']} requests, {seen['rate']:.0f}/s, max {seen['max_ms']:.0f} ms")
    if seen["failures"]:
        note += f"; {seen['failures']} {seen['examples']}"
    return Row("upgrade", "failed", seen["failed"], 0, note=note, also_met=before == after)
