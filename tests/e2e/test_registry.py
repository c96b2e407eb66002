"""The registry with the clients that people use, and the specification's own suite."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from host import SOURCE, free_port, wait_for

POLICY = '{"default":[{"type":"insecureAcceptAnything"}]}'


class Registry:
    """`ingot registry serve` on the host's root."""

    def __init__(self, host, *options):
        self.host = host
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.options = options
        self.policy = host.base / "policy.json"
        self.policy.write_text(POLICY)
        self.start()

    def start(self):
        import host as host_module
        log = open(self.host.base / "registry.log", "ab")
        self.process = subprocess.Popen(
            [str(host_module.INGOT), "registry", "serve", "--listen", self.address, *self.options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "INGOT_ROOT": str(self.host.root)})
        log.close()

        def answers():
            assert self.process.poll() is None, (self.host.base / "registry.log").read_text()[-3000:]
            return self.answers()

        wait_for("the registry answers", answers)

    def answers(self):
        return self.call("GET", "/v2/")[0] == 200

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def call(self, method, path, body=None, **headers):
        """(status, headers, body)"""
        request = urllib.request.Request(f"http://{self.address}{path}", data=body, method=method,
                                         headers={k.replace("_", "-"): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()
        except OSError as error:
            return 0, {}, str(error).encode()

    def push(self, repository, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        status, _, body = self.call("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content)
        assert status == 201, body
        return digest

    def skopeo(self, *args):
        done = subprocess.run(["skopeo", "--policy", str(self.policy), *args], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture
def registry(host):
    made = Registry(host)
    yield made
    if made.process.poll() is None:
        assert made.stop() == 0


def needs(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"SKIP: {program} is not installed")


def build_image(host):
    """shop/app:latest, of one layer."""
    host.define("version: 1\nproject: shop\nimages:\n  app: { build: . }\n",
                'FROM scratch\nCOPY app /app\nUSER 1000:1000\nCMD ["/app"]\n')
    return host.ok("build", "--json").json()


def layout_of(registry, reference, directory):
    """Copies an image to an OCI layout; the digest of its manifest."""
    registry.skopeo("copy", "--preserve-digests", "--src-tls-verify=false", f"docker://{registry.address}/{reference}",
                    f"oci:{directory}:x")
    return json.loads((directory / "index.json").read_text())["manifests"][0]["digest"]


def test_an_image_that_ingot_built_is_pulled_by_skopeo(host, registry):
    needs("skopeo")
    build_image(host)
    image = next(i for i in host.ok("images", "ls", "--json").json()["images"] if "shop/app:latest" in i["names"])
    first = layout_of(registry, "shop/app:latest", host.base / "one")
    assert first == image["digest"]
    # skopeo checked every digest; once more the same bytes.
    second = layout_of(registry, "shop/app:latest", host.base / "two")
    assert second == first
    names = sorted(p.name for p in (host.base / "one/blobs/sha256").iterdir())
    assert names == sorted(p.name for p in (host.base / "two/blobs/sha256").iterdir())
    tags = json.loads(registry.skopeo("list-tags", "--tls-verify=false", f"docker://{registry.address}/shop/app"))
    assert tags["Tags"] == ["latest"]


def test_pushed_images_come_back_byte_for_byte_and_outlive_collection_and_restart(host, registry):
    needs("skopeo")
    build_image(host)
    digest = layout_of(registry, "shop/app:latest", host.base / "one")
    registry.skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{host.base}/one:x",
                    f"docker://{registry.address}/mirror/app:v1")
    # from one repository to another: skopeo mounts the blobs
    registry.skopeo("copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false",
                    f"docker://{registry.address}/mirror/app:v1", f"docker://{registry.address}/other/app:v1")
    host.ok("gc", "--keep-cache", "1s")
    assert registry.stop() == 0
    registry.start()
    for number, name in enumerate(("mirror/app:v1", "other/app:v1")):
        assert layout_of(registry, name, host.base / f"back{number}") == digest
    assert host.ok("verify", "--json", timeout=300).code == 0


def test_a_local_image_is_copied_within_the_registry(host, registry):
    needs("skopeo")
    build_image(host)
    registry.skopeo("copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false",
                    f"docker://{registry.address}/shop/app:latest", f"docker://{registry.address}/release/app:1.0")
    digest = layout_of(registry, "shop/app:latest", host.base / "one")
    assert layout_of(registry, "release/app:1.0", host.base / "two") == digest
    # What a build holds is moved by no push.
    status, _, body = registry.call("DELETE", "/v2/shop/app/manifests/latest")
    assert status == 403 and json.loads(body)["errors"][0]["code"] == "DENIED"


def podman(host, *args, check=True):
    storage = ["--root", str(host.base / "podman"), "--runroot", str(host.base / "podman-run"), "--cgroup-manager",
               "cgroupfs", "--storage-driver", "vfs", "--events-backend", "none"]
    # crun refuses hosts whose cgroups are of both versions; without the second one in sight it runs.
    alone = ["unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh"]
    done = subprocess.run([*alone, "podman", *storage, *args], capture_output=True, text=True, timeout=300)
    if check:
        assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_podman_pulls_pushes_and_runs(host, registry):
    needs("podman")
    build_image(host)
    policy = ["--signature-policy", str(registry.policy)]
    name = f"{registry.address}/shop/app:latest"
    podman(host, "pull", *policy, "--tls-verify=false", name)
    podman(host, "tag", name, f"{registry.address}/team/app:v1")
    podman(host, "push", *policy, "--tls-verify=false", f"{registry.address}/team/app:v1")
    podman(host, "rmi", "-a", "-f")
    podman(host, "pull", *policy, "--tls-verify=false", f"{registry.address}/team/app:v1")
    # The program listens until it is told to end.
    ran = podman(host, "run", "--rm", "--network", "none", "--cgroups", "disabled", "--ulimit", "nofile=256:256", "--ulimit", "nproc=256:256", "--pull", "never",
                 "--timeout", "2", f"{registry.address}/team/app:v1", check=False)
    if re.search(r"cgroup|runc|crun|OCI runtime|netns|mount", ran.stderr, re.I) and ran.returncode in (125, 126, 127):
        pytest.skip("SKIP: podman cannot run containers on this host: " + ran.stderr.strip()[-200:])
    assert ran.returncode in (0, 137, 143, 255), ran.stderr[-2000:]


def test_what_was_acknowledged_survives_kill_9_and_what_was_not_is_litter(host, registry):
    kept = [registry.push("a", os.urandom(300_000)) for _ in range(5)]
    _, headers, _ = registry.call("POST", "/v2/a/blobs/uploads/", b"")
    place = headers["Location"]
    assert registry.call("PATCH", place, b"x" * 100_000)[0] == 202
    registry.stop(signal.SIGKILL)
    registry.start()
    for digest in kept:
        status, _, body = registry.call("GET", f"/v2/a/blobs/{digest}")
        assert status == 200 and "sha256:" + hashlib.sha256(body).hexdigest() == digest
    assert registry.call("GET", place)[0] == 404
    folders = [p for p in (host.root / "tmp/uploads").iterdir() if p.is_dir()]
    assert len(folders) == 1 and [p.name for p in folders[0].iterdir()] == ["lock"]


def test_a_collection_beside_pushes_removes_nothing_that_was_acknowledged(host, registry):
    digests = []
    collector = None
    end = time.monotonic() + 4
    while time.monotonic() < end:
        if collector is None or collector.poll() is not None:
            import host as host_module
            collector = subprocess.Popen([str(host_module.INGOT), "gc"], stdout=subprocess.DEVNULL,
                                         env={**os.environ, "INGOT_ROOT": str(host.root)})
        digests.append(registry.push("a", os.urandom(2000)))
        # deleted and pushed again: between the two the file may go
        content = b"again and again"
        again = registry.push("a", content)
        assert registry.call("GET", f"/v2/a/blobs/{again}")[2] == content
        assert registry.call("DELETE", f"/v2/a/blobs/{again}")[0] == 202
    assert collector.wait(timeout=60) == 0
    host.ok("gc")
    for digest in digests:
        assert registry.call("HEAD", f"/v2/a/blobs/{digest}")[0] == 200


def test_memory_is_bounded_by_neither_size_nor_number_of_pushes(host, registry):
    content = os.urandom(1 << 20) * 200
    registry.push("a", content)
    sockets = [socket.create_connection(("127.0.0.1", registry.port)) for _ in range(1000)]
    for one in sockets:
        one.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    for one in sockets:
        assert one.recv(4096).startswith(b"HTTP/1.1 200")
    status = pathlib.Path(f"/proc/{registry.process.pid}/status").read_text()
    resident = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    for one in sockets:
        one.close()
    assert resident <= 64 * 1024, f"{resident} kB"


def test_only_loopback_without_insecure(host):
    refused = host.run("registry", "serve", "--listen", "0.0.0.0:0")
    assert refused.code == 4 and "--insecure" in refused.err and "TLS" in refused.err
    wrong = host.run("registry", "serve", "--listen", "nonsense")
    assert wrong.code == 2, wrong


def test_the_daemon_serves_it_too(host):
    import host as host_module
    port = free_port()
    log = open(host.base / "daemon.log", "ab")
    host.daemon = subprocess.Popen([str(host_module.INGOT), "serve", "--registry", f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log, env={**os.environ, "INGOT_ROOT": str(host.root)})
    log.close()
    wait_for("the registry answers", lambda: host.get("/v2/", port)[0] == 200)
    wait_for("the daemon answers", lambda: host.run("status", "--host", "--json").code == 0)


# --- the specification's own suite ---

def conformance_program(host):
    go = shutil.which("go")
    if go is None:
        pytest.skip("SKIP: Go is not installed, so the OCI conformance suite cannot be built")
    program = host.base / "conformance"
    built = subprocess.run([go, "build", "-o", str(program), "github.com/opencontainers/distribution-spec/conformance"],
                           cwd=SOURCE / "tests" / "conformance", capture_output=True, text=True, timeout=600)
    if built.returncode != 0:
        if re.search(r"dial tcp|no such host|proxy|Forbidden|timeout|requires go", built.stderr):
            pytest.skip("SKIP: the OCI conformance suite cannot be fetched: " + built.stderr.strip()[-200:])
        pytest.fail(built.stderr[-2000:])
    return program


def conformance(host, registry, **settings):
    """Runs the suite; its report must be new and without a failure. Returns what it says of each API and data set."""
    program = conformance_program(host)
    results = host.base / "results"
    shutil.rmtree(results, ignore_errors=True)
    environment = {
        **os.environ, "OCI_REGISTRY": registry.address, "OCI_TLS": "disabled", "OCI_VERSION": "1.1",
        "OCI_REPO1": "conformance/repo1", "OCI_REPO2": "conformance/repo2", "OCI_RESULTS_DIR": str(results),
        "OCI_API_BLOBS_DIGEST_HEADER": "true", "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
        "OCI_API_MANIFESTS_DIGEST_HEADER": "true", "OCI_API_MANIFESTS_TAG_PARAM": "true", **settings}
    done = subprocess.run([str(program)], cwd=host.base, env=environment, capture_output=True, text=True, timeout=600)
    # A configuration that it does not understand ends with 0 and without a report.
    assert (results / "results.yaml").is_file(), done.stdout + done.stderr
    report = (results / "results.yaml").read_text()
    states = re.findall(r"^  [^:\n]+: (\w+)$", report.split("\napis:\n", 1)[1], re.M)
    suite = re.search(r'<testsuite name=[^>]* tests="(\d+)" failures="(\d+)" errors="(\d+)" skipped="(\d+)"',
                      (results / "junit.xml").read_text())
    tests, failures, errors, skipped = map(int, suite.groups())
    print(f"conformance: {tests} tests, {failures} failures, {errors} errors, {skipped} skipped")
    assert tests > 850 and failures == 0 and errors == 0, done.stdout[-3000:]
    assert done.returncode == 0, done.stdout[-3000:]
    assert states and set(states) <= {"Pass", "Disabled"}, report
    return states


def test_conformance(host, registry):
    states = conformance(host, registry)
    assert states.count("Disabled") == 1  # sparse manifests: below


def test_conformance_with_sparse_manifests(host):
    registry = Registry(host, "--accept-sparse")
    try:
        states = conformance(host, registry, OCI_DATA_SPARSE="true")
        assert states.count("Disabled") == 0
    finally:
        registry.stop()
