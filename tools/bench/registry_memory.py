"""What the registry keeps in memory (VmHWM) while 1,000 kept connections of wrk pull a manifest, then a blob of 1 MB."""
import hashlib
import os
import re
import resource
import shutil
import subprocess

from measure import Failed, Row
from registry_hosts import MANIFEST_TYPE, Registry, peer_of

CONNECTIONS = 1000


def resident_mb(registry):
    registry.push_manifest("bench/memory", "v1")
    blob = os.urandom(1 << 20)
    place = registry.post("bench/memory")
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    registry.put(place + ("&" if "?" in place else "?") + "digest=" + digest, blob, "application/octet-stream")
    for path in "manifests/v1", f"blobs/{digest}":
        done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", "-d4s", "--timeout", "20s", "-H",
                               f"Accept: {MANIFEST_TYPE}", f"http://{registry.address}/v2/bench/memory/{path}"],
                              capture_output=True, text=True)
        if done.returncode != 0 or "Non-2xx" in done.stdout or re.search(r"Socket errors: connect [1-9]", done.stdout):
            raise Failed("wrk: " + done.stdout[-500:] + done.stderr[-500:])
    status = open(f"/proc/{registry.process.pid}/status").read()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def run(_):
    if shutil.which("wrk") is None:
        raise Failed("wrk is not installed (tools/packages install test)")
    # wrk's connections are descriptors; both sides inherit the limit.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * CONNECTIONS:
        raise Failed(f"only {hard} descriptors are allowed here (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Registry("ingot") as registry:
        row = Row("registry_memory", "MB", resident_mb(registry), 64, note=f"{CONNECTIONS} connections")
    return peer_of(row, resident_mb)
