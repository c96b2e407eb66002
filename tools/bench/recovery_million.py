"""From the start of the registry to its first answer after kill -9 in the middle of a push, on a store with a million
objects and a million rows of blobs; beside it, in the note, the same on an empty store."""
import hashlib
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

import host
from measure import Failed, Row, median, spread

OBJECTS = 1_000_000
RUNS = 5


def start(root, port):
    return subprocess.Popen([str(host.INGOT), "--root", str(root), "registry", "serve", "--listen", f"127.0.0.1:{port}"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def until_answered(process, port):
    begin = time.perf_counter_ns()
    while not answers(port):
        if process.poll() is not None:
            raise Failed("the registry does not start")
        time.sleep(0.001)
    return (time.perf_counter_ns() - begin) / 1e6


def push_half(port):
    """An upload that is never finished."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    digest = hashlib.sha256(b"never").hexdigest()
    connection.sendall(f"POST /v2/a/blobs/uploads/?digest=sha256:{digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n"
                       "\r\n".encode() + bytes(1_000_000))
    time.sleep(0.05)
    return connection


def recover(root):
    times = []
    for _ in range(RUNS):
        port = host.free_port()
        process = start(root, port)
        until_answered(process, port)
        half = push_half(port)
        process.send_signal(signal.SIGKILL)
        process.wait()
        half.close()
        port = host.free_port()
        begin = time.perf_counter_ns()
        process = start(root, port)
        until_answered(process, port)
        times.append((time.perf_counter_ns() - begin) / 1e6)
        process.terminate()
        process.wait(timeout=60)
    return times


def fill(root):
    """Objects of one byte by hard links: as many names, inodes enough for the folders to be as large."""
    objects = root / "objects"
    for folder in range(256):
        path = objects / f"{folder:02x}"
        path.mkdir(parents=True, exist_ok=True)
        source = path / f"{0:062x}"
        source.write_bytes(b"x")
        for number in range(1, OBJECTS // 256):
            os.link(source, path / f"{number:062x}")
    with sqlite3.connect(root / "store.db") as database:
        database.executemany(
            "INSERT INTO repository_blobs(repository, digest, size_bytes, created) VALUES(?, ?, 1, 0)",
            ((f"many/r{number % 100}", f"sha256:{number:064x}") for number in range(OBJECTS)))
    database.close()


def run(_):
    with tempfile.TemporaryDirectory(prefix="ingot-bench-", dir="/tmp") as directory:
        root = pathlib.Path(directory) / "root"
        empty = recover(root)
        fill(root)
        times = recover(root)
    return Row("recovery_million", "ms", median(times), 1000,
               note=f"{spread(times)}; empty store {median(empty):.1f} ms")
