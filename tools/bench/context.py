"""What rows share, made when the first of them asks: the image on a Debian base, and the peer."""
import contextlib
import subprocess
import sys

import docker
from host import Host
from measure import Failed

DEFINITION = """
version: 1
project: bench
images:
  base: { from: "debian:bookworm", packages: [python3-minimal, curl, jq, vim-tiny, busybox-static, rsync] }
  app: { build: app/ }
"""


def say(text):
    """Progress, beside the table or the JSON on stdout."""
    print(text, file=sys.stderr, flush=True)


class DebianImage:
    """`app`: one copied file on a base of 150 MB, built once. No daemon."""

    def __init__(self):
        self.host = Host()
        self.app = self.host.project / "app"
        self.app.unlink()
        self.app.mkdir()
        (self.host.project / "ingot.yaml").write_text(DEFINITION)
        (self.app / "Dockerfile").write_text('FROM base\nCOPY server.py /srv/server.py\nCMD ["python3", "/srv/server.py"]\n')
        self.versions = 0
        self.change_a_line()
        say("  a Debian base is assembled (once) …")
        self.host.ok("build", timeout=900)
        images = self.host.ok("images", "ls", "--json").json()["images"]
        self.bytes = next(i["size_bytes"] for i in images if "bench/base:latest" in i["names"])
        if self.bytes < 150_000_000:
            raise Failed(f"the base has {self.bytes} bytes, expected at least 150 MB")
        # The store as it is after one version, for the row that counts what more of them cost.
        self.first_root = self.host.base / "first"
        subprocess.run(["cp", "-a", str(self.host.root), str(self.first_root)], check=True)

    def change_a_line(self):
        self.versions += 1
        (self.app / "server.py").write_text(
            "import http.server\n" + "# a line like others\n" * 100 + f"VERSION = {self.versions}\n" +
            "http.server.HTTPServer(('', 8080), http.server.SimpleHTTPRequestHandler).serve_forever()\n")


class Context:
    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.image = None
        self.peer = None
        self.why_absent = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def debian(self):
        if self.image is None:
            image = DebianImage()
            self.stack.callback(image.host.close)
            self.image = image
        return self.image

    def docker(self):
        """The running peer; raises docker.Absent, each time with the first reason."""
        if self.why_absent is not None:
            raise docker.Absent(self.why_absent)
        if self.peer is None:
            say("  the peer's daemon is started …")
            try:
                self.peer = docker.Docker()
            except docker.Absent as absent:
                self.why_absent = str(absent)
                raise
            self.stack.callback(self.peer.close)
        return self.peer

    def beside(self, row, measure):
        """Fills in the peer's figure; that it fails is a note, never the end."""
        try:
            peer = self.docker()
            row.peer, row.peer_name = measure(peer)
        except docker.Absent as absent:
            row.note += f"; no peer: {absent}"
        return row
