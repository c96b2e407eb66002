"""A real PostgreSQL for a test: a cluster of its own in a temporary folder, listening on loopback."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from host import free_port


def binaries():
    """The folder of initdb and postgres; None when it is not installed."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


class Postgres:
    PASSWORD = "se cret'1"

    def __init__(self):
        self.bin = binaries()
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="ingot-pg-", dir="/tmp"))
        shutil.chown(self.base, "postgres", "postgres")
        self.data = self.base / "data"
        self.port = free_port()
        self.process = None
        password = self.base / "password"
        password.write_text(self.PASSWORD)
        shutil.chown(password, "postgres", "postgres")
        # It refuses to be run by root. Nothing of a test has to survive a crash of the machine.
        subprocess.run(self.as_user(self.bin / "initdb", "-D", self.data, "-U", "shop", "-A", "scram-sha-256",
                                    f"--pwfile={password}", "-N", "-E", "UTF8", "--locale=C"),
                       check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.start()
        self.sql("CREATE DATABASE shop", database="postgres")

    def as_user(self, *words):
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *map(str, words)]

    def start(self):
        log = open(self.base / "log", "ab")
        self.process = subprocess.Popen(
            self.as_user(self.bin / "postgres", "-D", self.data, "-p", self.port, "-c", "listen_addresses=127.0.0.1",
                         "-c", f"unix_socket_directories={self.base}", "-c", "fsync=off"),
            stdout=log, stderr=log, cwd="/")
        log.close()
        deadline = time.monotonic() + 30
        while subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode != 0:
            assert time.monotonic() < deadline and self.process.poll() is None, (self.base / "log").read_text()
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    def command(self, sql, database="shop"):
        return [str(self.bin / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "shop", "-d", database, "-Atq",
                "-v", "ON_ERROR_STOP=1", "-c", sql]

    def sql(self, sql, database="shop"):
        """The rows, as text."""
        done = subprocess.run(self.command(sql, database), capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PGPASSWORD": self.PASSWORD})
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def open(self, sql):
        """A session that runs the SQL on its own; the process is the caller's."""
        return subprocess.Popen(self.command(sql), env={**os.environ, "PGPASSWORD": self.PASSWORD},
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def url(self):
        return f"postgres://shop@127.0.0.1:{self.port}/shop"

    def close(self):
        try:
            self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.base, ignore_errors=True)
