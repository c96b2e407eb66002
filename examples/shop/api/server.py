"""The back of the shop: a price list and orders."""
import hashlib
import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 9000
PRICE = 1999
with open(__file__, "rb") as code:
    REVISION = hashlib.sha256(code.read()).hexdigest()[:8]


def take_order(order):
    return 200, {"ordered": order["item"], "total": order["count"] * PRICE}


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, {"healthy": True})
        else:
            self.answer(200, {"item": "ingot", "price": PRICE})

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        self.answer(*take_order(order))

    def answer(self, status, document):
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Revision", REVISION)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    # Process 1 of an instance gets no default handlers: without this, only SIGKILL would end it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"api {REVISION} listens on {PORT}", flush=True)
    Server(("0.0.0.0", PORT), Api).serve_forever()
