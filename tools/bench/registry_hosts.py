"""The registries that are measured: Ingot's and, as the peer, Debian's docker-registry, each on loopback with a folder
of its own."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import host
from measure import Failed

PEER = "/usr/bin/docker-registry"
BLOB_BYTES = 512 << 20
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"

PEER_CONFIG = """
version: 0.1
log: {{ level: error, accesslog: {{ disabled: true }} }}
storage:
  filesystem: {{ rootdirectory: {directory} }}
  delete: {{ enabled: true }}
http: {{ addr: {address} }}
"""


class Absent(Exception):
    """The peer cannot be measured on this machine; the text says why."""


class Registry:
    def __init__(self, name):
        self.name = name
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="ingot-bench-", dir="/tmp"))
        self.address = f"127.0.0.1:{host.free_port()}"
        if name == "ingot":
            command = [str(host.INGOT), "--root", str(self.base / "root"), "registry", "serve", "--listen", self.address]
        else:
            if not os.access(PEER, os.X_OK):
                raise Absent(f"{PEER} is not installed (tools/packages install bench)")
            config = self.base / "config.yml"
            config.write_text(PEER_CONFIG.format(directory=self.base / "data", address=self.address))
            command = [PEER, "serve", str(config)]
        with open(self.base / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    text = (self.base / "log").read_text(errors="replace")[-300:]
                    self.close()
                    raise (Failed if name == "ingot" else Absent)(f"{name} does not answer: {text}") from None
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)
        shutil.rmtree(self.base, ignore_errors=True)

    def post(self, repository):
        """The place of a new upload."""
        request = urllib.request.Request(f"http://{self.address}/v2/{repository}/blobs/uploads/", data=b"", method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return urllib.parse.urljoin(request.full_url, answer.headers["Location"])

    def push_file(self, repository, file, digest):
        """Milliseconds of the request that brings the whole file, as its client counts them."""
        place = self.post(repository)
        return curl("-X", "PUT", "-T", str(file), "-H", "Content-Type: application/octet-stream", "-H", "Expect:",
                    place + ("&" if "?" in place else "?") + "digest=" + digest, expect="201")

    def pull(self, repository, digest):
        return curl(f"http://{self.address}/v2/{repository}/blobs/{digest}", expect="200")

    def push_manifest(self, repository, tag):
        config = b"{}"
        digest = "sha256:" + hashlib.sha256(config).hexdigest()
        place = self.post(repository)
        self.put(place + ("&" if "?" in place else "?") + "digest=" + digest, config, "application/octet-stream")
        manifest = ('{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"application/vnd.oci.image.config.v1+json",'
                    '"digest":"%s","size":2},"layers":[]}' % (MANIFEST_TYPE, digest)).encode()
        self.put(f"http://{self.address}/v2/{repository}/manifests/{tag}", manifest, MANIFEST_TYPE)

    @staticmethod
    def put(url, body, media_type):
        request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": media_type})
        urllib.request.urlopen(request, timeout=30).close()


def curl(*args, expect):
    done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", *args], capture_output=True,
                          text=True)
    code, seconds = done.stdout.split()
    if done.returncode != 0 or code != expect:
        raise Failed(f"curl {' '.join(args)}: exit {done.returncode}, status {code}")
    return float(seconds) * 1000


def random_file(directory):
    """(path, digest) of 512 MB that nothing compresses."""
    path = directory / "blob"
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(BLOB_BYTES >> 20):
            piece = os.urandom(1 << 20)
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return path, "sha256:" + digest.hexdigest()


def requests_per_second(url):
    """wrk with one thread and 64 kept connections, five seconds."""
    if shutil.which("wrk") is None:
        raise Failed("wrk is not installed (tools/packages install test)")
    accept = ["-H", f"Accept: {MANIFEST_TYPE}"]
    done = subprocess.run(["wrk", "-t1", "-c64", "-d5s", *accept, url], capture_output=True, text=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if done.returncode != 0 or rate is None or "Non-2xx" in done.stdout:
        raise Failed("wrk: " + done.stdout[-500:] + done.stderr[-500:])
    return float(rate[1])


def peer_of(row, measure):
    """Fills in the peer's figure; that it fails is a note, never the end."""
    try:
        with Registry("docker-registry") as registry:
            row.peer, row.peer_name = measure(registry), "docker-registry"
    except Exception as error:
        row.note += f"; no peer: {error}"
    return row
