"""A real Prometheus for a test, and what it scrapes: an exporter that asks the service under test and counts its answers."""
import base64
import collections
import crypt
import http.client
import http.server
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request

from host import free_port, wait_for

PROGRAM = shutil.which("prometheus")


class Exporter:
    """Sends requests to a port, counts the answers by revision, and serves the counts. Beside that, a verdict."""

    def __init__(self):
        self.counts = collections.defaultdict(lambda: [0, 0])  # by revision: answers, and errors among them
        self.verdict = 200
        self.lock = threading.Lock()
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = exporter.render() if self.path == "/metrics" else f"the verdict on {self.path}\n"
                self.send_response(200 if self.path == "/metrics" else exporter.verdict)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def render(self):
        with self.lock:
            lines = [f'shop_requests_total{{revision="{revision}"}} {all}\nshop_errors_total{{revision="{revision}"}} {bad}\n'
                     for revision, (all, bad) in self.counts.items()]
        return "".join(lines)

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def visiting(self, port):
        """While it lasts, requests go to the port."""
        return Visits(self, port)


class Visits:
    def __init__(self, exporter, port):
        self.exporter = exporter
        self.port = port
        self.over = threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.005):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
            except OSError:
                continue
            finally:
                connection.close()
            with self.exporter.lock:
                count = self.exporter.counts[answer.headers["X-Revision"] or "none"]
                count[0] += 1
                count[1] += answer.status >= 500

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Prometheus:
    USER = "ingot"
    PASSWORD = "s3cret"

    def __init__(self, scraped):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="ingot-prometheus-", dir="/tmp"))
        self.port = free_port()
        self.process = None
        (self.base / "prometheus.yml").write_text(f"""
global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}
scrape_configs: [{{ job_name: shop, static_configs: [{{ targets: ["127.0.0.1:{scraped}"] }}] }}]
""")
        hashed = crypt.crypt(self.PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
        (self.base / "web.yml").write_text(f"basic_auth_users: {{ {self.USER}: '{hashed}' }}\n")
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        log = open(self.base / "log", "ab")
        self.process = subprocess.Popen(
            [PROGRAM, f"--config.file={self.base}/prometheus.yml", f"--web.config.file={self.base}/web.yml",
             f"--storage.tsdb.path={self.base}/data", f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.base)
        log.close()

        def answers():
            assert self.process.poll() is None, (self.base / "log").read_text()[-3000:]
            try:
                return self.query("up") is not None
            except OSError:
                return False

        wait_for("Prometheus answers", answers)

    def query(self, query):
        """The samples of an instant query."""
        request = urllib.request.Request(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        word = base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)["data"]["result"]

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        try:
            if self.process.poll() is None:
                self.send(signal.SIGCONT)
                self.kill()
        finally:
            shutil.rmtree(self.base, ignore_errors=True)
