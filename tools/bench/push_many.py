"""100 blobs of 1 MB pushed over ten connections of one curl, until the last is acknowledged (Ingot: durable)."""
import hashlib
import os
import subprocess
import time

from measure import Failed, Row, median, spread
from registry_hosts import Registry, peer_of

RUNS = 5
BLOBS = 100
CLIENTS = 10
BLOB_BYTES = 1 << 20
TIMES_FASTER = 5


def push_all(registry, number):
    """Milliseconds of the 100 requests that bring the blobs; where each goes was asked before."""
    lines = []
    for blob in range(BLOBS):
        content = os.urandom(BLOB_BYTES)
        file = registry.base / f"blob{blob}"
        file.write_bytes(content)
        place = registry.post(f"bench/many{number}")
        url = place + ("&" if "?" in place else "?") + "digest=sha256:" + hashlib.sha256(content).hexdigest()
        lines += [f'url = "{url}"', f'upload-file = "{file}"', 'output = "/dev/null"', 'header = "Expect:"',
                  'header = "Content-Type: application/octet-stream"', 'write-out = "%{http_code}\\n"', "next"]
    config = registry.base / "curlrc"
    config.write_text("\n".join(lines[:-1]) + "\n")
    begin = time.perf_counter()
    done = subprocess.run(["curl", "-s", "--parallel", "--parallel-immediate", "--parallel-max", str(CLIENTS), "-K",
                           str(config)], capture_output=True, text=True)
    elapsed = (time.perf_counter() - begin) * 1000
    if done.returncode != 0 or done.stdout.split() != ["201"] * BLOBS:
        raise Failed(f"curl: exit {done.returncode}, answers {sorted(set(done.stdout.split()))}")
    return elapsed


def run(_):
    def times(registry):
        return [push_all(registry, number) for number in range(RUNS)]

    with Registry("ingot") as registry:
        found = times(registry)
    row = Row("push_many", "ms", median(found), None, note=f"{spread(found)}; durable when acknowledged, the peer's not")
    peer_of(row, lambda peer: median(times(peer)))
    if row.peer is not None:
        row.goal = row.peer / TIMES_FASTER
    return row
