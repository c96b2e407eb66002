"""Registries under test: Debian's docker-registry, and one in Python that misbehaves on request."""
import base64
import gzip
import hashlib
import http.server
import io
import json
import pathlib
import shutil
import subprocess
import tarfile
import threading
import time
import warnings

from host import free_port, wait_for

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files):
    """{path: bytes, or (bytes, mode), or a TarInfo} → a tar as GNU tar writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, value in files.items():
            if isinstance(value, tarfile.TarInfo):
                tar.addfile(value)
                continue
            data, mode = value if isinstance(value, tuple) else (value, 0o644)
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(data), mode, 1_700_000_000
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def bomb():
    """A gzip of about a megabyte that is a file of 1,200 MiB of zeros, as a layer."""
    entry = tarfile.TarInfo("zeros")
    entry.size = 1200 << 20
    piece = gzip.compress(bytes(10 << 20), 9, mtime=0)
    return gzip.compress(entry.tobuf(tarfile.GNU_FORMAT), mtime=0) + piece * 120, "sha256:" + "0" * 64


class Image:
    """An image as its documents: `manifest` (bytes), `type`, `blobs` by digest."""

    def __init__(self, layers, cmd=("/app",), user="1000:1000", architecture="amd64", compression="gzip", docker=False):
        self.blobs = {}
        entries, diff_ids = [], []
        for layer in layers:
            if isinstance(layer, tuple):  # a blob as it is, and what the configuration says of it
                blob, diff_id = layer
                diff_ids.append(diff_id)
                entries.append(self.add(blob, LAYER + "+gzip"))
                continue
            tar = tar_of(layer) if isinstance(layer, dict) else layer
            diff_ids.append(digest(tar))
            if compression == "gzip":
                blob, kind = gzip.compress(tar, 6, mtime=0), DOCKER_LAYER if docker else LAYER + "+gzip"
            elif compression == "zstd":
                blob = subprocess.run(["zstd", "-q", "-c"], input=tar, capture_output=True, check=True).stdout
                kind = LAYER + "+zstd"
            else:
                blob, kind = tar, LAYER
            entries.append(self.add(blob, kind))
        config = json.dumps({"architecture": architecture, "os": "linux", "config": {"Cmd": list(cmd), "User": user},
                             "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        self.type = DOCKER_MANIFEST if docker else MANIFEST
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": self.type,
                                    "config": self.add(config, DOCKER_CONFIG if docker else CONFIG),
                                    "layers": entries}).encode()
        self.layers = entries
        self.digest = digest(self.manifest)

    def add(self, blob, kind):
        self.blobs[digest(blob)] = blob
        return {"mediaType": kind, "digest": digest(blob), "size": len(blob)}

    def largest(self):
        return max(self.layers, key=lambda layer: layer["size"])["digest"]

    def write(self, directory):
        """As an OCI layout."""
        blobs = pathlib.Path(directory) / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for name, blob in {**self.blobs, self.digest: self.manifest}.items():
            (blobs / name[7:]).write_bytes(blob)
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (directory / "index.json").write_text(json.dumps(
            {"schemaVersion": 2, "manifests": [{"mediaType": self.type, "digest": self.digest, "size": len(self.manifest)}]}))


def log_in(directory, registry, user="user", password="secret"):
    """A config.json as `docker login` writes it; returns the environment that names it."""
    directory.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (directory / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    return {"DOCKER_CONFIG": str(directory)}


class DockerRegistry:
    """Debian's docker-registry on loopback; with `password` it wants user:password, with `tls` it speaks TLS."""

    def __init__(self, base, password=None, tls=False):
        self.base = pathlib.Path(base)
        self.base.mkdir()
        self.port = free_port()
        self.name = f"127.0.0.1:{self.port}"
        self.password = password
        self.tls = tls
        config = {"version": 0.1, "log": {"level": "error"},
                  "storage": {"filesystem": {"rootdirectory": str(self.base / "data")}},
                  "http": {"addr": self.name}}
        if password:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # gone with Python 3.13, as is Debian 12 by then
                import crypt
            hashed = crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
            (self.base / "htpasswd").write_text(f"user:{hashed.replace('$2b$', '$2y$', 1)}\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(self.base / "htpasswd")}}
        if tls:
            self.certificate = self.base / "registry.crt"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-days", "2", "-subj", "/CN=test registry", "-addext", "subjectAltName=IP:127.0.0.1",
                            "-keyout", self.base / "registry.key", "-out", self.certificate], check=True, capture_output=True)
            config["http"]["tls"] = {"certificate": str(self.certificate), "key": str(self.base / "registry.key")}
        (self.base / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        self.process = None
        self.start()

    def start(self):
        log = open(self.base / "log", "ab")
        self.process = subprocess.Popen(["docker-registry", "serve", str(self.base / "config.yml")],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

        def answers():
            assert self.process.poll() is None, (self.base / "log").read_text()
            import socket
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("docker-registry listens", answers)

    def push(self, image, name):
        layout = self.base / "layout"
        shutil.rmtree(layout, ignore_errors=True)
        image.write(layout)
        command = ["skopeo", "--insecure-policy", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false"]
        if self.password:
            command += ["--dest-creds", f"user:{self.password}"]
        subprocess.run(command + [f"oci:{layout}", f"docker://{self.name}/{name}"], check=True, capture_output=True,
                       timeout=120)

    def close(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None


class BadRegistry:
    """A registry in Python. What is asked is kept in `asked` as (path, headers); `misbehave(handler, path, body)` may
    answer in its place and returns whether it did."""

    def __init__(self, token=False):
        self.images = {}
        self.blobs = {}
        self.asked = []
        self.token = token
        self.misbehave = None
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", headers=()):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                registry.asked.append((self.path, dict(self.headers)))
                try:
                    registry.serve(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.name = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, image, name):
        repository, tag = name.split(":")
        for key in (tag, image.digest):
            self.images[repository, key] = (image.type, image.manifest)
        self.blobs.update(image.blobs)

    def put_index(self, images, name):
        """`images`: {"linux/amd64": Image}."""
        entries = []
        repository = name.split(":")[0]
        for platform, image in images.items():
            self.put(image, f"{repository}:unused")
            system, architecture = platform.split("/")
            entries.append({"mediaType": image.type, "digest": image.digest, "size": len(image.manifest),
                            "platform": {"os": system, "architecture": architecture}})
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        for key in (name.split(":")[1], digest(body)):
            self.images[repository, key] = (INDEX, body)
        return digest(body)

    def serve(self, handler):
        path = handler.path
        authorization = handler.headers.get("Authorization", "")
        if path.startswith("/token"):
            if authorization != "Basic " + base64.b64encode(b"user:secret").decode():
                return handler.answer(401, b'{"details":"incorrect username or password"}')
            return handler.answer(200, json.dumps({"token": "the-token", "expires_in": 60}).encode())
        if self.token and authorization != "Bearer the-token":
            challenge = f'Bearer realm="http://{self.name}/token",service="test"'
            return handler.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
                                  [("WWW-Authenticate", challenge)])
        if path == "/v2/":
            return handler.answer(200)
        repository, kind, key = path[4:].rsplit("/", 2)
        if kind == "manifests" and (repository, key) in self.images:
            media_type, body = self.images[repository, key]
            headers = [("Content-Type", media_type)]
        elif kind == "blobs" and key in self.blobs:
            body, headers = self.blobs[key], []
        else:
            return handler.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        if self.misbehave is not None and self.misbehave(handler, path, body):
            return None
        begin = handler.headers.get("Range", "")
        if begin:
            at = int(begin[len("bytes="):-1])
            headers.append(("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}"))
            return handler.answer(206, body[at:], headers)
        return handler.answer(200, body, headers)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def cut_off(handler, body, at):
    """Promises the whole body, sends a part of it, and is gone."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:at])
    handler.wfile.flush()
    handler.close_connection = True


def stall(handler, body, at, seconds):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:at])
    handler.wfile.flush()
    time.sleep(seconds)
    handler.close_connection = True
