"""A daemon of its own and a service of the static test program in it, for the rows about what runs."""
import contextlib

from host import Host, wait_for

DEFINITION = """
version: 1
project: bench
images:
  app: {{ build: . }}
services:
  web:
    image: app
    replicas: {replicas}
    port: 8080
    environment: {{ REVISION: "{revision}", LISTEN_AFTER_MS: "{listen_after_ms}"{env} }}
    health: {{ ready: {{ http: /healthz, deadline: 10s }} }}
    rollout: {{ keep_old: {keep_old}, drain: 2s{rollout} }}
    {extra}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
"""


class Service:
    def __init__(self, host, **settings):
        self.host = host
        self.settings = {"replicas": 2, "revision": "r0", "listen_after_ms": 0, "keep_old": "10s", "env": "", "rollout": "", "extra": "",
                         **settings}
        self.page("first")
        self.define()

    def define(self, **settings):
        self.settings.update(settings)
        self.host.define(DEFINITION.format(**self.settings),
                         'FROM scratch\nCOPY app /app\nCOPY page.txt /page.txt\nUSER 1000:1000\nCMD ["/app"]\n')
        (self.host.project / ".dockerignore").write_text("*\n!app\n!page.txt\n")

    def page(self, text):
        """The content of a file in the image; GET /read?/page.txt answers with it."""
        (self.host.project / "page.txt").write_text(f"a page\n{text}\n")

    def wait_ready(self, count):
        wait_for(f"{count} instances are ready", lambda: len(self.host.instances("web", "ready")) == count, 60)

    def wait_alone(self):
        """No former fleet is left, so that retiring one does not disturb what is measured next."""
        wait_for("former fleets are gone", lambda: len(self.host.status()["revisions"]) == 1
                 and not self.host.status()["fleets"], 60)


@contextlib.contextmanager
def served(**settings):
    host = Host()
    try:
        host.start()
        service = Service(host, **settings)
        host.apply()
        yield service
    finally:
        host.close()
