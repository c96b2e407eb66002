"""What the tests of tests/crash share: a program under ingot_fault, and what must hold of a root afterwards."""
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

from host import BUILD, INGOT, free_port, wait_for

FAULT = BUILD / "tests" / "ingot_fault"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
# Every point: INGOT_FAULTS=all. Otherwise some of them, chosen by the seed that is printed.
EVERY_POINT = os.environ.get("INGOT_FAULTS") == "all"
SEED = int(os.environ.get("INGOT_FAULTS_SEED", random.randrange(1 << 30)))


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Points:
    """Which (mode, call) to try, of `count` calls: all of them, or so many of each mode."""

    def __init__(self, name, each):
        self.random = random.Random(f"{SEED} {name}")
        self.each = each
        print(f"\n{name}: INGOT_FAULTS_SEED={SEED}" + (", every point" if EVERY_POINT else ""))

    def choose(self, numbers):
        numbers = list(numbers)
        if EVERY_POINT or len(numbers) <= self.each:
            return numbers
        return sorted(self.random.sample(numbers, self.each))


def fault_command(root, report, at=0, what="none", seed=1):
    return [str(FAULT), "--below", str(root), "--report", str(report), "--at", str(at), "--do", what, "--seed", str(seed),
            "--"]


def calls(report):
    """[(number, call, path)] of a report."""
    found = []
    for line in pathlib.Path(report).read_text().splitlines():
        words = line.split(" ", 2)
        if words[0].isdigit():
            found.append((int(words[0]), words[1], words[2] if len(words) > 2 else ""))
    return found


class Server:
    """`ingot registry serve` on a root, under ingot_fault or alone."""

    def __init__(self, root, log, prefix=()):
        self.port = free_port()
        self.root = root
        self.traced = bool(prefix)
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [*prefix, str(INGOT), "--root", str(root), "registry", "serve", "--listen", f"127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def answers(self):
        """Waits until it answers, or has ended: then False."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            if self.call("GET", "/v2/")[0] == 200:
                return True
            time.sleep(0.003)
        raise AssertionError("the registry neither answers nor ends")

    def call(self, method, path, body=None, headers=None):
        """(status, headers, body); status 0 when there was no whole answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except (OSError, http.client.HTTPException):
            return 0, {}, b""
        finally:
            connection.close()

    def pid(self):
        if not self.traced:
            return self.process.pid
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def stop(self):
        """SIGTERM, and how it ended."""
        # A fault may be ending it just now.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            pid = self.pid() if self.process.poll() is None else None
            if pid is not None:
                os.kill(pid, signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Promises:
    """What a registry has said that it keeps."""

    def __init__(self):
        self.blobs = {}    # (repository, digest): bytes
        self.tags = {}     # (repository, tag): the digests that it may lead to
        self.gone = set()  # (repository, tag) that were deleted
        self.errors = []   # (status, body) of refusals

    def check(self, server, point):
        for (repository, digest), data in self.blobs.items():
            kind = "manifests" if data.startswith(b'{"schemaVersion"') else "blobs"
            status, headers, body = server.call("GET", f"/v2/{repository}/{kind}/{digest}")
            assert status == 200 and body == data, (point, "an acknowledged byte is lost", repository, digest, status, body[:300])
        for (repository, tag), digests in self.tags.items():
            status, headers, body = server.call("GET", f"/v2/{repository}/manifests/{tag}")
            if status == 404 and None in digests:
                continue
            assert status == 200 and sha256(body) in digests, (point, "a tag leads elsewhere", tag, status, body[:300])
        for repository, tag in self.gone:
            assert server.call("GET", f"/v2/{repository}/manifests/{tag}")[0] == 404, (point, "a deleted tag is back", tag)


def check_served(server, repositories, point):
    """Whatever a repository has matches its digest."""
    for repository in repositories:
        status, _, body = server.call("GET", f"/v2/{repository}/tags/list")
        if status == 404:
            continue
        assert status == 200, (point, status, body)
        for tag in json.loads(body)["tags"] or []:
            status, headers, manifest = server.call("GET", f"/v2/{repository}/manifests/{tag}")
            assert status == 200 and headers["Docker-Content-Digest"] == sha256(manifest), (point, tag, status)
            document = json.loads(manifest)
            for blob in [document["config"], *document["layers"]]:
                status, _, data = server.call("GET", f"/v2/{repository}/blobs/{blob['digest']}")
                assert status == 200 and sha256(data) == blob["digest"], (point, repository, tag, blob["digest"], status, data[:300])


def temporary(root, serving):
    """Half-made things below a root."""
    found = []
    for path in pathlib.Path(root).rglob("*"):
        name = str(path.relative_to(root))
        if path.is_dir() or not path.exists():
            continue
        if ".tmp." in path.name or name.startswith("objects.staging/"):
            found.append(name)
        elif name.startswith("claims/") and path.name not in ("lock", "collector.lock"):
            found.append(name)
        elif name.startswith("tmp/") and path.name not in ("lock",):
            found.append(name)
    uploads = pathlib.Path(root) / "tmp" / "uploads"
    folders = [p.name for p in uploads.iterdir() if p.is_dir()] if uploads.is_dir() else []
    if len(folders) > (1 if serving else 0):
        found += [f"tmp/uploads/{name}" for name in folders]
    return found


def ingot(root, *args, prefix=(), cwd=None, env=None, timeout=120):
    full = {**os.environ, "INGOT_ROOT": str(root), "NO_COLOR": "1", **(env or {})}
    return subprocess.run([*prefix, str(INGOT), *args], cwd=cwd, env=full, capture_output=True, text=True, timeout=timeout)


def check_whole(root, point):
    done = ingot(root, "verify", "--json")
    assert done.returncode == 0, (point, done.stdout[-1500:], done.stderr[-500:])


def check_swept(root, point):
    """What a start removes by itself, soon."""
    deadline = time.monotonic() + 5
    while (left := temporary(root, True)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, (point, "left over after a start", left)


def copy(root, to):
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-a", str(root), str(to)], check=True)
    return to
