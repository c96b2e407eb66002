"""The front of the shop: asks the api for the price, passes orders on.

Every answer names the code and configuration that gave it (X-Revision), so that a client can tell revisions apart.
"""
import hashlib
import http.client
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PORT = 8080
LOG_LEVEL = os.environ.get("LOG_LEVEL", "info")
API = urlsplit(os.environ.get("API_URL", "http://api:9000"))
with open(__file__, "rb") as code:
    REVISION = hashlib.sha256(code.read() + LOG_LEVEL.encode() + API.netloc.encode()).hexdigest()[:8]


def ask_api(method, path, body=None):
    """One exchange with the api; returns (status, body, the api's revision)."""
    connection = http.client.HTTPConnection(API.hostname, API.port, timeout=5)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("X-Revision", "")
    finally:
        connection.close()


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/version":
            self.answer(200, {"revision": REVISION})
        elif self.path == "/healthz":
            self.pass_on("GET", "/healthz", failure=503)
        else:
            self.pass_on("GET", "/price")

    def do_POST(self):
        self.pass_on("POST", "/order", self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def pass_on(self, method, path, body=None, failure=502):
        try:
            status, answer, api_revision = ask_api(method, path, body)
        except OSError as error:
            self.answer(failure, {"error": f"the api does not answer: {error}"})
            return
        self.answer(status, {"web": REVISION, "api": api_revision, "answer": json.loads(answer)})

    def answer(self, status, document):
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Revision", REVISION)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        if LOG_LEVEL == "debug":
            print(f"{self.command} {self.path} {format % args}", flush=True)


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    if "--check" in sys.argv:
        print(f"web {REVISION}")
        sys.exit(0)
    # Process 1 of an instance gets no default handlers: without this, only SIGKILL would end it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"web {REVISION} listens on {PORT}, log level {LOG_LEVEL}", flush=True)
    Server(("0.0.0.0", PORT), Shop).serve_forever()
