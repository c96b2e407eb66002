"""Listeners whose address changes to one that overlaps with it, through the real HAProxy."""
import socket
import subprocess
import threading
import time

import pytest

from host import free_port, wait_for


def listening(port):
    """The IPv4 addresses of this host's listeners on the port."""
    # Asked of the kernel by netlink: /proc/net/tcp lists all that was closed within the last minute too, in
    # pieces of 4 KiB, for each of which a thread of Python waits its turn.
    listed = subprocess.run(["ss", "-Hltn4", f"sport = {port}"], capture_output=True, text=True, check=True).stdout
    return {line.split()[3].rsplit(":", 1)[0] for line in listed.splitlines()}


class Connections:
    """New connections all the time, each with one request: what a listener could lose."""

    def __init__(self, port, head):
        self.port, self.head = port, head
        self.asked, self.failed, self.stop = 0, [], False
        self.threads = [threading.Thread(target=self.ask) for _ in range(4)]

    def ask(self):
        while not self.stop:
            answer = b""
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                    connection.sendall(self.head)
                    while some := connection.recv(65536):
                        answer += some
            except OSError as error:
                answer += repr(error).encode()
            self.asked += 1
            if not answer.startswith(b"HTTP/1.1 200"):
                self.failed.append(answer[:300])
            time.sleep(0.002)  # the ports of a client are few, and each is kept for a minute

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        for thread in self.threads:
            thread.join()


REQUEST = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"


def define(host, revision, listen, protocol="http"):
    host.one_service(revision=revision, replicas=1, rollout="{ keep_old: 1s, drain: 1s }")
    text = (host.project / "ingot.yaml").read_text().replace(f'"127.0.0.1:{host.port}", to: web', f'"{listen}", to: web' + (", protocol: tcp" if protocol == "tcp" else ""))
    if protocol == "tcp":
        text = text.replace("port: 8080", "ports: { any: { port: 8080, protocol: tcp } }").replace("http: /healthz,", "tcp: true,")
    host.define(text)


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_listener_becomes_narrower_and_wider_in_one_release(host, protocol):
    port = host.port
    define(host, "one", f":{port}", protocol)
    host.start()
    host.apply()
    assert listening(port) == {"0.0.0.0"}
    with Connections(port, REQUEST) as load:
        for revision, address in (("two", "127.0.0.1"), ("three", "0.0.0.0"), ("four", "127.0.0.1")):
            define(host, revision, f"{'' if address == '0.0.0.0' else address}:{port}", protocol)
            host.apply()
            assert host.get()[:2] == (200, revision)
            wait_for("the former one is closed", lambda: listening(port) == {address})
            assert host.get()[:2] == (200, revision)
    assert load.asked > 100 and not load.failed, (load.asked, load.failed[:3])
    # The last one is back after a rollback to what had the other one, too.
    host.ok("rollback")
    assert host.get()[:2] == (200, "three")
    wait_for("it is open", lambda: "0.0.0.0" in listening(port))


def test_the_hosts_own_listener_changes_with_the_next_daemon(host):
    port = free_port()
    config = host.base / "host.yaml"

    def start(address):
        config.write_text(f'version: 1\nrouter: {{ http: ["{address}:{port}"] }}\n')
        host.start({"INGOT_HOST_CONFIG": str(config)})

    host.one_service(replicas=1)
    text = (host.project / "ingot.yaml").read_text()
    host.define(text[:text.index("routes:")] + "routes:\n  - { host: shop.example, to: web }\n")
    start("")
    host.apply()
    assert listening(port) == {"0.0.0.0"}
    with Connections(port, REQUEST) as load:
        for address in ("127.0.0.1", "", "127.0.0.1"):
            host.kill_daemon()
            start(address)
            wait_for("the former one is closed", lambda: listening(port) == {address or "0.0.0.0"})
    assert load.asked > 100 and not load.failed, (load.asked, load.failed[:3])
