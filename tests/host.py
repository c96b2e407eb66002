"""A host under test: a root directory of its own, its daemon, a project in it, and what it must leave behind: nothing."""
import errno
import hashlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("INGOT_BUILD", SOURCE / "build" / "release"))
INGOT = BUILD / "src" / "app" / "ingot"
LOAD = BUILD / "tests" / "ingot_load"
APP = BUILD / "tests" / "test_app"


def ports():
    """Ports that no outgoing connection takes by itself, since one that is free now has to be so until what is tested listens
    there. Each worker of a parallel run has its own; somebody else's run begins elsewhere among them."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    mine = range(10_000, 32_000) if worker is None else range(10_000 + 4_000 * (int(worker[2:]) % 5), 14_000 + 4_000 * (int(worker[2:]) % 5))
    begin = random.randrange(len(mine))
    yield from itertools.cycle([*mine[begin:], *mine[:begin]])


PORTS = ports()


def free_port():
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_for(what, condition, seconds=60.0):
    """Watches until condition() is true and returns its value; the test fails when it never is. Nobody listening
    there yet is not true, either."""
    deadline = time.monotonic() + seconds
    while True:
        refused = None
        try:
            value = condition()
            if value:
                return value
        except (ConnectionError, urllib.error.URLError) as error:
            refused = getattr(error, "reason", error)
            if not isinstance(refused, ConnectionError):
                raise
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s" + (f": {refused}" if refused else "")
        time.sleep(0.01)


def waits_of(pid):
    """Where each thread of a process waits, by the kernel."""
    lines = []
    for task in sorted(pathlib.Path("/proc", str(pid), "task").iterdir()):
        try:
            stack = " < ".join(line.split()[-1].split("+")[0] for line in (task / "stack").read_text().splitlines())
            lines.append(f"{task.name} {(task / 'syscall').read_text().split()[0]} {stack}")
        except (OSError, IndexError) as error:
            lines.append(f"{task.name} {error}")
    return "\n".join(lines)


class Finished:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class Host:
    def __init__(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="ingot-e2e-", dir="/tmp"))
        self.base.chmod(0o755)
        self.root = self.base / "root"
        self.project = self.base / "shop"
        self.project.mkdir()
        shutil.copy(APP, self.project / "app")
        self.daemon = None
        self.port = free_port()
        self.before = self.traces()

    # --- commands ---
    def run(self, *args, env=None, timeout=120, cwd=None):
        full = {**os.environ, "INGOT_ROOT": str(self.root), "NO_COLOR": "1", **(env or {})}
        return Finished(subprocess.run([str(INGOT), *args], cwd=cwd or self.project, env=full, capture_output=True,
                                       text=True, timeout=timeout))

    def ok(self, *args, **options):
        done = self.run(*args, **options)
        assert done.code == 0, done
        return done

    def apply(self, **options):
        return self.ok("apply", "--yes", "--json", **options).json()

    def status(self):
        return self.ok("status", "--json").json()

    def instances(self, service, state=None):
        for entry in self.status()["services"]:
            if entry["name"] == service:
                return [i for i in entry["instances"] if state is None or i["state"] == state]
        return []

    # --- the daemon ---
    def start(self, env=None):
        log = open(self.base / "daemon.log", "ab")
        full = {**os.environ, "INGOT_ROOT": str(self.root), **(env or {})}
        self.daemon = subprocess.Popen([str(INGOT), "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=full)
        log.close()

        def answers():
            assert self.daemon.poll() is None, (self.base / "daemon.log").read_text()[-3000:]
            return self.run("status", "--host", "--json").code == 0

        wait_for("the daemon answers", answers)

    def kill_daemon(self, number=signal.SIGKILL):
        self.daemon.send_signal(number)
        self.daemon.wait(timeout=30)

    def power_off(self):
        """All that a power cut takes: every process, mount, cgroup and id range of the root, and its run folder."""
        self.kill_daemon()
        name = f"ingot-{self.key()}"

        def groups():
            # The innermost first. Other hosts' cgroups come and go meanwhile, which os.walk overlooks.
            return sorted((pathlib.Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup") if name in folder), reverse=True)

        def read(file):
            try:
                return file.read_bytes()
            except OSError:
                return b""

        def processes():
            # By its environment a child of the daemon that has not yet executed its program is found, too.
            root = str(self.root).encode()
            named = (root, b"ingot." + self.key().encode() + b".")
            for pid in filter(str.isdigit, os.listdir("/proc")):
                words = read(pathlib.Path("/proc", pid, "cmdline"))
                inherits = b"INGOT_ROOT=" + root + b"\0" in read(pathlib.Path("/proc", pid, "environ"))
                if int(pid) != os.getpid() and (inherits or any(part in words for part in named)):
                    yield int(pid)
            for group in groups():
                yield from map(int, read(group / "cgroup.procs").split())

        def gone():
            left = set(processes())
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not left

        def swept():
            # A process that ends is no longer in cgroup.procs, but holds its cgroup until it is gone.
            for group in groups():
                try:
                    group.rmdir()
                except OSError as error:
                    if error.errno not in (errno.EBUSY, errno.ENOENT):
                        raise
            return not groups()

        wait_for("every process is gone", gone)
        mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(str(self.root))]):
            subprocess.run(["umount", "-l", mount], check=True)
        wait_for("its cgroups are gone", lambda: gone() and swept())
        ids = pathlib.Path("/run/ingot-ids")
        for file in ids.iterdir() if ids.is_dir() else []:
            if file.is_file() and self.key() in file.read_text(errors="replace"):
                file.unlink()
        shutil.rmtree(self.root / "run")

    # --- the project ---
    def define(self, text, dockerfile=None):
        # Whole or not at all: another thread may be asking for the status.
        new = self.project / "ingot.yaml.new"
        new.write_text(text.replace("@PORT@", str(self.port)))
        new.rename(self.project / "ingot.yaml")
        (self.project / "Dockerfile").write_text(
            dockerfile or 'FROM scratch\nCOPY app /app\nUSER 1000:1000\nCMD ["/app"]\n')
        (self.project / ".dockerignore").write_text("*\n!app\n")

    def one_service(self, revision="one", replicas=2, extra="", health="", rollout="{ keep_old: 1m, drain: 2s }", env="",
                    deadline="3s"):
        """A definition with one service, `web`, whose answers carry the revision."""
        self.define(f"""
version: 1
project: shop
images:
  app: {{ build: . }}
services:
  web:
    image: app
    replicas: {replicas}
    port: 8080
    environment: {{ REVISION: {revision}{", " + env if env else ""} }}
    health:
      ready: {{ http: /healthz, timeout: 500ms, deadline: {deadline} }}
      {health}
    rollout: {rollout}
    {extra}
routes:
  - {{ listen: "127.0.0.1:@PORT@", to: web }}
""")

    def get(self, path="/", port=None):
        """(status, X-Revision, body); (0, None, reason) when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{path}", timeout=5) as answer:
                return answer.status, answer.headers.get("X-Revision"), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("X-Revision"), error.read().decode()
        except OSError as error:
            return 0, None, str(error)

    def load(self, rate=500, connections=8):
        return Load(self.port, rate, connections)

    def key(self):
        """What names of the root's processes and cgroups carry."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    # --- what it leaves on the machine ---
    def traces(self):
        """Everything of a root that is not a file below it: processes, mounts, namespaces, cgroups."""
        mine = str(self.root)
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = pathlib.Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            ours = (mine.encode(), b"ingot." + self.key().encode() + b".")
            if any(part in word for word in words for part in ours) and int(pid) != os.getpid():
                found.append("process " + b" ".join(words).decode(errors="replace"))
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if mine in line:
                found.append("mount " + line.split()[4])
        key = self.key()
        for directory, folders, _ in os.walk("/sys/fs/cgroup"):
            for folder in folders:
                if f"ingot-{key}" in folder:
                    found.append("cgroup " + os.path.join(directory, folder))
        ids = pathlib.Path("/run/ingot-ids")
        if ids.is_dir():
            for file in ids.iterdir():
                if file.is_file() and key in file.read_text(errors="replace"):
                    found.append(f"id range in {file}")
        return found

    def destroy(self):
        if self.daemon is None:
            return
        if self.daemon.poll() is not None:
            self.start()
        done = self.run("destroy", "--host", "--yes", timeout=180)
        assert done.code == 0, done
        try:
            self.daemon.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon does not end:\n{waits_of(self.daemon.pid)}\n"
                                 f"{(self.base / 'daemon.log').read_text()[-3000:]}") from None

    def close(self):
        try:
            self.destroy()
            left = [trace for trace in self.traces() if trace not in self.before]
            assert not left, left
        finally:
            if self.daemon is not None and self.daemon.poll() is None:
                self.daemon.kill()
                self.daemon.wait()
            if not os.environ.get("INGOT_KEEP"):
                shutil.rmtree(self.base, ignore_errors=True)


class Applying:
    """An apply in the background: its end is waited for."""

    def __init__(self, host):
        self.done = None
        self.thread = threading.Thread(target=self.run, args=(host,))
        self.thread.start()

    def run(self, host):
        self.done = host.run("apply", "--yes", "--json", timeout=120)

    def end(self):
        self.thread.join()
        return self.done


class Load:
    """A steady load that counts every failure at the client: `with host.load() as load: …`, then load.result."""

    def __init__(self, port, rate, connections):
        self.command = [str(LOAD), "--rate", str(rate), "--connections", str(connections), "--post", f"127.0.0.1:{port}/"]
        self.result = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)  # some load before the first event
        return self

    def __exit__(self, *_):
        time.sleep(0.3)  # and after the last one
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=30)
        self.result = json.loads(out)
