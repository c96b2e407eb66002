"""A real ACME authority for a test: Debian's pebble, with a name server that sends every name to this host."""
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import urllib.request

from host import free_port, wait_for

PROGRAMS = [shutil.which("pebble"), shutil.which("pebble-challtestsrv")]



class Pebble:
    """`http_port`: where it asks for proofs. `validity`: of certificates, in seconds."""

    def __init__(self, http_port, validity=3600, refused=(), nonce_rejects=20):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ingot-pebble-", dir="/tmp"))
        self.port, self.management, self.dns = free_port(), free_port(), free_port()
        self.ca = self.folder / "ca.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", self.folder / "key.pem", "-out", self.ca, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.ca), "privateKey": str(self.folder / "key.pem"), "httpPort": http_port,
            "tlsPort": free_port(), "domainBlocklist": list(refused), "certificateValidityPeriod": validity}}))
        self.nonce_rejects = nonce_rejects
        self.names = subprocess.Popen(
            [PROGRAMS[1], "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{self.dns}", "-http01",
             "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{free_port()}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.start()

    @property
    def directory(self):
        return f"https://localhost:{self.port}/dir"

    def start(self):
        log = open(self.folder / "log", "ab")
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(self.nonce_rejects),
               "PEBBLE_AUTHZREUSE": "0"}
        self.process = subprocess.Popen([PROGRAMS[0], "-config", self.folder / "pebble.json", "-dnsserver",
                                         f"127.0.0.1:{self.dns}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        log.close()
        wait_for("pebble answers", lambda: self.fetch(self.directory))

    def fetch(self, url):
        try:
            context = ssl.create_default_context(cafile=str(self.ca))
            with urllib.request.urlopen(url, context=context, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def root(self):
        """A file with the root that what it issues is verified by: another one after each start."""
        file = self.folder / "root.pem"
        file.write_text(self.fetch(f"https://localhost:{self.management}/roots/0"))
        return file

    def log(self):
        return (self.folder / "log").read_text()

    def stop(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.stop()
        self.names.kill()
        self.names.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
