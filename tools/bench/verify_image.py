"""Full verification of a Debian image of 137 MiB, warm: every object, layer, manifest and row, against AIDE's check of the
same files by SHA-256 with two workers."""
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

import host
from measure import Failed, Row, median, spread, timed_ms

RUNS = 9
AIDE_CONFIG = """
database_in=file:{base}/db
database_out=file:{base}/db
database_new=file:{base}/db
num_workers=2
report_url=file:{base}/report
{tree} p+u+g+s+n+ftype+sha256
"""


def unpack(image, base):
    """The image's files below base/tree; /dev and links are what they are."""
    image.host.ok("images", "export", "app", str(base / "layout"), timeout=300)
    layout = base / "layout"
    blobs = layout / "blobs" / "sha256"
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    tree = base / "tree"
    tree.mkdir()
    for layer in manifest["layers"]:
        with tarfile.open(blobs / layer["digest"][7:]) as tar:
            tar.extractall(tree, numeric_owner=True)
    shutil.rmtree(layout)
    return tree


def aide(image):
    if shutil.which("aide") is None:
        raise Failed("aide is not installed (tools/packages install bench)")
    version = subprocess.run(["aide", "--version"], capture_output=True, text=True).stderr
    with tempfile.TemporaryDirectory(prefix="ingot-bench-", dir="/tmp") as directory:
        base = pathlib.Path(directory)
        config = base / "aide.conf"
        config.write_text(AIDE_CONFIG.format(base=base, tree=unpack(image, base)))
        timed_ms(["aide", "--config", str(config), "--init"])
        times = [timed_ms(["aide", "--config", str(config), "--check"]) for _ in range(RUNS)]
    found = re.search(r"[Aa]ide\s+([\d.]+)", version)
    return median(times), f"AIDE {found[1] if found else ''}".strip() + ", 2 workers"


def run(context):
    image = context.debian()
    command = [str(host.INGOT), "verify", "app"]
    env = {"INGOT_ROOT": str(image.host.root)}
    timed_ms(command, env=env)
    times = [timed_ms(command, env=env) for _ in range(RUNS)]
    report = json.loads(image.host.ok("verify", "app", "--json").out)
    row = Row("verify_image", "ms", median(times), 200,
              note=f"{spread(times)}; {report['objects']} objects, {report['bytes'] / (1 << 20):.0f} MiB, page cache warm")
    try:
        row.peer, row.peer_name = aide(image)
    except Exception as error:
        row.note += f"; no peer: {error}"
    return row
