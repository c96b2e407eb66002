"""An image of 500 MB in ten layers (files of this machine's /usr, gzip) pulled from docker-registry on loopback into an empty
store: the whole process, durable. Beside it `docker pull`, and `skopeo copy` to a directory, which unpacks nothing."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time

import docker
import host
from measure import Failed, Row, median, spread, timed_ms
from registries import CONFIG, LAYER, MANIFEST, DockerRegistry

RUNS = 3
# ext4 looks for an inode beside those that were freed within five seconds: what a run removed would slow the next one.
REST_S = 6
LAYERS = 10
LAYER_BYTES = 50 << 20
FOLDERS = ("/usr/lib", "/usr/share", "/usr/bin", "/usr/include")


def some_files():
    """Regular files of the machine, as (path, size), the largest left out."""
    for folder in FOLDERS:
        for directory, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                path = pathlib.Path(directory, name)
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 8 << 20:
                    yield path, path.stat().st_size


def write_layout(folder):
    """An OCI layout; returns (bytes unpacked, bytes packed, files)."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def add(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": kind, "digest": "sha256:" + digest, "size": len(data)}

    layers, diff_ids, unpacked, count, files = [], [], 0, 0, some_files()
    for _ in range(LAYERS):
        out, size = io.BytesIO(), 0
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            while size < LAYER_BYTES:
                path, bytes_ = next(files)
                entry = tarfile.TarInfo(str(path).lstrip("/"))
                entry.size, entry.mode, entry.mtime = bytes_, 0o755, 1_700_000_000
                with open(path, "rb") as file:
                    tar.addfile(entry, file)
                size, count = size + bytes_, count + 1
        data = out.getvalue()
        unpacked += len(data)
        diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        layers.append(add(gzip.compress(data, 6, mtime=0), LAYER + "+gzip"))
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/usr/bin/true"]},
                         "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    manifest = add(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": add(config, CONFIG), "layers": layers}).encode(),
                   MANIFEST)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {**manifest, "annotations": {"org.opencontainers.image.ref.name": "v1"}}]}))
    return unpacked, sum(layer["size"] for layer in layers), count


def run(context):
    base = pathlib.Path(tempfile.mkdtemp(prefix="ingot-bench-", dir="/tmp"))
    registry = None
    try:
        unpacked, packed, files = write_layout(base / "layout")
        registry = DockerRegistry(base / "registry")
        name = f"{registry.name}/bench/app:v1"
        timed_ms(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"oci:{base / 'layout'}:v1",
                  f"docker://{name}"])

        def ingot():
            time.sleep(REST_S)
            took = timed_ms([str(host.INGOT), "--root", str(base / "root"), "images", "pull", name], base)
            shutil.rmtree(base / "root")
            return took

        def skopeo():
            took = timed_ms(["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://{name}",
                             f"dir:{base / 'dir'}"])
            shutil.rmtree(base / "dir")
            return took

        pairs = [(ingot(), skopeo()) for _ in range(RUNS + 1)][1:]
        times, copies = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        row = Row("pull_image", "ms", median(times), 0.7 * median(copies),
                  note=f"{spread(times)}; {unpacked / 1e6:.0f} MB in {files} files, {packed / 1e6:.0f} MB as gzip; "
                       f"skopeo {median(copies):.0f} ms (goal 0.7 x)")

        def peer(of):
            taken = []
            for _ in range(RUNS + 1):
                time.sleep(REST_S)
                taken.append(of.timed_ms("pull", "-q", name))
                if of.run("rmi", name).returncode != 0:
                    raise docker.Absent("docker rmi failed")
            return median(taken[1:]), f"docker pull ({of.name})"

        row = context.beside(row, peer)
        if row.peer is not None:
            row.goal = min(row.goal, 0.5 * row.peer)
        return row
    except StopIteration:
        raise Failed("this machine's /usr has too few files for the image") from None
    finally:
        if registry is not None:
            registry.close()
        shutil.rmtree(base, ignore_errors=True)
