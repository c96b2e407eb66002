"""Who asked is told of what happens: webhooks, signed and tried again, and commands."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

from host import free_port, wait_for

NOTIFY = """
secrets: {{ hook: {{ file: hook.txt }} }}
notify:
  - {{ webhook: "http://127.0.0.1:{port}/hook?room=1", on: [rollout.completed, rollout.reverted], secret: hook }}
  - {{ run: [/bin/sh, -c, "cat >> {file}"], on: [rollout] }}
"""


class Hook:
    """Takes events; refuses the first `refusals`."""

    def __init__(self, port, refusals=0):
        outer = self
        self.got, self.refused, self.refusals = [], 0, refusals

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.refused < outer.refusals:
                    outer.refused += 1
                    self.send_response(503)
                else:
                    outer.got.append((self.path, dict(self.headers), body))
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kinds(self):
        return [json.loads(body)["event"]["kind"] for _, _, body in self.got]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_webhooks_and_commands(served):
    host = served
    port = free_port()
    file = host.base / "told"
    (host.project / "hook.txt").write_text("whsec_" + base64.b64encode(b"a key of ours").decode() + "\n")
    notify = NOTIFY.format(port=port, file=file)

    def define(revision, extra=notify, **more):
        host.one_service(revision, replicas=1, rollout="{ keep_old: 1s, drain: 1s }", **more)
        text = (host.project / "ingot.yaml").read_text()
        (host.project / "ingot.yaml").write_text(text + extra)

    hook = Hook(port, refusals=2)
    try:
        define("one")
        host.apply()
        wait_for("the hook was told", lambda: "rollout.completed" in hook.kinds())
        assert hook.refused == 2
        path, headers, body = hook.got[0]
        headers = {name.lower(): value for name, value in headers.items()}
        assert path == "/hook?room=1" and headers["content-type"] == "application/json"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.new(b"a key of ours", signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == "v1," + wanted
        told = json.loads(body)
        assert told["text"].startswith("shop/local rollout.completed") and told["event"]["environment"] == "shop/local"

        def by_command():
            return [json.loads(line)["event"]["kind"] for line in file.read_text().splitlines()] if file.exists() else []

        wait_for("the command was told all of it", lambda: "rollout.completed" in by_command())
        assert by_command()[0] == "rollout.planned"
    finally:
        hook.close()

    # Nobody takes it; the daemon is killed and started again: it is told all the same, and once what was told is not told
    # again.
    define("two")
    host.apply()
    wait_for("the second is complete", lambda: by_command().count("rollout.completed") == 2)
    host.kill_daemon()
    hook = Hook(port)
    try:
        host.start()
        wait_for("the hook was told", lambda: hook.kinds() == ["rollout.completed"])
        # At least once: twice when the daemon was killed between telling it and writing that down.
        assert by_command().count("rollout.completed") in (2, 3)
        # Nobody is told any more who is not named.
        define("three", extra="")
        host.apply()
        time.sleep(2)
        assert hook.kinds() == ["rollout.completed"]
    finally:
        hook.close()


def test_a_name_that_no_event_has_is_refused(served):
    host = served
    host.one_service("one", replicas=1)
    definition = host.project / "ingot.yaml"
    definition.write_text(definition.read_text() + 'notify: [{ webhook: "https://chat.example/h", on: [rollout.revert] }]\n')
    refused = host.run("validate")
    assert refused.code == 2 and "rollout.reverted" in refused.err, refused
