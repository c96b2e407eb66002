"""`ingot apply -e` to a daemon on the same machine by TLS, from a root directory without one, from its start to its end, when
all traffic is on the new fleet; the build and what is sent count.

A line of a copied file has changed; 4 instances of a program that listens after 20 ms.
"""
import contextlib
import subprocess

import host
from measure import Failed, Row, median, spread, timed_ms
from service import DEFINITION, Service, wait_for

RUNS = 15


class Far(host.Host):
    """A host with its API by TLS."""

    def __init__(self):
        super().__init__()
        self.api = host.free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "2", "-keyout", "far.key", "-out", "far.crt", "-subj", "/CN=far", "-addext", "subjectAltName=IP:127.0.0.1"],
                       cwd=self.base, check=True, capture_output=True)
        (self.base / "host.yaml").write_text(f'version: 1\napi: {{ listen: ["127.0.0.1:{self.api}"], tls: {{ certificate: far.crt, '
                                             "key: far.key } }\n")
        self.start(env={"INGOT_HOST_CONFIG": str(self.base / "host.yaml")})
        self.token = self.ok("token", "create", "bench", "--in", "bench/far").out.strip()


class RemoteService(Service):
    def __init__(self, near, far, **settings):
        self.far = far
        super().__init__(near, **settings)

    def define(self, **settings):
        self.settings.update(settings)
        self.host.define(DEFINITION.format(**self.settings) + f'environments: {{ far: {{ host: "https://127.0.0.1:{self.far.api}" }} }}\n',
                         'FROM scratch\nCOPY app /app\nCOPY page.txt /page.txt\nUSER 1000:1000\nCMD ["/app"]\n')
        (self.host.project / ".dockerignore").write_text("*\n!app\n!page.txt\n")


def run(_context):
    times = []
    with contextlib.ExitStack() as stack:
        far = Far()
        stack.callback(far.close)
        near = host.Host()
        stack.callback(near.close)
        service = RemoteService(near, far, replicas=4, listen_after_ms=20, keep_old="0s")
        who = {"INGOT_ROOT": str(near.root), "INGOT_TOKEN": far.token, "INGOT_CA": str(far.base / "far.crt")}

        def alone():
            done = near.run("status", "-e", "far", "--json", env=who)
            return done.code == 0 and len(done.json()["revisions"]) == 1 and not done.json()["fleets"]

        for n in range(RUNS + 2):  # the first two are not counted: all is sent, and what is warm comes to be
            if n > 0:
                wait_for("former fleets are gone", alone, 60)
            service.page(f"version {n}")
            times.append(timed_ms([str(host.INGOT), "apply", "-e", "far", "--yes"], near.project, who))
            for _ in range(8):
                status, _, body = near.get("/read?/page.txt")
                if status != 200 or f"version {n}\n" not in body:
                    raise Failed(f"after apply version {n} was expected, not {status} {body!r}")
    times = times[2:]
    return Row("remote_apply", "ms", median(times), 500, note=spread(times))
